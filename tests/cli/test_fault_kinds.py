"""Slips on the command line, and machines that lack something: a message with what to type, no traceback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numba
import pandas as pd
import pytest

from bench.cli.output import memory_problem, require_address_space
from bench.environment import process_pool
from bench.errors import BenchError
from bench.metrics.kernels import compiled as kernels
from bench.publish.build import build_site
from bench.workspace import Workspace
from tests.conftest import Cli
from tests.faulty import assert_problem

COMMANDS = {
    "serve": "bench site serve",
    "build": "bench site build",
    "publish": "bench site publish",
    "split": "bench cohort split",
    "version": "bench --version",
    "help": "bench --help",
    "status": "bench doctor",
    "remove": "bench retract",
    "validate": "bench submit --dry-run",
    "leaderboard": "bench board",
    "train": "bench baseline run",
    "latency": "bench time",
    "evaluate": "bench score",
    "sumbit": "bench submit",
    "rm": "bench retract",
    "upload": "bench submit",
    "list": "bench board` or `bench baseline list",
    "rank": "bench board",
    "ls": "bench board",
    "Board": "bench board",
    "plot": "bench site build",
    "dashboard": "bench site serve",
    "cohort validate": "bench cohort check",
    "cohort info": "bench cohort check",
    "cohort list": "bench doctor",
    "site start": "bench site serve",
    "site preview": "bench site serve",
    "baseline ls": "bench baseline list",
    "baseline train": "bench baseline run",
    "site buld": "bench site build",
    "cohort chekc": "bench cohort check",
}


@pytest.mark.parametrize("words", COMMANDS)
def test_an_unknown_command_gets_the_one_that_is_meant(words: str, cli: Cli) -> None:
    ran = cli(*words.split())
    assert ran.exit_code == 2
    assert f"No such command {words.split()[-1]!r}. Did you mean `{COMMANDS[words]}`" in ran.stderr


def test_a_word_that_is_near_nothing_gets_no_suggestion(cli: Cli) -> None:
    ran = cli("qqqqq")
    assert ran.exit_code == 2
    assert "Did you mean" not in ran.stderr


def test_every_synonym_is_a_command_or_option_that_there_is(cli: Cli) -> None:
    from bench.cli.app import OPTION_SYNONYMS, SYNONYMS

    for command in set(SYNONYMS.values()):
        words = [word for word in command.split() if not word.startswith("--")]
        options = [word for word in command.split() if word.startswith("--")]
        ran = cli(*words, "--help")
        assert ran.exit_code == 0, command
        assert all(option in ran.stdout for option in options), command
    texts = [
        cli(*c.split(), "--help").stdout for c in ("submit", "score", "time", "baseline run", "site build")
    ]
    named = [option for option in OPTION_SYNONYMS.values() if option.startswith("--")]
    assert named
    assert [option for option in named if not any(option in text for text in texts)] == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("board --top 3", "--top. `bench board | head -n 12` shows"),
        ("submit p.csv --name a", "--name. Did you mean --slug?"),
        ("score a --workers 2", "--workers. Did you mean --jobs?"),
        ("submit p.csv --slug a --force", "--force. Did you mean --replace?"),
        ("template --output x", "--output. Did you mean --out?"),
        ("score a --n-boot 100", "--n-boot. Did you mean --replicates?"),
        ("verify --all", "--all. `bench verify` without names verifies all entries and the board"),
        ("board --all", "--all. `bench board` shows all entries"),
        ("board --sort auroc", "--sort. `bench board --csv` has every column"),
        ("time a --gpu 0", "--gpu. Did you mean --backend?"),
        ("time a --fp16", "--fp16. Did you mean --precision?"),
    ],
)
def test_options_of_other_tools_are_answered(words: str, says: str, cli: Cli) -> None:
    ran = cli(*words.split())
    assert ran.exit_code == 2
    assert f"No such option: {says}" in ran.stderr


def test_help_is_whole_and_names_kinds_in_plain_words(cli: Cli) -> None:
    for group in ([], ["cohort"], ["site"], ["baseline"]):
        listed = cli(*group, "--help").stdout
        assert not re.search(r"\w\.\.\.$", listed, re.MULTILINE), "a summary is cut"
    for command in ("verify", "score", "time", "board"):
        assert not re.search(r"<[a-z]", cli(command, "--help").stdout.replace("<=x", ""))
    assert "--all" not in cli("verify", "--help").stdout
    assert "--jobs N" in cli("score", "--help").stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("score a --replicates many", "'many' is not a whole number, such as 2000."),
        ("score a --replicates 1e3", "'1e3' is not a whole number, such as 2000."),
        ("score a --replicates 1,000", "'1,000' is not a whole number, such as 2000."),
        ("score a --replicates 99", "It is 99, and should be at least 100."),
        ("score a --replicates 1000001", "It is 1000001, and should be at most 1,000,000."),
        ("score a --seed 1.5", "'1.5' is not a whole number, such as 0."),
        ("score a --seed -1", "It is -1, and should be at least 0."),
        ("score a --prevalence 5%", "'5%' is not a number, such as 0.05."),
        ("score a --prevalence 5", "a share between 0 and 1, such as 0.05"),
        ("score a --jobs none", "'none' is not a whole number, such as 10."),
        ("time a --batch 0", "It is 0, and should be at least 1."),
        ("cohort demo --out x --patients few", "'few' is not a whole number, such as 3000."),
        ("time a --precision fp4", "'fp4' is not one of 'fp32', 'tf32'"),
    ],
)
def test_a_wrong_value_of_an_option_is_explained_in_plain_words(words: str, says: str, cli: Cli) -> None:
    ran = cli(*words.split())
    assert ran.exit_code == 2
    assert says in " ".join(ran.stderr.split())
    assert not re.search(r"Input should|valid_|type=|pydantic", ran.stderr)


@pytest.mark.parametrize("slug", ["all", "*"])
def test_all_is_an_option(slug: str, space: Workspace, cli: Cli) -> None:
    ran = cli("score", slug, "--json")
    (problem,) = ran.object["problems"]
    assert ran.exit_code == 1
    assert_problem(
        problem, "entry-unknown", message=re.escape(repr(slug)), where="chexchonet$", remedy="`--all`"
    )


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["absent.csv"], "predictions-unreadable"),
        (["--model", "absent.onnx"], "model-unreadable"),
        (["GOOD", "--val", "absent.csv"], "predictions-unreadable"),
    ],
)
def test_a_missing_file_is_found_before_the_cohort_is_read(
    words: list[str], code: str, good_file: Path, space: Workspace, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = Mock(side_effect=AssertionError("the cohort was read"))
    monkeypatch.setattr("bench.actions.submit.open_cohort", reading)
    said = [str(good_file) if word == "GOOD" else word for word in words]
    ran = cli("submit", *said, "--slug", "a", "--json")
    (problem,) = ran.object["problems"]
    assert ran.exit_code == 1
    assert_problem(
        problem, code, message="no such file", where=r"absent\.(csv|onnx)$", remedy="looked for in"
    )


@pytest.mark.parametrize(
    ("words", "code", "message", "where", "remedy"),
    [
        ("compare a a", "compare-impossible", "Both sides are 'a'", None, "Name two entries or files"),
        (
            "compare a.csv a.csv",
            "compare-impossible",
            r"Both sides are 'a\.csv'",
            None,
            "Name two entries or files",
        ),
        ("compare a b", "entry-unknown", "no entry 'a'", "chexchonet$", "bench board"),
        ("compare a.csv b", "predictions-unreadable", "no such file", r"a\.csv$", "looked for in"),
        ("score a", "entry-unknown", "no entry 'a'", "chexchonet$", "bench board"),
        ("verify a", "entry-unknown", "no entry 'a'", "chexchonet$", "bench board"),
        ("time a", "entry-unknown", "no entry 'a'", "chexchonet$", "bench board"),
        ("time a.onnx", "model-missing", "no such file", r"a\.onnx$", "looked for in"),
        (
            "score --all --aggregate-out f.json --site n --key k.pem",
            "sign-key-invalid",
            "no such file",
            r"k\.pem$",
            "looked for in",
        ),
    ],
)
def test_what_is_not_there_is_found_before_the_cohort_is_read(
    words: str,
    code: str,
    message: str,
    where: str | None,
    remedy: str,
    space: Workspace,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "--key" in words:
        pytest.importorskip("cryptography")
    reading = Mock(side_effect=AssertionError("the cohort was read"))
    monkeypatch.setattr("bench.cohort.load.load_cohort", reading)
    ran = cli(*words.split(), "--json")
    (problem,) = ran.object["problems"]
    assert ran.exit_code == 1
    assert_problem(problem, code, message=message, where=where, remedy=remedy)


def test_identical_predictions_are_said_to_be_so(
    space: Workspace, good: pd.DataFrame, good_file: Path, cli: Cli, tmp_path: Path
) -> None:
    again, partly = tmp_path / "again.csv", tmp_path / "partly.csv"
    good.to_csv(again, index=False)
    good.assign(slvh=good["slvh"] ** 2).to_csv(partly, index=False)
    for other, targets, number in ((again, "every target", 3), (partly, "Composite, DLV", 2)):
        ran = cli("compare", good_file, other, "--replicates", "100", "--json")
        assert ran.exit_code == 0
        (problem,) = ran.object["problems"]
        assert_problem(
            problem,
            "compare-identical",
            message=f"identical predictions for {targets}: every difference is 0",
            where=None,
            remedy="both files are the ones",
            severity="warning",
        )
        assert sum(line["identical"] for line in ran.object["result"]["comparisons"]) == number


@pytest.mark.parametrize(
    ("base", "remedy"),
    [
        ("example.org/x", "`https://example.org/x`"),
        ("//evil.org", "`https://evil.org`"),
        ("javascript:x", "begins with one /"),
        ("data:text/html,x", "begins with one /"),
        ("//evil", "begins with one /"),
        ("ftp://example.org", "begins with one /"),
        ("/a b/", "begins with one /"),
        ('/"><script>', "begins with one /"),
        ("/a//b", "begins with one /"),
        ("", "begins with one /"),
        ("/" + "a" * 60 + "!", "begins with one /"),
    ],
)
def test_an_address_of_the_site_is_a_path_or_http(base: str, remedy: str, tmp_path: Path) -> None:
    from tests.publish.boards import loaded_board

    with pytest.raises(BenchError) as caught:
        build_site([loaded_board(2)], tmp_path / "site", base=base)
    (problem,) = caught.value.problems
    assert caught.value.exit_code == 2
    assert_problem(problem, "site-base", message=".", where="^--base$", remedy=re.escape(remedy))
    assert not (tmp_path / "site").exists()


# A reader that goes


@pytest.mark.parametrize(
    "end",
    [
        pytest.param("| head -n 1", marks=pytest.mark.full_size),
        pytest.param("| true", marks=pytest.mark.full_size),
        "2>&1 | true",
    ],
)
def test_a_command_finishes_when_its_reader_goes(
    end: str, space: Workspace, good_file: Path, cli: Cli
) -> None:
    for slug in ("a", "b", "c"):
        cli("submit", good_file, "--slug", slug)
    command = f"'{sys.executable}' -m bench score --all --replicates 200 --seed 7 --jobs 1 {end}"
    shell = f"set -o pipefail; {command}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False, cwd=space.root)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    folder = space.submissions("chexchonet")
    cards = [json.loads((folder / slug / "scorecard.json").read_text()) for slug in ("a", "b", "c")]
    assert {card["seed"] for card in cards} == {7}
    assert (folder / "board.json").is_file()


def test_the_exit_code_stays_when_the_reader_goes(space: Workspace) -> None:
    shell = f"set -o pipefail; '{sys.executable}' -m bench explain nope --json | true"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False, cwd=space.root)
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("score --help", 0),
        ("nonsense", 2),
        ("score a --replicates many", 2),
        ("cohort nonsense --json", 2),
    ],
)
def test_help_and_wrong_usage_keep_their_exit_code_when_the_reader_goes(
    words: str, code: int, space: Workspace
) -> None:
    """The reader of stdout and stderr is gone before anything is written."""
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-m", "bench", *words.split()]
    done = subprocess.run(command, stdout=writes, stderr=writes, check=False, cwd=space.root)
    os.close(writes)
    assert done.returncode == code


@pytest.mark.parametrize("words", ["--help", "--version"])
def test_nothing_is_said_when_only_the_reader_of_stdout_goes(words: str, space: Workspace) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-m", "bench", words]
    done = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, check=False, cwd=space.root)
    os.close(writes)
    assert (done.returncode, done.stderr) == (0, b"")


# Machines that lack something


@pytest.mark.parametrize("megabytes", [300, 600, 1000, 1200])
def test_a_limit_of_memory_is_named_before_anything_is_loaded(megabytes: int, space: Workspace) -> None:
    shell = f"ulimit -v {megabytes * 1024}; exec '{sys.executable}' -m bench score a --json"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False, cwd=space.root)
    assert done.returncode == 3
    (problem,) = json.loads(done.stdout)["problems"]
    message = f"^Memory is too small. The process may use {megabytes:,} MiB"
    assert_problem(problem, "memory-limit", message=message, where=None, remedy="OMP_NUM_THREADS=1")
    assert "[memory-limit]" in done.stderr
    assert "Traceback" not in done.stderr


UNDER_LIMIT = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (300 * 2**20, -1))
from typer.testing import CliRunner
from bench.cli.main import app
ran = {words: CliRunner().invoke(app, words.split()) for words in json.loads(sys.argv[1])}
assert "numpy" not in sys.modules
print(json.dumps({words: (done.exit_code, done.stdout) for words, done in ran.items()}))
"""


