"""Every baseline, found as the command line finds them, from the cohort to a checked submission."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from baselines.api import Choices
from baselines.registry import baselines, find_baseline
from baselines.run import FinishedRun, RunConfig, run_baseline
from bench.choices import Track
from bench.cohort.cohort import Cohort
from bench.cohort.load import load_cohort
from bench.errors import BenchError
from bench.runtime.accept import accept_model
from bench.submission.accept import accept_predictions
from bench.submission.check_predictions import load_predictions
from bench.submission.store import check_slug, read_manifest
from tests.baselines.conftest import spec_of, write_encoder, write_tiny

# A DenseNet's quick form takes a minute on a CPU; its parts are tested by themselves.
NAMES = sorted(name for name, baseline in baselines().items() if "monai" not in baseline.needs_packages)
DEEP = sorted(set(baselines()) - set(NAMES))
QUICK = sorted(name for name, baseline in baselines().items() if baseline.quick)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def runs(tiny: Cohort, tmp_path_factory: pytest.TempPathFactory) -> dict[str, FinishedRun]:
    folder = tmp_path_factory.mktemp("runs")
    encoder = write_encoder(folder)
    hows = {
        name: RunConfig(
            quick=True, choices=Choices(encoder=encoder if find_baseline(name).needs_encoder else None)
        )
        for name in NAMES
    }
    return {name: run_baseline(name, tiny, folder / name, how) for name, how in hows.items()}


def test_there_are_the_baselines_of_the_demo():
    quick = {"prevalence", "demographics", "shuffled", "metadata", "cardiothoracic", "cnn-small"}
    assert set(QUICK) == quick | {"pixels", "random-convolutions", "random-convolutions-echo"}
    assert find_baseline("cnn-small").needs_images


def test_listing_needs_no_heavy_library():
    """Scoring installs without torch, and the list is shown there too."""
    heavy = ("torch", "lightning", "monai", "sklearn", "onnx", "onnxruntime", "scipy")
    code = f"""
import sys
for name in {heavy!r}:
    sys.modules[name] = None
from baselines.registry import baselines
print(" ".join(baselines()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == list(baselines())


def test_an_unknown_name_shows_the_known():
    with pytest.raises(BenchError) as caught:
        find_baseline("densenet-12")
    assert caught.value.problems[0].code == "baseline-unknown"
    assert "cnn-small" in caught.value.problems[0].message


def _check_submission(run: FinishedRun, cohort: Cohort) -> None:
    check_slug(run.name)
    manifest = read_manifest(run.manifest)
    assert (manifest.kind, manifest.track) == ("baseline", "holdout")
    accepted = accept_predictions(run.predictions, cohort, manifest.model_copy(update={"model": None}))
    assert {"large", cohort.spec.headline} <= set(accepted.values)
    assert not any(str(image).encode() in accepted.packed for image in cohort.images)


def _check_model(run: FinishedRun, cohort: Cohort) -> None:
    """The ONNX file is run by the harness on the image files, 32 at a time, in a process of its own."""
    assert run.model is not None
    by_file = accept_model(run.model, cohort, read_manifest(run.manifest)).values
    by_network = load_predictions(run.predictions, cohort).values
    assert set(by_file) == set(by_network)
    for target in by_file:
        np.testing.assert_allclose(by_file[target], by_network[target], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_an_ordinary_submission(name: str, tiny: Cohort, runs: dict[str, FinishedRun]):
    _check_submission(runs[name], tiny)


@pytest.mark.parametrize("name", ["cnn-small", "linear-probe"])
def test_the_model_predicts_what_was_predicted(name: str, tiny: Cohort, runs: dict[str, FinishedRun]):
    _check_model(runs[name], tiny)


@pytest.mark.full_size
@pytest.mark.parametrize("name", DEEP)
def test_a_deep_network_is_an_ordinary_submission_too(name: str, tmp_path: Path):
    """No age is missing here: the harness hands a submitted model none that is."""
    write_tiny(tmp_path / "data", patients=40, missing_ages=False)
    cohort = load_cohort(spec_of(), tmp_path / "data")
    how = RunConfig(quick=True, choices=Choices(settings={"size": 32}))
    run = run_baseline(name, cohort, tmp_path / "run", how)
    _check_submission(run, cohort)
    _check_model(run, cohort)


@pytest.mark.parametrize("name", ["prevalence", "demographics", "shuffled"])
def test_the_same_seed_gives_the_same_file(
    name: str, tiny: Cohort, runs: dict[str, FinishedRun], tmp_path: Path
):
    again = run_baseline(name, tiny, tmp_path, RunConfig(quick=True))
    assert again.predictions.read_bytes() == runs[name].predictions.read_bytes()
    assert again.manifest.read_bytes() == runs[name].manifest.read_bytes()


def test_a_full_disk_ends_without_a_traceback(tiny: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("baselines.run.write_atomic", full)
    with pytest.raises(BenchError) as caught:
        run_baseline("prevalence", tiny, tmp_path)
    assert (caught.value.problems[0].code, caught.value.exit_code) == ("baseline-write", 3)
    assert "No space left" in caught.value.problems[0].message


def test_another_seed_exchanges_other_labels(tiny: Cohort, runs: dict[str, FinishedRun], tmp_path: Path):
    other = run_baseline("shuffled", tiny, tmp_path, RunConfig(quick=True, seed=1))
    assert other.predictions.read_bytes() != runs["shuffled"].predictions.read_bytes()


def test_cross_validation_predicts_every_image_out_of_fold(tiny: Cohort, tmp_path: Path):
    told: list[str] = []
    run = run_baseline(
        "demographics",
        tiny,
        tmp_path,
        RunConfig(track=Track.CV5, progress=lambda message, done, total: told.append(message)),
    )
    manifest = read_manifest(run.manifest)
    assert (manifest.track, manifest.model, run.model) == ("cv5", None, None)
    accepted = accept_predictions(run.predictions, tiny, manifest)
    assert len(accepted.values["large"]) == len(tiny)
    assert {message.split(":")[0] for message in told} == {f"fold {k} of 5" for k in range(1, 6)}


KILLED = """
import sys
from pathlib import Path
from baselines.run import RunConfig, run_baseline
from bench.cohort.load import load_cohort
from tests.baselines.conftest import spec_of
cohort = load_cohort(spec_of(), Path(sys.argv[1]))
told = lambda *what: print(*what, flush=True)
run_baseline("cnn-small", cohort, Path(sys.argv[2]), RunConfig(quick=True, progress=told))
"""


@pytest.mark.full_size
def test_a_killed_run_goes_on_to_the_same_predictions(
    tiny_folder: Path, runs: dict[str, FinishedRun], tmp_path: Path
):
    argv = [sys.executable, "-c", KILLED, str(tiny_folder), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("training; epoch 3"):
                time.sleep(0.2)
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "predictions.csv").exists()
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, env=environment, check=True)
    assert "training; epoch 1," not in done.stdout  # it did not begin anew; epoch 3 may not have been kept
    assert (tmp_path / "predictions.csv").read_bytes() == runs["cnn-small"].predictions.read_bytes()
    assert (tmp_path / "model.onnx").read_bytes() == runs["cnn-small"].model.read_bytes()
