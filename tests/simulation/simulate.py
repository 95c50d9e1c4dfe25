"""Coverage of 95% intervals on clustered data: `python -m tests.simulation` (hours).

Cohorts are drawn in blocks. Each block of a setting is stored when it is done, and not drawn again, so that
a run can be stopped and continued, or spread over machines: blocks with other seeds add up. `--table` prints
the tables of all blocks in the folder; their heading states the Monte-Carlo error.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.special import expit, logit, stdtrit

import bench
from bench.metrics import registry
from bench.metrics.calibration import bin_edges, bin_index
from bench.metrics.decision import decision_at, decision_curve
from bench.metrics.influence import obuchowski_se
from bench.metrics.metric import Needs
from bench.metrics.prepared import LabelledScores
from bench.metrics.score_ranking import ScoreRanking
from bench.uncertainty.curves import (
    benefit_intervals,
    bin_shares,
    decision_estimates,
    net_benefit_difference,
)
from bench.uncertainty.estimates import gap_metrics, subgroup_gap
from bench.uncertainty.evaluate import prepare
from bench.uncertainty.intervals import FEW_POSITIVE_PATIENTS
from tests.simulation.cohorts import SETTINGS, Cohort, Setting, draw

POPULATION = 400_000
"""Patients from which the truth is read, where there is no closed form."""

SINGLE = tuple(name for name in registry.keys(*registry.BINARY) if not name.endswith("ece"))
MEASURED = registry.keys(Needs.MEASUREMENTS)
PAIRED = ("auroc", "auprc", "sensitivity_at_90_specificity", "brier", "scaled_brier", "log_loss",
          "calibration_slope")  # fmt: skip
SHARES = ("sensitivity", "specificity", "ppv", "npv")
CUTS = (0.05, 0.1, 0.2, 0.4)
"""Thresholds at which net benefit is judged."""

BINS = 15


@dataclass
class Tally:
    """Counts of intervals that held the truth: of all, and of those without a warning."""

    cohorts: int = 0
    held: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    given: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    quiet_held: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    quiet: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    df: list[float] = field(default_factory=list)
    positive_patients: list[int] = field(default_factory=list)

    def add(
        self, name: str, low: float | None, high: float | None, truth: float | None, warned: bool = False
    ) -> None:
        """Count one interval."""
        if low is None or high is None or truth is None or not np.isfinite([low, high]).all():
            return
        inside = int(low <= truth <= high)
        self.given[name] += 1
        self.held[name] += inside
        if not warned:
            self.quiet[name] += 1
            self.quiet_held[name] += inside

    def add_limits(self, name: str, limits: np.ndarray, truth: float) -> None:
        """Count one interval, given as an array of two."""
        self.add(name, float(limits[0]), float(limits[1]), truth)

    def add_estimate(self, name: str, found: bench.Estimate, truth: float | None) -> None:
        """Count the interval of an estimate."""
        self.add(name, found.low, found.high, truth, bool(found.warnings))

    def coverage(self, name: str, quiet: bool = False) -> float:
        """Percent of the intervals that held the truth; nan without any."""
        held, given = (self.quiet_held, self.quiet) if quiet else (self.held, self.given)
        return 100 * held[name] / given[name] if given[name] else float("nan")

    def merge(self, other: Tally) -> None:
        """Add the counts of another tally."""
        self.cohorts += other.cohorts
        for part in ("held", "given", "quiet_held", "quiet"):
            for name, count in getattr(other, part).items():
                getattr(self, part)[name] += count
        self.df += other.df
        self.positive_patients += other.positive_patients

    @classmethod
    def read(cls, stored: dict) -> Tally:
        """A tally from JSON."""
        found = cls()
        for name, value in stored.items():
            setattr(found, name, defaultdict(int, value) if isinstance(value, dict) else value)
        return found


def truths(setting: Setting, rng: np.random.Generator) -> dict[str, float]:
    """The value of everything that is judged, in a population."""
    many = draw(setting, rng, POPULATION)
    first, second = (LabelledScores(many.y, score) for score in (many.first, many.second))
    found = {}
    for name in SINGLE:
        metric = registry.metric(name)
        values = [metric.value(scores) for scores in (first, second)]
        found[name] = values[0]
        if name in PAIRED and None not in values:
            found[f"Δ {name}"] = values[0] - values[1]
    found["auroc"] = setting.auroc if not setting.levels else found["auroc"]
    one = bench.PatientBootstrap.from_counts(many.patient, np.ones((1, POPULATION)), np.arange(POPULATION))
    agreed = bench.evaluate_continuous(many.measured, many.predicted, bootstrap=one)
    found |= {name: agreed[name].value for name in MEASURED}
    found["threshold"] = float(np.quantile(many.first[~many.y], 0.9))
    shares = decision_at(many.y, many.first, found["threshold"])
    found |= {name: getattr(shares, name) for name in SHARES}
    for cut in CUTS:
        benefits = [_benefit(many.y, p, cut) for p in (many.first, many.second)]
        found[f"net benefit {cut}"] = benefits[0]
        found[f"Δ net benefit {cut}"] = benefits[0] - benefits[1]
    index = bin_index(many.first, bin_edges(many.first, BINS, "uniform"))
    for b in range(BINS):
        inside = index == b
        if inside.any():
            found[f"bin {b}"] = float(many.y[inside].mean())
    return found


def _benefit(y: np.ndarray, p: np.ndarray, cut: float) -> float:
    called = p >= cut
    return float((called & y).mean() - (called & ~y).mean() * cut / (1 - cut))


def judge(cohort: Cohort, truth: dict[str, float], tally: Tally, replicates: int, seed: int) -> None:
    """Add one cohort's intervals to the tally."""
    tally.cohorts += 1
    y, first, second = cohort.y, cohort.first, cohort.second
    boot = bench.PatientBootstrap(cohort.patient, replicates, seed)
    agreed = bench.evaluate_continuous(cohort.measured, cohort.predicted, bootstrap=boot)
    for name in MEASURED:
        tally.add_estimate(name, agreed[name], truth[name])
    if y.all() or not y.any():
        return
    result = bench.evaluate(y, first, bootstrap=boot, metrics=SINGLE)
    tally.positive_patients.append(result.positive_patients)
    for name in SINGLE:
        tally.add_estimate(name, result[name], truth[name])
    for name in PAIRED:
        comparison = bench.compare(y, first, second, metric=name, bootstrap=boot)
        tally.add_estimate(f"Δ {name}", comparison, truth.get(f"Δ {name}"))  # type: ignore[arg-type]
    _judge_curves(cohort, truth, tally, boot)
    _judge_gaps(cohort, tally, boot)
    if result.auroc.low is not None:
        tally.df.append(result.auroc.df)
        rivals(cohort, result, truth["auroc"], tally, replicates, seed)


