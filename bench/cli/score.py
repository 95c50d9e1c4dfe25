"""`bench score`, `board`, `compare` and `verify`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import (
    CohortOption,
    DataOption,
    JobsOption,
    JsonOption,
    ReplicatesOption,
    SchedulerOption,
    SeedOption,
    choose_spec,
    open_cohort,
    workspace,
)
from bench.cli.output import Report, progress, reporting, table

if TYPE_CHECKING:
    from bench.board.model import LoadedBoard, TargetBoard
    from bench.scoring.scorecard import Estimate, Scorecard
    from bench.submission.store import Submission

TIED = "tied with first"
FLAGS = {"below-age-and-sex": "below age and sex alone"}
Slugs = Annotated[list[str] | None, typer.Argument(metavar="SLUG...", help="Entries; none with --all.")]


def _chosen(slugs: list[str] | None, everything: bool, folder: Path) -> list[Submission]:
    from bench.errors import BenchError, Problem
    from bench.submission.store import find_submission, list_submissions

    if bool(slugs) == everything:
        raise typer.BadParameter("name entries, or say --all", param_hint="SLUG")
    if everything:
        return [entry for entry in list_submissions(folder) if entry.manifest.kind != "reported"]
    entries = [find_submission(folder, slug) for slug in slugs or ()]
    if reported := [entry.slug for entry in entries if entry.manifest.kind == "reported"]:
        message = f"{', '.join(reported)}: published numbers only, no predictions to score."
        raise BenchError(Problem("entry-reported", message))
    return entries


def score(
    slugs: Slugs = None,
    everything: Annotated[bool, typer.Option("--all", help="Score every entry.")] = False,
    replicates: ReplicatesOption = 2000,
    seed: SeedOption = 0,
    jobs: JobsOption = None,
    scheduler: SchedulerOption = None,
    cohort: CohortOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score entries, write their scorecards, and compare all entries on the board.

    Example: bench score my-model
    """
    from bench.board.build import build_board, refuse_mixed
    from bench.environment import usable_cores
    from bench.files import clear_parts, locked, recover_folders, write_json
    from bench.scoring.cluster import on_cluster
    from bench.scoring.run import make_plans, score_all
    from bench.submission.store import list_submissions

    with reporting(as_json) as report:
        space, opened = workspace(), open_cohort(cohort, data)
        folder = space.submissions(opened.spec.id)
        if folder.is_dir():
            with locked(folder / ".lock"):
                recover_folders(folder)
        entries = _chosen(slugs, everything, folder)
        cache = space.cache / "replicates"
        refuse_mixed(list_submissions(folder), entries, replicates, seed, board=space.board(opened.spec.id))
        plans = make_plans(opened, entries, replicates=replicates, seed=seed)
        cards: list[dict[str, Any]] = []

        def finished(card: Scorecard) -> None:
            _show_card(report, card)
            if as_json:
                cards.append(card.plain())

        with on_cluster(scheduler) as threads, progress("Scoring") as step:
            workers = jobs or threads or usable_cores()
            score_all(plans, entries, cache, jobs=workers, progress=step, finished=finished)
        report.result(cohort=opened.spec.id, synthetic=opened.synthetic, scorecards=cards)
        with locked(folder / ".lock"):
            clear_parts(folder)
            stored = list_submissions(folder)
            board = build_board(opened, stored, cache, plans)
            write_json(space.board(opened.spec.id), board.plain())
        _say_unscored(report, [entry.slug for entry in stored if entry.waiting])
        report.say(f"On the board: {len(board.scorecards)}. Next: bench board, bench site build")


def _say_unscored(report: Report, waiting: Sequence[str]) -> None:
    if waiting:
        report.say(f"Not scored yet, so not on the board: {', '.join(waiting)}. See `bench score --all`.")


def _show_card(report: Report, card: Scorecard) -> None:
    synthetic = " (synthetic cohort)" if card.stamp.synthetic else ""
    report.show(f"{card.slug}{synthetic}")
    rows = []
    for target in card.targets:
        metric = target.metrics
        rows.append(
            [
                target.label,
                f"{target.images:,}",
                f"{target.positives:,}",
                interval(target.ranked),
                interval(metric["auprc"]),
                interval(metric["brier"]),
                interval(metric["calibration_slope"], 2),
            ]
        )
    headings = ["target", "images", "positives", "AUROC", "AUPRC", "Brier", "calibration slope"]
    report.show(table(headings, rows, right=frozenset({1, 2})))
    for flag in card.flags:
        report.show(f"flag {flag.code}, {flag.target}: {flag.message}")
    report.show("")


