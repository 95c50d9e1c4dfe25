"""How often 95% intervals hold the truth on clustered data: `python -m tests.simulation`, about half an hour.

Prints two tables: intervals for the AUROC side by side, and every interval of `bench.evaluate` and
`bench.compare`. Coverage has a standard error of 0.5 points with 2,000 cohorts.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit, logit, stdtrit

import bench
from bench.metrics import registry
from bench.metrics.influence import obuchowski_se
from bench.metrics.prepared import LabelledScores
from bench.metrics.score_ranking import ScoreRanking
from tests.simulation.cohorts import SETTINGS, Cohort, Setting, draw

POPULATION = 400_000
"""Patients from which the truth is read, where there is no closed form."""

SINGLE = tuple(name for name in registry.keys(*registry.BINARY) if name not in ("smooth_ece", "ece"))
PAIRED = ("auroc", "auprc", "sensitivity_at_90_specificity", "brier", "scaled_brier", "log_loss")


@dataclass
class Tally:
    """Counts of intervals that held the truth."""

    held: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    given: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    df: list[float] = field(default_factory=list)
    positive_patients: list[int] = field(default_factory=list)

    def add(self, name: str, low: float | None, high: float | None, truth: float) -> None:
        if low is not None and high is not None:
            self.given[name] += 1
            self.held[name] += low <= truth <= high

    def coverage(self, name: str) -> float:
        return 100 * self.held[name] / self.given[name] if self.given[name] else float("nan")


def truths(setting: Setting, rng: np.random.Generator) -> dict[str, float]:
    """The value of every metric in a population, and of every paired difference."""
    many = draw(setting, rng, POPULATION)
    one = bench.PatientBootstrap.from_counts(many.patient, np.ones((1, POPULATION)), np.arange(POPULATION))
    found = {
        name: estimate.value for name, estimate in bench.evaluate(many.y, many.first, bootstrap=one).items()
    }
    found["auroc"] = setting.auroc
    for name in PAIRED:
        value = registry.metric(name).value
        first, second = (value(LabelledScores(many.y, score)) for score in (many.first, many.second))
        found[f"Δ {name}"] = first - second
    return found


def judge(cohort: Cohort, truth: dict[str, float], tally: Tally, replicates: int, seed: int) -> None:
    """Adds one cohort's intervals to the tally."""
    if cohort.y.all() or not cohort.y.any():
        return
    boot = bench.PatientBootstrap(cohort.patient, replicates, seed)
    result = bench.evaluate(cohort.y, cohort.first, bootstrap=boot)
    tally.positive_patients.append(result.positive_patients)
    for name in SINGLE:
        estimate = getattr(result, name)
        tally.add(name, estimate.low, estimate.high, truth[name])
    for name in PAIRED:
        found = bench.compare(cohort.y, cohort.first, cohort.second, metric=name, bootstrap=boot)
        tally.add(f"Δ {name}", found.low, found.high, truth[f"Δ {name}"])
    if result.auroc.low is not None:
        tally.df.append(result.auroc.df)
        rivals(cohort, result, truth["auroc"], tally, replicates, seed)


def rivals(
    cohort: Cohort, result: bench.Evaluation, truth: float, tally: Tally, replicates: int, seed: int
) -> None:
    """The intervals that others use for the AUROC."""
    area = result.auroc.value
    tally.add("patient percentile", result.auroc.percentile_low, result.auroc.percentile_high, truth)
    near = 0.5 / (cohort.y.sum() * (~cohort.y).sum())
    spread = np.nanstd(logit(np.clip(result.auroc_replicates, near, 1 - near)), ddof=1)
    middle = logit(np.clip(area, near, 1 - near))
    low, high = expit(middle + np.array([-1.96, 1.96]) * spread)
    tally.add("logit, normal", low, high, truth)
    few = stdtrit(result.positive_patients - 1, 0.975)
    low, high = expit(middle + np.array([-few, few]) * spread)
    tally.add("logit, t(positive patients - 1)", low, high, truth)
    rows = np.arange(len(cohort.y))
    se = obuchowski_se(ScoreRanking.of(cohort.y, cohort.first), rows)
    tally.add("DeLong", area - 1.96 * se, area + 1.96 * se, truth)
    drawn = bench.PatientBootstrap(rows, replicates, seed).replicates(cohort.y, cohort.first)
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    tally.add("image bootstrap", low, high, truth)


def simulate(setting: Setting, cohorts: int, replicates: int, seed: int) -> Tally:
    """Draws `cohorts` cohorts and counts."""
    rng = np.random.default_rng([seed, sum(setting.name.encode())])
    truth, tally = truths(setting, rng), Tally()
    for number in range(cohorts):
        judge(draw(setting, rng), truth, tally, replicates, number)
    return tally


RIVALS = {
    "image bootstrap": "image bootstrap",
    "DeLong": "DeLong",
    "patient percentile": "patient percentile",
    "logit, normal": "logit, normal",
    "logit, t(positive patients - 1)": "logit, t(positive patients - 1)",
    "**logit-t**": "auroc",
}
"""Columns of the first table, and where they are counted."""


def row(cells: Iterable[str]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def head(cells: Sequence[str]) -> str:
    """The first two lines of a Markdown table."""
    return row(cells) + "\n" + row("---" for _ in cells)


def main() -> None:
    """Reads the options, simulates, prints each row when it is done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=2000)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="part of a setting's name")
    options = parser.parse_args()
    print(f"Coverage of nominal 95% intervals for the AUROC, {options.cohorts:,} cohorts each\n")
    print(head(("patients × images, clustering", *RIVALS, "df (median)", "positive patients (median)")))
    found = {}
    for setting in SETTINGS:
        if options.only not in setting.name:
            continue
        tally = found[setting] = simulate(setting, options.cohorts, options.replicates, options.seed)
        cells = [f"{tally.coverage(name):.1f}" for name in RIVALS.values()]
        sizes = f"{np.median(tally.df):.0f}", f"{np.median(tally.positive_patients):.0f}"
        print(row([setting.name, *cells, *sizes]), flush=True)
    print(
        "\nCoverage of every interval of `bench.evaluate`, and of paired differences (Δ) by `bench.compare`\n"
    )
    print(head(("metric", *(setting.name for setting in found))))
    for name in (*SINGLE, *(f"Δ {name}" for name in PAIRED)):
        print(row([name, *(f"{tally.coverage(name):.1f}" for tally in found.values())]))


if __name__ == "__main__":
    main()
