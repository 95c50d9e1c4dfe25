"""`bench compare`."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.options import (
    CohortOption,
    DataOption,
    JsonOption,
    ReplicatesOption,
    SeedOption,
    open_cohort,
)
from bench.cli.output import difference, figure, reporting, table
from bench.errors import Problem


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
    from bench.actions.compare import check_sides, compare_entries
    from bench.board.format import metric_label, p_text

    with reporting(as_json) as report:
        check_sides(a, b, cohort=cohort)
        opened = open_cohort(cohort, data)
        done = compare_entries(a, b, replicates=replicates, seed=seed, cohort=opened)
        lines = done.comparisons
        report.result(a=a, b=b, comparisons=[line.plain() for line in lines])
        report.show_problems(done.notices)
        if same := [line.label for line in lines if line.identical]:
            targets = "every target" if len(same) == len(lines) else ", ".join(same)
            report.show_problems([_identical(targets)])
        for line in lines:
            rows = [
                [
                    metric_label(metric.metric),
                    figure(metric.a),
                    figure(metric.b),
                    difference(metric.difference, metric.low, metric.high),
                    p_text(metric.p_value) or "–",
                ]
                for metric in line.metrics
            ]
            report.show(table([line.label, "A", "B", "A − B (95%)", "p"], rows))
            for metric in line.metrics:
                if metric.warnings:
                    report.show(f"warning, {metric_label(metric.metric)}: {'; '.join(metric.warnings)}")
            if line.net_benefit:
                words = (
                    f"{point.threshold:g}: {difference(point.difference, point.low, point.high, digits=4)}"
                    for point in line.net_benefit
                )
                report.show(f"Net benefit, A − B, by threshold: {'; '.join(words)}.")
            if line.net_benefit_warning:
                report.show(f"warning, net benefit: {line.net_benefit_warning}")
            apart = line.disagreement
            report.show(
                f"At as many calls as positives, A and B differ on {apart.images:,} images: A alone "
                f"calls {apart.positives_only_a:,} positive and {apart.negatives_only_a:,} negative images, "
                f"B alone {apart.positives_only_b:,} and {apart.negatives_only_b:,}.\n"
            )
        report.show("Intervals and p-values are by t for this pair alone; those of the board are adjusted")
        report.show("for all pairs of its entries.")


def _identical(targets: str) -> Problem:
    message = f"A and B hold identical predictions for {targets}: every difference is 0."
    return Problem("compare-identical", message, severity="warning")
