"""Counts of a split, its lock file, and the smallest detectable differences; no ids or labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.choices import LabelMode
from bench.documents import Document, schema_field
from bench.errors import Problem
from bench.files import clear_parts, locked, write_json
from bench.sandbox.reader import read_document
from bench.workspace import STORE_LOCK

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
    """Size of one part or fold; without targets in the lock of a cohort with private labels."""

    part: str
    images: int
    patients: int
    targets: tuple[TargetCount, ...]


class SplitLock(Document):
    """``split.lock.json``: counts and fingerprint of a release's split, to compare a copy with."""

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
    """Count a split's images, patients and labels, by part and by fold."""
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
    import numpy as np  # imported here: a site build needs no numpy

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


def split_lock(cohort: Cohort) -> SplitLock:
    """Return the lock of a cohort's split, which may be published.

    Where labels are private it counts no labels: those of parts and folds are equations in them.
    """
    current = summarise(cohort)
    return without_label_counts(current) if cohort.spec.labels is LabelMode.PRIVATE else current


def without_label_counts(lock: SplitLock) -> SplitLock:
    """Return a lock that counts images and patients only."""
    parts, folds = (
        tuple(part.model_copy(update={"targets": ()}) for part in group) for group in (lock.parts, lock.folds)
    )
    return lock.model_copy(update={"parts": parts, "folds": folds})


def write_lock(current: SplitLock, lock_file: Path) -> None:
    """Write the lock of a split, whole or not at all."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with locked(lock_file.parent / STORE_LOCK):
        clear_parts(lock_file.parent)
        write_json(lock_file, current.plain())


def compare_with_lock(current: SplitLock, lock_file: Path) -> list[Problem]:
    """Report how a split differs from the locked one; empty if they are equal."""
    lock, _ = read_document(SplitLock, lock_file, "split-lock-invalid")
    where = str(lock_file)
    if (lock.cohort, lock.version, lock.rule) != (current.cohort, current.version, current.rule):
        message = (
            f"The lock is of {lock.cohort} {lock.version} with rule {lock.rule}; here it is {current.cohort} "
            f"{current.version} with rule {current.rule}."
        )
        return [Problem("split-lock-other", message, where)]
    if lock.fingerprint == current.fingerprint:
        return []
    message = (
        f"Fingerprint {current.fingerprint[:12]}, locked {lock.fingerprint[:12]}. "
        f"Images {current.images:,}, locked {lock.images:,}; "
        f"patients {current.patients:,}, locked {lock.patients:,}. "
        "The rule is the same: a patient in both keeps the part."
    )
    return [Problem("split-changed", message, where)]


class TargetResolution(Document):
    """Half-width of a 95% CI at AUROC 0.80, and smallest paired difference detectable at 80% power.

    Each is a range, from weakly to strongly clustered scores; null if a class is empty.
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
    """Compute the smallest detectable difference on the test images for each binary target."""
    import numpy as np

    from bench.uncertainty.resolution import split_resolution

    rows = cohort.rows("test")
    resolutions = []
    for target in cohort.spec.binary_targets:
        labels = cohort.targets[target.name][rows]
        labelled = rows[~np.isnan(labels)]
        y, patients = cohort.targets[target.name][labelled], cohort.patients[labelled]
        width = split_resolution(y, patients) if 0 < y.sum() < len(y) else None
        resolutions.append(
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
    return tuple(resolutions)
