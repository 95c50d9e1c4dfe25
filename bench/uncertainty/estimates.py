"""Estimates of the metrics of one score on one target, from value, replicates and influence."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from typing import Any

import numpy as np

from bench.display import Displayed, Table, estimate_text
from bench.metrics import registry
from bench.metrics.influence import kish_size
from bench.metrics.metric import Engine, Interval, Metric, Needs
from bench.metrics.prepared import LabelledScores
from bench.metrics.validation import Floats
from bench.uncertainty.intervals import (
    Estimate,
    fisher_z_interval,
    sandwich_interval,
    satterthwaite,
    t_interval,
    widened,
    with_warnings,
)
from bench.uncertainty.jackknife import deletion_interval
from bench.uncertainty.replicates import Replicates
from bench.uncertainty.sample import Sample
from bench.uncertainty.wilson import sensitivity_interval


class Estimates(Displayed, Mapping[str, Estimate]):
    """Estimates by metric, as a mapping and as attributes: ``result["auroc"]`` and ``result.auroc``.

    Attributes:
        estimates: Metric → estimate, in the order of the registry.
    """

    __slots__ = ()
    estimates: Mapping[str, Estimate]

    def __getitem__(self, key: str) -> Estimate:
        return self.estimates[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.estimates)

    def __len__(self) -> int:
        return len(self.estimates)

    def __getattr__(self, name: str) -> Estimate:
        if name != "estimates" and not name.startswith("_") and name in self.estimates:
            return self.estimates[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute or metric {name!r}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.estimates]

    @property
    def requested(self) -> dict[str, Estimate]:
        """The requested estimates, by metric."""
        return {key: estimate for key, estimate in self.estimates.items() if estimate.reason != NOT_REQUESTED}

    def records(self) -> Sequence[Mapping[str, Any]]:
        """Return a record for each metric that was requested: its key and every field of its `Estimate`."""
        return [{"metric": key, **asdict(estimate)} for key, estimate in self.requested.items()]

    def tables(self) -> tuple[Table, ...]:
        """Return one table: a row for each metric that was requested."""
        known = registry.metrics()
        rows = tuple((known[key].label, text) for key, text in self._texts().items())
        return (Table(self._summary(), ("metric", "value with confidence interval"), rows),)

    def __str__(self) -> str:
        width = max(map(len, self.estimates), default=0)
        lines = (f"\n  {key:<{width}}  {text}" for key, text in self._texts().items())
        return f"{self._summary()}:{''.join(lines)}"

    def __repr__(self) -> str:
        key, text = next(iter(self._texts().items()), ("", ""))
        headline = f"; {key} {text}" if key else ""
        return f"<{self._summary()}{headline}; metrics: {len(self.requested)}>"

    def _summary(self) -> str:
        """Return one line on the evaluated images, without a full stop."""
        return type(self).__name__

    def _texts(self) -> dict[str, str]:
        return {
            key: estimate_text(
                e.value, e.low, e.high, e.reason or ("" if e.low is not None else "no interval")
            )
            for key, e in self.requested.items()
        }


NOT_REQUESTED = "not requested"
"""Reason of an estimate that the caller did not request."""


class Scored:
    """One score on a labelled sample, whose metrics are estimated on demand.

    Args:
        sample: Labels and draws.
        scores: The rows that count.
        level: Nominal coverage.
        metrics: The metrics that will be requested.
        refit_lines: Whether the errors of the calibration line come from a refit in every replicate.
        auroc: (B,) the AUROC in every replicate, where it is known already.
    """

    def __init__(
        self,
        sample: Sample,
        scores: LabelledScores,
        level: float,
        metrics: Collection[Metric],
        refit_lines: bool = False,
        auroc: Floats | None = None,
    ) -> None:
        self.sample, self.scores, self.level, self.refit_lines = sample, scores, level, refit_lines
        self.replicates = Replicates(sample, scores, metrics, auroc)
        self._values: dict[str, float | None] = {}
        self._influences: dict[str, Floats] = {}
        self._deletions: dict[str, Floats] = {}

    def value(self, metric: Metric) -> float | None:
        """Return the metric on all rows; computed once, for its estimate and every gap."""
        if metric.key not in self._values:
            assert metric.value is not None
            self._values[metric.key] = metric.value(self.scores)
        return self._values[metric.key]

    def influence(self, metric: Metric) -> Floats:
        """(P,) influence of every patient of the bootstrap on a metric that has one; computed once."""
        if metric.key not in self._influences:
            assert metric.influence is not None
            self._influences[metric.key] = self.sample.by_patient(metric.influence(self.scores))
        return self._influences[metric.key]

    def over_patients(self, of_present: Floats) -> Floats:
        """(P,) values of the patients with rows, 0 for all others of the bootstrap."""
        every = np.zeros(len(self.sample.present))
        every[self.sample.present] = of_present
        return every

    @property
    def auroc_influence(self) -> Floats:
        """(patients with rows,) influence of every patient on the AUROC; nan where it is undefined."""
        if self.scores.missing:
            return np.full(int(np.count_nonzero(self.sample.present)), np.nan)
        return self.influence(registry.metric("auroc"))[self.sample.present]

    def estimate(self, metric: Metric) -> Estimate:
        """Estimate a metric by the method that it declares; None with the reason if undefined.

        Without influence function the degrees of freedom are one less than the patients of the smaller class.
        """
        scores = self.scores
        if not len(scores) or (metric.both_classes and scores.missing):
            return Estimate(None, reason=scores.missing)
        value = self.value(metric)
        if value is None:
            return Estimate(None, reason=metric.undefined)
        estimate = self._interval(metric, value)
        if metric.clustered_se is not None and self.sample.weight is None:
            estimate = replace(estimate, obuchowski_se=metric.clustered_se(scores, self.sample.patient))
        estimate = with_warnings(estimate, self.sample.positive_patients)
        if metric.caution is None or estimate.low is None:
            return estimate
        caution = metric.caution(scores, self.sample.patient)
        return replace(estimate, warnings=(*estimate.warnings, caution)) if caution else estimate

    def _interval(self, metric: Metric, value: float) -> Estimate:
        method, sample = metric.interval_method, self.sample
        if method is Interval.NOISE_FLOOR:
            assert metric.noise_floor is not None
            floor = metric.noise_floor(self.scores, sample.patient)
            return Estimate(value, noise_floor=floor, reason=metric.no_interval or "no interval")
        if method is Interval.NONE:
            return Estimate(value, reason=metric.no_interval or "no interval")
        refit = self.refit_lines and metric.replicates is Engine.REFIT
        if method is Interval.JACKKNIFE and not refit:
            return deletion_interval(value, self.deletions(metric), self.level)
        influence = None if metric.influence is None else self.influence(metric)[sample.present]
        if method is Interval.SANDWICH:
            assert influence is not None
            return sandwich_interval(value, influence, self.level, metric.bounds)
        fewest = metric.smaller_class or influence is None
        clusters = sample.smaller_class if fewest else sample.patients
        replicates = self.replicates.of(metric)
        if method is Interval.SHARE:
            assert influence is not None
            images = sample.patient_weight(sample.positive)
            return sensitivity_interval(
                value,
                replicates,
                influence,
                images[images > 0],
                kish_size(sample.unit[sample.positive]),
                clusters,
                self.level,
            )
        return interval(metric, value, replicates, influence, clusters, self._margin(metric), self.level)

    def deletions(self, metric: Metric) -> Floats:
        """(patients with rows,) changes of a metric without each patient; computed once."""
        if metric.key not in self._deletions:
            assert metric.deletions is not None
            self._deletions[metric.key] = metric.deletions(self.scores, self.sample.dense_patient)
        return self._deletions[metric.key]

    def _margin(self, metric: Metric) -> float:
        return SMALLEST if metric.margin is None else metric.margin(self.scores)


SMALLEST = 1e-300
"""How near to the ends of its scale a value may come, where the metric does not say."""


def interval(
    metric: Metric,
    value: float,
    replicates: Floats,
    influence: Floats | None,
    clusters: int,
    margin: float,
    level: float,
) -> Estimate:
    """Compute the interval of a metric from its replicates.

    Args:
        metric: The metric, which names method and scale.
        value: The metric on all rows.
        replicates: (B,) the metric in every replicate.
        influence: (P,) influences of the patients with rows; None where they are not known.
        clusters: Patients on which the error rests; the degrees of freedom are at most one less.
        margin: How near to the ends of the scale a value may come.
        level: Nominal coverage.
    """
    df = clusters - 1.0 if influence is None else satterthwaite(influence)
    least = 0.0
    if metric.interval_method in (Interval.T_OR_SANDWICH, Interval.FISHER_Z) and influence is not None:
        least = float(np.sqrt(np.sum(influence**2)))
    if metric.interval_method is Interval.FISHER_Z:
        return fisher_z_interval(value, replicates, df, level, clusters=clusters, least_se=least)
    estimate = t_interval(
        value,
        replicates,
        df,
        metric.scale,
        margin,
        level,
        clusters=clusters,
        least_se=least,
        bounds=metric.bounds,
    )
    return widened(estimate) if metric.interval_method is Interval.T_OR_PERCENTILE else estimate


HEAVY_PATIENT = 0.1
"""Share of the images in one patient above which intervals of gaps cover too little."""


@cache
def gap_metrics(probabilities: bool = True) -> tuple[str, ...]:
    """Return the keys of metrics with a subgroup gap; without probabilities only those of rankings."""
    needs = registry.BINARY if probabilities else (Needs.RANKING,)
    return tuple(key for key, metric in registry.metrics(*needs).items() if metric.subgroup_gap)


def subgroup_gap(inside: Scored, outside: Scored, key: str, level: float = 0.95) -> Estimate:
    """Estimate the metric inside minus the metric outside, allowing for patients on both sides.

    A patient may have images on both sides (age bands, a device implanted between two X-rays): the standard
    error is that of the differences over the draws that both sides share, or over the patients left out of
    both. Degrees of freedom are Satterthwaite's, of the differences of the patients' influences, and at most
    one less than the patients of the smallest class of either side.

    Args:
        inside: The subgroup.
        outside: The rest, on the same draws.
        key: A key of `gap_metrics`.
        level: Nominal coverage.

    Raises:
        ValueError: A metric that has no subgroup gap.
    """
    metric = registry.metric(key, gap_metrics())
    here, there = (None if part.scores.missing else part.value(metric) for part in (inside, outside))
    if here is None or there is None:
        return Estimate(None, reason=f"undefined {'here' if here is None else 'in the rest'}")
    clusters = min(inside.sample.smaller_class, outside.sample.smaller_class)
    present = inside.sample.present | outside.sample.present
    if metric.deletions is not None:
        changes = inside.over_patients(inside.deletions(metric))
        changes = (changes - outside.over_patients(outside.deletions(metric)))[present]
        gap = deletion_interval(here - there, changes, level, clusters=clusters)
    else:
        phi = (inside.influence(metric) - outside.influence(metric))[present]
        differences = inside.replicates.of(metric) - outside.replicates.of(metric)
        df = min(satterthwaite(phi), clusters - 1.0)
        bounds = metric.difference_bounds
        gap = t_interval(here - there, differences, df, level=level, clusters=len(phi), bounds=bounds)
    gap = with_warnings(gap, min(inside.sample.positive_patients, outside.sample.positive_patients))
    caution = _heavy_patient(inside.sample, outside.sample)
    return replace(gap, warnings=(*gap.warnings, caution)) if caution and gap.low is not None else gap


def _heavy_patient(inside: Sample, outside: Sample) -> str:
    """Warning of a patient with a large share of the images; empty where there is none."""
    images = inside.patient_unit + outside.patient_unit
    share = float(images.max() / images.sum())
    if share <= HEAVY_PATIENT:
        return ""
    return (
        f"one patient has {100 * share:.0f}% of the images (more than {100 * HEAVY_PATIENT:.0f}%): "
        "in simulation gaps covered 92 to 97%"
    )
