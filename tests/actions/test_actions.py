"""The Python functions behind the commands: no current workspace, predictions in memory, nothing printed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bench
from bench.choices import Recalibration, Track
from bench.cohort.cohort import Cohort
from bench.cohort.load import load_cohort
from bench.cohort.spec import load_spec
from bench.files import canonical_json
from bench.submission.packed import read_stamp, unpack
from bench.workspace import DATA_VARIABLE, Workspace, create_workspace
from tests.baselines.conftest import SPEC, write_tiny
from tests.tiny import TARGETS, predictions

MANIFEST = {"name": "A model", "team": "A group", "date": "2026-01-01", "inputs": ["image"]}


@dataclass(frozen=True)
class Elsewhere:
    """A workspace that is not the current folder, and its cohort."""

    space: Workspace
    cohort: Cohort


@pytest.fixture
def elsewhere(
    tmp_path: Path,
    cohort: Cohort,
    cohort_folder: Path,
    public_spec: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Elsewhere:
    made = create_workspace(tmp_path / "space", str(public_spec), {"chexchonet": cohort_folder})
    (tmp_path / "nowhere").mkdir()
    monkeypatch.chdir(tmp_path / "nowhere")
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    return Elsewhere(made, cohort)


def stored(place: Elsewhere, slug: str) -> dict[str, np.ndarray]:
    return unpack(
        place.space.submission("chexchonet", slug) / "predictions.parquet", place.cohort, Track.HOLDOUT
    )


def test_a_frame_arrays_and_a_file_are_stored_alike(
    elsewhere: Elsewhere, good: pd.DataFrame, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    column = elsewhere.cohort.spec.columns.image
    shuffled = good.sample(frac=1, random_state=0)
    good.to_csv(tmp_path / "p.csv", index=False, float_format="%.17g")
    forms: dict[str, Any] = {
        "file": tmp_path / "p.csv",
        "frame": shuffled,
        "indexed": shuffled.set_index(column),
        "arrays": {name: shuffled[name].to_numpy() for name in shuffled},
        "lists": {name: shuffled[name].to_list() for name in shuffled},
    }
    common: dict[str, Any] = {"workspace": elsewhere.space.root, "manifest": MANIFEST}
    results = {slug: bench.submit(form, slug=slug, **common) for slug, form in forms.items()}
    by_image = good.set_index(column)
    images = elsewhere.cohort.images[elsewhere.cohort.rows("test")]
    for slug, result in results.items():
        assert (result.slug, result.cohort, result.images) == (slug, "chexchonet", len(images))
        assert result.targets == tuple(sorted(TARGETS))
        assert result.folder == elsewhere.space.submission("chexchonet", slug)
        for target, values in stored(elsewhere, slug).items():
            np.testing.assert_array_equal(values, by_image.loc[list(images), target].to_numpy())
    assert [len(r.notices) for r in results.values()] == [0, 1, 2, 3, 4]  # equal to each stored before
    hashes = {
        s: read_stamp(r.folder / "predictions.parquet").source_sha256 for s, r in results.items() if r.folder
    }
    assert hashes["frame"] == hashes["arrays"] == hashes["lists"] != hashes["file"]
    assert capfd.readouterr() == ("", "")


def test_a_cohort_may_be_an_id_a_file_or_loaded(
    elsewhere: Elsewhere, cohort_folder: Path, good: pd.DataFrame, tmp_path: Path
) -> None:
    spec = Path(bench.__file__).parent / "cohort" / "specs" / "chexchonet.toml"
    for chosen in ("chexchonet", spec, load_spec("chexchonet"), elsewhere.cohort):
        dry = bench.submit(good, cohort=chosen, data=cohort_folder, dry_run=True)
        assert (dry.cohort, dry.folder, dry.synthetic) == ("chexchonet", None, False)
        assert [p.code for p in dry.notices] == ["manifest-absent"]


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (lambda t: {**t, "slvh": np.zeros((len(t["slvh"]), 2))}, "predictions-arrays", "slvh (102, 2)"),
        (lambda t: {**t, "slvh": t["slvh"][:-1]}, "predictions-arrays", "slvh 101"),
        (lambda t: {**t, "slvh": t["slvh"] + 1}, "predictions-out-of-range", "102 of 102 values"),
        (lambda t: {**t, "slvh": [None, *t["slvh"][1:]]}, "predictions-nan", "1 of 102 values"),
        (lambda t: {name: v[1:] for name, v in t.items()}, "predictions-missing-id", "1 of 102 images"),
        (lambda t: {k: v for k, v in t.items() if k not in TARGETS}, "predictions-header", "headline"),
    ],
)
def test_wrong_arrays_are_refused_with_every_problem(
    elsewhere: Elsewhere, good: pd.DataFrame, change: object, code: str, says: str
) -> None:
    assert len(good) == 102
    table = {name: good[name].to_numpy() for name in good}
    with pytest.raises(bench.BenchError) as caught:
        bench.submit(change(table), slug="x", workspace=elsewhere.space)  # type: ignore[operator]
    assert code in [p.code for p in caught.value.problems]
    assert f"{code}: " in str(caught.value)
    assert says in str(caught.value)
    assert "  to do: " in str(caught.value)
    assert not elsewhere.space.submission("chexchonet", "x").exists()


def test_arguments_that_cannot_go_together_are_value_errors(elsewhere: Elsewhere, good: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="either"):
        bench.submit(slug="x")
    with pytest.raises(ValueError, match="either"):
        bench.submit(good, model="m.onnx", slug="x")
    with pytest.raises(ValueError, match="val"):
        bench.submit(model="m.onnx", val=good, slug="x")
    for numbers in (np.zeros(3), [0.5, 0.5]):
        with pytest.raises(TypeError, match="by image id and never by position"):
            bench.submit(numbers, slug="a")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="slug"):
        bench.submit(good)
    with pytest.raises(bench.BenchError, match="workspace-missing"):
        bench.submit(good, slug="x")


def test_entries_are_scored_compared_verified_and_shown(
    elsewhere: Elsewhere,
    cohort: Cohort,
    good: pd.DataFrame,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    space = elsewhere.space
    other = predictions(cohort, seed=1)
    first = bench.submit(good, slug="first", manifest=MANIFEST, workspace=space)
    bench.submit(other, slug="second", manifest=MANIFEST, workspace=space)
    steps: list[tuple[int, int]] = []
    cards: list[str] = []
    alone = bench.score(
        first, replicates=100, jobs=1, workspace=space, finished=lambda c: cards.append(c.slug)
    )
    assert (alone.waiting, cards) == (("second",), ["first"])
    done = bench.score(
        replicates=100, jobs=1, workspace=space, progress=lambda done, total: steps.append((done, total))
    )
    assert steps == [(1, 2), (2, 2)]
    assert [card.slug for card in done.scorecards] == ["first", "second"]
    assert (done.waiting, sorted(done.board.scorecards)) == ((), ["first", "second"])
    board = bench.read_board(workspace=space)
    assert board.board is not None
    assert board.board.plain() == json.loads(canonical_json(done.board.plain()))
    assert sorted(board.entries) == ["first", "second"]
    found = bench.compare_entries(first, other, replicates=100, workspace=space)
    named = bench.compare_entries("first", "second", replicates=100, workspace=space)
    assert (found.a, found.b, named.b) == ("first", "B", "second")
    assert found.comparisons == named.comparisons
    assert bench.verify(workspace=space).ok
    site = bench.build_site(tmp_path / "site", workspace=space)
    assert (site.cohorts, site.pages) == (("chexchonet",), len(list(site.folder.rglob("*.html"))))
    card = space.submission("chexchonet", "second") / "scorecard.json"
    value = f'"value": {done.scorecards[1].targets[0].plain()["metrics"]["auroc"]["value"]:.9g}'
    assert value in card.read_text()
    card.write_text(card.read_text().replace(value, '"value": 0.999', 1))
    drift = bench.verify("second", workspace=space)
    assert (drift.ok, drift.entries) == (False, ("second",))
    assert {p.code for p in drift.problems} == {"verify-drift"}
    assert capfd.readouterr() == ("", "")


def test_an_empty_board_says_what_waits(elsewhere: Elsewhere, good: pd.DataFrame) -> None:
    bench.submit(good, slug="first", workspace=elsewhere.space)
    with pytest.raises(bench.BenchError, match=r"board-empty: .* Not scored yet: first") as raised:
        bench.read_board(workspace=elsewhere.space)
    assert "bench score --all" in raised.value.problems[0].remedy


def test_baselines_are_trained_and_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    space = create_workspace(tmp_path / "space", cohort="tiny.toml")
    (space.root / "tiny.toml").write_text(SPEC)
    write_tiny(space.data("tiny"), patients=40)
    monkeypatch.chdir(tmp_path)
    options = bench.TrainOptions(recalibrate=(Recalibration.TEMPERATURE,))
    stages: set[str] = set()
    submitted: list[str] = []
    done = bench.train_baselines(
        ["prevalence", "demographics"],
        options,
        workspace=space,
        progress=lambda stage, done, total: stages.add(stage),
        submitted=lambda entry: submitted.append(entry.slug),
    )
    slugs = ("prevalence", "prevalence-temperature", "demographics", "demographics-temperature")
    assert (done.slugs, tuple(submitted), dict(done.skipped)) == (slugs, slugs, {})
    cohort = load_cohort(load_spec(str(space.root / "tiny.toml")), space.data("tiny"))
    values = unpack(space.submission("tiny", "prevalence") / "predictions.parquet", cohort, Track.HOLDOUT)
    share = np.nanmean(cohort.targets["large"][cohort.rows("train")])
    np.testing.assert_array_equal(values["large"], np.full(len(cohort.rows("test")), share))
    with pytest.raises(bench.BenchError, match="slug-taken"):
        bench.train_baseline("prevalence", workspace=space)
    with pytest.raises(bench.BenchError, match="baseline-unknown"):
        bench.train_baseline("prevalance", workspace=space)
    monkeypatch.setattr("bench.actions.train.baselines", lambda: ("prevalence", "linear-probe"))
    everything = bench.train_baselines(None, bench.TrainOptions(replace=True), workspace=space)
    assert everything.slugs == ("prevalence",)
    assert {name: p.code for name, p in everything.skipped.items()} == {"linear-probe": "baseline-encoder"}
    assert capfd.readouterr() == ("", "")
