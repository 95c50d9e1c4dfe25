"""`bench baseline run` and `bench cohort cache` as a user meets them: what goes wrong, what is left then."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from bench.cohort import image_cache
from bench.cohort.image_cache import cached_images
from bench.cohort.load import load_cohort
from bench.workspace import DATA_VARIABLE, Workspace, create_workspace
from tests.baselines.conftest import ENCODER, SPEC, spec_of, write_encoder, write_tiny
from tests.conftest import Cli

ROOT = Path(__file__).parents[2]


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with the tiny cohort, which is the current folder."""
    made = create_workspace(tmp_path / "space", cohort="tiny.toml")
    (made.root / "tiny.toml").write_text(SPEC)
    write_tiny(made.data("tiny"), patients=40)
    monkeypatch.chdir(made.root)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    return made


def _stored(space: Workspace) -> list[str]:
    folder = space.submissions("tiny")
    return (
        sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("_"))
        if folder.is_dir()
        else []
    )


def _refused(cli: Cli, space: Workspace, code: str, exit_code: int, *words: object) -> str:
    """Run a command that must end with this problem and store nothing; return what it says."""
    ran = cli(*words, "--json")
    assert ran.exit_code == exit_code, ran.stderr
    by_code = {p["code"]: p for p in ran.object["problems"]}
    assert code in by_code, ran.stderr
    assert by_code[code]["remedy"]
    assert "Traceback" not in ran.stderr
    assert _stored(space) == []
    return str(by_code[code]["message"])


def test_both_tracks_and_recalibrated_entries_are_stored_and_scored(space: Workspace, cli: Cli):
    for words in ((), ("--track", "cv5")):
        ran = cli("baseline", "run", "demographics", "--recalibrate", "temperature", *words)
        assert ran.exit_code == 0, ran.stderr
    names = ["demographics", "demographics-cv5", "demographics-cv5-temperature", "demographics-temperature"]
    assert _stored(space) == names
    assert (space.submission("tiny", "demographics-temperature") / "val_predictions.parquet").is_file()
    assert cli("score", "--all", "--replicates", "200", "--jobs", "1").exit_code == 0
    board = cli("board", "--csv").stdout
    assert all(name in board for name in names)
    assert "Age and sex, temperature scaling" in board
    assert "cv5 track" in board


def test_a_taken_slug_is_found_before_training(space: Workspace, cli: Cli):
    words = ("baseline", "run", "prevalence", "--recalibrate", "isotonic")
    assert cli(*words).exit_code == 0
    for folder in ("prevalence", "prevalence-isotonic"):
        assert (space.submission("tiny", folder) / "submission.toml").is_file()
    ran = cli(*words, "--json")
    assert (ran.exit_code, ran.object["problems"][0]["code"]) == (1, "slug-taken")
    assert cli(*words, "--replace").exit_code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("prevalence", "--track", "cv6"),
        ("prevalence", "--recalibrate", "platt"),
        ("prevalence", "--set", "epochs=1"),
        ("cnn-small", "demographics", "--set", "epochs=1"),
        ("cnn-small", "--set", "epochs"),
        ("prevalence", "--encoder", "encoder.toml"),
        ("prevalence", "--all"),
        (),
    ],
)
def test_wrong_usage(words: tuple[str, ...], space: Workspace, cli: Cli):
    assert cli("baseline", "run", *words).exit_code == 2
    assert _stored(space) == []


def test_a_wrong_recipe_key(space: Workspace, cli: Cli):
    run = ("baseline", "run", "cnn-small", "--quick")
    assert "epoch" in _refused(cli, space, "recipe-invalid", 1, *run, "--set", "epoch=3")
    assert "epochs" in _refused(cli, space, "recipe-invalid", 1, *run, "--set", "epochs=many")
    (space.root / "own.toml").write_text('schema = "recipe/1"\nnetwrk = "small"\n')
    _refused(cli, space, "recipe-invalid", 1, *run, "--recipe", "own.toml")
    _refused(cli, space, "recipe-invalid", 1, *run, "--recipe", "absent.toml")


def test_a_missing_image_column(space: Workspace, cli: Cli):
    (space.root / "tiny.toml").write_text(SPEC.replace('image = "image"', 'image = "picture"'))
    assert "picture" in _refused(cli, space, "cohort-columns", 1, "baseline", "run", "prevalence")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_where_there_is_none(space: Workspace, cli: Cli):
    words = ("baseline", "run", "cnn-small", "--quick", "--set", "accelerator=gpu")
    assert "1 GPUs" in _refused(cli, space, "baseline-no-gpu", 3, *words)


def test_all_leaves_out_what_the_cohort_does_not_allow(space: Workspace, cli: Cli):
    """No rule leads to the headline, no encoder is named, no image is there: the rest is run."""
    text = SPEC[: SPEC.index("[[label_rules]]")].replace('images = "images"', 'images = "elsewhere"')
    (space.root / "tiny.toml").write_text(text)
    words = ("baseline", "run", "densenet121-echo", "--quick")
    ran = cli(*words, "--json")
    assert ran.exit_code == 1
    assert ran.object["problems"][0]["code"] == "baseline-label-rule"
    ran = cli("baseline", "run", "--all", "--quick")
    assert ran.exit_code == 0, ran.stderr
    names = ["demographics", "demographics-boosted", "metadata", "prevalence", "shuffled"]
    assert _stored(space) == names
    for left_out in ("cardiothoracic", "cnn-small", "densenet121", "densenet121-echo", "linear-probe"):
        assert f"{left_out} is left out" in ran.stderr


