"""Output of commands: results on stdout, messages on stderr, one JSON object with ``--json``."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from bench.errors import (
    EXIT_BUG,
    EXIT_ENVIRONMENT,
    EXIT_INTERRUPTED,
    EXIT_PROBLEMS,
    BenchError,
    Problem,
)
from bench.files import PART
from bench.plugins import PluginError

if TYPE_CHECKING:
    from bench.environment import Libraries
    from bench.metrics.results import Estimate
    from bench.progress import StageProgress


SCHEMA = "bench-output/1"
TRACEBACK_VARIABLE = "BENCH_TRACEBACK"


class Report:
    """Output of a command: its text, or one JSON object at the end."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._problems: list[Problem] = []
        self._result: dict[str, Any] = {}

    def say(self, text: str) -> None:
        """A message for a person, on stderr."""
        emit(inert(text), err=True)

    def show(self, text: str) -> None:
        """Part of the result as text, on stdout; left out with ``--json``."""
        if not self.as_json:
            emit(inert(text))

    def show_problems(self, problems: Iterable[Problem]) -> None:
        """Show problems now; with ``--json`` they stand in the object too."""
        shown = list(problems)
        self._problems += shown
        _show_problems(shown)

    def result(self, **values: Any) -> None:
        """Add to the JSON object's result."""
        self._result |= values

    def finish(self) -> None:
        """Print the JSON object of a command that succeeded."""
        if self.as_json:
            body = {"schema": SCHEMA, "ok": True, "result": self._result, "problems": _plain(self._problems)}
            emit(json.dumps(body, allow_nan=False))

    def fail(self, problems: Iterable[Problem]) -> None:
        """Show the problems of a command that failed, and its JSON object."""
        new = [p for p in problems if p not in self._problems]
        _show_problems(new)
        self._problems += new
        self._print_failure()

    def fail_usage(self, message: str) -> None:
        """Print the JSON object of a wrong command line, whose message is already on stderr."""
        self._problems.append(Problem("command-usage", message))
        self._print_failure()

    def _print_failure(self) -> None:
        """Print the JSON object of a command that failed."""
        if self.as_json:
            body = {"schema": SCHEMA, "ok": False, "problems": _plain(self._problems)}
            if self._result:
                body["result"] = self._result
            with suppress(OSError):  # the disk is full: the problems are on stderr
                emit(json.dumps(body, allow_nan=False))


def _plain(problems: Iterable[Problem]) -> list[dict[str, str]]:
    return [problem.as_dict() for problem in problems]


@contextmanager
def reporting(as_json: bool) -> Iterator[Report]:
    """Run a command's body: a `BenchError` becomes its problems and exit code, never a traceback."""
    report = Report(as_json)
    with failures(report):
        yield report
        report.show_problems(_uncached())
        report.finish()


@contextmanager
def failures(report: Report) -> Iterator[None]:
    """Report every exception of a command as problems and an exit code."""
    try:
        yield
    except BenchError as error:
        report.fail(error.problems)
        raise typer.Exit(error.exit_code) from None
    except PluginError as error:
        report.fail([Problem("plugin-broken", str(error), remedy=error.remedy)])
        raise typer.Exit(EXIT_ENVIRONMENT) from None
    except KeyboardInterrupt:
        message = "Interrupted; what was stored is whole, and the command can be run again."
        report.fail([Problem("command-interrupted", message, severity="notice")])
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except Exception as error:
        if problem := memory_problem(error):
            report.fail([problem])
            raise typer.Exit(EXIT_ENVIRONMENT) from None
        if isinstance(error, OSError):
            report.fail([file_problem(error)])
            raise typer.Exit(EXIT_PROBLEMS) from None
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        report.fail([Problem("internal-error", f"This is a bug of the harness: {type(error).__name__}.")])
        raise typer.Exit(EXIT_BUG) from None


def _uncached() -> list[Problem]:
    """A notice where compiled loops were used and could not be cached."""
    kernels = sys.modules.get("bench.metrics.kernels.compiled")
    if kernels is None or kernels.is_cached():
        return []
    message = (
        "Compiled code could not be cached: neither the installation nor the home folder can be written."
    )
    return [Problem("compiled-uncached", message, severity="notice")]


def emit(text: str, *, err: bool = False) -> None:
    """Print a line; where the reader has gone, the command goes on and says no more.

    `bench … | head` closes the pipe when it has its lines: what is stored must be whole all the same.

    Raises:
        OSError: It cannot be printed for another reason, such as a full disk.
    """
    try:
        typer.echo(text, err=err)
    except OSError as error:
        stream = sys.stderr if err else sys.stdout
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), stream.fileno()
        )  # so that Python does not complain at its end
        if not isinstance(error, BrokenPipeError):
            raise


_ADDRESS_SPACE_WORDS = ("failed to map segment", "can't start new thread")
"""Words of errors under a limit of address space, besides those that `names_memory` knows."""


def require_address_space(libraries: Libraries) -> None:
    """Refuse a limit of address space under which libraries cannot be loaded.

    Raises:
        BenchError: The limit is too low (``memory-limit``, exit 3).
    """
    from bench.environment import LEAST_ADDRESS_SPACE_MB, address_space_limit_mb

    limit = address_space_limit_mb()
    if limit is not None and limit < LEAST_ADDRESS_SPACE_MB[libraries]:
        raise BenchError(_memory_limit(limit), EXIT_ENVIRONMENT)


