"""`bench board`."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.choices import Track
from bench.cli.options import CohortOption, JsonOption
from bench.cli.output import Report, reporting, table
from bench.cli.sites import show_sites, show_transfer

if TYPE_CHECKING:
    from bench.board.column import Column
    from bench.board.model import LoadedBoard
    from bench.board.pareto import SpeedColumn, SpeedRow
    from bench.board.table import BoardTable

WRAPPED_WIDTH = 14
"""Room for words, which may take several lines, where a terminal is narrow."""

GAP = 2
"""Blanks between columns; the box of the table draws one of them."""


def board(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Files of hospitals, with --sites.")
    ] = None,
    sites: Annotated[
        bool, typer.Option("--sites", help="Rank across hospitals, from the signed file of each.")
    ] = False,
    site_keys: Annotated[
        Path | None,
        typer.Option("--keys", metavar="FILE", help="The hospitals' public keys; default: sites.toml."),
    ] = None,
    transfer: Annotated[
        str | None,
        typer.Option("--transfer", metavar="COHORT,...", help="Change of each entry from the first cohort."),
    ] = None,
    target: Annotated[str | None, typer.Option("--target", help="Target; default: the headline.")] = None,
    track: Annotated[str, typer.Option("--track", help="`holdout` (test images) or `cv5`.")] = "holdout",
    columns: Annotated[
        str | None, typer.Option("--columns", metavar="KEY,...", help="Columns, by the names of --csv.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="KEY=VALUE",
            help="Only entries with this value in a column, such as zero_shot=yes; can be repeated. Ranks "
            "stay the same.",
        ),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with every column.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    as_latex: Annotated[bool, typer.Option("--latex", help="Print a LaTeX table (booktabs).")] = False,
    speed: Annotated[bool, typer.Option("--speed", help="Latency beside AUROC, by device.")] = False,
    cohort: CohortOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the leaderboard: rank intervals, AUROC, and how many entries may be first.

    Example: bench board --target slvh --columns rank,slug,auroc,brier

    Example: bench board --where "external_data=none" --where code=yes

    Example: bench board --sites north.json south.json east.json
    """
    if track not in ("holdout", "cv5"):
        raise typer.BadParameter("must be `holdout` or `cv5`", param_hint="--track")
    texts = {"csv": as_csv, "markdown": as_markdown, "latex": as_latex}
    formats = [name for name, wanted in texts.items() if wanted]
    if len(formats) + as_json > 1:
        raise typer.BadParameter("go one at a time", param_hint="--csv, --markdown, --latex, --json")
    conditions = [_condition(text) for text in where or ()]
    of_one_table = bool(formats or columns or conditions) or track != "holdout"
    if speed and of_one_table:
        hint = "goes with none of --csv, --markdown, --latex, --columns, --where and --track cv5"
        raise typer.BadParameter(hint, param_hint="--speed")
    if site_keys and not sites:
        raise typer.BadParameter("goes with --sites", param_hint="--keys")
    if sites != bool(files):
        raise typer.BadParameter("--sites and files of hospitals belong together", param_hint="--sites")
    if (sites or transfer) and (of_one_table or speed or cohort):
        hint = "goes with --target and --json only"
        raise typer.BadParameter(hint, param_hint="--sites" if sites else "--transfer")
    if transfer and (sites or "," not in transfer):
        raise typer.BadParameter("names at least two cohorts, without --sites", param_hint="--transfer")
    with reporting(as_json) as report:
        if files:
            show_sites(report, files, site_keys, target)
        elif transfer:
            show_transfer(report, [name.strip() for name in transfer.split(",")], target)
        else:
            loaded, shown_target = _read_board(report, cohort, target)
            if speed:
                show_speed(report, loaded, shown_target)
            else:
                keys = [key.strip() for key in columns.split(",")] if columns else []
                form = "json" if as_json else next(iter(formats), "")
                _show_board(report, loaded, shown_target, Track(track), keys, conditions, form)


def _read_board(report: Report, cohort: str | None, target: str | None) -> tuple[LoadedBoard, str]:
    """Read the board of a cohort, say which entries wait, and return it with the target to show."""
    from bench.actions.board import read_board
    from bench.errors import BenchError, Problem, did_you_mean

    loaded = read_board(cohort)
    say_waiting(report, loaded.waiting, loaded.spec.id)
    names = [t.name for t in loaded.spec.binary_targets]
    chosen = target or loaded.spec.headline
    if chosen not in names:
        message = f"{chosen!r} is not one of {', '.join(names)}.{did_you_mean(chosen, names)}"
        raise BenchError(Problem("target-unknown", message))
    return loaded, chosen