def _judge_curves(
    cohort: Cohort, truth: dict[str, float], tally: Tally, boot: bench.PatientBootstrap
) -> None:
    y, first, second = cohort.y, cohort.first, cohort.second
    decided = decision_estimates(y, first, truth["threshold"], boot)
    for name in SHARES:
        tally.add_estimate(f"{name} at a threshold", getattr(decided, name), truth[name])
    sample = boot.sample(y)
    benefits = decision_curve(y, first, CUTS)
    assert benefits is not None
    few = len(set(cohort.patient[y])) < FEW_POSITIVE_PATIENTS
    paired = net_benefit_difference(y, first, second, boot, CUTS)
    cuts = np.array(CUTS)
    calls = np.searchsorted(cuts, first, side="right")
    estimates = benefit_intervals(sample, calls, cuts, benefits.net_benefit)
    for cut, estimate, difference in zip(CUTS, estimates, paired, strict=True):
        tally.add("net benefit", estimate.low, estimate.high, truth[f"net benefit {cut}"], few)
        tally.add("Δ net benefit", difference.low, difference.high, truth[f"Δ net benefit {cut}"], few)
    index = bin_index(first, bin_edges(first, BINS, "uniform"))
    last = int(index.max())
    for b, share in enumerate(bin_shares(sample, index, BINS)):
        tally.add("reliability, all bins", share.low, share.high, truth.get(f"bin {b}"))
        if b == last:
            tally.add("reliability, last bin", share.low, share.high, truth.get(f"bin {b}"))


def _judge_gaps(cohort: Cohort, tally: Tally, boot: bench.PatientBootstrap) -> None:
    """Gaps between two halves of the patients that differ in nothing: the truth is 0."""
    sides = [
        prepare(cohort.y[rows], cohort.first[rows], boot.select(rows), metrics=gap_metrics())
        for rows in (cohort.member, ~cohort.member)
    ]
    if any(side.scores.missing for side in sides):
        return
    for name in gap_metrics():
        tally.add_estimate(f"gap {name}", subgroup_gap(sides[0], sides[1], name), 0.0)


def rivals(
    cohort: Cohort, result: bench.Evaluation, truth: float, tally: Tally, replicates: int, seed: int
) -> None:
    """The intervals that others use for the AUROC."""
    area = result.auroc.value
    tally.add("patient percentile", result.auroc.percentile_low, result.auroc.percentile_high, truth)
    near = 0.5 / (cohort.y.sum() * (~cohort.y).sum())
    spread = np.nanstd(logit(np.clip(result.auroc_replicates, near, 1 - near)), ddof=1)
    middle = logit(np.clip(area, near, 1 - near))
    tally.add_limits("logit, normal", expit(middle + np.array([-1.96, 1.96]) * spread), truth)
    few = stdtrit(result.positive_patients - 1, 0.975)
    tally.add_limits("logit, t(positive patients - 1)", expit(middle + np.array([-few, few]) * spread), truth)
    rows = np.arange(len(cohort.y))
    se = obuchowski_se(ScoreRanking.of(cohort.y, cohort.first), rows)
    if se is not None:
        tally.add("DeLong", area - 1.96 * se, area + 1.96 * se, truth)
    drawn = bench.PatientBootstrap(rows, replicates, seed).replicates(cohort.y, cohort.first)
    tally.add_limits("image bootstrap", np.nanquantile(drawn, [0.025, 0.975]), truth)


