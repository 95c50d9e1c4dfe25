"""Commands, their help and the documents: every command is described, and only what there is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer

from bench.cli.main import app
from bench.cli.reference import SCHEMAS
from bench.errors import catalogue
from tests.cli.printed import PAGES, printed
from tests.conftest import Cli

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


def commands(group: Any, path: Words = ()) -> Iterator[tuple[Words, click.Command]]:
    """Every command of the live tree with the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


TREE = dict(commands(typer.main.get_command(app)))


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


def check_line(words: list[str], where: str) -> None:
    """Every command, option and schema of a printed line exists."""
    if words[0].startswith("-"):
        return
    path = next((path for n in (3, 2, 1) if (path := tuple(words[:n])) in TREE), None)
    assert path is not None, where
    assert {w.split("=")[0] for w in words if w.startswith("--")} <= options(path) | {"--help"}, where
    if path == ("schema",):
        assert set(words[1:]) <= {*SCHEMAS, "NAME"}, where


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_documents_name_no_command_and_no_option_that_is_not_there(page: Path) -> None:
    targets = set(re.findall(r"(?m)^([\w-]+):", (ROOT / "Makefile").read_text("utf-8")))
    for program, *words in printed(page):
        where = f"{page.name}: {program} {' '.join(words)}"
        if program == "bench":
            check_line(words, where)
        elif program == "make":
            assert {word for word in words if "=" not in word} <= targets, where
        elif words[:2] == ["-m", "pytest"]:
            assert (ROOT / words[2]).exists(), where
            wanted = words[words.index("-k") + 1] if "-k" in words else "def test"
            assert any(wanted in path.read_text("utf-8") for path in (ROOT / words[2]).glob("*.py")), where
        elif words[:1] == ["-m"] and words[1].startswith("tests"):
            module = ROOT.joinpath(*words[1].split("."))
            assert module.with_suffix(".py").is_file() or (module / "__main__.py").is_file(), where


def test_the_catalogue_names_no_command_option_or_schema_that_is_not_there() -> None:
    for page in catalogue().values():
        for line in re.findall(r"`bench ([^`]+)`", f"{page.meaning} {page.remedy}"):
            check_line(line.split(), f"{page.code}: bench {line}")


@pytest.mark.parametrize("words", [["--help"], ["--version"]], ids=" ".join)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys, typer\nfrom bench.cli.main import app\n"
        f"try:\n    app({words!r})\nexcept SystemExit as end:\n    assert not end.code\n"
        f"loaded = sorted(set({HEAVY!r}) & set(sys.modules))\nsys.exit(', '.join(loaded) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_shell_completes_a_command() -> None:
    asked = {"_BENCH_COMPLETE": "complete_bash", "COMP_WORDS": "bench sit", "COMP_CWORD": "1"}
    script = Path(sys.executable).with_name("bench")
    done = subprocess.run([script], env={**os.environ, **asked}, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["site"], done.stderr


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