def _show_board(
    report: Report,
    loaded: LoadedBoard,
    target: str,
    track: Track,
    keys: Sequence[str],
    conditions: Sequence[tuple[str, str]],
    form: str,
) -> None:
    """Show the board of one target.

    Args:
        report: Where to.
        loaded: The board.
        target: The target.
        track: Which of the two rankings.
        keys: Chosen columns; none for those of the form.
        conditions: Keys and values of columns that the entries shown have.
        form: ``csv``, ``markdown``, ``latex`` or ``json``; empty for a table as wide as the terminal.
    """
    from bench.board.render import board_csv, board_latex, board_markdown
    from bench.board.table import board_table
    from bench.errors import BenchError, Problem

    assert loaded.board is not None
    if track is Track.CV5 and not loaded.board.cv5:
        raise BenchError(Problem("board-empty", f"Cohort {loaded.spec.id} has no entry of the cv5 track."))
    shown = board_table(loaded, target, track).where(conditions)
    picked = shown.choose(keys) if keys else default_columns(shown)
    if form == "json":
        report.result(board=loaded.board.plain(), target=target, track=str(track))
        report.result(**plain_table(shown, picked if keys else shown.columns))
    elif form == "csv":
        report.show(board_csv([shown], keys).decode().removesuffix("\n"))
    elif form == "markdown":
        report.show(board_markdown(shown, picked))
    elif form == "latex":
        report.show(board_latex(shown, picked))
    else:
        report.show(_wrapped(_board_sentence(loaded, shown, track), _terminal_width()) + "\n")
        show_table(report, shown, picked, fit=not keys)


def _condition(text: str) -> tuple[str, str]:
    """Key and value of a condition of ``--where``."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip() or not value.strip():
        raise typer.BadParameter("must be KEY=VALUE, such as zero_shot=yes", param_hint="--where")
    return key.strip(), value.strip()


def default_columns(shown: BoardTable) -> tuple[Column, ...]:
    """The columns that are shown without a choice, where there is room."""
    return tuple(column for column in shown.columns if column.priority is not None)


def plain_table(shown: BoardTable, columns: Sequence[Column]) -> dict[str, Any]:
    """The table as the JSON object holds it, as ``leaderboard.json`` does."""
    from bench.publish.exports import column_summary
    from bench.publish.schemas import short_cell

    return {
        "columns": [column_summary(column, shown).plain() for column in columns],
        "rows": [
            {"slug": row.slug, "cells": {c.key: short_cell(shown.cell(row, c)) for c in columns}}
            for row in shown.rows
        ],
    }


def show_table(report: Report, shown: BoardTable, columns: Sequence[Column], *, fit: bool) -> None:
    """Show the table as wide as the terminal, its footnotes below.

    Args:
        report: Where to.
        shown: The table.
        columns: Those to show.
        fit: Whether columns may be left out where the terminal is too narrow; the others say how to see them.
    """
    from bench.board.render import texts

    width = _terminal_width()
    kept = _fitting(shown, columns, width) if fit and width else tuple(columns)
    rows, reasons = texts(shown, kept)
    report.show(_rich_table(kept, rows, width))
    for number, reason in enumerate(reasons, 1):
        report.show(_wrapped(f"[{number}] {reason}", width, "    "))
    if left_out := [column.key for column in columns if column not in kept]:
        hint = f"No room for {', '.join(left_out)}: choose with --columns KEY,..., or see --csv."
        report.show("\n" + _wrapped(hint, width))


def _terminal_width() -> int:
    """Width of the terminal, or the variable COLUMNS; 0 without either: nothing limits the width."""
    return shutil.get_terminal_size((0, 0)).columns


def _wrapped(text: str, width: int, indent: str = "") -> str:
    return textwrap.fill(text, width, subsequent_indent=indent) if width else text


def _fitting(shown: BoardTable, columns: Sequence[Column], width: int) -> tuple[Column, ...]:
    """The columns of the first priorities that fit into `width`."""
    from rich.cells import cell_len

    from bench.board.render import texts

    rows, _ = texts(shown, columns)
    widths = {}
    for i, column in enumerate(columns):
        widest = max(cell_len(text) for text in [column.label, *(row[i] for row in rows)])
        widths[column.key] = min(widest, WRAPPED_WIDTH) if _wraps(column) else widest
    used, kept = -GAP, set()
    for column in sorted(columns, key=lambda column: column.priority or 0):
        if not column.priority or used + GAP + widths[column.key] <= width:
            used += GAP + widths[column.key]
            kept.add(column.key)
    return tuple(column for column in columns if column.key in kept)


def _wraps(column: Column) -> bool:
    """Return whether a narrow terminal may break the column's texts over lines."""
    return not column.numeric and column.priority != 0


