"""The command line's own kind of app: suggestions for unknown commands and options, plain help."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from bench.cli.output import Report, failures, require_address_space
from bench.errors import EXIT_USAGE, nearest
from bench.sandbox.launch import UNCONFINED

if TYPE_CHECKING:
    from bench.environment import Libraries

SYNONYMS: Final = {
    "version": "--version",
    "help": "--help",
    "status": "doctor",
    "info": "doctor",
    "env": "doctor",
    "list": "board",
    "ls": "board",
    "show": "board",
    "rank": "board",
    "leaderboard": "board",
    "results": "board",
    "remove": "retract",
    "delete": "retract",
    "rm": "retract",
    "withdraw": "retract",
    "mv": "rename",
    "validate": "submit --dry-run",
    "check-predictions": "submit --dry-run",
    "upload": "submit",
    "add": "submit",
    "predict": "submit --model",
    "infer": "submit --model",
    "evaluate": "score",
    "eval": "score",
    "metrics": "score",
    "train": "baseline run",
    "fit": "baseline run",
    "benchmark": "time",
    "latency": "time",
    "speed": "time",
    "create": "init",
    "new": "init",
    "diff": "compare",
    "export": "board --csv",
    "deploy": "site publish",
    "preview": "site serve",
    "checksum": "sums",
    "view": "board",
    "top": "board",
    "summary": "board",
    "stats": "board",
    "report": "site build",
    "plot": "site build",
    "web": "site serve",
    "ui": "site serve",
    "dashboard": "site serve",
    "test": "verify",
    "update": "submit --replace",
    "edit": "submit --replace",
    "push": "site publish",
    "completion": "--install-completion",
    "cohort list": "doctor",
    "cohort ls": "doctor",
    "cohort info": "cohort check",
    "cohort show": "cohort check",
    "cohort validate": "cohort check",
    "cohort verify": "cohort check",
    "cohort create": "init",
    "cohort generate": "cohort demo",
    "site start": "site serve",
    "site run": "site serve",
    "site validate": "site check",
    "baseline ls": "baseline list",
    "baseline show": "baseline list",
}
"""Name or task of a command in other tools → the command; of a group with its name in front."""
OPTION_SYNONYMS: Final = {
    "verify --all": "`bench verify` without names verifies all entries and the board",
    "board --all": "`bench board` shows all entries",
    "--top": "`bench board | head -n 12` shows the first ten entries",
    "--limit": "`bench board | head -n 12` shows the first ten entries",
    "--format": "`--json` prints one JSON object, `bench board --csv` a table",
    "--output": "--out",
    "-o": "--out",
    "--force": "--replace",
    "--overwrite": "--replace",
    "--name": "--slug",
    "--id": "--slug",
    "--bootstrap": "--replicates",
    "--n-bootstrap": "--replicates",
    "--workers": "--jobs",
    "--num-workers": "--jobs",
    "--dataset": "--cohort",
    "--data-dir": "--data",
    "--check": "--dry-run",
    "--onnx": "--model",
    "--n-boot": "--replicates",
    "--sort": "`bench board --csv` has every column to sort by",
    "--sort-by": "`bench board --csv` has every column to sort by",
    "--metric": "`bench board --csv` has every metric",
    "--gpu": "--backend",
    "--device": "--backend",
    "--fp16": "--precision",
}
"""Option of other tools → this tool's option, or another way; of one command with its name in front."""


