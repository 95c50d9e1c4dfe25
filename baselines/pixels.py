"""Pixel sources of a view: image files, or the cache of decoded images."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from baselines.api import Pixels
from bench.cohort.cohort import Cohort
from bench.cohort.images import ImageFolders, read_grey, unreadable_image
from bench.cohort.split import Strings

MOST_THREADS = 8


class FileSource:
    """Pixel source that decodes image files; it holds folders and ids, not the cohort.

    Raises:
        BenchError: The cohort has no image folder (``images-folder-missing``, exit 3).
    """

    def __init__(self, cohort: Cohort, images: Strings) -> None:
        self._folders = ImageFolders(cohort)
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def read(self, rows: npt.NDArray[np.intp], height: int, width: int) -> Pixels:
        """(len(rows), height, width) grey values of the images at `rows`.

        Raises:
            BenchError: An image is missing or damaged (``images-unreadable``, exit 3).
        """
        pixels = np.empty((len(rows), height, width), np.uint8)

        def fill(at: int) -> None:
            pixels[at] = read_grey(self._path(self._images[rows[at]]), height, width)

        with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as pool:
            try:
                list(pool.map(fill, range(len(rows))))
            except (OSError, SyntaxError, ValueError) as error:
                raise unreadable_image("cannot be read", self._folders.root) from error
        return pixels

    def _path(self, image: str) -> Path:
        path = self._folders.path(image)
        if path is None:
            raise unreadable_image("is missing", self._folders.root)
        return path

    def decoded(self, height: int, width: int) -> None:  # noqa: ARG002
        """Return None: files are not decoded in advance."""
        return


class CachedSource:
    """Pixel source that reads the cache, or image files for another size."""

    def __init__(self, files: FileSource, cache: Pixels, rows: npt.NDArray[np.intp]) -> None:
        self._files = files
        self._stored = CachedImages(cache, rows)

    def __len__(self) -> int:
        return len(self._files)

    def read(self, rows: npt.NDArray[np.intp], height: int, width: int) -> Pixels:
        """(len(rows), height, width) grey values of the images at `rows`; raises as `FileSource` does."""
        stored = self.decoded(height, width)
        return self._files.read(rows, height, width) if stored is None else stored[rows]

    def decoded(self, height: int, width: int) -> CachedImages | None:
        """Return the view's part of the cache; None for another size."""
        return self._stored if self._stored.size == (height, width) else None


class CachedImages:
    """Images of a view in the cohort's cache."""

    def __init__(self, cache: Pixels, rows: npt.NDArray[np.intp]) -> None:
        self._cache = cache
        self._rows = rows

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self._cache.shape[1], self._cache.shape[2]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: npt.NDArray[np.intp]) -> Pixels:
        """(len(rows), height, width) a copy of the images at `rows`."""
        return np.asarray(self._cache[self._rows[rows]])
