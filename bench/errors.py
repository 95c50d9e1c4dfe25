"""What can be wrong with what a user handed in, and how it is said.

A user's mistake is a `Problem`: a code, what was found (with numbers), where, and what to do. All problems
of one file are collected and raised together as a `BenchError`; the command line makes an exit code of it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
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
    """The page of one problem code, as `bench explain` shows it."""

    code: str
    title: str
    meaning: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault or remark about something a user handed in.

    Attributes:
        code: Key of the catalogue, see `explanation`.
        message: What was found, with numbers. Never a patient's id or label.
        where: File, and column or row where that helps.
        remedy: What to do; the catalogue's general remedy when empty.
        severity: Only an ``error`` stops anything.
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
        """The problem as a JSON object, with its remedy filled in."""
        return {**asdict(self), "remedy": self.remedy or explanation(self.code).remedy}


class BenchError(Exception):
    """Carries every problem that was found.

    Args:
        problems: At least one; warnings may travel with the errors.
        exit_code: What the command line exits with: 1 for what was handed in, 3 where the environment lacks
            something.
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


def raise_errors(problems: Iterable[Problem]) -> None:
    """Raises one `BenchError` with all problems if any of them is an error."""
    found = tuple(problems)
    if any(p.severity == "error" for p in found):
        raise BenchError(found)


@cache
def catalogue() -> dict[str, Explanation]:
    """Every problem code with its explanation, in alphabetical order."""
    from importlib import resources

    text = resources.files("bench").joinpath("problems.toml").read_text("utf-8")
    pages = tomllib.loads(text)
    return {
        code: Explanation(code, page["title"], page["meaning"].strip(), page["remedy"].strip())
        for code, page in sorted(pages.items())
    }


def explanation(code: str, others: Iterable[str] = ()) -> Explanation:
    """The catalogue page of `code`.

    Args:
        code: The code.
        others: Other words that may have been meant.

    Raises:
        BenchError: The code is unknown (``unknown-code``), naming the nearest ones.
    """
    pages = catalogue()
    if code in pages:
        return pages[code]
    hint = did_you_mean(code, [*pages, *others]).strip() or "`bench explain --list` shows every code."
    raise BenchError(Problem("unknown-code", f"There is no problem code {code!r}.", remedy=hint))


HANDED_IN = (".csv", ".csv.gz", ".parquet", ".toml", ".onnx")
"""Endings of files that a hint may name; others could be images of a cohort, whose names are ids."""


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """The one or two known words nearest to `word`, the nearest first; none where none is near."""
    plain = {name.strip().lower()[:100]: name for name in known}
    return [plain[name] for name in get_close_matches(word.strip().lower()[:100], plain, n=2)]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question that names the nearest known words, after a blank; empty where none is near."""
    near = nearest(word, known)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def not_there(path: Path) -> tuple[str, str]:
    """What is said of a path that leads to nothing, and what to do."""
    folder = path.parent
    if not folder.is_dir():
        return (
            f"There is no such file, nor a folder {str(folder)!r}.",
            f"Check the path. A relative one begins in the current folder, {Path.cwd()}.",
        )
    try:
        beside = [other.name for other in folder.iterdir() if other.name.endswith(HANDED_IN)]
    except OSError:
        beside = []
    stems = {name.partition(".")[0]: name for name in beside}  # endings that all share would make all near
    near = nearest(path.name.partition(".")[0], stems)
    remedy = f"Did you mean {stems[near[0]]!r}?" if near else f"It is looked for in {folder.resolve()}."
    return "There is no such file.", f"Check the path. {remedy}"
