"""`bench cohort check`: what could be wrong with a copy of a cohort, before a number is computed."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

import bench
from bench.cohort.audit_images import (
    CUT_SHORT,
    NOT_FINITE,
    UNDECODABLE,
    ImageAudit,
    audit_images,
)
from bench.cohort.audit_table import audit_labels, audit_patients
from bench.cohort.cohort import Cohort
from bench.cohort.decode import MOST_PIXELS
from bench.cohort.spec import ContinuousTarget, LabelRule
from bench.cohort.summary import SplitLock, TargetResolution, summarise, test_resolution
from bench.documents import Document, read_json
from bench.errors import BenchError, Problem, raise_errors
from bench.files import canonical_json, write_json
from bench.progress import Progress


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
    problems = [*cohort.notices, *_size(cohort), *audit_patients(cohort), *audit_labels(cohort)]
    problems += _disagreement(labels)
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
    if found.damaged:
        counts = Counter(found.faults.values())
        kinds = {
            "cannot be decoded": counts[UNDECODABLE],
            "end before the image does": counts[CUT_SHORT],
            "hold NaN or infinite values": counts[NOT_FINITE],
        }
        named = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count)
        message = f"{len(found.damaged):,} of {total} images: {named}."
        problems.append(Problem("images-damaged", message, where))
    if found.too_large:
        message = (
            f"{len(found.too_large):,} of {total} images have more than {MOST_PIXELS:,} pixels, the largest "
            f"{found.largest:,}."
        )
        problems.append(Problem("images-too-large", message, where))
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


class LabelAgreement(Document):
    """How many released labels equal what the rule gives."""

    target: str
    images: int
    agree: int
    released_only: int
    rule_only: int


def label_agreement(cohort: Cohort) -> tuple[LabelAgreement, ...]:
    """One line for each label rule of the spec."""
    return tuple(_compare(cohort, rule) for rule in cohort.spec.label_rules)


def _compare(cohort: Cohort, rule: LabelRule) -> LabelAgreement:
    released = cohort.targets[rule.target]
    labelled = ~np.isnan(released)
    if rule.any_of:
        labelled &= ~np.isnan(cohort.male)  # without a sex no threshold applies
    positive = released == 1
    expected = _apply(cohort, rule)
    return LabelAgreement(
        target=rule.target,
        images=int(labelled.sum()),
        agree=int((labelled & (positive == expected)).sum()),
        released_only=int((labelled & positive & ~expected).sum()),
        rule_only=int((labelled & ~positive & expected).sum()),
    )


def _apply(cohort: Cohort, rule: LabelRule) -> npt.NDArray[np.bool_]:
    expected = np.zeros(len(cohort), bool)
    for target in rule.or_targets:
        expected |= cohort.targets[target] == 1
    for threshold in rule.any_of:
        measured = pd.to_numeric(cohort.table[threshold.column], errors="coerce").to_numpy(np.float64)
        expected |= measured > np.where(cohort.male == 1, threshold.male, threshold.female)
    return expected


DEALT_WITH = "duplicates-straddle"  # by leaving the copies out of training

Groups = tuple[tuple[int, ...], ...]


class CheckedImages(Document):
    """What looking at every image file found, kept beside the cohort's caches; it names no image."""

    schema_: Literal["checked-images/1"] = Field(default="checked-images/1", alias="schema")
    key: str = Field(description="SHA-256 over spec, split and the size and time of change of every file.")
    errors: tuple[tuple[str, str, str], ...] = Field(description="Code, message and place of each error.")
    copies: Groups = Field(description="Rows, in canonical order, of images with the same pixels.")


def require_valid_cohort(
    cohort: Cohort, folder: Path, *, images: bool, jobs: int = 1, progress: Progress | None = None
) -> Groups:
    """Refuses a cohort whose check fails.

    Args:
        cohort: A loaded cohort.
        folder: Where what was found about the image files is kept.
        images: Whether image files matter; they are read where anything changed since they last were.
        jobs: Threads that read images.
        progress: Called with (images done, images in all).

    Returns:
        Groups of rows whose images have the same pixels; none where images do not matter.

    Raises:
        BenchError: Every error that `bench cohort check` would show, but identical images in train and test:
            whoever trains leaves those out by the groups.
    """
    if not images:
        raise_errors(p for p in audit(cohort, images=False).problems if p.severity == "error")
        return ()
    key = _key(cohort)
    found = _read(_path(cohort, folder))
    if found is None or found.key != key:
        found = _checked(cohort, key, audit(cohort, jobs=jobs, progress=progress))
        write_json(_path(cohort, folder), found.plain())
    raise_errors(Problem(code, message, where) for code, message, where in found.errors)
    return found.copies


def keep_check(cohort: Cohort, found: Audit, folder: Path) -> None:
    """Keeps what an audit of all images found, so that training need not repeat it."""
    if found.images:
        write_json(_path(cohort, folder), _checked(cohort, _key(cohort), found).plain())


def _path(cohort: Cohort, folder: Path) -> Path:
    return folder / f"{cohort.spec.id}-checked.json"


def _read(path: Path) -> CheckedImages | None:
    try:
        return read_json(CheckedImages, path, "cache-write")
    except BenchError:
        return None


def _checked(cohort: Cohort, key: str, found: Audit) -> CheckedImages:
    row = {image: k for k, image in enumerate(cohort.images)}
    groups = found.images.duplicates if found.images else []
    errors = [p for p in found.problems if p.severity == "error" and p.code != DEALT_WITH]
    return CheckedImages(
        key=key,
        errors=tuple((p.code, p.message, p.where) for p in errors),
        copies=tuple(tuple(sorted(row[image] for image in group)) for group in groups),
    )


def _key(cohort: Cohort) -> str:
    digest = hashlib.sha256(canonical_json(cohort.spec.plain()))
    digest.update(f"{bench.__version__}\n{cohort.folder.resolve()}\n{cohort.split.fingerprint}\n".encode())
    for folder in (cohort.folder, *(cohort.folder / name for name in cohort.spec.files.images)):
        for line in sorted(_states(folder)):
            digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _states(folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file():
                state = entry.stat()
                yield f"{folder.name}/{entry.name}\t{state.st_size}\t{state.st_mtime_ns}\n"
