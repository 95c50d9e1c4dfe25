"""`bench board`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import CohortOption, JsonOption, choose_spec, workspace
from bench.cli.output import Report, difference, figure, interval, reporting, table

if TYPE_CHECKING:
    from bench.board.model import LoadedBoard, TargetBoard
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.board.model import LoadedBoard
    from bench.board.pareto import SpeedColumn, SpeedRow


TIED = "tied with first"
FLAGS = {"below-age-and-sex": "below age and sex alone"}


def board(
    target: Annotated[str | None, typer.Option("--target", help="Target; default: the headline.")] = None,
    track: Annotated[str, typer.Option("--track", help="`holdout` (test images) or `cv5`.")] = "holdout",
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    speed: Annotated[bool, typer.Option("--speed", help="Latency beside AUROC, by device.")] = False,
    cohort: CohortOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the leaderboard: rank intervals, AUROC, and how many cannot be told apart from the first.

    Example: bench board --target slvh
    """
    from bench.board.inputs import ScorecardSummary
    from bench.board.load import load_board
    from bench.environment import paused_garbage_collection
    from bench.errors import BenchError, Problem, did_you_mean

    if track not in ("holdout", "cv5"):
        raise typer.BadParameter("must be `holdout` or `cv5`", param_hint="--track")
    if speed and (as_csv or track != "holdout"):
        raise typer.BadParameter("goes with neither --csv nor --track cv5", param_hint="--speed")
    with reporting(as_json) as report:
        spec = choose_spec(cohort)
        folder = workspace().submissions(spec.id)
        with paused_garbage_collection():
            loaded = load_board(spec, folder, ScorecardSummary)
        say_waiting(report, loaded.waiting, spec.id)
        if loaded.board is None:
            raise BenchError(Problem("board-empty", f"Cohort {spec.id} has no scored entry."))
        names = [t.name for t in spec.binary_targets]
        chosen = target or spec.headline
        if chosen not in names:
            message = f"{chosen!r} is none of {', '.join(names)}.{did_you_mean(chosen, names)}"
            raise BenchError(Problem("target-unknown", message))
        if speed:
            show_speed(report, loaded, chosen)
            return
        if track == "cv5" and not loaded.board.cv5:
            raise BenchError(Problem("board-empty", f"Cohort {spec.id} has no entry of the cv5 track."))
        shown = loaded.board.target(chosen, "cv5" if track == "cv5" else "holdout")
        report.result(board=loaded.board.plain(), target=chosen, track=track)
        rows = _board_rows(loaded, shown)
        if as_csv:
            import csv
            import io

            from bench.publish.exports import inert

            text = io.StringIO()
            named = [[*row[:1], *map(inert, row[1:3]), *row[3:]] for row in rows]
            csv.writer(text, lineterminator="\n").writerows(named)
            report.show(text.getvalue().removesuffix("\n"))
            return
        report.show(_board_sentence(loaded, shown, track) + "\n")
        report.show(table(rows[0], rows[1:], right=frozenset({0})))
        if any(TIED in row[-1] for row in rows[1:]):
            report.show(
                f"\n{TIED}: not told apart when all pairs are tested together. Rank and difference are each"
            )
            report.show("for one entry or pair alone, a milder test, so that they may say more.")


def _board_sentence(loaded: LoadedBoard, shown: TargetBoard, track: str) -> str:
    assert loaded.board is not None
    test = loaded.board.test_set
    kind = "SYNTHETIC " if loaded.board.stamp.synthetic else ""
    ranked = sum(standing.rank is not None for standing in shown.standings)
    told = (
        f"; {shown.not_told_apart} cannot be told apart from the first (95%)"
        if shown.not_told_apart
        else "; the first is told apart from all others (95%)"
        if ranked > 1
        else ""
    )
    entries = "1 entry" if ranked == 1 else f"{ranked} entries"
    images = (
        "out-of-fold predictions for all images, fold-averaged AUROC"
        if track == "cv5"
        else f"{test.images:,} test images of {test.patients:,} patients"
    )
    return f"{kind}{loaded.board.title}, {shown.label}: {entries} on {images}{told}."


def _board_rows(loaded: LoadedBoard, shown: TargetBoard) -> list[list[str]]:
    from bench.board.table import rank_text

    rows = [["rank", "entry", "name", "AUROC", "AUPRC", "ECE", "difference to first", "remark"]]
    for standing in shown.standings:
        entry = loaded.entries[standing.slug]
        found = entry.scorecard.target(shown.target) if entry.scorecard else None
        metric = found.metrics if found else {}
        gap = (
            ""
            if standing.difference is None
            else difference(standing.difference, standing.difference_low, standing.difference_high)
        )
        remark = standing.unranked_reason or (TIED if standing.with_leader and gap else "")
        remark = "; ".join(
            filter(None, (remark, *(FLAGS.get(flag.code, flag.code) for flag in standing.flags)))
        )
        rows.append(
            [
                rank_text(standing),
                standing.slug,
                entry.manifest.name,
                interval(found.ranked) if found else "–",
                figure(metric.get("auprc")),
                figure(metric.get("ece")),
                gap,
                remark,
            ]
        )
    return rows


def say_waiting(report: Report, waiting: Sequence[str], cohort: str) -> None:
    """Tells which entries are not on the board because they were not scored yet."""
    if waiting:
        listed = ", ".join(waiting)
        report.say(
            f"Not scored yet, so not on the board: {listed}. See `bench score --all --cohort {cohort}`."
        )


HEADINGS = ["entry", "AUROC", "p50 ms", "images/s", "of limit", "front", "remark"]


def show_speed(report: Report, loaded: LoadedBoard, target: str) -> None:
    """Shows every setting in which entries were timed, at batch 1; ranked entries first."""
    from bench.board.pareto import speed_columns

    columns = speed_columns(loaded.entries.values(), target)
    report.result(target=target, batch=1, speed=[_plain(column) for column in columns])
    if not columns:
        report.show("No entry has been timed at batch 1; see `bench time --all`.")
    for column in columns:
        setting = column.setting
        kind = "GPU" if setting.is_gpu else "CPU"
        report.show(f"{setting.backend}, {setting.precision}, {setting.device} ({kind}), batch 1")
        report.show(table(HEADINGS, [_cells(row) for row in column.rows], right=frozenset({1, 2, 3, 4})))
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
            }
            for row in column.rows
        ],
    }
