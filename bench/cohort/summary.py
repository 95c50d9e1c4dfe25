"""Counts of a split, and the lock that keeps it: no id, no label, only sums and a fingerprint."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from bench.cohort.split import FOLDS, PARTS
from bench.cohort.table import Cohort
from bench.documents import Document, read_json
from bench.errors import Problem


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

    schema_: Literal["split-lock/1"] = Field(default="split-lock/1", alias="schema")
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
