"""Each metric of one score on one target as an estimate: value, replicates and influence put together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from bench.metrics import registry
from bench.metrics.prepared import LabelledScores
from bench.metrics.registry import Engine, Interval, Metric, Needs
from bench.metrics.validation import Bools, Floats
from bench.uncertainty.intervals import (
    Estimate,
    bias_corrected,
    fisher_z_interval,
    sandwich_interval,
    satterthwaite,
    t_interval,
    widened,
    with_warnings,
)
from bench.uncertainty.replicates import Replicates
from bench.uncertainty.sample import Sample


class Estimates(Mapping[str, Estimate]):
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

    def _lines(self) -> str:
        """A line for every metric that was requested: value and interval, or why there is none."""
        width = max(map(len, self.estimates), default=0)
        return "".join(
            f"\n  {key:<{width}}  {_words(found)}"
            for key, found in self.estimates.items()
            if found.reason != NOT_REQUESTED
        )


NOT_REQUESTED = "not asked for"
"""Reason of an estimate that the caller left out."""


def _words(found: Estimate) -> str:
    if found.value is None:
        return found.reason
    if found.low is None or found.high is None:
        return f"{found.value:.4g} ({found.reason or 'no interval'})"
    return f"{found.value:.4g} ({found.low:.4g} to {found.high:.4g})"


class Scored:
    """One score on a labelled sample, ready for its metrics to be estimated.

    Args:
        sample: Labels and draws.
        scores: The rows that count.
        level: Nominal coverage.
        refit_lines: Whether the errors of the calibration line come from a refit in every replicate.
        depth: Which metrics of the ranking will be asked for: see `bench.uncertainty.replicates.scan_depth`.
    """

    def __init__(
        self, sample: Sample, scores: LabelledScores, level: float, refit_lines: bool, depth: int
    ) -> None:
        self.sample, self.scores, self.level, self.refit_lines = sample, scores, level, refit_lines
        self.replicates = Replicates(sample, scores, depth)

    def patient_influence(self, image_influence: Floats) -> Floats:
        """(patients with rows,) sums of image influences."""
        return self.sample.by_patient(image_influence)[self.sample.present]

    def estimate(self, metric: Metric) -> Estimate:
        """The metric with its interval, by the method that it declares; None with the reason where undefined.

        Without influence function the degrees of freedom are `Sample.smaller_class_df`.
        """
        scores = self.scores
        if not len(scores) or (metric.both_classes and scores.missing):
            return Estimate(None, reason=scores.missing)
        assert metric.value is not None
        value = metric.value(scores)
        if value is None:
            return Estimate(None, reason=metric.undefined)
        method = metric.interval_method
        if method is Interval.NONE:
            return Estimate(value, reason=metric.no_interval or "no interval")
        influence = None if metric.influence is None else self.patient_influence(metric.influence(scores))
        if method is Interval.SANDWICH and not (self.refit_lines and metric.replicates is Engine.REFIT):
            assert influence is not None
            found = sandwich_interval(value, influence, self.level)
            return with_warnings(found, self.sample.positive_patients)
        df = self.sample.smaller_class_df if influence is None else satterthwaite(influence)
        found = interval(metric, value, self.replicates.of(metric), df, self._margin(metric), self.level)
        found = with_warnings(found, self.sample.positive_patients)
        if method is Interval.BIAS_CORRECTED:
            found = bias_corrected(found, self.replicates.of(metric), self.level)
        if metric.clustered_se is not None and self.sample.weight is None:
            found = replace(found, obuchowski_se=metric.clustered_se(scores, self.sample.patient))
        return found

    def _margin(self, metric: Metric) -> float:
        return SMALLEST if metric.margin is None else metric.margin(self.scores)


SMALLEST = 1e-300
"""How near to the ends of its scale a value may come, where the metric does not say."""


def interval(
    metric: Metric, value: float, replicates: Floats, df: float, margin: float, level: float
) -> Estimate:
    """The interval of a metric from its replicates, before any correction of bias.

    Args:
        metric: The metric, which names method and scale.
        value: The metric on all rows.
        replicates: (B,) the metric in every replicate.
        df: Degrees of freedom.
        margin: How near to the ends of the scale a value may come.
        level: Nominal coverage.
    """
    if metric.interval_method is Interval.FISHER_Z:
        return fisher_z_interval(value, replicates, df, level)
    found = t_interval(value, replicates, df, metric.scale, margin, level)
    return widened(found) if metric.interval_method is Interval.T_OR_PERCENTILE else found


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a subgroup gap.

    Attributes:
        influences_of: Metric → its value, and the influence (P,) of every patient of the bootstrap on it;
            metrics that are undefined here are missing.
        present: (P,) patients with an image on this side.
        positive_patients: Those with a positive image.
    """

    influences_of: Mapping[str, tuple[float, Floats]]
    present: Bools
    positive_patients: int


def gap_metrics(probabilities: bool = True) -> tuple[str, ...]:
    """Metrics whose subgroup gap is known; only those of rankings without probabilities."""
    needs = registry.BINARY if probabilities else (Needs.RANKING,)
    return tuple(key for key, metric in registry.metrics(*needs).items() if metric.subgroup_gap)


def side(scored: Scored, metrics: Collection[str] | None = None) -> Side:
    """Values and influences of the images of one side, both needed to compare it with another.

    Args:
        scored: The images of the side.
        metrics: Keys among `gap_metrics`; None for all.

    Raises:
        ValueError: A metric that has no subgroup gap.
    """
    sample, scores = scored.sample, scored.scores
    known = gap_metrics()
    found: dict[str, tuple[float, Floats]] = {}
    for metric in [registry.metric(key, known) for key in (known if metrics is None else metrics)]:
        assert metric.value is not None
        assert metric.influence is not None
        value = None if scores.missing else metric.value(scores)
        if value is not None:
            found[metric.key] = value, sample.by_patient(metric.influence(scores))
    return Side(found, sample.present, sample.positive_patients)


def subgroup_gap(inside: Side, outside: Side, metric: str, level: float = 0.95) -> Estimate:
    """The metric inside minus the metric outside, with a cluster-robust interval.

    A patient may have images on both sides (age bands, a device implanted between two X-rays); the patient's
    two influences then count together.

    Args:
        inside: The subgroup.
        outside: The rest, on the same bootstrap.
        metric: A key of `gap_metrics`.
        level: Nominal coverage.
    """
    if metric not in inside.influences_of or metric not in outside.influences_of:
        side_name = "here" if metric not in inside.influences_of else "in the rest"
        return Estimate(None, reason=f"undefined {side_name}")
    (here, influences), (there, other) = inside.influences_of[metric], outside.influences_of[metric]
    phi = (influences - other)[inside.present | outside.present]
    found = sandwich_interval(here - there, phi, level)
    return with_warnings(found, min(inside.positive_patients, outside.positive_patients))
