"""One ONNX file is submitted once, run on two cohorts, and set beside itself on the transfer board."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from bench.cohort.cohort import Cohort
from bench.cohort.load import load_cohort
from bench.cohort.spec import load_spec
from bench.submission.packed import unpack
from bench.workspace import DATA_VARIABLE, Workspace, create_workspace
from tests.conftest import Cli
from tests.runtime.models import MODEL, SIZE, linear_model, save
from tests.tiny import MANIFEST, cohort_table, write_cohort

HEADLINE = "composite_slvh_dlv"


@pytest.fixture
def two(
    tmp_path: Path, cohort_folder: Path, public_spec: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Workspace, Path]:
    """A workspace on two cohorts, and the spec of the second."""
    write_cohort(tmp_path / "second", cohort_table(90, seed=5))
    made = create_workspace(
        tmp_path / "space", str(public_spec), {"chexchonet": cohort_folder, "second": tmp_path / "second"}
    )
    spec = made.root / "second.toml"
    spec.write_text(public_spec.read_text("utf-8").replace('id = "chexchonet"', 'id = "second"'), "utf-8")
    monkeypatch.chdir(made.root)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    return made, spec


def area(cohort: Cohort, data: Path, session: onnxruntime.InferenceSession) -> tuple[np.ndarray, float]:
    """Probabilities of the test images by ONNX Runtime alone, and their AUROC."""
    rows = cohort.rows("test")
    images = [Image.open(data / "images" / name).convert("L") for name in cohort.images[rows]]
    small = [np.asarray(i.resize((SIZE, SIZE), Image.Resampling.BILINEAR), np.float32) / 255 for i in images]
    raw = session.run(["scores"], {"image": np.array(small)[:, None]})[0][:, 0]
    return 1 / (1 + np.exp(-raw)), float(roc_auc_score(cohort.targets[HEADLINE][rows], raw))


def test_one_file_is_scored_on_both_cohorts_and_changes_from_the_first(
    two: tuple[Workspace, Path], public_spec: Path, cohort_folder: Path, cli: Cli, tmp_path: Path
) -> None:
    space, second = two
    model = save(linear_model(), tmp_path / "m.onnx")
    (tmp_path / "submission.toml").write_text(MANIFEST + MODEL)
    words = ("--model", model, "--slug", "one", "--manifest", tmp_path / "submission.toml")
    ran = cli("submit", *words, "--also", second, "--json")
    assert ran.exit_code == 0, ran.stderr
    assert [ran.object["result"]["cohort"], ran.object["result"]["also"][0]["cohort"]] == [
        "chexchonet",
        "second",
    ]
    session = onnxruntime.InferenceSession(str(model))
    areas = []
    for spec, data in ((public_spec, cohort_folder), (second, tmp_path / "second")):
        cohort = load_cohort(load_spec(str(spec)), data)
        expected, auroc = area(cohort, data, session)
        stored = space.submission(cohort.spec.id, "one") / "predictions.parquet"
        np.testing.assert_allclose(unpack(stored, cohort, "holdout")[HEADLINE], expected, atol=1e-3)
        assert cli("score", "one", "--cohort", spec, "--replicates", "200", "--jobs", "1").exit_code == 0
        areas.append(auroc)
    ran = cli("board", "--transfer", f"{public_spec},{second}", "--json")
    assert ran.exit_code == 0, ran.stderr
    board = ran.object["result"]["transfer"]
    (target,) = [t for t in board["targets"] if t["target"] == HEADLINE]
    (entry,) = target["entries"]
    assert [site["auroc"]["value"] for site in entry["sites"]] == pytest.approx(areas, abs=5e-3)
    change = entry["sites"][1]["change_auroc"]
    assert change["value"] == pytest.approx(areas[1] - areas[0], abs=1e-2)
    assert change["low"] < change["value"] < change["high"]


def test_a_missing_second_cohort_stops_the_first_from_being_stored(
    two: tuple[Workspace, Path], cli: Cli, tmp_path: Path
) -> None:
    space, _ = two
    model = save(linear_model(), tmp_path / "m.onnx")
    (tmp_path / "submission.toml").write_text(MANIFEST + MODEL)
    ran = cli(
        "submit", "--model", model, "--slug", "one", "--manifest", tmp_path / "submission.toml",
        "--also", "mimic-echo", "--json",
    )  # fmt: skip
    assert ran.exit_code != 0
    assert ran.codes
    assert not list(space.store.rglob("predictions.parquet"))
