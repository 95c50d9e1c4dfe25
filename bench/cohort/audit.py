"""Checks of a copy of a cohort before it is used, as `bench cohort check` runs them."""

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
from bench.cohort.audit_images import FAULTS, TOO_LARGE, ImageAudit, audit_images
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
    """Findings of all checks of a cohort.

    Attributes:
        split: Counts by part and fold.
        resolution: Smallest detectable differences on the test images.
        labels: Agreement of released labels with the rules of the spec.
        implausible: Measurement → number of images whose value is outside the plausible range.
        images: Findings about image files, None if they were not read.
        problems: Errors and warnings, with counts and without ids.
    """

    split: SplitLock
    resolution: tuple[TargetResolution, ...]
    labels: tuple[LabelAgreement, ...]
    implausible: dict[str, int]
    images: ImageAudit | None
    problems: tuple[Problem, ...]


def audit(cohort: Cohort, *, images: bool = True, jobs: int = 1, progress: Progress | None = None) -> Audit:
    """Check a loaded cohort.

    Args:
        cohort: The cohort.
        images: Whether to read every image file.
        jobs: Threads that read images.
        progress: Called with (done, total) after each image.
    """
    image_audit = audit_images(cohort, jobs=jobs, progress=progress) if images else None
    labels = label_agreement(cohort)
    problems = [*cohort.notices, *_size_problems(cohort), *audit_patients(cohort), *audit_labels(cohort)]
    problems += _label_problems(labels)
    if image_audit:
        problems += [*_image_problems(cohort, image_audit), *_checksum_problems(cohort, image_audit)]
    return Audit(
        split=summarise(cohort),
        resolution=test_resolution(cohort),
        labels=labels,
        implausible={t.name: _implausible(cohort, t) for t in cohort.spec.continuous_targets},
        images=image_audit,
        problems=tuple(problems),
    )


def _implausible(cohort: Cohort, target: ContinuousTarget) -> int:
    return int(np.isnan(cohort.targets[target.name]).sum())


def _size_problems(cohort: Cohort) -> list[Problem]:
    if cohort.synthetic and not cohort.spec.synthetic:
        message = f"The folder is marked as synthetic; it is not the real {cohort.spec.title}."
        return [Problem("cohort-synthetic", message, str(cohort.folder), severity="warning")]
    counts = (len(cohort), len(set(cohort.patients)))
    expected = (cohort.spec.expected_images, cohort.spec.expected_patients)
    if all(want in (None, have) for have, want in zip(counts, expected, strict=True)):
        return []
    stated = [
        f"{number:,} {noun}"
        for number, noun in zip(expected, ("images", "patients"), strict=True)
        if number is not None
    ]
    message = f"{counts[0]:,} images of {counts[1]:,} patients; the release has {' of '.join(stated)}."
    return [Problem("cohort-size", message, str(cohort.folder))]


def _label_problems(labels: tuple[LabelAgreement, ...]) -> list[Problem]:
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


_LIST_FILE = "`bench cohort check --list FILE` writes their names."
_COPY_AGAIN = f"Copy them again; {_LIST_FILE}"


def _image_problems(cohort: Cohort, report: ImageAudit) -> Iterator[Problem]:
    total, where = f"{len(cohort):,}", str(cohort.folder)
    if report.missing:
        yield Problem("images-missing", f"{len(report.missing):,} of {total} images.", where)
    if report.damaged:
        yield _damaged(report, total, where)
    if report.zero_tails:
        tails = f"{len(report.zero_tails):,} of {total} image files"
        message = f"{tails} end in zeros, a quarter of the file or more."
        yield Problem("images-zero-tail", message, where, severity="warning")
    if report.too_large:
        large = f"{len(report.too_large):,} of {total} images have more than {MOST_PIXELS:,} pixels"
        yield Problem("images-too-large", f"{large}, the largest {report.largest:,}.", where)
    if report.unlisted:
        message = f"{len(report.unlisted):,} image files are in no row of the table."
        yield Problem("images-unlisted", message, where, severity="warning")
    if report.duplicates:
        same = f"{len(report.duplicates):,} groups of images have the same pixels"
        message = f"{same}, {report.across_patients:,} of them of more than one patient."
        yield Problem("images-duplicate", message, where, severity="warning")
    if report.straddling:
        message = f"{report.straddling:,} groups of identical images are in train and in test."
        yield Problem("duplicates-straddle", message, where)


def _damaged(report: ImageAudit, total: str, where: str) -> Problem:
    """Describe the images that cannot be decoded, by kind of damage."""
    counts = Counter(fault for fault in report.faults.values() if fault != TOO_LARGE)
    kinds = {fault: kind for fault, kind in FAULTS.items() if counts[fault]}
    named = ", ".join(f"{counts[fault]:,} {phrase}" for fault, (phrase, _) in kinds.items())
    remedies = [remedy for _, remedy in kinds.values()]
    remedy = " ".join([*filter(None, remedies), _COPY_AGAIN if "" in remedies else _LIST_FILE])
    return Problem("images-damaged", f"{len(report.damaged):,} of {total} images: {named}.", where, remedy)


