"""Location and reading of a cohort's image files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.cohort.cohort import Cohort
from bench.cohort.decode import DEFAULT_RULE, ImageRule, Pixels, read_grey, unreadable_image
from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem

__all__ = ["ImageFolders", "Pixels", "read_batches", "read_grey", "unreadable_image"]


class ImageFolders:
    """Image folders of a cohort, in the order of its spec.

    Raises:
        BenchError: None of the folders exists (``images-folder-missing``, exit 3).
    """

    def __init__(self, cohort: Cohort) -> None:
        self.root = cohort.folder
        self._images = cohort.images
        columns = cohort.spec.columns
        self._suffix = columns.image_suffix
        self._names: dict[str, str] = (
            dict(zip(cohort.images, cohort.table[columns.image_file].str.strip(), strict=True))
            if columns.image_file
            else {}
        )
        self.folders = [f for f in (cohort.folder / n for n in cohort.spec.files.images) if f.is_dir()]
        if not self.folders:
            names = ", ".join(cohort.spec.files.images) or "no folder (its spec names none)"
            message = f"The images of cohort {cohort.spec.id} are looked for in {names}; none is there."
            raise BenchError(
                Problem("images-folder-missing", message, where=str(cohort.folder)), EXIT_ENVIRONMENT
            )

    def name(self, image: str) -> str:
        """Return the name of an image's file, relative to its folder."""
        return self._names.get(image, image) + self._suffix

    def path(self, image: str) -> Path | None:
        """Return the file of an image, None if no folder has it."""
        name = self.name(image)
        return next((folder / name for folder in self.folders if (folder / name).is_file()), None)

    def listed(self) -> dict[str, Path]:
        """Return the file of each image that exists, by image id; each folder is listed once."""
        names = {image: os.path.normpath(self.name(image)) for image in self._images}
        files: dict[str, Path] = {}
        for inner in sorted({os.path.dirname(name) for name in names.values()}):  # noqa: PTH120 (370,000 names)
            for folder in reversed(self.folders):
                if (folder / inner).is_dir():
                    with os.scandir(folder / inner) as entries:
                        files.update({os.path.join(inner, e.name): Path(e.path) for e in entries})  # noqa: PTH118
        return {image: files[name] for image, name in names.items() if name in files}


def has_images(cohort: Cohort) -> bool:
    """Return whether one of the cohort's image folders exists."""
    try:
        ImageFolders(cohort)
    except BenchError:
        return False
    return True


def read_batches(
    cohort: Cohort,
    rows: npt.NDArray[np.intp],
    height: int,
    width: int,
    batch: int,
    rule: ImageRule = DEFAULT_RULE,
) -> Iterator[Pixels]:
    """Yield batches (≤ batch, height, width) of the images at `rows` by a rule, in that order.

    Raises:
        BenchError: An image is missing or damaged (``images-unreadable``, exit 3).
    """
    folders = ImageFolders(cohort)
    for start in range(0, len(rows), batch):
        pixels = []
        for row in rows[start : start + batch]:
            path = folders.path(cohort.images[row])
            if path is None:
                raise unreadable_image("is missing", cohort.folder)
            try:
                pixels.append(read_grey(path, height, width, rule))
            except (OSError, SyntaxError, ValueError) as error:
                raise unreadable_image("cannot be read", cohort.folder) from error
        yield np.stack(pixels)
