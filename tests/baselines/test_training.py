from __future__ import annotations

import csv
import signal
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from baselines.networks.augment import augmented
from baselines.networks.curves import EpochRecord, curves_svg
from baselines.networks.heads import BinaryHead
from baselines.networks.learner import Learner
from baselines.networks.recipe import Augmentation, Recipe, parse_recipe
from baselines.networks.tensors import Arrays, EpochSampler, training_batches
from baselines.networks.train import fit, load_weights
from bench.errors import BenchError
from tests.baselines.test_recipe import GOOD
from tests.baselines.two_processes import arrays

RECIPE = parse_recipe(
    GOOD.replace("epochs = 3", "epochs = 4").replace("patience = 2", "patience = 4")
    + "\n[augment]\nshift = 0.1\nnoise = 0.05\ncontrast = 0.2\n",
    where="",
).model_copy(update={"accelerator": "cpu", "threads": 1, "dropout": 0.3})


TRAIN, VAL = arrays(70, 0), arrays(30, 1)
BATCHES = 4  # of 16 training images


def _learner(seed: int = 3, recipe: Recipe = RECIPE) -> Learner:
    return Learner(recipe, BinaryHead(("a", "b")), seed)


def _weights(learner: Learner) -> np.ndarray:
    return np.concatenate([w.detach().numpy().ravel() for w in learner.state_dict().values()])


def _trained(folder: Path, seed: int = 3, recipe: Recipe = RECIPE) -> Learner:
    learner = _learner(seed, recipe)
    fit(learner, TRAIN, VAL, folder, lambda message, done, total: None)
    return learner


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Learner]:
    folder = tmp_path_factory.mktemp("run")
    return folder, _trained(folder)


class KilledError(Exception):
    """Stands for whatever ends a run."""


@pytest.mark.parametrize("epoch", [1, 3])
def test_an_interrupted_run_ends_in_the_same_weights(
    epoch: int, uninterrupted: tuple[Path, Learner], tmp_path: Path
):
    def killer(message: str, done: int, total: int) -> None:
        if done > BATCHES * epoch + 2:  # in the midst of the next epoch
            raise KilledError

    with pytest.raises(KilledError):
        fit(_learner(), TRAIN, VAL, tmp_path, killer)
    resumed = _trained(tmp_path)
    np.testing.assert_array_equal(_weights(resumed), _weights(uninterrupted[1]))
    curves = [
        [row["epoch"], row["train_loss"], row["val_loss"]]
        for folder in (tmp_path, uninterrupted[0])
        for row in csv.DictReader((folder / "curves.csv").read_text().splitlines())
    ]
    assert len(curves) == 8
    assert curves[:4] == curves[4:]


def test_progress_is_one_stage_of_all_batches_with_the_losses_beside(tmp_path: Path):
    reports: list[tuple[str, int, int]] = []
    records = fit(_learner(), TRAIN, VAL, tmp_path, lambda *what: reports.append(what))
    assert {message.split("; ")[0] for message, _, _ in reports} == {"training"}
    assert {total for _, _, total in reports} == {4 * BATCHES}
    done = [done for _, done, _ in reports]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (1, 4 * BATCHES)
    assert reports[-1][0] == (
        f"training; epoch 4, train loss {records[3].train_loss:.4f}, val loss {records[3].val_loss:.4f}"
    )


