"""Results without arrays, which scorecards store as they are; no numerical library is imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

STORED: dict[str, Any] = {"extra": "forbid", "allow_inf_nan": False, "revalidate_instances": "always"}
"""Pydantic's settings where a result is a field of a document: unknown keys and NaN are refused."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric with its uncertainty, as computed and as stored in scorecards; None where undefined.

    Attributes:
        value: The metric on all rows.
        low: Lower limit of the interval.
        high: Upper limit.
        se: Standard error: standard deviation of the replicates, or of the influences (``"sandwich-t"``).
        df: Degrees of freedom of the t quantile.
        percentile_low: Lower percentile limit of the replicates, for comparison.
        percentile_high: Upper percentile limit.
        noise_floor: What a calibrated model would show (calibration errors only).
        obuchowski_se: Clustered standard error in closed form (AUROC only).
        undefined: Replicates in which the metric is undefined.
        method: ``"logit-t"``, ``"log-t"``, ``"t"``, ``"wilson-t"``, ``"sandwich-t"``, ``"cr3-t"``,
            ``"mover-t"``, ``"fisher-z-t"``, ``"logit-t or percentile"`` (the wider limit), or empty without
            an interval.
        reason: Why value or interval is missing, else empty.
        warnings: What to know before trusting the interval, with numbers.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    se: float | None = None
    df: float | None = None
    percentile_low: float | None = None
    percentile_high: float | None = None
    noise_floor: float | None = None
    obuchowski_se: float | None = None
    undefined: int = 0
    method: str = ""
    reason: str = ""
    warnings: tuple[str, ...] = ()

    __pydantic_config__: ClassVar = STORED


@dataclass(frozen=True, slots=True)
class BrierParts:
    """Brier score = miscalibration - discrimination + uncertainty (the CORP decomposition).

    Attributes:
        miscalibration: What isotonic recalibration would gain; 0 is best.
        discrimination: What the recalibrated score gains over a constant; larger is better.
        uncertainty: Brier score of the constant prevalence.
    """

    miscalibration: float
    discrimination: float
    uncertainty: float

    __pydantic_config__: ClassVar = STORED


@dataclass(frozen=True, slots=True)
class PooledEstimate:
    """A metric over hospitals, on its own scale where not stated otherwise; None where not estimable.

    Attributes:
        value: Mean of the hospitals' values, by random effects.
        low: Lower limit of its interval.
        high: Upper limit.
        prediction_low: Lower limit of the interval for the value of a new hospital.
        prediction_high: Upper limit.
        se: Standard error of the mean on the scale of pooling.
        tau: Standard deviation between hospitals on the scale of pooling.
        i2: Share of the variance that lies between hospitals rather than within them (I²).
        hospitals: Hospitals that were pooled.
        reason: Why nothing is estimable, else empty.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    prediction_low: float | None = None
    prediction_high: float | None = None
    se: float | None = None
    tau: float | None = None
    i2: float | None = None
    hospitals: int = 0
    reason: str = ""

    __pydantic_config__: ClassVar = STORED
