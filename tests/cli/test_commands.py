"""The commands as a whole: help, documentation, imports, JSON, exit codes, colours, interruptions."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pandas as pd
import pytest
import typer

from bench.cli.main import app
from bench.cli.output import inert, progress, stages, table
from bench.cli.reference import SCHEMAS
from bench.cohort.spec import builtin_specs
from bench.errors import BenchError, Problem, catalogue
from bench.workspace import DATA_VARIABLE, Workspace
from tests.conftest import Cli
from tests.tiny import MANIFEST

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md")
HEAVY = (
    "numpy",
    "pandas",
    "pyarrow",
    "torch",
    "pydantic",
    "numba",
    "scipy",
    "sklearn",
    "onnx",
    "PIL",
    "jinja2",
)


Words = tuple[str, ...]


def commands(group: click.Group, path: Words = ()) -> Iterator[tuple[Words, click.Command]]:
    """Every command of the live tree with the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


TREE = dict(commands(typer.main.get_command(app)))  # type: ignore[arg-type]


def options(words: Words) -> set[str]:
    """Every option of a command."""
    return {option for p in TREE[words].params for option in (*p.opts, *p.secondary_opts)}


EVERY = pytest.mark.parametrize("words", TREE, ids=" ".join)


def test_the_contracts_commands_are_there() -> None:
    promised = (
        "demo, doctor, cohort check, cohort split, cohort demo, template, submit, score, compare, board, "
        "time, baseline list, baseline run, site build, site check, "
        "site serve, site freeze, site publish, verify, explain, schema, init"
    )
    assert {tuple(name.split()) for name in promised.split(", ")} <= set(TREE)


@EVERY
def test_every_command_has_help_with_an_example_that_calls_it(words: Words, cli: Cli) -> None:
    ran = cli(*words, "--help")
    assert ran.exit_code == 0
    examples = re.findall(r"Example:\s+bench ([^\n]+)", ran.stdout)
    assert examples
    assert all(example.startswith(" ".join(words)) for example in examples)
    assert "--json" in ran.stdout
    summary = (TREE[words].help or "").split("\n")[0]
    assert summary
    assert summary[0].isupper()


@EVERY
def test_every_option_of_a_command_says_what_it_is(words: Words) -> None:
    for parameter in TREE[words].params:
        if parameter.name != "help":
            assert getattr(parameter, "help", None), f"{words} {parameter.name}"


@EVERY
def test_every_option_of_an_example_exists(words: Words) -> None:
    known = options(words)
    for example in re.findall(r"Example:\s+bench ([^\n]+)", TREE[words].help or ""):
        assert set(re.findall(r"(?<!\S)--[a-z-]+", example)) <= known


@EVERY
def test_every_command_is_in_the_documents(words: Words) -> None:
    text = " ".join(((ROOT / name).read_text("utf-8")) for name in DOCUMENTS)
    named = re.sub(r"\s+", " ", text)
    assert re.search(rf"bench {' '.join(words)}(?![\w-])", named), (
        f"bench {' '.join(words)} is not documented"
    )


def test_the_documents_name_no_command_and_no_option_that_is_not_there() -> None:
    for name in DOCUMENTS:
        text = (ROOT / name).read_text("utf-8")
        for line in re.findall(r"(?m)^(?:\$ )?bench ([^#\n]+)", text):
            words = line.split()
            path = tuple(words[:2]) if tuple(words[:2]) in TREE else tuple(words[:1])
            if path[0].startswith("-"):
                continue
            assert path in TREE, f"{name}: bench {line}"
            known = options(path) | {"--help"}
            assert {w.split("=")[0] for w in words if w.startswith("--")} <= known, f"{name}: bench {line}"


def test_the_catalogue_names_no_command_option_or_schema_that_is_not_there() -> None:
    for page in catalogue().values():
        for line in re.findall(r"`bench ([^`]+)`", f"{page.meaning} {page.remedy}"):
            words = line.split()
            path = tuple(words[:2]) if tuple(words[:2]) in TREE else tuple(words[:1])
            assert path in TREE, f"{page.code}: bench {line}"
            assert {w for w in words if w.startswith("--")} <= options(path), f"{page.code}: bench {line}"
            if path == ("schema",):
                assert set(words[1:]) <= {*SCHEMAS, "NAME"}, f"{page.code}: bench {line}"


@pytest.mark.parametrize("words", [["--help"], ["--version"]], ids=" ".join)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys, typer\nfrom bench.cli.main import app\n"
        f"try:\n    app({words!r})\nexcept SystemExit as end:\n    assert not end.code\n"
        f"loaded = sorted(set({HEAVY!r}) & set(sys.modules))\nsys.exit(', '.join(loaded) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_arguments_the_help_is_shown(cli: Cli) -> None:
    ran = cli()
    assert "Usage: " in ran.stdout + ran.stderr
    assert "submit" in ran.stdout + ran.stderr