def test_an_interrupt_arrives_as_one_and_ctrl_c_works_afterwards(tmp_path: Path):
    def interrupting(message: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(_learner(), TRAIN, VAL, tmp_path, interrupting)
    assert signal.getsignal(signal.SIGINT) == before


def test_an_interrupted_run_does_not_look_finished(tmp_path: Path):
    def ending(message: str, done: int, total: int) -> None:
        if done == BATCHES + 1:
            signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        fit(_learner(), TRAIN, VAL, tmp_path, ending)
    assert signal.getsignal(signal.SIGTERM) == before
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()


def test_the_seed_is_the_only_source_of_chance(uninterrupted: tuple[Path, Learner], tmp_path: Path):
    torch.manual_seed(99)
    np.testing.assert_array_equal(_weights(_trained(tmp_path / "same")), _weights(uninterrupted[1]))
    assert not np.array_equal(_weights(_trained(tmp_path / "other", seed=4)), _weights(uninterrupted[1]))


def test_training_leaves_global_state_as_it_was(tmp_path: Path):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    _trained(tmp_path, recipe=RECIPE.model_copy(update={"epochs": 1}))
    assert torch.rand(1) == expected
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == (threads, strict)


def test_the_best_epoch_on_val_is_kept(uninterrupted: tuple[Path, Learner]):
    folder, learner = uninterrupted
    losses = [
        float(row["val_loss"]) for row in csv.DictReader((folder / "curves.csv").read_text().splitlines())
    ]
    pixels = torch.from_numpy(VAL.pixels).unsqueeze(1).float() / 255
    learner.eval()
    with torch.no_grad():
        loss = learner.head.loss(
            learner(pixels, torch.empty(len(VAL), 0)), torch.from_numpy(VAL.labels)
        ).mean()
    assert min(losses) == pytest.approx(float(loss), rel=1e-5)


def test_training_stops_on_val_and_a_continued_run_stays_stopped(tmp_path: Path):
    """Labels of val say the opposite of training, so that the first epoch is the best."""
    contrary = Arrays(VAL.pixels, VAL.extra, 1 - VAL.labels)
    recipe = RECIPE.model_copy(update={"epochs": 30, "patience": 2, "learning_rate": 0.01})
    first, again = _learner(recipe=recipe), _learner(recipe=recipe)
    steps: list[int] = []
    records = fit(first, TRAIN, contrary, tmp_path, lambda message, done, total: steps.append(done))
    assert len(records) < 30
    best = min(records, key=lambda r: r.val_loss).epoch
    assert len(records) == best + 2
    steps.clear()
    assert fit(again, TRAIN, contrary, tmp_path, lambda message, done, total: steps.append(done)) == records
    assert steps == []
    np.testing.assert_array_equal(_weights(first), _weights(again))


@pytest.mark.parametrize("damage", ["other network", "cut", "empty", "no weights"])
def test_a_checkpoint_of_something_else_is_refused_whole(
    damage: str, uninterrupted: tuple[Path, Learner], tmp_path: Path
):
    path = tmp_path / "best.ckpt"
    whole = (uninterrupted[0] / "checkpoints" / "best.ckpt").read_bytes()
    path.write_bytes({"cut": whole[: len(whole) // 2], "empty": b""}.get(damage, whole))
    learner = _learner()
    if damage == "other network":
        learner = Learner(RECIPE, BinaryHead(("a", "b", "c")), 3)
    if damage == "no weights":
        torch.save({"model": learner.state_dict()}, path)
    before = _weights(learner)
    with pytest.raises(BenchError) as caught:
        load_weights(learner, path)
    assert caught.value.problems[0].code == "baseline-checkpoint"
    if damage != "other network":
        np.testing.assert_array_equal(_weights(learner), before)


@pytest.mark.parametrize("damage", ["other network", "cut"])
def test_a_run_does_not_go_on_from_a_checkpoint_of_something_else(
    damage: str, uninterrupted: tuple[Path, Learner], tmp_path: Path
):
    last = tmp_path / "checkpoints" / "last.ckpt"
    last.parent.mkdir()
    whole = (uninterrupted[0] / "checkpoints" / "last.ckpt").read_bytes()
    last.write_bytes(whole[:-100] if damage == "cut" else whole)
    head = BinaryHead(("a", "b", "c") if damage == "other network" else ("a", "b"))
    with pytest.raises(BenchError) as caught:
        fit(Learner(RECIPE, head, 3), TRAIN, VAL, tmp_path, lambda message, done, total: None)
    assert caught.value.problems[0].code == "baseline-checkpoint"


def test_mixed_precision_trains_other_weights_of_the_same_kind(
    uninterrupted: tuple[Path, Learner], tmp_path: Path
):
    mixed = _trained(tmp_path, recipe=RECIPE.model_copy(update={"precision": "bf16-mixed"}))
    weights = _weights(mixed)
    assert {w.dtype for w in mixed.parameters()} == {torch.float32}
    assert not np.array_equal(weights, _weights(uninterrupted[1]))
    assert np.abs(weights - _weights(uninterrupted[1])).mean() < 0.01


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(tmp_path: Path):
    with pytest.raises(BenchError) as caught:
        _trained(tmp_path, recipe=RECIPE.model_copy(update={"accelerator": "gpu"}))
    assert (caught.value.problems[0].code, caught.value.exit_code) == ("baseline-no-gpu", 3)


def test_binary_loss_is_log_loss_of_the_known():
    random = np.random.default_rng(0)
    raw = torch.from_numpy(random.normal(size=(40, 2)))
    labels = random.integers(0, 2, (40, 2)).astype(float)
    labels[random.random((40, 2)) < 0.3] = np.nan
    head = BinaryHead(("a", "b"))
    losses = head.loss(raw, torch.from_numpy(labels)).numpy()
    p = head.predictions(raw, None).numpy()
    for row in range(40):
        known = ~np.isnan(labels[row])
        if not known.any():
            assert losses[row] == 0
            continue
        expected = np.mean(
            [
                log_loss([y], [q], labels=[0, 1])
                for y, q in zip(labels[row][known], p[row][known], strict=True)
            ]
        )
        assert losses[row] == pytest.approx(expected)


def test_every_epoch_has_an_order_of_its_own():
    sampler = EpochSampler(50, seed=1)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    sampler.set_epoch(0)
    assert list(sampler) == first
    assert list(EpochSampler(50, seed=2)) != first


def test_batches_are_whole_where_there_are_others():
    sizes = [len(labels) for _, _, labels in training_batches(TRAIN, 16, 0)]
    assert sizes == [16] * 4
    assert [len(labels) for _, _, labels in training_batches(TRAIN, 64, 0)] == [64, 6]


def test_no_augmentation_changes_nothing():
    images = torch.rand(3, 1, 32, 32)
    assert torch.equal(augmented(images, Augmentation(), torch.Generator()), images)


def test_augmentation_moves_without_mirroring_and_stays_in_range():
    images = torch.zeros(64, 1, 32, 32)
    images[:, :, 12:20, 4:8] = 1  # left of the middle
    generator = torch.Generator().manual_seed(0)
    how = Augmentation(shift=0.1, zoom=0.1, contrast=0.3, noise=0.05)
    changed = augmented(images, how, generator)
    assert changed.min() >= 0
    assert changed.max() <= 1
    where = (changed.mean(2) * torch.arange(32)).sum(2) / changed.mean(2).sum(2)
    moved = augmented(images, Augmentation(shift=0.1), torch.Generator().manual_seed(0))
    centre = (moved.mean(2) * torch.arange(32)).sum(2) / moved.mean(2).sum(2)
    assert centre.max() < 5.5 + 0.1 * 32 + 0.5
    assert centre.min() > 5.5 - 0.1 * 32 - 0.5
    assert centre.std() > 0.5
    assert where.std() > 0


def test_curves_are_drawn():
    svg = ET.fromstring(curves_svg([EpochRecord(1, 0.7, 0.6, 1.0), EpochRecord(2, 0.5, 0.65, 1.0)]))
    lines = [e.attrib["points"].split() for e in svg.iter("{http://www.w3.org/2000/svg}polyline")]
    assert [len(points) for points in lines] == [2, 2]
    heights = [float(point.split(",")[1]) for point in lines[0]]
    assert heights[0] < heights[1]  # a falling loss falls on the page
    assert ET.fromstring(curves_svg([EpochRecord(1, 0.7, 0.7, 1.0)])) is not None