def _rich_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> str:
    import io

    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    for column in columns:
        narrow = WRAPPED_WIDTH if width and _wraps(column) else None
        justify: Any = "right" if column.numeric else "left"
        grid.add_column(Text(column.label), justify=justify, overflow="fold", max_width=narrow)
    for row in rows:
        grid.add_row(*map(Text, row))
    out = io.StringIO()
    Console(file=out, width=width or 10_000, color_system=None, legacy_windows=False).print(grid)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _board_sentence(loaded: LoadedBoard, shown: BoardTable, track: Track) -> str:
    assert loaded.board is not None
    test = loaded.board.test_set
    kind = "SYNTHETIC " if loaded.board.stamp.synthetic else ""
    ranked = len(shown.ranked)
    entries = "1 entry" if ranked == 1 else f"{ranked} entries"
    images = (
        "out-of-fold predictions for all images, fold-averaged AUROC"
        if track == "cv5"
        else f"{test.images:,} test images of {test.patients:,} patients"
    )
    about = f"{kind}{loaded.board.title}, {shown.label}: {entries} on {images}."
    return " ".join(filter(None, (about, shown.sentence, shown.leader_sentence)))


def say_waiting(report: Report, waiting: Sequence[str], cohort: str) -> None:
    """Name the entries that are not on the board because they were not scored yet."""
    if waiting:
        listed = ", ".join(waiting)
        report.say(
            f"Not scored yet, so not on the board: {listed}. See `bench score --all --cohort {cohort}`."
        )


HEADINGS = ["entry", "AUROC", "p50 ms", "images/s", "of limit", "front", "note"]
SERVICE_HEADINGS = [
    "entry",
    "batch",
    "1 in flight",
    "2 in flight",
    "4 in flight",
    "from files ms",
    "cold start s",
    "requests/s",
]


def show_speed(report: Report, loaded: LoadedBoard, target: str) -> None:
    """Show every setting in which entries were timed, at batch 1; ranked entries first."""
    from bench.board.pareto import speed_columns
    from bench.board.speed_words import service_cells

    columns = speed_columns(loaded.entries.values(), target)
    report.result(target=target, batch=1, speed=[_plain(column) for column in columns])
    if not columns:
        report.show("No entry has been timed at batch 1; see `bench time --all`.")
    for column in columns:
        setting = column.setting
        kind = "GPU" if setting.is_gpu else "CPU"
        report.show(f"{setting.backend}, {setting.precision}, {setting.device} ({kind}), batch 1")
        report.show(table(HEADINGS, [_cells(row) for row in column.rows], right=frozenset({1, 2, 3, 4})))
        report.show("images/s at p50 ms, with 1, 2 and 4 batches in flight; image files to predictions, p50;")
        report.show("fresh process to first answer; arrivals at random with p99 within the bound:")
        timed = [(row.slug, timing) for row in column.rows for timing in row.record.batches]
        cells = [[slug, *service_cells(timing)] for slug, timing in timed]
        report.show(table(SERVICE_HEADINGS, cells, right=frozenset(range(1, len(SERVICE_HEADINGS)))))
        report.show("")
    if columns:
        report.show("front: no ranked entry of the table is both at least as fast and at least as good.")


def _cells(row: SpeedRow) -> list[str]:
    images, fraction = row.timing.throughput.images_per_s, row.timing.limit_fraction
    return [
        row.slug,
        "–" if row.auroc is None else f"{row.auroc:.3f}",
        "–" if row.latency_ms is None else f"{row.latency_ms:.3g}",
        "–" if images is None else f"{images:,.0f}",
        "–" if fraction is None else f"{100 * fraction:.0f}%",
        "yes" if row.on_front else "",
        f"not ranked, {row.why}" if row.why else "",
    ]


def _plain(column: SpeedColumn) -> dict[str, Any]:
    return {
        "backend": column.setting.backend,
        "device": column.setting.device,
        "precision": column.setting.precision,
        "is_gpu": column.setting.is_gpu,
        "rows": [
            {
                "slug": row.slug,
                "auroc": row.auroc,
                "latency_ms": row.latency_ms,
                "images_per_s": row.timing.throughput.images_per_s,
                "limit_fraction": row.timing.limit_fraction,
                "ranked": not row.why,
                "on_front": row.on_front,
                "why": row.why,
                "service": [
                    timing.model_dump(
                        mode="json", include={"batch", "load_curve", "server", "pipeline", "cold_start"}
                    )
                    for timing in row.record.batches
                ],
            }
            for row in column.rows
        ],
    }
