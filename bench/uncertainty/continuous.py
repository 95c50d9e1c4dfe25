"""Agreement with a continuous measurement, with patient-clustered intervals."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics.regression import agreement, from_moments, moments
from bench.metrics.validation import Floats, check_level
from bench.uncertainty.bootstrap import PatientBootstrap
from bench.uncertainty.intervals import Estimate, satterthwaite, t_interval
from bench.uncertainty.sample import Rows


@dataclass(frozen=True, slots=True)
class ContinuousEvaluation:
    """Agreement of prediction and truth on one continuous target; units are those of the measurement.

    Attributes:
        images: Rows that count.
        patients: Patients with such a row.
        mae: Mean absolute error.
        rmse: Root of the mean squared error.
        bias: Mean of prediction - truth.
        loa_low: Lower 95% limit of agreement.
        loa_high: Upper limit.
        pearson: Correlation.
        r2: Share of the truth's variance that is explained.
    """

    images: int
    patients: int
    mae: Estimate
    rmse: Estimate
    bias: Estimate
    loa_low: Estimate
    loa_high: Estimate
    pearson: Estimate
    r2: Estimate

    def metrics(self) -> dict[str, Estimate]:
        """Every estimate by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)[2:]}


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
    """Every figure of agreement with its interval.

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
    if bootstrap is None:
        if patient_id is None:
            raise ValueError("give patient_id (one id per image), or a bootstrap made from it")
        bootstrap = PatientBootstrap(patient_id, replicates, seed)
    rows = Rows.of(bootstrap, weight)
    measured, guessed = rows.scores(truth, "truth"), rows.scores(prediction, "prediction")
    present = np.unique(rows.patient)
    value = asdict(agreement(measured, guessed, rows.weight))
    centre = float(np.mean(measured)) if len(measured) else 0.0
    columns = moments(measured - centre, guessed - centre)
    drawn = from_moments(rows.totals(list(columns)))
    level = check_level(level, "level")
    df = _degrees(rows, columns)
    found = {
        name: Estimate(
            None, reason="no images" if not len(measured) else "constant values, or one image only"
        )
        if point is None
        else _interval(name, point, drawn[name], df[name], level)
        for name, point in value.items()
    }
    return ContinuousEvaluation(images=len(measured), patients=len(present), **found)


def _interval(name: str, point: float, drawn: Floats, df: float, level: float) -> Estimate:
    if name in ("mae", "rmse"):
        return t_interval(point, drawn, df, "log", 1e-300, level)
    if name != "pearson":
        return t_interval(point, drawn, df, "identity", level=level)
    # Fisher's z is half the log odds of (1 + r) / 2, so the logit scale serves.
    half = t_interval((1 + point) / 2, (1 + drawn) / 2, df, "logit", level=level)
    moved: dict[str, Any] = {
        key: None if (limit := getattr(half, key)) is None else 2 * limit - 1
        for key in ("low", "high", "percentile_low", "percentile_high")
    }
    se = None if half.se is None else 2 * half.se
    method = "fisher-z-t" if half.method else ""
    return Estimate(
        point,
        se=se,
        df=half.df,
        undefined=half.undefined,
        replicates=half.replicates,
        method=method,
        reason=half.reason,
        **moved,
    )


def _degrees(rows: Rows, columns: Floats) -> dict[str, float]:
    """Satterthwaite's degrees of freedom of every figure, from its derivative by each patient's weight."""
    if not len(rows.patient):
        return dict.fromkeys(from_moments(np.zeros((9, 1))), 2.0)
    sums = (columns * rows.unit).sum(axis=1)
    per_patient = np.stack([rows.by_patient(rows.unit * column) for column in columns])[
        :, np.unique(rows.patient)
    ]
    step = 1e-5
    up = from_moments(sums[:, None] + step * per_patient)
    down = from_moments(sums[:, None] - step * per_patient)
    return {name: satterthwaite(np.nan_to_num((up[name] - down[name]) / (2 * step))) for name in up}
