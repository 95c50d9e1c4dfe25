"""Agreement of predicted and measured values, with patient-clustered intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics import registry
from bench.metrics.metric import Engine, Interval, Metric, Needs
from bench.metrics.prepared import MeasuredPairs
from bench.metrics.regression import from_moments, moments
from bench.metrics.validation import Floats, check_level, same_rows
from bench.uncertainty.bootstrap import PatientBootstrap
from bench.uncertainty.estimates import SMALLEST, Estimates, interval
from bench.uncertainty.intervals import Estimate, sandwich_interval
from bench.uncertainty.jackknife import agreement_limits
from bench.uncertainty.sample import Rows


@dataclass(frozen=True, slots=True, repr=False)
class ContinuousEvaluation(Estimates):
    """Agreement of prediction and truth on one continuous target; units are those of the measurement.

    A mapping from metric to `Estimate`, with attribute access. The metrics are those of
    `bench.metrics.registry` for measurements, each explained by `bench explain`.

    Attributes:
        images: Rows that count.
        patients: Patients with such a row.
        estimates: Metric → estimate.
    """

    images: int
    patients: int
    estimates: Mapping[str, Estimate]

    def _summary(self) -> str:
        return f"ContinuousEvaluation of {self.images} images of {self.patients} patients"


def evaluate_continuous(
    truth: ArrayLike,
    prediction: ArrayLike,
    patient_id: Any = None,
    replicates: int = 2000,
    seed: int = 0,
    bootstrap: PatientBootstrap | None = None,
    *,
    weight: ArrayLike | None = None,
    level: float = 0.95,
) -> ContinuousEvaluation:
    """Compute every metric of agreement with its interval.

    Args:
        truth: (n,) measured values.
        prediction: (n,) predicted values, in the same unit.
        patient_id: (n,) the patient of every image; not needed with `bootstrap`.
        replicates: Number of bootstrap draws.
        seed: Seed of the draws.
        bootstrap: Draws shared with other evaluations of the same rows.
        weight: (n,) non-negative row weights.
        level: Nominal coverage of the intervals.

    Raises:
        ValueError: Neither patients nor bootstrap are given, lengths differ, NaN, negative weights.

    >>> result = evaluate_continuous([4.1, 4.3, 5.0, 6.2], [4.0, 4.6, 5.1, 5.8], ["a", "a", "b", "c"])
    >>> round(result.mae.value, 6)
    0.225
    """
    same_rows(truth=truth, prediction=prediction, patient_id=patient_id, weight=weight)
    bootstrap = PatientBootstrap.given_or_drawn(bootstrap, patient_id, replicates, seed)
    rows = Rows.of(bootstrap, weight)
    measured, guessed = rows.scores(truth, "truth"), rows.scores(prediction, "prediction")
    pairs = MeasuredPairs(measured, guessed, rows.weight)
    work = _Work(rows, pairs, check_level(level, "level"))
    return ContinuousEvaluation(
        images=len(measured),
        patients=rows.patients,
        estimates={key: work.estimate(m) for key, m in registry.metrics(Needs.MEASUREMENTS).items()},
    )


class _Work:
    """Measured pairs on a bootstrap; what several metrics share is computed once."""

    def __init__(self, rows: Rows, pairs: MeasuredPairs, level: float) -> None:
        self._rows, self._pairs, self._level = rows, pairs, level

    @cached_property
    def _columns(self) -> Floats:
        truth = self._pairs.truth
        centre = float(np.mean(truth)) if len(truth) else 0.0
        return moments(truth - centre, self._pairs.prediction - centre)

    @cached_property
    def _replicates(self) -> dict[str, Floats]:
        return from_moments(self._rows.totals(list(self._columns)))

    @cached_property
    def _of_patient(self) -> Floats:
        """(9, patients with rows) sums of the moments over each patient's rows."""
        rows = self._rows
        return np.stack([rows.by_patient(rows.unit * column) for column in self._columns])[:, rows.present]

    @cached_property
    def _influences(self) -> dict[str, Floats]:
        """(patients with rows,) influences on each metric, by differences of the patients' weights."""
        sums, step = self._of_patient.sum(axis=1)[:, None], 1e-5
        up = from_moments(sums + step * self._of_patient)
        down = from_moments(sums - step * self._of_patient)
        return {name: np.nan_to_num((up[name] - down[name]) / (2 * step)) for name in up}

    @cached_property
    def _limits(self) -> dict[str, Estimate]:
        low, high = agreement_limits(self._of_patient.sum(axis=1), self._of_patient, self._level)
        return {"loa_low": low, "loa_high": high}

    def estimate(self, metric: Metric) -> Estimate:
        """Estimate a metric with its interval by the method that it declares."""
        rows, pairs = self._rows, self._pairs
        if pairs.missing:
            return Estimate(None, reason=pairs.missing)
        assert metric.value is not None
        value = metric.value(pairs)
        if value is None:
            return Estimate(None, reason=metric.undefined)
        if metric.interval_method is Interval.NONE:
            return Estimate(value, reason=metric.no_interval or "no interval")
        if metric.interval_method is Interval.MOVER:
            return replace(self._limits[metric.key], value=value)
        if metric.replicates is Engine.MOMENTS:
            replicates, phi = self._replicates[metric.key], self._influences[metric.key]
            return interval(metric, value, replicates, phi, rows.patients, SMALLEST, self._level)
        own = None
        if metric.influence is not None:
            own = rows.by_patient(metric.influence(pairs))[rows.present]
            if metric.interval_method is Interval.SANDWICH:
                return sandwich_interval(value, own, self._level)
        margin = SMALLEST if metric.margin is None else metric.margin(pairs)
        return interval(metric, value, self._loop(metric), own, rows.patients, margin, self._level)

    def _loop(self, metric: Metric) -> Floats:
        """(B,) the metric of the rows of each replicate; nan where undefined."""
        values = np.full(self._rows.replicates, np.nan)
        for b, rows in enumerate(self._rows.resampled()):
            weight = None if self._pairs.weight is None else self._pairs.weight[rows]
            pairs = MeasuredPairs(self._pairs.truth[rows], self._pairs.prediction[rows], weight)
            value = metric.value(pairs) if metric.value and not pairs.missing else None
            values[b] = np.nan if value is None else value
        return values
