"""Location and reading of a cohort's image files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.cohort.cohort import Cohort
from bench.cohort.decode import Pixels, read_grey, unreadable_image
from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem

__all__ = ["ImageFolders", "Pixels", "read_batches", "read_grey", "unreadable_image"]


class ImageFolders:
    """Image folders of a cohort, in the order of its spec.

    Raises:
        BenchError: None of the folders exists (``images-folder-missing``, exit 3).
    """

    def __init__(self, cohort: Cohort) -> None:
        self.root = cohort.folder
        self.suffix = cohort.spec.columns.image_suffix
        self.folders = [f for f in (cohort.folder / n for n in cohort.spec.files.images) if f.is_dir()]
        if not self.folders:
            names = ", ".join(cohort.spec.files.images) or "no folder (its spec names none)"
            message = f"The images of cohort {cohort.spec.id} are looked for in {names}; none is there."
            raise BenchError(
                Problem("images-folder-missing", message, where=str(cohort.folder)), EXIT_ENVIRONMENT
            )

    def path(self, image: str) -> Path | None:
        """Return the file of an image, None if no folder has it."""
        name = image + self.suffix
        return next((folder / name for folder in self.folders if (folder / name).is_file()), None)

    def listed(self) -> dict[str, os.DirEntry[str]]:
        """Return the files of all folders by image id; each folder is listed once."""
        files: dict[str, os.DirEntry[str]] = {}
        for folder in reversed(self.folders):
            with os.scandir(folder) as entries:
                files.update(
                    {e.name.removesuffix(self.suffix): e for e in entries if e.name.endswith(self.suffix)}
                )
        return files


def has_images(cohort: Cohort) -> bool:
    """Return whether one of the cohort's image folders exists."""
    try:
        ImageFolders(cohort)
    except BenchError:
        return False
    return True


def read_batches(
    cohort: Cohort, rows: npt.NDArray[np.intp], height: int, width: int, batch: int
) -> Iterator[Pixels]:
    """Yield batches (≤ batch, height, width) of the images at `rows`, in that order.

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
                pixels.append(read_grey(path, height, width))
            except (OSError, SyntaxError, ValueError) as error:
                raise unreadable_image("cannot be read", cohort.folder) from error
        yield np.stack(pixels)
