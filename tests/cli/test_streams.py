"""JSON and text on stdout, messages on stderr, exit codes, interruptions."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.workspace import Workspace
from tests.conftest import Cli

SUCCESSES = [
    ["cohort", "split"],
    ["cohort", "specs"],
    ["submit", "PREDICTIONS", "--slug", "a"],
    ["submit", "PREDICTIONS", "--dry-run"],
    ["explain", "slug-taken"],
    ["explain", "--list"],
    ["baseline", "list"],
    ["time", "--list"],
    ["doctor"],
    ["init", "new"],
    ["template", "--out", "t"],
    *(["schema", name] for name in ("cohort", "manifest", "scorecard", "board", "timing", "split-lock")),
]


@pytest.mark.parametrize("words", SUCCESSES, ids=" ".join)
def test_json_is_one_object_on_stdout_when_it_goes_well(
    words: list[str], space: Workspace, good_file: Path, cli: Cli, tmp_path: Path
) -> None:
    said = [str(good_file) if word == "PREDICTIONS" else word for word in words]
    ran = cli(*said, "--json")
    assert ran.stdout.count("\n") == 1, "one line, one object"
    assert ran.object.keys() == {"schema", "ok", "result", "problems"}
    assert (ran.exit_code, ran.object["ok"], ran.object["schema"]) == (0, True, "bench-output/1")
    assert ran.object["result"]
    assert all(p["severity"] != "error" for p in ran.object["problems"])
    assert "Traceback" not in ran.stderr


def test_text_goes_to_stdout_and_messages_to_stderr(space: Workspace, cli: Cli) -> None:
    ran = cli("cohort", "check", "--jobs", "1")
    assert "120 patients" in ran.stdout
    assert "Reading images: 397 of 397 (100%)" in ran.stderr
    assert "Reading images" not in ran.stdout
    tenths = re.findall(r"Reading images: [\d,]+ of 397 \((\d+)%\)", ran.stderr)
    assert tenths == [str(10 * k) for k in range(1, 11)]


def test_a_failed_command_says_its_problems_and_its_result_in_one_object(
    space: Workspace, cli: Cli, tmp_path: Path, cohort_folder: Path
) -> None:
    ran = cli("cohort", "check", "--jobs", "1", "--json")
    assert ran.exit_code == 1  # 397 images are not the release's 71,589
    assert (ran.object["ok"], ran.codes) == (False, ["cohort-size"])
    assert ran.object["result"]["images_read"] == 397


def test_schemas_are_json_schemas_that_the_files_obey(
    space: Workspace, good_file: Path, cli: Cli, tmp_path: Path
) -> None:
    import tomllib

    import jsonschema

    cli("submit", good_file, "--slug", "a")
    cli("score", "a", "--replicates", "100", "--jobs", "1")
    cli("cohort", "split", "--lock")
    folder = space.submissions("chexchonet")
    manifest = tomllib.loads((folder / "a" / "submission.toml").read_text())
    documents = {
        "manifest": manifest | {"date": str(manifest["date"])},
        "scorecard": json.loads((folder / "a" / "scorecard.json").read_text()),
        "board": json.loads((folder / "board.json").read_text()),
        "split-lock": json.loads((folder / "split.lock.json").read_text()),
    }
    for name, document in documents.items():
        schema = json.loads(cli("schema", name).stdout)
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.validate(document, schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document | {"extra": 1}, schema)


# Exit codes


def test_a_bug_of_ours_exits_70_without_a_traceback(
    space: Workspace, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise ZeroDivisionError("secret of a patient")

    monkeypatch.delenv("BENCH_TRACEBACK", raising=False)
    monkeypatch.setattr("bench.cohort.summary.summarise", broken)
    ran = cli("cohort", "split")
    assert ran.exit_code == 70
    assert "a bug of the harness: ZeroDivisionError" in ran.stderr
    assert "BENCH_TRACEBACK=1" in ran.stderr
    assert "secret" not in ran.stderr
    assert "Traceback (most" not in ran.stderr
    monkeypatch.setenv("BENCH_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        cli("cohort", "split")


def test_an_interruption_exits_130(space: Workspace, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.cohort.summary.summarise", stop)
    ran = cli("cohort", "split")
    assert ran.exit_code == 130
    assert "Interrupted" in ran.stderr


def test_a_file_that_cannot_be_written_exits_1(space: Workspace, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    ran = cli("cohort", "split", "--out", tmp_path / "file" / "split.csv", "--json")
    assert (ran.exit_code, ran.codes) == (1, ["file-error"])


@pytest.mark.parametrize("words", ["explain --list --json", "explain nope --json", "explain --list"])
@pytest.mark.parametrize("end", ["> /dev/full", "| true", "| head -c 1"])
def test_a_full_disk_or_a_closed_pipe_ends_without_a_traceback(
    words: str, end: str, space: Workspace
) -> None:
    done = subprocess.run(
        f"'{sys.executable}' -m bench {words} {end}",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
        cwd=space.root,
    )
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if "full" in end:
        assert done.returncode == 1
        assert "unknown-code" in done.stderr or "No space left" in done.stderr


def test_outside_a_workspace_the_remedy_is_named(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = cli("board", "--json")
    assert (ran.exit_code, ran.codes) == (1, ["workspace-missing"])
    assert "bench init DIR" in ran.object["problems"][0]["remedy"]


def test_checks_need_no_workspace_where_the_data_is_named(
    cli: Cli, tmp_path: Path, cohort_folder: Path, good_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("--cohort", "chexchonet", "--data", cohort_folder)
    assert cli("submit", good_file, "--dry-run", *words).exit_code == 0
    assert cli("cohort", "check", "--no-images", *words, "--json").codes == ["cohort-size"]