def test_an_encoder_with_another_input(space: Workspace, cli: Cli):
    path = write_encoder(space.root, side=32)
    words = ("baseline", "run", "linear-probe", "--encoder", path)
    assert "(free, 1, 24, 24)" in _refused(cli, space, "model-input", 1, *words)
    path.write_text(ENCODER.replace("= 24", "= 32"))
    assert cli(*words).exit_code == 0
    assert _stored(space) == ["linear-probe"]


@pytest.mark.parametrize("name", ["cnn-small", "cardiothoracic"])
def test_a_cohort_whose_check_fails_is_refused(name: str, space: Workspace, cli: Cli):
    next((space.data("tiny") / "images").iterdir()).unlink()
    assert "1 of 80 images" in _refused(cli, space, "images-missing", 1, "baseline", "run", name, "--quick")
    assert not space.run("tiny", name).exists()


def test_a_table_of_another_size_is_refused_to_baselines_without_images(space: Workspace, cli: Cli):
    (space.root / "tiny.toml").write_text(
        SPEC.replace('title = "Tiny"', 'title = "Tiny"\nexpected_images = 9')
    )
    _refused(cli, space, "cohort-size", 1, "baseline", "run", "prevalence")


def test_copies_of_test_images_are_not_trained_on_and_no_error(space: Workspace, cli: Cli):
    cohort = load_cohort(spec_of(), space.data("tiny"))
    train, test = (cohort.images[cohort.rows(part)[0]] for part in ("train", "test"))
    folder = space.data("tiny") / "images"
    (folder / str(train)).write_bytes((folder / str(test)).read_bytes())
    ran = cli("cohort", "check", "--json")
    assert (ran.exit_code, ran.object["problems"][-1]["code"]) == (1, "duplicates-straddle")
    ran = cli("baseline", "run", "cnn-small", "--quick", "--set", "epochs=1")
    assert ran.exit_code == 0, ran.stderr
    record = json.loads((space.run("tiny", "cnn-small") / "run.json").read_text())
    assert record["images"]["train"] == len(cohort.rows("train")) - 1
    assert (space.run("tiny", "cnn-small") / "environment.json").is_file()


def test_images_of_other_sizes_and_modes_are_read(space: Workspace, cli: Cli):
    for k, path in enumerate(sorted((space.data("tiny") / "images").iterdir())[:20]):
        with Image.open(path) as image:
            image.convert("RGB" if k % 2 else "LA").resize((50 + k, 40)).save(path)
    ran = cli("baseline", "run", "cardiothoracic")
    assert ran.exit_code == 0, ran.stderr


def test_a_full_disk_while_caching(space: Workspace, cli: Cli, monkeypatch: pytest.MonkeyPatch):
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        assert "No space left" in _refused(cli, space, "cache-write", 3, "cohort", "cache", "--size", 32)
        _refused(cli, space, "cache-write", 3, "baseline", "run", "cardiothoracic")
        assert cli("baseline", "run", "cardiothoracic", "--no-cache").exit_code == 0
    assert cli("cohort", "cache", "--size", 32).exit_code == 0


SLOW = """
import sys, time
from bench.cohort import decode, image_cache
from bench.cli.main import app
image_cache.CHUNK = 5
read = decode.read_grey
decode.read_grey = lambda *words: (time.sleep(0.05), read(*words))[1]
if __name__ == "__main__":
    sys.argv = ["bench", "cohort", "cache", "--size", "32", "--jobs", "2"]
    app()
"""


def test_a_killed_cache_is_continued_and_its_processes_end(
    space: Workspace, cli: Cli, monkeypatch: pytest.MonkeyPatch
):
    script = space.root / "slow.py"
    script.write_text(SLOW)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, str(script)], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        process.stderr.readline()  # a tenth is done
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert len(children) >= 2
    _, alive = psutil.wait_procs(children, timeout=600)
    assert not alive
    cohort = load_cohort(spec_of(), space.data("tiny"))
    monkeypatch.setattr(image_cache, "CHUNK", 5)
    (index,) = space.cache.glob("*-32x32.json")
    assert None in json.loads(index.read_text())["chunks"]
    ran = cli("cohort", "cache", "--size", 32, "--jobs", "1", "--json")
    assert ran.exit_code == 0, ran.stderr
    assert 5 <= ran.object["result"]["kept"] < 80
    assert ran.object["result"]["kept"] + ran.object["result"]["decoded"] == 80
    assert cached_images(cohort, space.cache, height=32, width=32).any((1, 2)).all()


def test_a_damaged_cache_is_mended_before_training(space: Workspace, cli: Cli):
    words = ("baseline", "run", "cardiothoracic")
    assert cli(*words).exit_code == 0
    expected = (space.run("tiny", "cardiothoracic") / "predictions.csv").read_bytes()
    (data,) = space.cache.glob("*.u8")
    whole = data.read_bytes()
    data.write_bytes(np.zeros(len(whole), np.uint8).tobytes())
    assert cli(*words, "--replace").exit_code == 0
    assert data.read_bytes() == whole
    assert (space.run("tiny", "cardiothoracic") / "predictions.csv").read_bytes() == expected