def _checksum_problems(cohort: Cohort, report: ImageAudit) -> Iterator[Problem]:
    where = str(cohort.folder)
    if report.unread_checksums:
        message = f"{report.unread_checksums:,} lines are not of the form 'SHA-256  file'."
        list_file = f"{cohort.folder / cohort.spec.files.checksums}"
        yield Problem("checksum-list", message, list_file, severity="warning")
    if report.changed:
        message = f"{len(report.changed):,} of {report.checksums:,} listed files have another SHA-256."
        yield Problem("checksum-differs", message, where)
    if report.listed_missing:
        message = f"{len(report.listed_missing):,} of {report.checksums:,} listed files are not there."
        yield Problem("checksum-file-missing", message, where)


class LabelAgreement(Document):
    """Agreement of a target's released labels with its label rule."""

    target: str
    images: int
    agree: int
    released_only: int
    rule_only: int


def label_agreement(cohort: Cohort) -> tuple[LabelAgreement, ...]:
    """Compare released labels with each label rule of the spec."""
    return tuple(_label_agreement(cohort, rule) for rule in cohort.spec.label_rules)


def _label_agreement(cohort: Cohort, rule: LabelRule) -> LabelAgreement:
    released = cohort.targets[rule.target]
    labelled = ~np.isnan(released)
    if rule.any_of:
        labelled &= ~np.isnan(cohort.male)  # without a sex no threshold applies
    positive = released == 1
    expected = _rule_labels(cohort, rule)
    return LabelAgreement(
        target=rule.target,
        images=int(labelled.sum()),
        agree=int((labelled & (positive == expected)).sum()),
        released_only=int((labelled & positive & ~expected).sum()),
        rule_only=int((labelled & ~positive & expected).sum()),
    )


def _rule_labels(cohort: Cohort, rule: LabelRule) -> npt.NDArray[np.bool_]:
    expected = np.zeros(len(cohort), bool)
    for target in rule.or_targets:
        expected |= cohort.targets[target] == 1
    for threshold in rule.any_of:
        measured = pd.to_numeric(cohort.table[threshold.column], errors="coerce").to_numpy(np.float64)
        expected |= measured > np.where(cohort.male == 1, threshold.male, threshold.female)
    return expected


CHECKED_BY_TRAINING = "duplicates-straddle"  # training leaves the duplicates out

Groups = tuple[tuple[int, ...], ...]


class CheckedImages(Document):
    """Stored result of reading every image file, without image names."""

    schema_: Literal["checked-images/1"] = Field(default="checked-images/1", alias="schema")
    key: str = Field(description="SHA-256 over spec, split and the size and time of change of every file.")
    errors: tuple[tuple[str, str, str], ...] = Field(description="Code, message and place of each error.")
    copies: Groups = Field(description="Rows, in canonical order, of images with the same pixels.")


def require_valid_cohort(
    cohort: Cohort, folder: Path, *, images: bool, jobs: int = 1, progress: Progress | None = None
) -> Groups:
    """Raise the errors of `bench cohort check`.

    Args:
        cohort: A loaded cohort.
        folder: Folder that stores the result for the image files.
        images: Whether to check image files; they are read again only after a change.
        jobs: Number of threads that read images.
        progress: Called with (images done, total images).

    Returns:
        Groups of rows whose images have the same pixels; empty unless `images`.

    Raises:
        BenchError: Every error of `bench cohort check`, except identical images in train and test: training
            uses the groups to leave those out.
    """
    if not images:
        raise_errors(p for p in audit(cohort, images=False).problems if p.severity == "error")
        return ()
    key = _cohort_state(cohort)
    checked = _read_checked_images(_checked_images_path(cohort, folder))
    if checked is None or checked.key != key:
        checked = _checked_images(cohort, key, audit(cohort, jobs=jobs, progress=progress))
        write_json(_checked_images_path(cohort, folder), checked.plain())
    raise_errors(Problem(code, message, where) for code, message, where in checked.errors)
    return checked.copies


def store_checked_images(cohort: Cohort, report: Audit, folder: Path) -> None:
    """Store the result of a check of all images, so that training need not repeat it."""
    if report.images:
        write_json(
            _checked_images_path(cohort, folder),
            _checked_images(cohort, _cohort_state(cohort), report).plain(),
        )


def _checked_images_path(cohort: Cohort, folder: Path) -> Path:
    return folder / f"{cohort.spec.id}-checked.json"


def _read_checked_images(path: Path) -> CheckedImages | None:
    try:
        return read_json(CheckedImages, path, "cache-write")
    except BenchError:
        return None


def _checked_images(cohort: Cohort, key: str, report: Audit) -> CheckedImages:
    row = {image: k for k, image in enumerate(cohort.images)}
    groups = report.images.duplicates if report.images else []
    errors = [p for p in report.problems if p.severity == "error" and p.code != CHECKED_BY_TRAINING]
    return CheckedImages(
        key=key,
        errors=tuple((p.code, p.message, p.where) for p in errors),
        copies=tuple(tuple(sorted(row[image] for image in group)) for group in groups),
    )


def _cohort_state(cohort: Cohort) -> str:
    digest = hashlib.sha256(canonical_json(cohort.spec.plain()))
    digest.update(f"{bench.__version__}\n{cohort.folder.resolve()}\n{cohort.split.fingerprint}\n".encode())
    for folder in (cohort.folder, *(cohort.folder / name for name in cohort.spec.files.images)):
        for line in sorted(_file_states(folder)):
            digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _file_states(folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file():
                state = entry.stat()
                yield f"{folder.name}/{entry.name}\t{state.st_size}\t{state.st_mtime_ns}\n"