class Command(TyperCommand):
    """A command whose help names kinds of values in plain words.

    Attributes:
        libraries: What it loads, for which the address space must suffice.
    """

    libraries: Libraries = "statistics"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words of the command; `--unconfined`, which all commands have, sets a variable.

        The variable reaches the processes that the command starts, too.
        """
        if "--unconfined" in args:
            os.environ[UNCONFINED] = "1"
        try:
            return super().parse_args(ctx, [word for word in args if word != "--unconfined"])
        except Exception as error:
            if expected := _expected_value(error):
                error.message = expected  # type: ignore[attr-defined]
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the command; errors before it reports, such as of a library, are reported too."""
        with failures(Report(bool(ctx.params.get("as_json")))):
            require_address_space(self.libraries)
            return super().invoke(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and options."""
        arguments: list[tuple[str, str]] = []
        options: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                is_argument = param.param_type_name == "argument"
                row = (_plain_kind(record[0], named=is_argument), record[1])
                (arguments if is_argument else options).append(row)
        for title, rows in (("Arguments", arguments), ("Options", options)):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def _expected_value(error: Exception) -> str:
    """Say in plain words what the value of an option should be; empty where an error is of another kind.

    The error is typer's BadParameter, which is not exported, from a ValidationError of pydantic.
    """
    faults = getattr(error.__cause__, "errors", None)
    if faults is None or not hasattr(error, "message"):
        return ""
    fault = faults(include_url=False)[0]
    kind, limits = fault["type"], fault.get("ctx", {})
    given = str(fault["input"])[:60]
    default = getattr(getattr(error, "param", None), "default", None)
    if kind.startswith("int_"):
        return f"{given!r} is not a whole number, such as {default if isinstance(default, int) else 10}."
    if kind.startswith("float_"):
        return f"{given!r} is not a number, such as {default if isinstance(default, float) else 0.05}."
    for limit, words in (("ge", "at least"), ("gt", "more than"), ("le", "at most"), ("lt", "less than")):
        if limit in limits:
            return f"It is {given}, and should be {words} {limits[limit]:,}."
    text = str(fault["msg"]).removeprefix("Value error, ").replace("Input should", f"{given!r} should", 1)
    return text.rstrip(".") + "."


class TableCommand(Command):
    """A command that loads the libraries of tables alone."""

    libraries = "tables"


class PlainCommand(Command):
    """A command that loads no numerical library."""

    libraries = "none"


_COMMANDS: Final = {"none": PlainCommand, "tables": TableCommand, "statistics": Command}


_KIND: Final = re.compile(r" <(?:list\[)?([^<>\[\]]*)\]?>")
_KIND_NAMES: Final = {"int": "N", "int range": "N", "float": "X", "str": "TEXT", "path": "PATH"}


def _plain_kind(name: str, *, named: bool) -> str:
    """The name of a parameter with its kind as ``N`` or ``TEXT``; none for one whose name says it."""
    return _KIND.sub("" if named else lambda match: f" {_KIND_NAMES.get(match[1], match[1])}", name)


@contextmanager
def _closed_pipe() -> Iterator[None]:
    """End a help or version that nobody reads any more, `bench --help | head -1`, as one that was read.

    What commands print goes through `bench.cli.output.emit`, which does not raise.
    """
    try:
        yield
    except SystemExit as end:
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        sys.exit(0)
    except BrokenPipeError as error:  # while a wrong command line was explained
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
        sys.exit(getattr(error.__context__, "exit_code", EXIT_USAGE))


class CommandGroup(TyperGroup):
    """A group that shows whole summaries and suggests commands, of other groups too."""

    def main(self, args: Sequence[str] | None = None, *names: Any, **settings: Any) -> Any:
        """Run the command line; with ``--json`` a usage error is a JSON object on stdout too."""
        words = sys.argv[1:] if args is None else list(args)
        if "--json" not in words or not settings.get("standalone_mode", True):
            with _closed_pipe():
                return super().main(args, *names, **settings)
        with _closed_pipe():
            return self._main_json(args, *names, **settings)

    def _main_json(self, args: Sequence[str] | None, *names: Any, **settings: Any) -> NoReturn:
        try:
            sys.exit(super().main(args, *names, **{**settings, "standalone_mode": False}))
        except Exception as error:
            if not hasattr(error, "format_message"):  # click's exceptions, which typer does not export
                raise
            error.show()  # type: ignore[attr-defined]
            Report(as_json=True).fail_usage(error.format_message())
            sys.exit(error.exit_code)  # type: ignore[attr-defined]

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write each command with the first sentence of its help, over several lines where it is long."""
        rows = []
        for name, command in self.commands.items():
            summary = " ".join((command.help or "").split("\n\n")[0].split())
            rows.append((name, summary))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command of the first word; an unknown one ends with a suggestion.

        Raises:
            UsageError: There is no such command; the message names those that may be meant.
        """
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            meant = suggestions(name, self, ctx.find_root())
            shown = " or ".join(f"`{command}`" for command in meant)
            ctx.fail(f"No such command {name[:60]!r}.{f' Did you mean {shown}?' if meant else ''}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; for an option of other tools, name this tool's."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            option = getattr(error, "option_name", None)  # of typer's NoSuchOption, which is not exported
            command = getattr(getattr(error, "ctx", None), "info_name", "")
            advice = OPTION_SYNONYMS.get(f"{command} {option}") or OPTION_SYNONYMS.get(str(option))
            known = _options_of(error)
            if advice and (not advice.startswith("--") or advice in known):
                meant = f"Did you mean {advice}?" if advice.startswith("--") else f"{advice}."
                error.message = f"No such option: {option}. {meant}"  # type: ignore[attr-defined]
                error.possibilities = []  # type: ignore[attr-defined]
            raise


def _options_of(error: Exception) -> set[str]:
    """The options of the command that refused one."""
    command = getattr(getattr(error, "ctx", None), "command", None)
    return {name for param in getattr(command, "params", ()) for name in param.opts}


def suggestions(name: str, group: TyperGroup, root: Any) -> list[str]:
    """Full command lines that an unknown command may mean, the likeliest first.

    Args:
        name: The word that is no command.
        group: The group that it was looked for in.
        root: Context of the whole command line.
    """
    tool = root.info_name if str(root.info_name).startswith("bench") else "bench"
    paths = list(_paths(root.command, ()))
    word = name.lower()
    meant = [SYNONYMS[key] for key in (f"{group.name} {word}", word) if key in SYNONYMS]
    same = [path for path in paths if path[-1] == word]
    if meant and (not same or len(meant) == 2):
        return [f"{tool} {meant[0]}"]
    if same:
        return [*(f"{tool} {command}" for command in meant), *(" ".join([tool, *path]) for path in same)][:3]
    own = [path for path in paths if group.commands.get(path[-1]) is not None]
    near = nearest(word, {path[-1]: path for path in own}) or nearest(word, {p[-1]: p for p in paths})
    return [" ".join([tool, *path]) for wanted in near for path in paths if path[-1] == wanted][:3]


def _paths(group: Any, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The words of every command below a group."""
    for name, command in getattr(group, "commands", {}).items():
        yield (*above, name)
        yield from _paths(command, (*above, name))


class App(typer.Typer):
    """A `typer.Typer` whose groups and commands are of these kinds."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(cls=CommandGroup, **settings)

    def command(
        self, name: str | None = None, *, libraries: Libraries = "statistics", **settings: Any
    ) -> Callable[[Any], Any]:
        """Register a command, as `typer.Typer.command` does, with the libraries that it loads."""
        return super().command(name, **{"cls": _COMMANDS[libraries], **settings})