def test_the_module_and_the_installed_command_are_the_same(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("bench")
    said = [
        subprocess.run([*words, "--version"], capture_output=True, text=True, check=True).stdout
        for words in ([sys.executable, "-m", "bench"], [str(script)])
    ]
    assert said[0] == said[1]
    assert re.fullmatch(r"bench \d+\.\d+\.\d+\n", said[0])


# JSON


def good_file(good: pd.DataFrame, folder: Path) -> Path:
    (folder / "submission.toml").write_text(MANIFEST)
    good.to_csv(folder / "p.csv", index=False)
    return folder / "p.csv"


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
    words: list[str], space: Workspace, good: pd.DataFrame, cli: Cli, tmp_path: Path
) -> None:
    path = good_file(good, tmp_path)
    said = [str(path) if word == "PREDICTIONS" else word for word in words]
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
    space: Workspace, good: pd.DataFrame, cli: Cli, tmp_path: Path
) -> None:
    import tomllib

    import jsonschema

    cli("submit", good_file(good, tmp_path), "--slug", "a")
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


def test_a_reader_that_goes_away_is_no_fault(space: Workspace) -> None:
    done = subprocess.run(
        f"'{sys.executable}' -m bench explain --list --json | head -c 1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
        cwd=space.root,
    )
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


