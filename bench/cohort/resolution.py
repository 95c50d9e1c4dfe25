"""What the test set can tell apart, printed before any entry is seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.documents import Document

if TYPE_CHECKING:
    from bench.cohort.table import Cohort


class TargetResolution(Document):
    """One target: half-width of a 95% interval at AUROC 0.80, and paired difference seen with 80% power.

    Each is a range, from weakly to strongly clustered scores; null where a class is empty.
    """

    target: str
    label: str
    images: int
    patients: int
    positives: int
    positive_patients: int
    prevalence: float | None
    half_width_low: float | None
    half_width_high: float | None
    paired_difference_low: float | None
    paired_difference_high: float | None


def test_resolution(cohort: Cohort) -> tuple[TargetResolution, ...]:
    """The resolution of the test images for each binary target."""
    import numpy as np  # here, since sites are built from stored figures alone

    from bench.uncertainty.resolution import split_resolution

    rows = cohort.rows("test")
    found = []
    for target in cohort.spec.binary_targets:
        labels = cohort.targets[target.name][rows]
        labelled = rows[~np.isnan(labels)]
        y, patients = cohort.targets[target.name][labelled], cohort.patients[labelled]
        width = split_resolution(y, patients) if 0 < y.sum() < len(y) else None
        found.append(
            TargetResolution(
                target=target.name,
                label=target.label,
                images=len(y),
                patients=len(set(patients)),
                positives=int(y.sum()),
                positive_patients=len(set(patients[y == 1])),
                prevalence=float(y.mean()) if len(y) else None,
                half_width_low=width.half_width_low if width else None,
                half_width_high=width.half_width_high if width else None,
                paired_difference_low=width.paired_difference_low if width else None,
                paired_difference_high=width.paired_difference_high if width else None,
            )
        )
    return tuple(found)