def test_commands_without_numerical_libraries_run_with_little_memory(space: Workspace) -> None:
    light = ["--help", "score --help", "explain auroc", "explain --list", "schema manifest", "schema cohort"]
    refused = ["score a --json", "template --out t --json", "cohort check --json"]
    command = [sys.executable, "-c", UNDER_LIMIT, json.dumps([*light, *refused])]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=space.root)
    ran = json.loads(done.stdout)
    assert [words for words in light if ran[words][0] != 0 or not ran[words][1]] == []
    for words in refused:
        code, stdout = ran[words]
        assert (code, [p["code"] for p in json.loads(stdout)["problems"]]) == (3, ["memory-limit"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("submit", "give either a predictions file, --model or --embeddings"),
        ("score a --nonsense", "No such option: --nonsense"),
        ("score a --replicates many", "'--replicates'"),
        ("nonsense", "No such command 'nonsense'."),
        ("sumbit x", "No such command 'sumbit'. Did you mean `"),
        ("board --top 3", "No such option: --top."),
        ("cohort", "No such option: --json"),
        ("template", "--out: name a folder, or a model with --model"),
        ("explain", "give a code, or --list"),
    ],
)
def test_a_wrong_command_line_is_a_json_object_too(words: str, says: str, cli: Cli) -> None:
    ran = cli(*words.split(), "--json")
    (problem,) = ran.object["problems"]
    assert (ran.exit_code, ran.object["ok"]) == (2, False)
    assert_problem(problem, "command-usage", message=re.escape(says), where=None, remedy="--help")
    assert "Usage: " in ran.stderr


