"""`bench cohort check`: what could be wrong with a copy of a cohort, before a number is computed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.cohort.audit_images import ImageAudit, Progress, audit_images
from bench.cohort.label_rules import LabelAgreement, label_agreement
from bench.cohort.resolution import TargetResolution, test_resolution
from bench.cohort.spec import ContinuousTarget
from bench.cohort.split import straddling_patients
from bench.cohort.summary import SplitLock, summarise
from bench.cohort.table import Cohort
from bench.errors import Problem


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found.

    Attributes:
        split: Counts by part and fold.
        resolution: What the test images can tell apart.
        labels: Agreement of released labels with the rules of the spec.
        implausible: Measurement → images whose value is outside the plausible range.
        images: Findings about files, None where they were not looked at.
        problems: Errors and warnings, with counts and without ids.
    """

    split: SplitLock
    resolution: tuple[TargetResolution, ...]
    labels: tuple[LabelAgreement, ...]
    implausible: dict[str, int]
    images: ImageAudit | None
    problems: tuple[Problem, ...]


def audit(cohort: Cohort, *, images: bool = True, jobs: int = 1, progress: Progress | None = None) -> Audit:
    """Checks a loaded cohort.

    Args:
        cohort: The cohort.
        images: Whether to read every image file.
        jobs: Threads that read images.
        progress: Called with (done, total) after each image.
    """
    found = audit_images(cohort, jobs=jobs, progress=progress) if images else None
    labels = label_agreement(cohort)
    problems = [*_size(cohort), *_patients(cohort), *_disagreement(labels)]
    if found:
        problems += _files(cohort, found)
    return Audit(
        split=summarise(cohort),
        resolution=test_resolution(cohort),
        labels=labels,
        implausible={t.name: _implausible(cohort, t) for t in cohort.spec.continuous_targets},
        images=found,
        problems=tuple(problems),
    )


def _implausible(cohort: Cohort, target: ContinuousTarget) -> int:
    return int(np.isnan(cohort.targets[target.name]).sum())


def _size(cohort: Cohort) -> list[Problem]:
    if cohort.synthetic and not cohort.spec.synthetic:
        message = f"The folder is marked as synthetic; it is not the real {cohort.spec.title}."
        return [Problem("cohort-synthetic", message, str(cohort.folder), severity="warning")]
    counts = (len(cohort), len(set(cohort.patients)))
    expected = (cohort.spec.expected_images, cohort.spec.expected_patients)
    if all(want in (None, have) for have, want in zip(counts, expected, strict=True)):
        return []
    message = (
        f"{counts[0]:,} images of {counts[1]:,} patients; the release has {expected[0] or 0:,} of "
        f"{expected[1] or 0:,}."
    )
    return [Problem("cohort-size", message, str(cohort.folder))]


def _patients(cohort: Cohort) -> list[Problem]:
    problems = []
    for a, b in (("train", "test"), ("val", "test"), ("train", "val")):
        if count := straddling_patients(cohort.patients, cohort.split.parts, a, b):
            message = f"{count} patients have images in {a} and in {b}."
            problems.append(Problem("patients-straddle", message, f"split {cohort.spec.split.rule}"))
    column = cohort.spec.compare_split_column
    if column and column in cohort.table:
        parts = cohort.table[column].str.strip().to_numpy(dtype=str)
        if count := straddling_patients(cohort.patients, parts, "train", "test"):
            message = (
                f"The published split in column {column} has {count} patients both in train and in test."
            )
            problems.append(
                Problem("published-split-straddles", message, f"column {column}", severity="warning")
            )
    return problems


def _disagreement(labels: tuple[LabelAgreement, ...]) -> list[Problem]:
    problems = []
    for line in labels:
        if differing := line.images - line.agree:
            message = (
                f"{differing:,} of {line.images:,} released labels of {line.target} differ from the rule: "
                f"{line.released_only:,} positive only in the release, {line.rule_only:,} only by the rule."
            )
            where = f"target {line.target}"
            problems.append(Problem("labels-differ-from-rule", message, where, severity="warning"))
    return problems


def _files(cohort: Cohort, found: ImageAudit) -> list[Problem]:
    total, where = f"{len(cohort):,}", str(cohort.folder)
    problems = []
    if found.missing:
        problems.append(Problem("images-missing", f"{len(found.missing):,} of {total} images.", where))
    if found.unreadable:
        problems.append(Problem("images-damaged", f"{len(found.unreadable):,} of {total} images.", where))
    if found.unlisted:
        message = f"{len(found.unlisted):,} image files are in no row of the table."
        problems.append(Problem("images-unlisted", message, where, severity="warning"))
    if found.unread_checksums:
        message = f"{found.unread_checksums:,} lines are not of the form 'SHA-256  file'."
        list_file = f"{cohort.folder / cohort.spec.files.checksums}"
        problems.append(Problem("checksum-list", message, list_file, severity="warning"))
    if found.changed:
        message = f"{len(found.changed):,} of {found.checksums:,} listed files have another SHA-256."
        problems.append(Problem("checksum-differs", message, where))
    if found.listed_missing:
        message = f"{len(found.listed_missing):,} of {found.checksums:,} listed files are not there."
        problems.append(Problem("checksum-file-missing", message, where))
    if found.duplicates:
        message = (
            f"{len(found.duplicates):,} groups of images have the same pixels, "
            f"{found.across_patients:,} of them of more than one patient."
        )
        problems.append(Problem("images-duplicate", message, where, severity="warning"))
    if found.straddling:
        message = f"{found.straddling:,} groups of identical images are in train and in test."
        problems.append(Problem("duplicates-straddle", message, where))
    return problems