@pytest.mark.parametrize("words", ["explain --list --json", "explain nope --json", "explain --list"])
@pytest.mark.parametrize("end", ["> /dev/full", "| true"])
def test_a_full_disk_or_a_reader_that_is_gone_is_no_traceback(words: str, end: str, space: Workspace) -> None:
    done = subprocess.run(
        f"'{sys.executable}' -m bench {words} {end}",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
        cwd=space.root,
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if "full" in end:
        assert done.returncode == 1
        assert "unknown-code" in done.stderr or "No space left" in done.stderr


def test_outside_a_workspace_it_is_said_what_to_do(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = cli("board", "--json")
    assert (ran.exit_code, ran.codes) == (1, ["workspace-missing"])
    assert "bench init DIR" in ran.object["problems"][0]["remedy"]


def test_checks_need_no_workspace_where_the_data_is_named(
    cli: Cli, tmp_path: Path, cohort_folder: Path, good: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = good_file(good, tmp_path)
    words = ("--cohort", "chexchonet", "--data", cohort_folder)
    assert cli("submit", path, "--dry-run", *words).exit_code == 0
    assert cli("cohort", "check", "--no-images", *words, "--json").codes == ["cohort-size"]


# Data and workspaces


def test_data_is_taken_from_the_option_then_the_variable(
    space: Workspace, cli: Cli, tmp_path: Path, cohort_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (space.root / "bench.toml").write_text('cohort = "chexchonet"\n')
    words = ("cohort", "split", "--json")
    assert cli(*words).exit_code == 3
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    assert cli(*words).codes == ["cohort-table-missing"]
    assert cli(*words, "--data", cohort_folder).exit_code == 0
    monkeypatch.setenv(DATA_VARIABLE, str(cohort_folder))
    assert cli(*words).exit_code == 0


def test_a_new_workspace_for_a_cohort_of_ones_own(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.toml").write_text(
        'schema = "cohort-spec/1"\nid = "own"\nversion = "1"\ntitle = "Own"\nheadline = "y"\n'
        '[files]\ntable = "t.csv"\n[columns]\nimage = "i"\npatient = "p"\n[split]\nrule = "all-test"\n'
        '[[targets]]\nname = "y"\nlabel = "Y"\nsource = "y"\n'
    )
    monkeypatch.chdir(tmp_path)
    assert cli("init", "board", "--cohort", "own.toml").exit_code == 0
    assert cli("init", "other", "--cohort", "absent.toml", "--json").codes == ["cohort-unknown"]
    assert not (tmp_path / "other").exists()
    data = tmp_path / "board" / "data" / "own"
    data.mkdir(parents=True)
    (data / "t.csv").write_text("i,p,y\n" + "".join(f"i{k},p{k},{k % 2}\n" for k in range(40)))
    monkeypatch.chdir(tmp_path / "board")
    (tmp_path / "p.csv").write_text("i,y\n" + "".join(f"i{k},{(k * 7 % 11) / 11}\n" for k in range(40)))
    assert cli("submit", tmp_path / "p.csv", "--slug", "first").exit_code == 0
    ran = cli("score", "first", "--replicates", "100", "--jobs", "1", "--json")
    assert ran.object["result"]["scorecards"][0]["targets"][0]["images"] == 40


def test_the_demo_cohorts_table_is_written_when_it_is_first_needed(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    cli("init", ".")
    first = cli("cohort", "split", "--json")
    assert "Writing the synthetic demo cohort" in first.stderr
    again = cli("cohort", "split", "--json")
    assert "Writing" not in again.stderr
    assert first.object["result"] == again.object["result"]


def test_specs_and_codes_are_listed(cli: Cli) -> None:
    found = cli("cohort", "specs", "--json").object["result"]["cohorts"]
    assert [spec["id"] for spec in found] == list(builtin_specs())
    listed = cli("explain", "--list", "--json").object["result"]["codes"]
    assert [page["code"] for page in listed] == list(catalogue())
    shown = cli("explain", "predictions-out-of-range").stdout
    assert catalogue()["predictions-out-of-range"].remedy in shown


# What is shown


@pytest.mark.parametrize(
    "text", ["\x1b[31mred", "\x9b31m", "a\rb", "\x07", "\u202eevil", "\x7f", "\udcff", "\u2028", "\x00"]
)
def test_control_characters_are_made_visible(text: str) -> None:
    assert all(c.isprintable() for c in inert(text))
    assert inert("plain ü – text\n\tkept") == "plain ü – text\n\tkept"


HOSTILE = "\\u001b]0;owned\\u0007\\u009b2J\\u202e"


def test_a_hostile_name_cannot_steer_the_terminal(
    space: Workspace, good: pd.DataFrame, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = good_file(good, tmp_path)
    (tmp_path / "submission.toml").write_text(MANIFEST.replace("A model", f"A model{HOSTILE}"))
    assert "manifest-invalid" in cli("submit", path, "--slug", "a", "--json").codes
    monkeypatch.setattr("bench.submission.store._STEERING", re.compile("(?!)"))  # had it been let in
    (tmp_path / "bad.csv").write_text("cxr_filename,\x1b[2Jevil\x07,\x9bc\n1,2,3\n")
    said = []
    for words in (
        ("submit", path, "--slug", "a"),
        ("score", "a", "--replicates", "100", "--jobs", "1"),
        ("board",),
        ("board", "--json"),
        ("board", "--csv"),
        ("submit", tmp_path / "bad.csv", "--slug", "b"),
        ("submit", tmp_path / "bad.csv", "--slug", "b", "--json"),
        ("submit", tmp_path / "\x1b[2J.csv", "--slug", "b"),
        ("submit", path, "--slug", "\x1b[2J"),
    ):
        ran = cli(*words)
        said.append(ran.stdout + ran.stderr)
    assert "A model" in said[2]
    for text in said:
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
    said = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:
            break
        if not part:
            break
        said += part
    process.wait(timeout=60)
    os.close(leader)
    assert b"[unknown-code]" in said
    assert (b"\x1b[" in said) == (no_colour is None)


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


def test_the_time_left_is_told_and_what_was_done_before_does_not_count(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("bench.cli.output.time.monotonic", lambda: clock[0])
    with stages("Net") as step:
        for done in range(50, 101):  # the first half was done by an earlier call
            step(f"training; loss {done}", done, 100)
            clock[0] += 2.0
    said = capsys.readouterr().err.splitlines()
    assert said[1] == "Net: training: 60 of 100 (60%), 20 s, about 80 s left; loss 60"
    assert said[-1] == "Net: training: 100 of 100 (100%), 100 s; loss 100"


def test_stages_begin_anew(capsys: pytest.CaptureFixture[str]) -> None:
    with stages("Training") as step:
        step("reading", 1, 1)
        step("fitting", 1, 2)
        step("fitting", 2, 2)
    said = [line.split(" (")[0] for line in capsys.readouterr().err.splitlines()]
    assert said == ["Training: reading: 1 of 1", "Training: fitting: 1 of 2", "Training: fitting: 2 of 2"]


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
    space: Workspace, cli: Cli, good: pd.DataFrame, tmp_path: Path
) -> None:
    good_file(good, tmp_path)
    (tmp_path / "m.toml").write_text('name = "x"\nteam = "y"\n')
    said = cli("submit", tmp_path / "p.csv", "--manifest", tmp_path / "m.toml", "--slug", "a").stderr
    lines = [line.split(":")[0] for line in said.splitlines()]
    assert lines == ["error [manifest-invalid] date", "error [manifest-invalid] inputs", "  where", "  to do"]


def test_a_temporary_file_of_ours_is_not_named(
    space: Workspace, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device", str(space.root / ".x.ab12.part"))

    monkeypatch.setattr("bench.cohort.summary.summarise", full)
    assert cli("cohort", "split", "--json").object["problems"][0]["where"] == str(space.root)


def test_a_file_that_may_not_be_read_is_a_problem_and_no_wrong_usage(
    space: Workspace, cli: Cli, good: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = good_file(good, tmp_path)
    monkeypatch.setattr(os, "access", lambda *_, **__: False)  # what an option's type would ask
    ran = cli(
        "submit", path, "--val", path, "--manifest", tmp_path / "submission.toml", "--slug", "a", "--json"
    )
    assert (ran.exit_code, ran.codes[-1]) == (1, "predictions-missing-id")


def test_problems_that_are_raised_anywhere_end_in_their_exit_code(
    space: Workspace, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*args: object) -> None:
        raise BenchError(Problem("images-folder-missing", "none"), 3)

    monkeypatch.setattr("bench.cohort.summary.summarise", lacking)
    assert cli("cohort", "split").exit_code == 3