def simulate(setting: Setting, cohorts: int, replicates: int, seed: int) -> Tally:
    """Draws `cohorts` cohorts of a setting and counts; the truth depends on the setting alone."""
    name = sum(setting.name.encode())
    truth, tally = truths(setting, np.random.default_rng(name)), Tally()
    rng = np.random.default_rng([seed, name])
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

GROUPS = {
    "Rankings": SINGLE[:5],
    "Probabilities": SINGLE[5:],
    "Thresholds and curves": (
        *(f"{name} at a threshold" for name in SHARES),
        "net benefit",
        "reliability, all bins",
        "reliability, last bin",
    ),
    "Paired differences (Δ)": (*(f"Δ {name}" for name in PAIRED), "Δ net benefit"),
    "Gaps between subgroups": tuple(f"gap {name}" for name in gap_metrics()),
    "Measurements": MEASURED,
}
"""The other tables, and their columns."""


def row(cells: Iterable[str]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def head(cells: Sequence[str]) -> str:
    """The first two lines of a Markdown table."""
    return row(cells) + "\n" + row("---" for _ in cells)


def percent(value: float) -> str:
    """A coverage with one decimal; a dash where no interval was given."""
    return f"{value:.1f}" if np.isfinite(value) else "–"


def monte_carlo(count: int) -> str:
    """The standard error of a coverage of 95% among `count`, in points."""
    return f"{100 * (0.95 * 0.05 / max(count, 1)) ** 0.5:.1f}"


def tables(found: dict[str, Tally]) -> Iterator[str]:
    """The lines of all tables."""
    counts = [tally.cohorts for tally in found.values()]
    yield (
        f"{min(counts):,} to {max(counts):,} cohorts for each setting: the Monte-Carlo standard error of a "
        f"coverage is {monte_carlo(max(counts))} to {monte_carlo(min(counts))} points (of an entry in the "
        "tables by setting), and less where settings are taken together.\n"
    )
    yield "## AUROC\n"
    yield head(("patients × images, clustering", *RIVALS, "df", "positive patients"))
    for name, tally in found.items():
        cells = [percent(tally.coverage(column)) for column in RIVALS.values()]
        sizes = f"{np.median(tally.df or [np.nan]):.0f}", f"{np.median(tally.positive_patients or [0]):.0f}"
        yield row([name, *cells, *sizes])
    yield "\n## Everything, all settings together\n"
    yield (
        "Lowest and highest are those of the settings. A warning goes with few degrees of freedom, and these "
        "with wide intervals: of one setting, the cohorts without a warning have the narrower intervals.\n"
    )
    kinds = ("coverage", "error", "lowest", "setting", "highest", "share warned", "without a warning")
    yield head(("interval", *kinds))
    for columns in GROUPS.values():
        for column in columns:
            yield _summary(column, found)
    for title, columns in GROUPS.items():
        yield f"\n## {title}\n"
        yield head(("setting", *columns))
        for name, tally in found.items():
            yield row([name, *(percent(tally.coverage(column)) for column in columns)])


def _summary(column: str, found: dict[str, Tally]) -> str:
    whole = Tally()
    for tally in found.values():
        whole.merge(tally)
    each = {name: tally.coverage(column) for name, tally in found.items() if tally.given[column]}
    lowest = min(each, key=each.__getitem__, default="")
    given, quiet = whole.given[column], whole.quiet[column]
    return row(
        [
            column,
            percent(whole.coverage(column)),
            monte_carlo(given),
            percent(each.get(lowest, float("nan"))),
            lowest or "–",
            percent(max(each.values(), default=float("nan"))),
            f"{100 * (1 - quiet / given):.0f}%" if given else "–",
            percent(whole.coverage(column, quiet=True)),
        ]
    )


def stored_tallies(folder: Path) -> dict[str, Tally]:
    """What the blocks in a folder counted, by setting."""
    found: dict[str, Tally] = {}
    for setting in SETTINGS:
        for path in sorted(folder.glob(f"{_slug(setting)}.*.json")):
            found.setdefault(setting.name, Tally()).merge(Tally.read(json.loads(path.read_text())))
    return found


def _slug(setting: Setting) -> str:
    return f"setting-{SETTINGS.index(setting):02d}"


def main() -> None:
    """Read the options, simulate what is not stored yet, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=400, help="cohorts in a block")
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument(
        "--seeds", type=int, nargs=2, default=(0, 5), help="first seed, and one past the last"
    )
    parser.add_argument("--only", default="", help="part of a setting's name")
    parser.add_argument("--out", type=Path, default=Path("data/simulation"), help="folder of the blocks")
    parser.add_argument("--table", action="store_true", help="print what is stored; simulate nothing")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for seed in () if options.table else range(*options.seeds):
        for setting in SETTINGS:
            path = options.out / f"{_slug(setting)}.{seed}.json"
            if options.only in setting.name and not path.exists():
                tally = simulate(setting, options.cohorts, options.replicates, seed)
                part = path.with_suffix(".part")
                part.write_text(json.dumps(vars(tally), default=float))
                part.rename(path)
    for line in tables(stored_tallies(options.out)):
        print(line)


if __name__ == "__main__":
    main()