def test_an_error_before_a_command_reports_is_reported(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bench.actions.demo", None)  # its import fails
    monkeypatch.setattr("bench.environment.address_space_limit_mb", lambda: None)
    ran = cli("demo", "--json")
    assert (ran.exit_code, ran.codes) == (70, ["internal-error"])


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        ImportError("x.so: failed to map segment from shared object"),
        RuntimeError("can't start new thread"),
    ],
)
def test_errors_of_memory_are_no_bug_of_the_harness(
    error: Exception, space: Workspace, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise error

    monkeypatch.setattr("bench.cohort.summary.summarise", broken)
    ran = cli("cohort", "split", "--json")
    assert (ran.exit_code, ran.codes) == (3, ["memory-limit"])


def test_other_errors_are_none_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.environment.address_space_limit_mb", lambda: None)
    assert memory_problem(ValueError("x")) is None
    require_address_space("statistics")
    monkeypatch.setattr("bench.environment.address_space_limit_mb", lambda: 639)
    assert memory_problem(FileNotFoundError(2, "No such file or directory")) is None
    assert memory_problem(ImportError("no x")) is not None
    require_address_space("none")
    for libraries in ("tables", "statistics"):
        with pytest.raises(BenchError) as caught:
            require_address_space(libraries)
        assert [p.message for p in caught.value.problems] == [
            "Memory is too small. The process may use 639 MiB of address space."
        ]


def test_shared_memory_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Mock(side_effect=OSError(30, "Read-only file system"))
    monkeypatch.setattr("concurrent.futures.ProcessPoolExecutor", pool)
    with pytest.raises(BenchError) as caught, process_pool(2):
        pass
    (problem,) = caught.value.problems
    assert caught.value.exit_code == 3
    assert_problem(problem, "shared-memory", message="Read-only", where="^/dev/shm$", remedy="--jobs 1")


def test_without_a_place_for_a_cache_functions_are_compiled_anew(
    cli: Cli, space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As numba does where neither the package's folder nor the user's can be written."""
    njit = numba.njit

    def without_cache(*functions: Any, cache: bool = False, **options: Any) -> Any:
        if cache:
            raise RuntimeError("cannot cache function 'double': no locator available for file 'x.py'")
        return njit(*functions, **options)

    monkeypatch.setattr(numba, "njit", without_cache)
    monkeypatch.setattr(kernels, "_uncached", [])

    @kernels.compiled_loop()
    def double(x: float) -> float:
        return 2 * x

    assert double(21.0) == 42.0
    assert not kernels.is_cached()
    notices = [p for p in cli("cohort", "split", "--json").object["problems"] if p["severity"] == "notice"]
    assert [p["code"] for p in notices] == ["compiled-uncached"]
    assert "NUMBA_CACHE_DIR" in notices[0]["remedy"]


def test_every_compiled_function_can_do_without_a_cache() -> None:
    package = Path(kernels.__file__).parents[2]
    direct = [
        path.name
        for path in package.rglob("*.py")
        if "njit(" in path.read_text("utf-8") and path.name != "compiled.py"
    ]
    assert direct == []