def interval(estimate: Estimate, digits: int = 3) -> str:
    """An estimate as text: value and interval, or why there is none."""
    if estimate.value is None:
        return f"– ({estimate.reason})"
    value = f"{estimate.value:.{digits}f}"
    if estimate.low is None or estimate.high is None:
        return f"{value} (no interval)"
    return f"{value} ({estimate.low:.{digits}f}–{estimate.high:.{digits}f})"


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
    from bench.board.outline import ScorecardSummary
    from bench.board.stored import load_board
    from bench.errors import BenchError, Problem
    from bench.hints import did_you_mean

    if track not in ("holdout", "cv5"):
        raise typer.BadParameter("must be `holdout` or `cv5`", param_hint="--track")
    if speed and (as_csv or track != "holdout"):
        raise typer.BadParameter("goes with neither --csv nor --track cv5", param_hint="--speed")
    with reporting(as_json) as report:
        spec = choose_spec(cohort)
        folder = workspace().submissions(spec.id)
        loaded = load_board(spec, folder, ScorecardSummary)
        _say_unscored(report, loaded.waiting)
        if loaded.board is None:
            raise BenchError(Problem("board-empty", f"Cohort {spec.id} has no scored entry."))
        names = [t.name for t in spec.binary_targets]
        chosen = target or spec.headline
        if chosen not in names:
            message = f"{chosen!r} is none of {', '.join(names)}.{did_you_mean(chosen, names)}"
            raise BenchError(Problem("target-unknown", message))
        if speed:
            from bench.cli.speed import show_speed

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
    rows = [["rank", "entry", "name", "AUROC", "AUPRC", "ECE", "difference to first", "remark"]]
    for standing in shown.standings:
        entry = loaded.entries[standing.slug]
        found = entry.scorecard.target(shown.target) if entry.scorecard else None
        metric = found.metrics if found else {}
        span = (
            "–"
            if standing.rank is None
            else f"{standing.rank_low}"
            if standing.rank_low == standing.rank_high
            else f"{standing.rank_low}–{standing.rank_high}"
        )
        gap = (
            ""
            if standing.difference is None
            else f"{standing.difference:+.3f} "
            f"({standing.difference_low:+.3f} to {standing.difference_high:+.3f})"
        )
        remark = standing.unranked_reason or (TIED if standing.with_leader and gap else "")
        remark = "; ".join(
            filter(None, (remark, *(FLAGS.get(flag.code, flag.code) for flag in standing.flags)))
        )
        rows.append(
            [
                span,
                standing.slug,
                entry.manifest.name,
                interval(found.ranked) if found else "–",
                _value(metric.get("auprc")),
                _value(metric.get("ece")),
                gap,
                remark,
            ]
        )
    return rows


def _value(estimate: Estimate | None) -> str:
    return "–" if estimate is None or estimate.value is None else f"{estimate.value:.3f}"


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="An entry's slug or a predictions file.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The other one.")],
    replicates: ReplicatesOption = 2000,
    seed: SeedOption = 0,
    cohort: CohortOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two entries or files, per target: paired differences with interval and p, calibration, calls.

    Example: bench compare cnn-small demographics
    """
    from bench.publish.format import metric_label
    from bench.scoring.compare import compare_predictions, read_either

    with reporting(as_json) as report:
        opened = open_cohort(cohort, data)
        folder = workspace().submissions(opened.spec.id)
        pair = [read_either(name, folder, opened) for name in (a, b)]
        lines = compare_predictions(opened, pair[0], pair[1], replicates=replicates, seed=seed)
        report.result(a=a, b=b, comparisons=[line.plain() for line in lines])
        for line in lines:
            rows = [
                [
                    metric_label(metric.metric),
                    _value(metric.a),
                    _value(metric.b),
                    _difference(metric.difference, metric.low, metric.high),
                    "–" if metric.p_value is None else f"{metric.p_value:.3g}",
                ]
                for metric in line.metrics
            ]
            report.show(table([line.label, "A", "B", "A − B (95%)", "p"], rows))
            apart = line.disagreement
            report.show(
                f"At as many calls as positives, A and B differ on {apart.images:,} images: A alone "
                f"calls {apart.positives_only_a:,} positive and {apart.negatives_only_a:,} negative images, "
                f"B alone {apart.positives_only_b:,} and {apart.negatives_only_b:,}.\n"
            )
        report.show(
            "Intervals use t with the degrees of freedom of the data, p the normal distribution: where"
        )
        report.show(
            "they disagree, few patients carry the difference, and the interval is the more cautious."
        )


def _difference(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "–"
    if low is None or high is None:
        return f"{value:+.3f} (no interval)"
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


def verify(
    slugs: Slugs = None,
    jobs: JobsOption = None,
    scheduler: SchedulerOption = None,
    cohort: CohortOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score stored entries again and compare every number with what is stored.

    Example: bench verify
    """
    from bench.board.verify import verify_entries
    from bench.environment import usable_cores
    from bench.errors import raise_errors
    from bench.scoring.cluster import on_cluster

    with reporting(as_json) as report:
        space, opened = workspace(), open_cohort(cohort, data)
        entries = _chosen(slugs, not slugs, space.submissions(opened.spec.id))
        with on_cluster(scheduler) as threads, progress("Verifying") as step:
            problems = verify_entries(
                opened,
                entries,
                space.board(opened.spec.id),
                whole=not slugs,
                jobs=jobs or threads or usable_cores(),
                progress=step,
            )
        report.result(entries=[entry.slug for entry in entries], differing=len(problems))
        raise_errors(problems)
        report.show(f"{len(entries)} entries verified: every stored number was computed again.")
