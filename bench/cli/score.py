"""`bench score` and `bench verify`."""

from __future__ import annotations

import os
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
    require_entries,
)
from bench.cli.output import Report, figure, interval, progress, reporting, table

if TYPE_CHECKING:
    from bench.scoring.scorecard import Scorecard

PrevalenceOption = Annotated[
    float | None,
    typer.Option(
        "--prevalence",
        metavar="SHARE",
        help="Also show what the operating points do at this prevalence, such as 0.05.",
    ),
]
Slugs = Annotated[list[str] | None, typer.Argument(metavar="SLUG", help="Entries; none with --all.")]


def _entries(slugs: list[str] | None, everything: bool) -> list[str] | None:
    """The named entries; None for all."""
    if bool(slugs) == everything:
        raise typer.BadParameter("name entries, or say --all", param_hint="SLUG")
    return slugs or None


def score(
    slugs: Slugs = None,
    everything: Annotated[bool, typer.Option("--all", help="Score every entry.")] = False,
    replicates: ReplicatesOption = 2000,
    seed: SeedOption = 0,
    prevalence: PrevalenceOption = None,
    aggregate_out: Annotated[
        Path | None,
        typer.Option(
            "--aggregate-out", metavar="FILE", help="Also write the signed aggregates of these entries."
        ),
    ] = None,
    site: Annotated[str, typer.Option("--site", metavar="NAME", help="The hospital that signs them.")] = "",
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="Its private key, see bench keygen.")
    ] = None,
    jobs: JobsOption = None,
    scheduler: SchedulerOption = None,
    cohort: CohortOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score entries, write their scorecards, and compare all entries on the board.

    Example: bench score my-model

    Example: bench score --all --aggregate-out north.json --site north --key north.pem
    """
    from bench.actions.score import score as score_entries

    if prevalence is not None and not 0 < prevalence < 1:
        raise typer.BadParameter("a share between 0 and 1, such as 0.05", param_hint="--prevalence")
    if not (bool(aggregate_out) == bool(site) == bool(key)):
        raise typer.BadParameter("--site, --key and this belong together", param_hint="--aggregate-out")
    chosen = _entries(slugs, everything)
    with reporting(as_json) as report:
        require_entries(chosen, cohort)
        if key:
            from bench.actions.sites import require_signer

            require_signer(site, key)
        opened = open_cohort(cohort, data)
        cards: list[dict[str, Any]] = []
        shifts: dict[str, dict[str, Any]] = {}

        def finished(card: Scorecard) -> None:
            _show_card(report, card)
            if prevalence is not None:
                shifts[card.slug] = _show_prevalence(report, card, prevalence)
            if as_json:
                cards.append(card.plain())

        report.result(
            cohort=opened.spec.id, synthetic=opened.synthetic, scorecards=cards, prevalence_shifts=shifts
        )
        with progress("Scoring") as step:
            done = score_entries(
                chosen,
                replicates=replicates,
                seed=seed,
                jobs=jobs,
                scheduler=scheduler,
                cohort=opened,
                progress=step,
                finished=finished,
            )
        say_waiting(report, done.waiting, done.cohort)
        if aggregate_out and key:
            from bench.actions.sites import write_aggregate

            report.show_problems(
                write_aggregate(aggregate_out, site=site, key=key, entries=chosen, cohort=opened)
            )
            report.result(aggregate=str(aggregate_out), site=site)
            report.say(f"Aggregates of {site}, signed: {aggregate_out}. This file may leave the hospital.")
        report.say(f"On the board: {len(done.board.scorecards)}. Next: bench board, bench site build")


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
    from bench.board.format import decimal
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
    for target in card.targets:
        if (runs := target.runs) is not None:
            each = ", ".join(map(decimal, runs.auroc))
            report.show(f"{target.label}: mean of {runs.count} runs with AUROC {each}")
    for flag in card.flags:
        report.show(f"flag {flag.code}, {flag.target}: {flag.message}")
    report.show("")


def verify(
    slugs: Annotated[
        list[str] | None, typer.Argument(metavar="SLUG", help="Entries; default: all, and the board.")
    ] = None,
    jobs: JobsOption = None,
    scheduler: SchedulerOption = None,
    cohort: CohortOption = None,
    data: DataOption = None,
    no_data: Annotated[
        bool, typer.Option("--no-data", help="Check the files of all cohorts' entries; compute nothing.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="COMMIT", help="With --no-data: show entries changed after it."),
    ] = None,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="With --no-data: print a Markdown report.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Score stored entries again and compare every number with what is stored.

    Example: bench verify
    """
    from bench.actions.verify import verify as verify_entries
    from bench.errors import raise_errors

    if no_data and (slugs or cohort or data or jobs or scheduler):
        raise typer.BadParameter("checks all entries; it goes with --since alone", param_hint="--no-data")
    if not no_data and (since or as_markdown):
        raise typer.BadParameter("go with --no-data", param_hint="--since, --markdown")
    if no_data:
        _verify_stored(since, as_markdown=as_markdown, as_json=as_json)
        return

    with reporting(as_json) as report:
        require_entries(slugs, cohort)
        opened = open_cohort(cohort, data)
        with progress("Verifying") as step:
            verification = verify_entries(
                slugs or None, jobs=jobs, scheduler=scheduler, cohort=opened, progress=step
            )
        report.result(
            entries=list(verification.entries),
            differing=len(verification.problems),
            unverified=list(verification.unverified),
        )
        raise_errors(verification.problems)
        report.show(
            f"{len(verification.entries)} entries verified: scorecards and board were computed again."
        )
        report.show(f"Not verified: {'; '.join(verification.unverified)}.")


def _verify_stored(since: str | None, *, as_markdown: bool, as_json: bool) -> None:
    from bench.actions.verify import verify_stored
    from bench.board.format import plural
    from bench.board.render import markdown
    from bench.errors import Problem, raise_errors

    def inert(text: str) -> str:
        """A stranger's text in a comment: one line, no markup, and nobody is notified."""
        return markdown(" ".join(text.split())).replace("@", "&#64;")

    def fault(problem: Problem) -> str:
        place, remedy = os.path.relpath(problem.where), problem.as_dict()["remedy"]
        return f"`{problem.code}` {inert(problem.message)} ({inert(place)}) {inert(remedy)}"

    headings = ["cohort", "entry", "name", "team", "kind", "track", "state"]
    with reporting(as_json) as report:
        stored = verify_stored(since=since)
        rows = [
            [e.cohort, e.entry.slug, m.name, m.team, m.kind, str(m.track), e.state]
            for e in stored.entries
            if e.changed
            for m in [e.entry.manifest]
        ]
        report.result(
            checked=len(stored.entries),
            changed=[dict(zip(headings, row, strict=True)) for row in rows],
            problems_found=len(stored.problems),
        )
        counts = plural(len(stored.entries), "entry", "entries"), plural(len(stored.problems), "problem")
        summary = f"Checked without data: {counts[0]}, {counts[1]}."
        if as_markdown:
            lines = [headings, ["---"] * len(headings), *(list(map(inert, row)) for row in rows)]
            body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
            faults = "\n".join(f"- {fault(p)}" for p in stored.problems[:50])
            report.show("\n\n".join(part for part in (summary, body if rows else "", faults) if part))
        elif rows:
            report.show(table(headings, rows))
        raise_errors(stored.problems)
        if not as_markdown:
            report.show(summary)
