"""The cohort as training code sees it: tables, folds, few-shot subsets, the PyTorch dataset, the ledger."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import bench
from bench.workspace import Workspace
from tests.conftest import Cli
from tests.tiny import SIDE, TARGETS

ID, PATIENT = "cxr_filename", "patient_id"
MEASUREMENTS = ("ivsd", "lvpwd", "lvidd")


@pytest.fixture
def loaded(space: Workspace) -> bench.LoadedCohort:
    return bench.load_cohort(workspace=space)


@pytest.fixture(scope="module")
def table(cohort_folder: Path) -> pd.DataFrame:
    """The table by image id, read by pandas alone."""
    return pd.read_csv(cohort_folder / "metadata.csv", dtype={PATIENT: str}).set_index(ID)


def test_a_part_is_a_table_of_its_images(
    loaded: bench.LoadedCohort, table: pd.DataFrame, cohort_folder: Path
) -> None:
    train = loaded.frame("train")
    expected = table.loc[train["image_id"]]
    assert list(train["image_id"]) == sorted(train["image_id"])
    assert list(train["patient_id"]) == list(expected[PATIENT])
    assert list(train["path"]) == [str(cohort_folder / "images" / name) for name in train["image_id"]]
    assert set(train["split"]) == {"train"}
    assert set(train["fold"]) <= set(range(5))
    for target in TARGETS:
        np.testing.assert_array_equal(train[target], expected[target].astype(float))
    plausible = expected["lvidd"] > 0
    np.testing.assert_allclose(train["lvidd"][plausible.to_numpy()], expected["lvidd"][plausible])
    assert train["lvidd"][~plausible.to_numpy()].isna().all()
    np.testing.assert_array_equal(train["age"], expected["age"].astype(float))
    np.testing.assert_array_equal(train["sex"], (expected["sex"] == "M").astype(float))
    assert [len(loaded.frame(part)) for part in ("train", "val", "test")] == [
        int((loaded.split.parts == part).sum()) for part in ("train", "val", "test")
    ]
    with pytest.raises(ValueError, match="train, val, test"):
        loaded.frame("dev")  # type: ignore[arg-type]


def test_test_labels_are_shown_only_where_asked_for_and_recorded(
    loaded: bench.LoadedCohort, table: pd.DataFrame, space: Workspace
) -> None:
    hidden = loaded.frame("test")
    assert not {*TARGETS, *MEASUREMENTS} & set(hidden)
    everything = loaded.frame()
    assert everything[everything["split"] == "test"][[*TARGETS, *MEASUREMENTS]].isna().all(axis=None)
    assert everything[everything["split"] != "test"][list(TARGETS)].notna().all(axis=None)
    ledger = space.submissions("chexchonet") / "_attempts" / "_test_labels.json"
    assert not ledger.exists()
    shown = loaded.frame("test", labels=True)
    np.testing.assert_array_equal(shown["slvh"], table.loc[shown["image_id"], "slvh"].astype(float))
    loaded.frame(labels=True)
    (reading,) = json.loads(ledger.read_text())["readings"]  # once a day
    assert (reading["images"], reading["fingerprint"]) == (len(hidden), loaded.split.fingerprint)
    assert not any(patient in ledger.read_text() for patient in hidden["patient_id"])
    loaded.frame("train", labels=True)
    assert len(json.loads(ledger.read_text())["readings"]) == 1


def test_test_labels_need_a_ledger(
    cohort_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outside = bench.load_cohort("chexchonet", cohort_folder)
    assert outside.workspace is None
    assert len(outside.frame("train", labels=True)) > 0
    with pytest.raises(bench.BenchError, match="workspace-missing: Test labels"):
        outside.frame("test", labels=True)


def test_the_ledger_of_attempts_ignores_the_readings(loaded: bench.LoadedCohort, good: pd.DataFrame) -> None:
    loaded.frame("test", labels=True)
    entry = bench.submit(good, cohort=loaded, name="Linear probe, 2 seeds")
    result = bench.score(entry, cohort=loaded, replicates=50, jobs=1)
    assert entry.slug == "linear-probe-2-seeds"
    assert [card.slug for card in result.scorecards] == [entry.slug]
    board = bench.read_board(loaded.workspace.submissions("chexchonet"))
    assert board.entries[entry.slug].manifest.name == "Linear probe, 2 seeds"
    assert board.entries[entry.slug].attempts


def test_a_name_without_a_slug_is_refused_with_the_rule(
    loaded: bench.LoadedCohort, good: pd.DataFrame
) -> None:
    with pytest.raises(bench.BenchError, match="slug-invalid"):
        bench.submit(good, cohort=loaded, name="модель")
    bench.submit(good, cohort=loaded, name="модель", slug="model")
    with pytest.raises(ValueError, match="a name or a slug"):
        bench.submit(good, cohort=loaded)


def test_each_image_is_predicted_in_one_fold_and_no_patient_is_on_both_sides(
    loaded: bench.LoadedCohort,
) -> None:
    folds = list(loaded.folds())
    assert [fold.number for fold in folds] == [0, 1, 2, 3, 4]
    assert sorted(image for fold in folds for image in fold.test["image_id"]) == sorted(loaded.images)
    for fold in folds:
        assert not set(fold.train["patient_id"]) & set(fold.test["patient_id"])
        assert len(fold.train) + len(fold.test) == len(loaded)
        assert set(fold.test["fold"]) == {fold.number}
        assert not set(TARGETS) & set(fold.test)
        assert fold.train[list(TARGETS)].notna().all(axis=None)


FEW = {  # first digits of the SHA-256 of the chosen image ids, one a line, computed with hashlib alone
    (("patients", 10), 0): "e048c1b9ab9786d8",
    (("patients", 10), 1): "5c81c5e202821e2d",
    (("fraction", 0.25), 0): "af0d7c60948e5297",
}


def digest(frame: pd.DataFrame) -> str:
    return hashlib.sha256("\n".join(frame["image_id"]).encode()).hexdigest()[:16]


@pytest.mark.parametrize(("asked", "seed"), FEW)
def test_few_shot_subsets_are_the_same_everywhere(
    loaded: bench.LoadedCohort, asked: tuple[str, float], seed: int
) -> None:
    chosen = loaded.few_shot(seed=seed, **{asked[0]: asked[1]})  # type: ignore[arg-type]
    assert digest(chosen) == FEW[asked, seed]


def test_few_shot_subsets_follow_the_stated_rule_and_are_nested(loaded: bench.LoadedCohort) -> None:
    train = loaded.frame("train")
    patients = sorted(set(train["patient_id"]))

    def hashed(patient: str) -> int:
        return int(hashlib.sha256(f"few-shot/3/chexchonet\n{patient}".encode()).hexdigest()[:16], 16)

    order = sorted(patients, key=hashed)
    before: set[str] = set()
    for count in (1, 5, 17, len(patients)):
        chosen = loaded.few_shot(patients=count, seed=3)
        assert set(chosen["patient_id"]) == set(order[:count])
        assert before <= set(chosen["image_id"])
        before = set(chosen["image_id"])
    pd.testing.assert_frame_equal(loaded.few_shot(fraction=1), train)
    assert loaded.few_shot(fraction=0.01)["patient_id"].nunique() == -(-len(patients) // 100)


@pytest.mark.parametrize("asked", [{"patients": 0}, {"patients": 10_000}, {"fraction": 0}, {"fraction": 1.5}])
def test_few_shot_subsets_of_no_such_size_are_refused(
    loaded: bench.LoadedCohort, asked: dict[str, float]
) -> None:
    with pytest.raises(bench.BenchError, match="few-shot-size"):
        loaded.few_shot(**asked)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="either"):
        loaded.few_shot()


@pytest.mark.parametrize("cache", [True, False])
def test_a_dataset_gives_image_targets_and_inputs(
    loaded: bench.LoadedCohort, cache: bool, cohort_folder: Path
) -> None:
    torch = pytest.importorskip("torch")
    val = loaded.frame("val")
    dataset = loaded.torch_dataset("val", SIDE, cache=cache)
    assert len(dataset) == len(val)
    assert dataset.image_ids == tuple(val["image_id"])
    assert dataset.target_names == (*TARGETS, *MEASUREMENTS)
    assert dataset.input_names == ("age", "sex")
    for index in (0, len(val) - 1):
        image, targets, inputs = dataset[index]
        pixels = np.asarray(Image.open(cohort_folder / "images" / val["image_id"][index]))
        torch.testing.assert_close(image, torch.tensor(pixels[None] / 255, dtype=torch.float32))
        expected = torch.tensor([val[name][index] for name in dataset.target_names], dtype=torch.float32)
        torch.testing.assert_close(targets, expected, equal_nan=True)
        assert inputs.tolist() == [val["age"][index], val["sex"][index]]
    again = pickle.loads(pickle.dumps(dataset))  # as loader processes get it
    assert torch.equal(again[1][0], dataset[1][0])
    assert len(pickle.dumps(dataset)) < 10**6


@pytest.mark.parametrize("cache", [True, False])
def test_a_dataset_follows_the_image_rule_of_the_manifest(
    loaded: bench.LoadedCohort, cache: bool, cohort_folder: Path, space: Workspace
) -> None:
    """Bicubic by Pillow itself, and without antialiasing by PyTorch itself; the default cache is another."""
    torch = pytest.importorskip("torch")
    image = Image.open(cohort_folder / "images" / loaded.frame("val")["image_id"][0])
    default = loaded.torch_dataset("val", 24, cache=cache)[0][0]
    bicubic = loaded.torch_dataset("val", 24, cache=cache, resize="bicubic")[0][0]
    expected = np.asarray(image.resize((24, 24), Image.Resampling.BICUBIC))
    torch.testing.assert_close(bicubic[0], torch.tensor(expected / 255, dtype=torch.float32))
    aliased = loaded.torch_dataset("val", 24, cache=cache, antialias=False)[0][0]
    pixels = torch.tensor(np.asarray(image), dtype=torch.float32)[None, None]
    exact = torch.nn.functional.interpolate(pixels, (24, 24), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(255 * aliased, exact, atol=0.501, rtol=0)  # rounded to grey values
    wide = loaded.torch_dataset("val", (16, 24), cache=cache)[0][0]
    expected = np.asarray(image.resize((24, 16), Image.Resampling.BILINEAR))
    torch.testing.assert_close(wide[0], torch.tensor(expected / 255, dtype=torch.float32))
    assert not torch.equal(default, bicubic)
    assert not torch.equal(default, aliased)
    if cache:
        names = {path.name for path in space.cache.glob("*-24x24*.u8")}
        assert len(names) == 3


def test_a_dataset_takes_tables_transforms_and_hides_test_labels(loaded: bench.LoadedCohort) -> None:
    torch = pytest.importorskip("torch")
    few = loaded.few_shot(patients=5).sample(frac=1, random_state=0)
    dataset = loaded.torch_dataset(few, 8, channels=3, transform=lambda image: 1 - image)
    plain = loaded.torch_dataset("train", 8)
    at = plain.image_ids.index(few["image_id"].iloc[2])
    image = dataset[2][0]
    assert image.shape == (3, 8, 8)
    torch.testing.assert_close(1 - image[0], plain[at][0][0])
    test = loaded.torch_dataset("test", 8)
    assert test.target_names == ()
    assert test[0][1].shape == (0,)
    images, targets, inputs = next(iter(torch.utils.data.DataLoader(dataset, batch_size=4)))
    assert (images.shape, targets.shape, inputs.shape) == ((4, 3, 8, 8), (4, 6), (4, 2))


def test_a_dataset_of_other_images_is_refused(loaded: bench.LoadedCohort) -> None:
    pytest.importorskip("torch")
    with pytest.raises(bench.BenchError, match="frame-unknown: 1 of 2 images"):
        loaded.torch_dataset(pd.DataFrame({"image_id": [loaded.images[0], "nobody.jpg"]}), 8)
    with pytest.raises(bench.BenchError, match="frame-unknown: The table has no column"):
        loaded.torch_dataset(pd.DataFrame({"image": []}), 8)
    with pytest.raises(ValueError, match="channels"):
        loaded.torch_dataset("val", 8, channels=2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="antialias"):
        loaded.torch_dataset("val", 8, resize="area", antialias=False)
    for size in (0, (8, 0), (8, 8, 8)):
        with pytest.raises(ValueError, match=r"^size: "):
            loaded.torch_dataset("val", size, cache=False)  # type: ignore[arg-type]
    missing = loaded.frame("val").assign(path=None)
    with pytest.raises(bench.BenchError, match="images-unreadable"):
        loaded.torch_dataset(missing, 8, cache=False)[0]


def test_the_split_file_has_what_training_code_needs(
    space: Workspace, cli: Cli, tmp_path: Path, table: pd.DataFrame, loaded: bench.LoadedCohort
) -> None:
    assert cli("cohort", "split", "--out", tmp_path / "split.csv", "--lock").exit_code == 0
    split = pd.read_csv(tmp_path / "split.csv", dtype={PATIENT: str})
    assert list(split)[:5] == [ID, PATIENT, "path", "split", "fold"]
    assert set(split) == {ID, PATIENT, "path", "split", "fold", *TARGETS, *MEASUREMENTS}
    assert all(Path(path).is_file() for path in split["path"])
    shown = split["split"] != "test"
    np.testing.assert_array_equal(split[shown]["dlv"], table.loc[split[shown][ID], "dlv"])
    assert split[~shown][[*TARGETS, *MEASUREMENTS]].isna().all(axis=None)
    assert split.merge(table.reset_index(), on=[ID, PATIENT]).shape[0] == len(loaded)


def test_a_cohort_shows_its_parts(loaded: bench.LoadedCohort) -> None:
    assert repr(loaded).startswith("<LoadedCohort chexchonet:")
    html = loaded._repr_html_()
    assert html.count("<tr>") == 4
    assert f"{len(loaded.rows('test')):,}" in html
