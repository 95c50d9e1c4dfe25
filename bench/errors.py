"""Problems, the error that carries them, exit codes, and the catalogue of problem codes.

A user's mistake is a `Problem`: a code, a message (with counts), the place, and a remedy. All problems of one
file are collected and raised together as a `BenchError`; the command line turns it into an exit code.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Literal

Severity = Literal["error", "warning", "notice"]

EXIT_PROBLEMS = 1
EXIT_USAGE = 2
EXIT_ENVIRONMENT = 3
EXIT_BUG = 70
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Explanation:
    """Catalogue page of one problem code, as `bench explain` shows it."""

    code: str
    title: str
    meaning: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One error, warning or notice about a user's file, option or environment.

    Attributes:
        code: Key of the catalogue, see `explanation`.
        message: What is wrong, with counts. Never a patient's id or label.
        where: File, with column or row if known.
        remedy: What to do; if empty, the remedy of the catalogue.
        severity: Only an ``error`` stops the command.
    """

    code: str
    message: str
    where: str = ""
    remedy: str = ""
    severity: Severity = "error"

    def __str__(self) -> str:
        """Code and message; below them where, and for errors and warnings what to do."""
        remedy = self.as_dict()["remedy"] if self.severity != "notice" and self.code in catalogue() else ""
        lines = [f"{self.code}: {self.message}"]
        lines += [f"  where: {self.where}"] if self.where else []
        lines += [f"  to do: {remedy}"] if remedy else []
        return "\n".join(lines)

    def as_dict(self) -> dict[str, str]:
        """Return the problem as a JSON object, with its remedy filled in."""
        return {**asdict(self), "remedy": self.remedy or explanation(self.code).remedy}


class BenchError(Exception):
    """One or more problems that stop a command.

    Args:
        problems: At least one; may include warnings.
        exit_code: Exit code of the command line: 1 for faulty input, 3 if the environment lacks something.
    """

    def __init__(self, problems: Problem | Iterable[Problem], exit_code: int = EXIT_PROBLEMS) -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        self.exit_code = exit_code
        super().__init__(self.problems, exit_code)

    def __str__(self) -> str:
        """Every problem in lines: code and message, where, and for an error what to do."""
        return "\n".join(map(str, self.problems))

    def __reduce__(self) -> tuple[type[BenchError], tuple[tuple[Problem, ...], int]]:
        return type(self), (self.problems, self.exit_code)


@contextmanager
def collecting(problems: list[Problem]) -> Iterator[None]:
    """Add the problems of a `BenchError` to `problems`, in place of raising it."""
    try:
        yield
    except BenchError as error:
        problems += error.problems


def raise_errors(problems: Iterable[Problem]) -> None:
    """Raise one `BenchError` with all problems if any of them is an error."""
    collected = tuple(problems)
    if any(p.severity == "error" for p in collected):
        raise BenchError(collected)


@cache
def catalogue() -> dict[str, Explanation]:
    """Return every problem code with its explanation, in alphabetical order."""
    from importlib import resources

    text = resources.files("bench").joinpath("problems.toml").read_text("utf-8")
    pages = tomllib.loads(text)
    return {
        code: Explanation(code, page["title"], page["meaning"].strip(), page["remedy"].strip())
        for code, page in sorted(pages.items())
    }


def explanation(code: str, others: Iterable[str] = ()) -> Explanation:
    """Return the catalogue page of a problem code.

    Args:
        code: The code.
        others: Further words to suggest if the code is unknown.

    Raises:
        BenchError: Unknown code (``unknown-code``); the remedy names the nearest ones.
    """
    pages = catalogue()
    if code in pages:
        return pages[code]
    hint = did_you_mean(code, [*pages, *others]).strip() or "`bench explain --list` shows every code."
    raise BenchError(Problem("unknown-code", f"There is no problem code {code!r}.", remedy=hint))


HINTED_ENDINGS = (".csv", ".csv.gz", ".parquet", ".toml", ".onnx")
"""Endings of files that a hint may name; other files could be images, whose names are ids."""


def nearest(word: str, candidates: Iterable[str]) -> list[str]:
    """Return at most two candidates similar to `word`, the most similar first."""
    plain = {name.strip().lower()[:100]: name for name in candidates}
    return [plain[name] for name in get_close_matches(word.strip().lower()[:100], plain, n=2)]


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """Return " Did you mean ...?" with the nearest candidates; empty if none is similar."""
    near = nearest(word, candidates)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def missing_file_hint(path: Path) -> tuple[str, str]:
    """Return message and remedy for a path that does not exist."""
    folder = path.parent
    if not folder.is_dir():
        return (
            f"There is no such file, nor a folder {str(folder)!r}.",
            f"Check the path. A relative one begins in the current folder, {Path.cwd()}.",
        )
    try:
        beside = [other.name for other in folder.iterdir() if other.name.endswith(HINTED_ENDINGS)]
    except OSError:
        beside = []
    stems = {name.partition(".")[0]: name for name in beside}  # a shared ending would make all names similar
    near = nearest(path.name.partition(".")[0], stems)
    remedy = f"Did you mean {stems[near[0]]!r}?" if near else f"It is looked for in {folder.resolve()}."
    return "There is no such file.", f"Check the path. {remedy}"
