"""Smallest detectable differences of a split, before any entry is scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics.validation import Floats, check_level, inner, labels
from bench.uncertainty.draws import canonical_ids

SCORE_CORRELATION = (0.5, 1.0)
"""How alike one patient's images may be to a model (correlation of scores within a class)."""

MODEL_CORRELATION = 0.7
"""Correlation of two models' scores of the same image, within a class."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """Smallest detectable differences on one target; None with fewer than one patient in either class.

    Attributes:
        images: Rows.
        patients: Patients.
        positives: Rows with label 1.
        positive_patients: Patients with a positive row.
        negative_patients: Patients with a negative row.
        auroc: The AUROC assumed.
        half_width_low: Half the width of its interval, if images of a patient are scored half alike.
        half_width_high: The same, if they are scored all alike.
        paired_difference_low: Smallest difference of two models that the requested power finds, if half
            alike.
        paired_difference_high: The same, if all alike.
    """

    images: int
    patients: int
    positives: int
    positive_patients: int
    negative_patients: int
    auroc: float
    half_width_low: float | None
    half_width_high: float | None
    paired_difference_low: float | None
    paired_difference_high: float | None


def split_resolution(
    y: ArrayLike,
    patient_id: Any,
    auroc: float = 0.80,
    *,
    score_correlation: tuple[float, float] = SCORE_CORRELATION,
    model_correlation: float = MODEL_CORRELATION,
    level: float = 0.95,
    power: float = 0.80,
) -> Resolution:
    """Half-width and smallest detectable paired difference on these labels and patients.

    Scores are taken as normal in both classes (binormal model) with the same correlation between any two
    images of a patient; the clustered variance of the AUROC (Obuchowski 1997) is then known in closed form,
    from each patient's number of positive and negative images alone. No random numbers are used.

    Args:
        y: (n,) 0/1 labels.
        patient_id: (n,) the patient of every image.
        auroc: The AUROC assumed.
        score_correlation: Smallest and largest correlation within a patient.
        model_correlation: Correlation of two models' scores of the same image.
        level: Coverage of the interval, and 1 - level of the test.
        power: Chance to find the difference.

    Raises:
        ValueError: Lengths differ, labels other than 0/1, an AUROC, level or power outside (0, 1).
    """
    from scipy.special import ndtri

    positive, ids = labels(y), canonical_ids(patient_id)
    if len(ids) != len(positive):
        raise ValueError(f"patient_id has {len(ids)} rows, y has {len(positive)}")
    _, code = np.unique(np.array(ids, dtype=object), return_inverse=True)
    m = np.bincount(code, positive).astype(np.float64)
    n = np.bincount(code, ~positive).astype(np.float64)
    counted = len(positive), len(m), int(m.sum()), int(np.count_nonzero(m)), int(np.count_nonzero(n))
    check_level(auroc, "auroc")
    if not m.sum() or not n.sum():
        return Resolution(*counted, auroc, None, None, None, None)
    z = float(ndtri((1 + check_level(level, "level")) / 2))
    reach = z + float(ndtri(check_level(power, "power")))
    widths, differences = [], []
    for rho in score_correlation:
        own = auroc_covariance(m, n, auroc, 1.0, rho)
        shared = auroc_covariance(m, n, auroc, model_correlation, model_correlation * rho)
        widths.append(z * own**0.5)
        differences.append(reach * (2 * (own - shared)) ** 0.5)
    return Resolution(*counted, auroc, min(widths), max(widths), min(differences), max(differences))


def auroc_covariance(m: Floats, n: Floats, auroc: float, same_image: float, same_patient: float) -> float:
    """Covariance of two models' AUROC under the binormal model; the variance of one with `same_image` 1.

    Args:
        m: (P,) positive images of every patient.
        n: (P,) negative images of every patient.
        auroc: AUROC of both models.
        same_image: Correlation of the two scores of one image, within its class.
        same_patient: Correlation of one model's score with the other's on another image of the patient.
    """
    M, N = float(m.sum()), float(n.sum())
    image, patient, opposite = (
        placement_covariance(auroc, r) for r in (same_image, same_patient, -same_patient)
    )

    def within(count: Floats) -> float:
        return float(np.sum(count * image + count * (count - 1) * patient))

    return within(m) / M**2 + within(n) / N**2 + 2 * inner(m, n) * opposite / (M * N)


def placement_covariance(auroc: float, correlation: float) -> float:
    """Covariance of two placements whose normal scores correlate: Φ₂(h, h; r/2) - A², with h = Φ⁻¹(A)."""
    from scipy.special import ndtri, owens_t

    h = float(ndtri(auroc))
    r = correlation / 2
    # Φ₂(h, h; r) by Owen's T.
    both = auroc - 2 * float(owens_t(h, ((1 - r) / (1 + r)) ** 0.5))
    return both - auroc**2
