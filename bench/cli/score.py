"""`bench score` and `bench verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.board import say_waiting
from bench.cli.options import (
    CohortOption,
    DataOption,
    JobsOption,
    JsonOption,
    ReplicatesOption,
    SchedulerOption,
    SeedOption,
    open_cohort,
    workspace,
)
from bench.cli.output import Report, figure, interval, progress, reporting, table

if TYPE_CHECKING:
    from bench.scoring.scorecard import Scorecard
    from bench.submission.store import Submission

PrevalenceOption = Annotated[
    float | None,
    typer.Option(
        "--prevalence",
        metavar="SHARE",
        help="Also show what the operating points do at this prevalence, such as 0.05.",
    ),
]
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
    prevalence: PrevalenceOption = None,
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
    from bench.environment import paused_garbage_collection, usable_cores
    from bench.files import clear_parts, locked, recover_folders, write_json
    from bench.scoring import attempts
    from bench.scoring.cluster import on_cluster
    from bench.scoring.run import make_plans, score_all
    from bench.submission.store import LOCK, list_submissions

    if prevalence is not None and not 0 < prevalence < 1:
        raise typer.BadParameter("a share between 0 and 1, such as 0.05", param_hint="--prevalence")
    with reporting(as_json) as report:
        space, opened = workspace(), open_cohort(cohort, data)
        folder = space.submissions(opened.spec.id)
        if folder.is_dir():
            with locked(folder / LOCK):
                recover_folders(folder)
                clear_parts(folder / attempts.FOLDER)
        entries = _chosen(slugs, everything, folder)
        cache = space.cache / "replicates"
        refuse_mixed(list_submissions(folder), entries, replicates, seed, board=space.board(opened.spec.id))
        plans = make_plans(opened, entries, replicates=replicates, seed=seed)
        cards: list[dict[str, Any]] = []
        shifts: dict[str, dict[str, Any]] = {}

        def finished(card: Scorecard) -> None:
            _show_card(report, card)
            if prevalence is not None:
                shifts[card.slug] = _show_prevalence(report, card, prevalence)
            if as_json:
                cards.append(card.plain())

        with on_cluster(scheduler) as threads, progress("Scoring") as step:
            workers = jobs or threads or usable_cores()
            score_all(plans, entries, cache, jobs=workers, progress=step, finished=finished)
        report.result(
            cohort=opened.spec.id, synthetic=opened.synthetic, scorecards=cards, prevalence_shifts=shifts
        )
        with locked(folder / LOCK), paused_garbage_collection():
            clear_parts(folder)
            stored = list_submissions(folder)
            board = build_board(opened, stored, cache, plans)
            write_json(space.board(opened.spec.id), board.plain())
        say_waiting(report, [entry.slug for entry in stored if entry.waiting], opened.spec.id)
        report.say(f"On the board: {len(board.scorecards)}. Next: bench board, bench site build")


def _show_prevalence(report: Report, card: Scorecard, prevalence: float) -> dict[str, Any]:
    """Show what the operating points would do at another prevalence; also by target, as JSON."""
    from bench.scoring.tables import prevalence_shift

    rows, shifts = [], {}
    for target in card.targets:
        if not target.prevalence or not target.operating_points:
            continue
        probabilities = card.scores == "probability"
        shift = prevalence_shift(
            target.prevalence, target.operating_points, prevalence, probabilities=probabilities
        )
        shifts[target.target] = shift.plain()
        rows += [
            [
                target.label,
                point.rule,
                f"{100 * point.called:.1f}",
                *("n/a" if share is None else f"{share:.3f}" for share in (point.ppv, point.npv)),
                "n/a" if point.net_benefit is None else f"{point.net_benefit:.4f}",
                f"{shift.intercept:+.3f}",
            ]
            for point in shift.points
        ]
    headings = ["target", "keeps", "called of 100", "PPV", "NPV", "net benefit", "add to log odds"]
    report.show(f"At a prevalence of {100 * prevalence:g}%, with the same sensitivity and specificity:")
    report.show(table(headings, rows, right=frozenset(range(2, len(headings)))))
    report.show("")
    return shifts


def _show_card(report: Report, card: Scorecard) -> None:
    from bench.metrics.registry import BINARY, metrics

    synthetic = " (synthetic cohort)" if card.stamp.synthetic else ""
    report.show(f"{card.slug}{synthetic}")
    shown = [m for m in metrics(*BINARY).values() if m.summary and m.key != "auroc"]
    rows = [
        [
            target.label,
            f"{target.images:,}",
            f"{target.positives:,}",
            interval(target.ranked),
            *(figure(target.metrics.get(metric.key), metric.digits) for metric in shown),
        ]
        for target in card.targets
    ]
    headings = ["target", "images", "positives", "AUROC", *(metric.short_label for metric in shown)]
    report.show(table(headings, rows, right=frozenset({1, 2, *range(4, len(headings))})))
    for flag in card.flags:
        report.show(f"flag {flag.code}, {flag.target}: {flag.message}")
    report.show("")


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
