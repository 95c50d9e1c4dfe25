"""Paired difference of one metric between two scores of the same images, with its interval."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import ArrayLike

from bench.display import MISSING, Displayed, Table, estimate_text
from bench.metrics import registry
from bench.metrics.metric import Metric, Needs
from bench.metrics.prepared import LabelledScores
from bench.metrics.validation import check_level, same_rows
from bench.uncertainty.bootstrap import PatientBootstrap
from bench.uncertainty.intervals import (
    Estimate,
    sandwich_interval,
    satterthwaite,
    t_interval,
    t_p_value,
    with_warnings,
)
from bench.uncertainty.jackknife import deletion_interval
from bench.uncertainty.replicates import Replicates
from bench.uncertainty.sample import Sample

SE_TOLERANCE = 1e-12
"""Below this standard error of a difference two entries are the same."""


@dataclass(frozen=True, slots=True, repr=False)
class Comparison(Displayed):
    """Paired difference a - b of one metric; None where undefined, with the reason.

    Attributes:
        metric: Name of the metric.
        value_a: The metric of a.
        value_b: The metric of b.
        difference: a - b.
        low: Lower limit of the interval: difference - t(df)·se, clipped to the range of differences.
        high: Upper limit.
        se: Standard deviation of the differences over the replicates.
        df: Satterthwaite's degrees of freedom from the difference of the patients' influences.
        p: Two-sided p-value 2·T(-|difference| / se) of Student's distribution with `df`; 1 for identical
            scores.
        percentile_low: Percentile limit of the differences.
        percentile_high: The other one.
        undefined: Replicates in which the difference is undefined.
        replicates: Replicates drawn.
        reason: Why something is missing, else empty.
        warnings: What to know before trusting the interval, with numbers.
    """

    metric: str
    value_a: float | None
    value_b: float | None
    difference: float | None
    low: float | None
    high: float | None
    se: float | None
    df: float | None
    p: float | None
    percentile_low: float | None
    percentile_high: float | None
    undefined: int
    replicates: int
    reason: str = ""
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        p = "" if self.p is None else f", p = {self.p:.3g}"
        return f"<Comparison of {self.metric}: a - b = {self._difference}{p}>"

    def records(self) -> tuple[dict[str, Any], ...]:
        """Return one record with every field."""
        return (asdict(self),)

    def tables(self) -> tuple[Table, ...]:
        """Return one table of one row: both values, the difference and its p-value."""
        columns = ("metric", "a", "b", "a - b with confidence interval", "p")
        values = (estimate_text(value, None, None) for value in (self.value_a, self.value_b))
        row = (self.metric, *values, self._difference, MISSING if self.p is None else f"{self.p:.3g}")
        return (Table("Paired difference of two scores", columns, (row,)),)

    @property
    def _difference(self) -> str:
        return estimate_text(self.difference, self.low, self.high, self.reason)


def comparable() -> tuple[str, ...]:
    """Return the keys of the metrics that `compare` accepts; calibration errors are not among them."""
    return tuple(key for key, metric in registry.metrics(*registry.BINARY).items() if metric.comparable)


def compare(
    y: ArrayLike,
    p_a: ArrayLike,
    p_b: ArrayLike,
    patient_id: Any = None,
    metric: str = "auroc",
    replicates: int = 2000,
    seed: int = 0,
    bootstrap: PatientBootstrap | None = None,
    *,
    weight: ArrayLike | None = None,
    level: float = 0.95,
) -> Comparison:
    """Compute the paired difference of one metric between two scores of the same images.

    Args:
        y: (n,) 0/1 labels.
        p_a: (n,) scores of a.
        p_b: (n,) scores of b.
        patient_id: (n,) the patient of every image; not needed with `bootstrap`.
        metric: A key of `comparable`, or an alias.
        replicates: Number of bootstrap draws.
        seed: Seed of the draws.
        bootstrap: Draws shared with other comparisons.
        weight: (n,) non-negative row weights.
        level: Nominal coverage of the interval.

    Raises:
        ValueError: As `bench.evaluate`, or a metric that cannot be compared.

    >>> y, patient = [0, 0, 1, 1, 0, 1], ["a", "a", "b", "c", "d", "e"]
    >>> comparison = compare(y, [0.1, 0.4, 0.3, 0.8, 0.2, 0.9], [0.2, 0.4, 0.3, 0.1, 0.5, 0.9], patient)
    >>> round(comparison.difference, 6)
    0.444444
    """
    declared = registry.metric(metric, comparable())
    same_rows(y=y, p_a=p_a, p_b=p_b, patient_id=patient_id, weight=weight)
    bootstrap = PatientBootstrap.given_or_drawn(bootstrap, patient_id, replicates, seed)
    sample = bootstrap.sample(y, weight)
    replicate_count = bootstrap.replicates_count
    read = sample.probabilities if declared.needs is Needs.PROBABILITIES else sample.scores
    a, b = (
        LabelledScores(sample.positive, read(score, name), sample.weight)
        for name, score in (("p_a", p_a), ("p_b", p_b))
    )
    if a.missing:
        return _no_comparison(metric, replicate_count, "one class only")
    assert declared.value is not None
    first, second = declared.value(a), declared.value(b)
    if first is None or second is None:
        return _no_comparison(metric, replicate_count, "undefined for one of the scores")
    estimate = _difference(declared, sample, a, b, first - second, check_level(level, "level"))
    same = estimate.se is not None and estimate.se < SE_TOLERANCE
    return Comparison(
        metric=metric,
        value_a=first,
        value_b=second,
        difference=first - second,
        low=first - second if same else estimate.low,
        high=first - second if same else estimate.high,
        se=estimate.se,
        df=estimate.df,
        p=1.0 if same else p_value(estimate),
        percentile_low=estimate.percentile_low,
        percentile_high=estimate.percentile_high,
        undefined=estimate.undefined,
        replicates=replicate_count,
        reason="the difference is the same in every replicate" if same else estimate.reason,
        warnings=() if same else _warnings(declared, a, max(first, second), estimate, sample),
    )


def p_value(difference: Estimate) -> float | None:
    """Compute the two-sided t p-value of an estimated difference; None without an interval."""
    if difference.value is None or not difference.se or difference.df is None:
        return None
    return float(t_p_value(difference.value, difference.se, difference.df))


def _warnings(
    metric: Metric, scores: LabelledScores, larger: float, estimate: Estimate, sample: Sample
) -> tuple[str, ...]:
    warned = with_warnings(estimate, sample.positive_patients).warnings
    caution = metric.difference_caution(scores, larger) if metric.difference_caution else ""
    return (*warned, caution) if caution and estimate.low is not None else warned


def _difference(
    metric: Metric, sample: Sample, a: LabelledScores, b: LabelledScores, value: float, level: float
) -> Estimate:
    """Difference a - b with its interval, from influences, replicates or both, as the metric declares."""
    if metric.deletions is not None:
        patient = sample.dense_patient
        changes = metric.deletions(a, patient) - metric.deletions(b, patient)
        return deletion_interval(value, changes, level, clusters=sample.smaller_class)
    phi = None
    if metric.influence is not None:
        phi = sample.by_patient(metric.influence(a) - metric.influence(b))[sample.present]
        if metric.replicates is None:
            return sandwich_interval(value, phi, level, metric.difference_bounds)
    df = sample.smaller_class - 1.0 if phi is None else satterthwaite(phi)
    differences = Replicates(sample, a, [metric]).of(metric) - Replicates(sample, b, [metric]).of(metric)
    bounds = metric.difference_bounds
    return t_interval(value, differences, df, level=level, clusters=sample.patients, bounds=bounds)


def _no_comparison(metric: str, replicates: int, reason: str) -> Comparison:
    return Comparison(
        metric=metric,
        value_a=None,
        value_b=None,
        difference=None,
        low=None,
        high=None,
        se=None,
        df=None,
        p=None,
        percentile_low=None,
        percentile_high=None,
        undefined=replicates,
        replicates=replicates,
        reason=reason,
    )
