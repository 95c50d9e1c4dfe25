"""Paths and folders made to lead elsewhere, to exhaust or to be exchanged while a command runs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet
import pytest

from bench.errors import BenchError
from bench.files import sha256_bytes, sha256_file
from bench.publish.deploy import publish_folder
from bench.publish.releases import check_release_name
from bench.submission import accept, check_predictions
from bench.submission.packed import read_stamp
from bench.submission.read_predictions import read_predictions_file
from bench.submission.store import list_submissions, read_manifest, store
from bench.workspace import Workspace
from tests.conftest import Cli
from tests.runtime.models import MODEL, linear_model
from tests.tiny import MANIFEST

ROOT = Path(__file__).resolve().parents[2]


def nest(folder: Path, depth: int = 1_200) -> None:
    """Folders within folders, deeper than a path may be long."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(path.parent)  # the address of a socket is short
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)


def timing_link(entry: Path) -> None:
    (entry / "timings").mkdir()
    (entry / "timings" / "a.json").symlink_to("/etc/passwd")


def deep_timings(entry: Path) -> None:
    (entry / "timings").mkdir()
    nest(entry / "timings", 3)


STRANGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "1,200 nested folders": (nest, "store-files"),
    "a folder": (lambda entry: (entry / "notes").mkdir(), "store-files"),
    "another file": (lambda entry: (entry / "run.sh").write_text("x"), "store-files"),
    "a hidden file": (lambda entry: (entry / ".gitattributes").write_text("x"), "store-files"),
    "a pipe": (lambda entry: os.mkfifo(entry / "pipe"), "store-files"),
    "a pipe as a scorecard": (lambda entry: os.mkfifo(entry / "scorecard.json"), "store-files"),
    "a socket": (lambda entry: bind(entry / "socket"), "store-files"),
    "a folder as a scorecard": (lambda entry: (entry / "scorecard.json").mkdir(), "store-files"),
    "a file as timings": (lambda entry: (entry / "timings").write_text("x"), "store-files"),
    "folders within timings": (deep_timings, "store-files"),
    "a link": (lambda entry: (entry / "scorecard.json").symlink_to("/etc/passwd"), "store-link"),
    "a link among timings": (timing_link, "store-link"),
    "a link as timings": (lambda entry: (entry / "timings").symlink_to("/etc"), "store-link"),
    "a link in a circle": (lambda entry: (entry / "timings").symlink_to("timings"), "store-link"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_an_entry_holds_its_own_files_alone(name: str, tmp_path: Path) -> None:
    make, code = STRANGE[name]
    entry = tmp_path / "store" / "entry"
    entry.mkdir(parents=True)
    (entry / "submission.toml").write_text(MANIFEST)
    assert [e.slug for e in list_submissions(tmp_path / "store")] == ["entry"]
    make(entry)
    with pytest.raises(BenchError) as caught:
        list_submissions(tmp_path / "store")
    subprocess.run(["rm", "-rf", entry], check=True)  # Python's own removal recurses
    (problem,) = caught.value.problems
    assert problem.code == code
    assert str(entry) in problem.where  # the entry is named


def test_unfinished_files_of_a_command_that_died_are_no_fault(tmp_path: Path) -> None:
    entry = tmp_path / "entry"
    (entry / "timings").mkdir(parents=True)
    (entry / "submission.toml").write_text(MANIFEST)
    (entry / ".scorecard.json.abc.part").write_text("{")
    (entry / "timings" / ".a.json.abc.part").write_text("{")
    assert [e.slug for e in list_submissions(tmp_path)] == ["entry"]


@pytest.mark.parametrize(
    "path", ["/dev/zero", "/dev/stdin", "/proc/self/mem", "/proc/self/environ", "a\0b", "."]
)
def test_paths_that_are_no_file_of_the_entrant(path: str) -> None:
    with pytest.raises(BenchError) as caught:
        read_predictions_file(Path(path), ("id",), ["id"], 10)
    assert caught.value.problems[0].code == "predictions-unreadable"


def test_a_link_to_another_users_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "p.csv").symlink_to("../../../../../../etc/passwd")
    with pytest.raises(BenchError, match="link"):
        read_predictions_file(tmp_path / "in" / "p.csv", ("id",), ["id"], 10)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "submission.toml").write_text(MANIFEST + MODEL)
    (tmp_path / "m.onnx").write_bytes(linear_model().SerializeToString())
    return tmp_path / "m.onnx"


