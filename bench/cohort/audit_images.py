"""Looks at every image file of a cohort once: there, readable, distinct, listed, unchanged."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.cohort.cohort import Cohort
from bench.cohort.decode import ImageCutShortError, ImageNotFiniteError, ImageTooLargeError, grey_values
from bench.cohort.images import ImageFolders
from bench.files import read_sums, sha256_file
from bench.progress import Progress

UNDECODABLE = "cannot be decoded"
CUT_SHORT = "cut short"
NOT_FINITE = "not finite"
TOO_LARGE = "too large"
FAULTS = (UNDECODABLE, CUT_SHORT, NOT_FINITE, TOO_LARGE)


@dataclass(frozen=True, slots=True)
class ImageAudit:
    """Findings about image files; file names stay with the holder of the data.

    Attributes:
        looked_at: How many files were read.
        missing: Image ids without a file.
        faults: Image → what is wrong with a file that is not decoded, one of `FAULTS`.
        largest: Pixels of the largest image that is not decoded for its size.
        unlisted: Image files that no row of the table names.
        changed: Files whose SHA-256 is not the listed one.
        listed_missing: Files of the checksum list that are not there.
        checksums: How many checksums were compared, 0 without a list.
        unread_checksums: Lines of the list that are not of the form ``SHA-256  file``.
        duplicates: Groups of images with the same pixels.
        straddling: Groups of duplicates with images in train and in test.
        across_patients: Groups of duplicates of more than one patient.
    """

    looked_at: int
    missing: list[str] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
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
        """Images that cannot be decoded for another reason than their size."""
        return [image for image, fault in self.faults.items() if fault != TOO_LARGE]

    @property
    def too_large(self) -> list[str]:
        """Images with more pixels than are decoded."""
        return [image for image, fault in self.faults.items() if fault == TOO_LARGE]


@dataclass(frozen=True, slots=True)
class _Look:
    sha256: str
    pixels: str = ""  # digest of size and pixels, empty where the file cannot be decoded
    fault: str = ""
    size: int = 0  # pixels of an image that is too large


def audit_images(cohort: Cohort, *, jobs: int = 1, progress: Progress | None = None) -> ImageAudit:
    """Reads every image of the table.

    Raises:
        BenchError: No image folder exists.
    """
    folders = ImageFolders(cohort)
    paths = {image: folders.path(image) for image in cohort.images}
    found = {image: path for image, path in paths.items() if path is not None}
    listed, unread = _checksum_list(cohort)
    looks = {}
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        for done, (image, look) in enumerate(zip(found, pool.map(_look, found.values()), strict=True), 1):
            looks[image] = look
            if progress:
                progress(done, len(found))
    groups = _duplicates(looks)
    part = dict(zip(cohort.images, cohort.split.parts, strict=True))
    patient = dict(zip(cohort.images, cohort.patients, strict=True))
    known = {path.resolve() for path in found.values()}
    names = {image: _relative(cohort, path) for image, path in found.items()}
    looked_at = set(names.values())
    sums = {image: listed[name] for image, name in names.items() if name in listed}
    return ImageAudit(
        looked_at=len(found),
        missing=[image for image, path in paths.items() if path is None],
        faults={image: look.fault for image, look in looks.items() if look.fault},
        largest=max((look.size for look in looks.values()), default=0),
        unlisted=[path.name for path in _image_files(folders) if path.resolve() not in known],
        changed=[image for image, sha256 in sums.items() if looks[image].sha256 != sha256]
        + _changed_others(cohort, {n: s for n, s in listed.items() if n not in looked_at}),
        listed_missing=[name for name in listed if not (cohort.folder / name).is_file()],
        checksums=len(listed),
        unread_checksums=unread,
        duplicates=groups,
        straddling=sum({"train", "test"} <= {part[image] for image in group} for group in groups),
        across_patients=sum(len({patient[image] for image in group}) > 1 for group in groups),
    )


def _look(path: Path) -> _Look:
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        values = grey_values(data)
    except ImageTooLargeError as error:
        return _Look(sha256, fault=TOO_LARGE, size=error.pixels)
    except ImageNotFiniteError:
        return _Look(sha256, fault=NOT_FINITE)
    except (OSError, SyntaxError, ValueError) as error:
        short = isinstance(error, ImageCutShortError) or "truncated" in str(error)
        return _Look(sha256, fault=CUT_SHORT if short else UNDECODABLE)
    digest = hashlib.sha256(f"{values.dtype} {values.shape}".encode())
    digest.update(np.ascontiguousarray(values).data)
    return _Look(sha256, digest.hexdigest())


def _duplicates(looks: dict[str, _Look]) -> list[tuple[str, ...]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for image, look in looks.items():
        if look.pixels:
            groups[look.pixels].append(image)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def _image_files(folders: ImageFolders) -> Iterator[Path]:
    for folder in folders.folders:
        yield from (p for p in folder.iterdir() if p.suffix.lower() in {".jpg", ".jpeg", ".png"})


def _relative(cohort: Cohort, path: Path) -> str:
    return path.relative_to(cohort.folder).as_posix()


def _checksum_list(cohort: Cohort) -> tuple[dict[str, str], int]:
    """Listed file → SHA-256, and how many lines are of another form."""
    path = cohort.folder / cohort.spec.files.checksums
    if not path.is_file():
        return {}, 0
    try:
        return read_sums(path.read_bytes())
    except UnicodeDecodeError:
        return {}, path.read_bytes().count(b"\n") + 1


def _changed_others(cohort: Cohort, listed: dict[str, str]) -> list[str]:
    """Changed files among those that are not the table's images, such as the table itself."""
    paths = {name: cohort.folder / name for name in listed}
    return [n for n, path in paths.items() if path.is_file() and sha256_file(path) != listed[n]]
