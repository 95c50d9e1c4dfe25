"""Checks of image files: missing, damaged, duplicate, unlisted, changed."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from bench.cohort.cohort import Cohort
from bench.cohort.decode import (
    ImageCutShortError,
    ImageNotFiniteError,
    ImageTooLargeError,
    grey_values,
    has_zero_tail,
    kind_of_other_file,
)
from bench.cohort.images import ImageFolders
from bench.files import read_sums, sha256_file
from bench.progress import Progress

UNDECODABLE = "cannot be decoded"
CUT_SHORT = "cut short"
NOT_FINITE = "not finite"
TOO_LARGE = "too large"
_AGAIN = ""  # the remedy of the catalogue: copy them again
FAULTS: Final[Mapping[str, tuple[str, str]]] = {
    UNDECODABLE: ("cannot be decoded", _AGAIN),
    CUT_SHORT: ("end before the image does", _AGAIN),
    NOT_FINITE: ("hold NaN or infinite values", _AGAIN),
    TOO_LARGE: ("have too many pixels", _AGAIN),
    "empty": ("are empty files", _AGAIN),
    "zeros": ("hold only zero bytes", _AGAIN),
    "web page": ("are web pages, perhaps of a login", "Download them again, logged in."),
    "Git LFS pointer": ("are Git LFS pointers", "Run `git lfs pull` in the folder of the images."),
    "DICOM": ("are DICOM files", "Convert the DICOM files to PNG, and name these in the table."),
    "archive": ("are archives", "Unpack the archives."),
    "PDF": ("are PDF files", "Export the images of the PDF files as PNG."),
}
"""Fault of an image file → (how a message counts such files, a remedy of its own)."""


@dataclass(frozen=True, slots=True)
class ImageAudit:
    """Findings about image files; the names are never published.

    Attributes:
        looked_at: Number of files read.
        missing: Image ids without a file.
        faults: Image → key of `FAULTS`, for files that cannot be used.
        zero_tails: Images whose file ends in zero bytes, as after a copy that was not finished.
        largest: Pixels of the largest image that exceeds the size limit.
        unlisted: Image files that no row of the table names.
        changed: Files whose SHA-256 differs from the listed one.
        listed_missing: Files of the checksum list that do not exist.
        checksums: Number of checksums compared, 0 without a list.
        unread_checksums: Lines of the list that do not have the form ``SHA-256  file``.
        duplicates: Groups of images with the same pixels.
        straddling: Groups of duplicates with images in train and in test.
        across_patients: Groups of duplicates of more than one patient.
    """

    looked_at: int
    missing: list[str] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    zero_tails: list[str] = field(default_factory=list)
    largest: int = 0
    unlisted: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    listed_missing: list[str] = field(default_factory=list)
    checksums: int = 0
    unread_checksums: int = 0
    duplicates: list[tuple[str, ...]] = field(default_factory=list)
    straddling: int = 0
    across_patients: int = 0

    @property
    def damaged(self) -> list[str]:
        """Images that cannot be decoded, except those that are too large."""
        return [image for image, fault in self.faults.items() if fault != TOO_LARGE]

    @property
    def too_large(self) -> list[str]:
        """Images that exceed the size limit."""
        return [image for image, fault in self.faults.items() if fault == TOO_LARGE]


@dataclass(frozen=True, slots=True)
class _ImageFinding:
    sha256: str
    pixels: str = ""  # digest of size and pixels, empty where the file cannot be decoded
    fault: str = ""
    size: int = 0  # pixels of an image that is too large
    zero_tail: bool = False


def audit_images(cohort: Cohort, *, jobs: int = 1, progress: Progress | None = None) -> ImageAudit:
    """Read every image of the table.

    Raises:
        BenchError: No image folder exists.
    """
    folders = ImageFolders(cohort)
    paths = {image: folders.path(image) for image in cohort.images}
    files = {image: path for image, path in paths.items() if path is not None}
    listed, unread = _checksum_list(cohort)
    findings = {}
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        for done, (image, finding) in enumerate(
            zip(files, pool.map(_read_image, files.values()), strict=True), 1
        ):
            findings[image] = finding
            if progress:
                progress(done, len(files))
    groups = _duplicates(findings)
    part = dict(zip(cohort.images, cohort.split.parts, strict=True))
    patient = dict(zip(cohort.images, cohort.patients, strict=True))
    listed_paths = {path.resolve() for path in files.values()}
    names = {image: _relative(cohort, path) for image, path in files.items()}
    looked_at = set(names.values())
    sums = {image: listed[name] for image, name in names.items() if name in listed}
    return ImageAudit(
        looked_at=len(files),
        missing=[image for image, path in paths.items() if path is None],
        faults={image: finding.fault for image, finding in findings.items() if finding.fault},
        zero_tails=[image for image, finding in findings.items() if finding.zero_tail],
        largest=max((finding.size for finding in findings.values()), default=0),
        unlisted=[path.name for path in _image_files(folders) if path.resolve() not in listed_paths],
        changed=[image for image, sha256 in sums.items() if findings[image].sha256 != sha256]
        + _changed_others(cohort, {n: s for n, s in listed.items() if n not in looked_at}),
        listed_missing=[name for name in listed if not (cohort.folder / name).is_file()],
        checksums=len(listed),
        unread_checksums=unread,
        duplicates=groups,
        straddling=sum({"train", "test"} <= {part[image] for image in group} for group in groups),
        across_patients=sum(len({patient[image] for image in group}) > 1 for group in groups),
    )


def _read_image(path: Path) -> _ImageFinding:
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        values = grey_values(data)
    except ImageTooLargeError as error:
        return _ImageFinding(sha256, fault=TOO_LARGE, size=error.pixels)
    except ImageNotFiniteError:
        return _ImageFinding(sha256, fault=NOT_FINITE)
    except (OSError, SyntaxError, ValueError) as error:
        short = isinstance(error, ImageCutShortError) or "truncated" in str(error)
        kind = kind_of_other_file(data)
        return _ImageFinding(sha256, fault=kind or (CUT_SHORT if short else UNDECODABLE))
    digest = hashlib.sha256(f"{values.dtype} {values.shape}".encode())
    digest.update(np.ascontiguousarray(values).data)
    return _ImageFinding(sha256, digest.hexdigest(), zero_tail=has_zero_tail(data))


def _duplicates(findings: dict[str, _ImageFinding]) -> list[tuple[str, ...]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for image, finding in findings.items():
        if finding.pixels:
            groups[finding.pixels].append(image)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def _image_files(folders: ImageFolders) -> Iterator[Path]:
    for folder in folders.folders:
        yield from (p for p in folder.iterdir() if p.suffix.lower() in {".jpg", ".jpeg", ".png"})


def _relative(cohort: Cohort, path: Path) -> str:
    return path.relative_to(cohort.folder).as_posix()


def _checksum_list(cohort: Cohort) -> tuple[dict[str, str], int]:
    """Return listed file → SHA-256, and the number of lines in another form."""
    path = cohort.folder / cohort.spec.files.checksums
    if not path.is_file():
        return {}, 0
    try:
        return read_sums(path.read_bytes())
    except UnicodeDecodeError:
        return {}, path.read_bytes().count(b"\n") + 1


def _changed_others(cohort: Cohort, listed: dict[str, str]) -> list[str]:
    """Return changed files other than the table's images, such as the table itself."""
    paths = {name: cohort.folder / name for name in listed}
    return [n for n, path in paths.items() if path.is_file() and sha256_file(path) != listed[n]]
