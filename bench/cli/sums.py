"""`bench sums`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import JsonOption
from bench.cli.output import reporting


def sums(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that is handed on or was received.")],
    check: Annotated[
        bool, typer.Option("--check", help="Compare with SHA256SUMS instead of writing it.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write SHA256SUMS for every file of a folder, or check a folder that was downloaded.

    Example: bench sums submissions --check
    """
    from bench.errors import raise_errors
    from bench.files import check_sums, write_sums

    with reporting(as_json) as report:
        if check:
            problems = check_sums(folder)
            report.result(folder=str(folder), differing=len(problems))
            raise_errors(problems)
            report.show("Every file is the one that was hashed.")
        else:
            path = write_sums(folder)
            report.result(file=str(path))
            report.show(f"Wrote {path}")