def memory_problem(error: BaseException) -> Problem | None:
    """Build the problem of an error for lack of memory; None for other errors.

    Under a small limit of address space every error of a library is one, whatever the library makes of it.
    """
    from bench.environment import LEAST_ADDRESS_SPACE_MB, address_space_limit_mb
    from bench.sandbox.messages import names_memory

    limit = address_space_limit_mb()
    small = limit is not None and limit < LEAST_ADDRESS_SPACE_MB["statistics"]
    text = str(error).lower()
    named = isinstance(error, MemoryError) or names_memory(text)
    named = named or any(word in text for word in _ADDRESS_SPACE_WORDS)
    of_library = small and (not isinstance(error, OSError) or "shared object" in text)
    return _memory_limit(limit) if named or of_library else None


def _memory_limit(limit: int | None) -> Problem:
    allowed = (
        "The machine has no more" if limit is None else f"The process may use {limit:,} MiB of address space"
    )
    return Problem("memory-limit", f"Memory is too small. {allowed}.")


def file_problem(error: OSError) -> Problem:
    """Return the problem for an error of the operating system about a file."""
    reason = error.strerror or type(error).__name__
    return Problem("file-error", f"{reason}.", where=_place(error))


def _place(error: OSError) -> str:
    """The file of an error; the folder, where it is a temporary file of ours."""
    path = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None
    return str(path.parent if path and path.name.endswith(PART) else path or "")


def inert(text: str) -> str:
    """`text` without control characters, so that a file's content cannot steer the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in text)


_COLOURS = {"error": "red", "warning": "yellow", "notice": "blue"}


def _show_problems(problems: list[Problem]) -> None:
    """Problems on stderr; of those in a row with the same place and remedy, the last says both for all."""
    for problem, following in zip_longest(problems, problems[1:]):
        same = following and replace(following, message=problem.message) == problem
        show_problem(problem, brief=bool(same))


def show_problem(problem: Problem, *, brief: bool = False) -> None:
    """A problem on stderr: what, and unless it is to be brief, where and what to do."""
    colour = None if os.environ.get("NO_COLOR") else _COLOURS[problem.severity]
    data = problem.as_dict()
    head = f"{problem.severity} [{problem.code}]"
    head = typer.style(head, fg=colour, bold=True) if colour else head
    emit(f"{head} {inert(problem.message)}", err=True)
    if brief:
        return
    if problem.where:
        emit(f"  where: {inert(problem.where)}", err=True)
    if data["remedy"] and problem.severity != "notice":
        emit(f"  to do: {inert(data['remedy'])}", err=True)


def stderr_is_terminal() -> bool:
    """Return whether stderr is a terminal, so that progress bars can be shown."""
    return sys.stderr.isatty()


@contextmanager
def stages(title: str = "") -> Iterator[StageProgress]:
    """Show progress of work in stages; the callback takes (stage, done, total).

    Text after a semicolon in the stage is shown beside its bar.
    """
    with ExitStack() as open_stage:
        current: list[str] = []
        step: list[Callable[..., None]] = []

        def report(stage: str, done: int, total: int, /) -> None:
            name, _, news = stage.partition("; ")
            if current != [name]:
                open_stage.close()
                current[:] = [name]
                step[:] = [open_stage.enter_context(progress(f"{title}: {name}" if title else name))]
            step[0](done, total, news)

        yield report


@contextmanager
def progress(title: str) -> Iterator[Callable[..., None]]:
    """A progress callback (done, total[, news]): a bar on a terminal, a line every 10% otherwise.

    Both tell how much time is left, by the time that what is done has taken.
    """
    if stderr_is_terminal():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()),
            TextColumn("{task.fields[news]}"),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=None, news="")
            yield lambda done, total, news="": bar.update(task, completed=done, total=total, news=news)
        return
    started, first, shown = time.monotonic(), -1, 0

    def line(done: int, total: int, news: str = "") -> None:
        nonlocal first, shown
        first = done if first < 0 else first  # what an earlier call had done took none of our time
        tenth = 10 * done // max(total, 1)
        if tenth > shown:
            shown = tenth
            seconds = time.monotonic() - started
            rate = (done - first) / seconds if seconds > 0 else 0.0
            wait = (total - done) / rate if rate > 0 else 0.0
            left = f", about {wait:.0f} s left" if wait >= 1 else ""
            news = f"; {news}" if news else ""
            emit(f"{title}: {done:,} of {total:,} ({10 * tenth}%), {seconds:.0f} s{left}{news}", err=True)

    yield line


def table(headings: list[str], rows: list[list[str]], *, right: frozenset[int] = frozenset()) -> str:
    """A plain table; columns in `right` are aligned right."""
    rows = [[" ".join(cell.split()) for cell in row] for row in rows]  # a cell cannot forge a row
    widths = [max(len(row[i]) for row in [headings, *rows]) for i in range(len(headings))]

    def line(cells: list[str]) -> str:
        padded = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    return "\n".join([line(headings), line(["-" * width for width in widths]), *map(line, rows)])


def interval(estimate: Estimate, digits: int = 3) -> str:
    """An estimate as text: value and interval, or why there is none."""
    if estimate.value is None:
        return f"– ({estimate.reason})"
    value = f"{estimate.value:.{digits}f}"
    if estimate.low is None or estimate.high is None:
        return f"{value} (no interval)"
    return f"{value} ({estimate.low:.{digits}f}–{estimate.high:.{digits}f})"


def figure(estimate: Estimate | None, digits: int = 3) -> str:
    """An estimate's value as text, for a calibration error with that of a calibrated model."""
    if estimate is None or estimate.value is None:
        return "–"
    value = f"{estimate.value:.{digits}f}"
    return (
        value
        if estimate.noise_floor is None
        else f"{value} ({estimate.noise_floor:.{digits}f} if calibrated)"
    )


def difference(value: float | None, low: float | None, high: float | None, digits: int = 3) -> str:
    """A difference with its interval as text."""
    if value is None:
        return "–"
    if low is None or high is None:
        return f"{value:+.{digits}f} (no interval)"
    return f"{value:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"