@pytest.mark.parametrize("when", ["before the check", "before the run", "before it is kept"])
def test_one_model_is_checked_run_hashed_and_kept(
    when: str, model: Path, space: Workspace, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = model.read_bytes()
    place = {
        "before the check": "bench.runtime.accept.Worker",
        "before the run": "bench.runtime.accept.predict",
        "before it is kept": "bench.actions.submit.keep_model",
    }[when]
    module, _, name = place.rpartition(".")
    original = getattr(__import__(module, fromlist=[name]), name)

    def swapped(*words: Any, **named: Any) -> Any:
        model.write_bytes(b"another file")
        return original(*words, **named)

    monkeypatch.setattr(place, swapped)
    assert cli("submit", "--model", model, "--slug", "one").exit_code == 0
    stamp = read_stamp(space.submission("chexchonet", "one") / "predictions.parquet")
    assert stamp.model_sha256 == sha256_bytes(good)
    assert space.model(stamp.model_sha256).read_bytes() == good


def test_the_hash_of_predictions_is_of_what_was_read(
    good: pd.DataFrame, space: Workspace, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "p.csv"
    good.to_csv(path, index=False)
    expected = sha256_file(path)
    original = check_predictions.load_predictions

    def swapped(*words: Any, **named: Any) -> Any:
        found = original(*words, **named)
        path.write_text("another file")
        return found

    monkeypatch.setattr(accept, "load_predictions", swapped)
    assert cli("submit", path, "--slug", "one").exit_code == 0
    stamp = read_stamp(space.submission("chexchonet", "one") / "predictions.parquet")
    assert stamp.source_sha256 == expected


@pytest.mark.parametrize("sha256", ["../../../tmp/m", "..", "0" * 63, "A" * 64, "0" * 64 + "/x"])
def test_a_stamp_cannot_name_a_path(
    sha256: str, model: Path, space: Workspace, cli: Cli, tmp_path: Path
) -> None:
    assert cli("submit", "--model", model, "--slug", "one").exit_code == 0
    path = space.submission("chexchonet", "one") / "predictions.parquet"
    table = pyarrow.parquet.read_table(path)
    stamp = json.loads(table.schema.metadata[b"chexchobench"])
    edited = json.dumps({**stamp, "model_sha256": sha256})
    pyarrow.parquet.write_table(table.replace_schema_metadata({b"chexchobench": edited}), path)
    ran = cli("time", "one", "--quick", "--json")
    assert ran.exit_code == 1
    assert ran.codes[0] in ("stored-predictions", "model-missing")


def test_a_model_that_was_exchanged_is_not_timed(model: Path, space: Workspace, cli: Cli) -> None:
    assert cli("submit", "--model", model, "--slug", "one").exit_code == 0
    stamp = read_stamp(space.submission("chexchonet", "one") / "predictions.parquet")
    other = linear_model()
    other.producer_name = "another"
    space.model(stamp.model_sha256).write_bytes(other.SerializeToString())
    ran = cli("time", "one", "--quick", "--json")
    assert ran.codes == ["model-unknown"]


@pytest.mark.parametrize(
    "remote", ["--upload-pack=touch owned;", "--receive-pack=touch owned;", "-u", "--exec=x", "a\nb"]
)
def test_a_remote_is_no_option_of_git(remote: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError) as caught:
        publish_folder(tmp_path, tmp_path, remote=remote, branch="pages", message="x")
    assert caught.value.problems[0].code == "publish-git"
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("name", ["con", "nul.1", "com1", "lpt9.2026", "2026.", "aux"])
def test_releases_that_windows_cannot_hold(name: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="release-name"):
        check_release_name(name, tmp_path)
    check_release_name("2026.1", tmp_path)


def test_slugs_that_lead_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "submission.toml").write_text(MANIFEST)
    manifest = read_manifest(tmp_path / "submission.toml")
    for slug in ("..", "a/b", "/etc", "a\0b", "-", "nul", ".git", "a.b", "ａ"):
        with pytest.raises(BenchError, match="slug-invalid"):
            store(tmp_path / "store", slug, manifest, None)
