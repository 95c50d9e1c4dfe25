"""Text on the terminal: hostile names, colours, progress, tables, problems."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli.output import inert, progress, stages, table
from bench.errors import BenchError, Problem
from bench.workspace import Workspace
from tests.conftest import Cli
from tests.tiny import MANIFEST


@pytest.mark.parametrize(
    "text", ["\x1b[31mred", "\x9b31m", "a\rb", "\x07", "\u202eevil", "\x7f", "\udcff", "\u2028", "\x00"]
)
def test_control_characters_are_made_visible(text: str) -> None:
    assert all(c.isprintable() for c in inert(text))
    assert inert("plain ü – text\n\tkept") == "plain ü – text\n\tkept"


HOSTILE = "\\u001b]0;owned\\u0007\\u009b2J\\u202e"


def test_a_hostile_name_cannot_steer_the_terminal(
    space: Workspace, good_file: Path, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "submission.toml").write_text(MANIFEST.replace("A model", f"A model{HOSTILE}"))
    assert "manifest-invalid" in cli("submit", good_file, "--slug", "a", "--json").codes
    (tmp_path / "bad.csv").write_text("cxr_filename,\x1b[2Jevil\x07,\x9bc\n1,2,3\n")
    outputs = []
    for words in (
        ("submit", good_file, "--slug", "a"),
        ("score", "a", "--replicates", "100", "--jobs", "1"),
        ("board", "--markdown"),
        ("board", "--json"),
        ("board", "--csv"),
        ("submit", tmp_path / "bad.csv", "--slug", "b"),
        ("submit", tmp_path / "bad.csv", "--slug", "b", "--json"),
        ("submit", tmp_path / "\x1b[2J.csv", "--slug", "b"),
        ("submit", good_file, "--slug", "\x1b[2J"),
    ):
        ran = cli(*words)
        outputs.append(ran.stdout + ran.stderr)
    assert "manifest-invalid" in outputs[0]
    for text in outputs:
        assert not [c for c in text if not c.isprintable() and c not in "\n\t"], repr(text[:300])


def test_a_file_name_that_is_not_text_ends_in_a_problem(space: Workspace) -> None:
    for more in ([], ["--json"]):
        done = subprocess.run(
            [
                sys.executable.encode(),
                b"-m",
                b"bench",
                b"submit",
                b"\xff.csv",
                b"--slug",
                b"a",
                *map(str.encode, more),
            ],
            capture_output=True,
            cwd=space.root,
            check=False,
        )
        assert done.returncode == 1, done.stderr
        assert b"[predictions-unreadable]" in done.stderr


@pytest.mark.parametrize("no_colour", [None, "1"])
def test_no_color_is_respected_on_a_terminal(no_colour: str | None, space: Workspace) -> None:
    import pty

    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    environment |= {"NO_COLOR": no_colour} if no_colour else {}
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", "explain", "no-such-code"],
        stderr=follower,
        stdout=follower,
        cwd=space.root,
        env=environment | {"TERM": "xterm-256color"},
    )
    os.close(follower)
    output = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:
            break
        if not part:
            break
        output += part
    process.wait(timeout=600)
    os.close(leader)
    assert b"[unknown-code]" in output
    assert (b"\x1b[" in output) == (no_colour is None)


def test_progress_is_a_line_every_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("Counting") as step:
        for done in range(1, 1001):
            step(done, 1000)
    lines = capsys.readouterr().err.splitlines()
    assert [re.sub(r", \d+ s$", "", line) for line in lines] == [
        f"Counting: {k * 100:,} of 1,000 ({k * 10}%)" for k in range(1, 11)
    ]
    with progress("Nothing") as step:
        step(0, 0)
    assert capsys.readouterr().err == ""


def test_the_time_left_is_estimated_from_this_run_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("bench.cli.output.time.monotonic", lambda: clock[0])
    with stages("Net") as step:
        for done in range(50, 101):  # the first half was done by an earlier call
            step(f"training; loss {done}", done, 100)
            clock[0] += 2.0
    lines = capsys.readouterr().err.splitlines()
    assert lines[1] == "Net: training: 60 of 100 (60%), 20 s, about 80 s left; loss 60"
    assert lines[-1] == "Net: training: 100 of 100 (100%), 100 s; loss 100"


def test_stages_begin_anew(capsys: pytest.CaptureFixture[str]) -> None:
    with stages("Training") as step:
        step("reading", 1, 1)
        step("fitting", 1, 2)
        step("fitting", 2, 2)
    lines = [line.split(" (")[0] for line in capsys.readouterr().err.splitlines()]
    assert lines == ["Training: reading: 1 of 1", "Training: fitting: 1 of 2", "Training: fitting: 2 of 2"]


def test_a_table_lines_up() -> None:
    shown = table(["name", "n"], [["a", "1"], ["longer", "1,000"]], right=frozenset({1}))
    assert shown.splitlines() == [
        "name        n",
        "------  -----",
        "a           1",
        "longer  1,000",
    ]


def test_a_problem_is_shown_with_place_and_remedy(space: Workspace, cli: Cli, tmp_path: Path) -> None:
    ran = cli("submit", tmp_path / "absent.csv", "--slug", "a")
    assert ran.stdout == ""
    assert ran.stderr.splitlines()[:2] == [
        "error [predictions-unreadable] There is no such file.",
        f"  where: {tmp_path / 'absent.csv'}",
    ]
    assert ran.stderr.splitlines()[2] == f"  to do: Check the path. It is looked for in {tmp_path}."


def test_problems_with_the_same_place_and_remedy_say_both_once(
    space: Workspace, cli: Cli, good_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "m.toml").write_text('name = "x"\nteam = "y"\n')
    stderr = cli("submit", tmp_path / "p.csv", "--manifest", tmp_path / "m.toml", "--slug", "a").stderr
    lines = [line.split(":")[0] for line in stderr.splitlines()]
    assert lines == ["error [manifest-invalid] date", "error [manifest-invalid] inputs", "  where", "  to do"]


def test_a_temporary_file_of_ours_is_not_named(
    space: Workspace, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device", str(space.root / ".x.ab12.part"))

    monkeypatch.setattr("bench.cohort.summary.summarise", full)
    assert cli("cohort", "split", "--json").object["problems"][0]["where"] == str(space.root)


def test_a_file_that_may_not_be_read_is_a_problem_and_no_wrong_usage(
    space: Workspace, cli: Cli, good_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_, **__: False)  # what an option's type would ask
    ran = cli(
        "submit",
        good_file,
        "--val",
        good_file,
        "--manifest",
        tmp_path / "submission.toml",
        "--slug",
        "a",
        "--json",
    )
    assert (ran.exit_code, ran.codes[-1]) == (1, "predictions-missing-id")


def test_problems_that_are_raised_anywhere_end_in_their_exit_code(
    space: Workspace, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*args: object) -> None:
        raise BenchError(Problem("images-folder-missing", "none"), 3)

    monkeypatch.setattr("bench.cohort.summary.summarise", lacking)
    assert cli("cohort", "split").exit_code == 3
