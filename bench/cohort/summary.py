"""Counts of a split, and the lock that keeps it: no id, no label, only sums and a fingerprint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.documents import Document, read_json, schema_field
from bench.errors import Problem

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from bench.cohort.cohort import Cohort


class TargetCount(Document):
    """Labels of one binary target in one part."""

    target: str
    labelled: int
    positives: int
    positive_patients: int
    prevalence: float | None


class PartCount(Document):
    """Size of one part or fold."""

    part: str
    images: int
    patients: int
    targets: tuple[TargetCount, ...]


class SplitLock(Document):
    """``split.lock.json``: the split of a release, for anyone who holds the data to compare with."""

    schema_: str = schema_field("split-lock", 1)
    cohort: str
    version: str
    rule: str
    fingerprint: str
    images: int
    patients: int
    parts: tuple[PartCount, ...]
    folds: tuple[PartCount, ...]


def summarise(cohort: Cohort) -> SplitLock:
    """The split's counts, by part and by fold."""
    from bench.cohort.split import FOLDS, PARTS

    spec = cohort.spec
    split = cohort.split
    rule = spec.split.model_dump_json(exclude_none=True)
    return SplitLock(
        cohort=spec.id,
        version=spec.version,
        rule=rule,
        fingerprint=split.fingerprint,
        images=len(cohort),
        patients=len(set(cohort.patients)),
        parts=tuple(_count(cohort, part, split.parts == part) for part in PARTS),
        folds=tuple(_count(cohort, f"fold {k}", split.folds == k) for k in range(FOLDS)),
    )


def _count(cohort: Cohort, name: str, rows: npt.NDArray[np.bool_]) -> PartCount:
    import numpy as np  # here, since sites are built from stored figures alone

    targets = []
    for target in cohort.spec.binary_targets:
        labels = cohort.targets[target.name]
        labelled = rows & ~np.isnan(labels)
        positive = rows & (labels == 1)
        count, positives = int(labelled.sum()), int(positive.sum())
        targets.append(
            TargetCount(
                target=target.name,
                labelled=count,
                positives=positives,
                positive_patients=len(set(cohort.patients[positive])),
                prevalence=positives / count if count else None,
            )
        )
    return PartCount(
        part=name,
        images=int(rows.sum()),
        patients=len(set(cohort.patients[rows])),
        targets=tuple(targets),
    )


def compare_with_lock(found: SplitLock, lock_file: Path) -> list[Problem]:
    """What differs between the split at hand and the locked one; empty where they are the same."""
    lock = read_json(SplitLock, lock_file, "split-lock-invalid")
    where = str(lock_file)
    if (lock.cohort, lock.version, lock.rule) != (found.cohort, found.version, found.rule):
        message = (
            f"The lock is of {lock.cohort} {lock.version} with rule {lock.rule}; here it is {found.cohort} "
            f"{found.version} with rule {found.rule}."
        )
        return [Problem("split-lock-other", message, where)]
    if lock.fingerprint == found.fingerprint:
        return []
    message = (
        f"Fingerprint {found.fingerprint[:12]}, locked {lock.fingerprint[:12]}. "
        f"Images {found.images:,}, locked {lock.images:,}; "
        f"patients {found.patients:,}, locked {lock.patients:,}. "
        "The rule is the same: a patient in both keeps the part."
    )
    return [Problem("split-changed", message, where)]


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
    import numpy as np

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
