"""A PyTorch dataset of a cohort's images, by the image rule that runs submitted models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch.utils.data import Dataset

from bench.cohort.cohort import Cohort
from bench.cohort.images import Pixels, read_grey, unreadable_image
from bench.runtime.inputs import image_tensor
from bench.submission.manifest import ImageInput

Transform = Callable[[torch.Tensor], torch.Tensor]
Item = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
NUMERIC_INPUTS = ("age", "sex")


class ImageDataset(Dataset[Item]):
    """Images with targets and inputs; see `bench.actions.cohort.LoadedCohort.torch_dataset`.

    Attributes:
        image_ids: Image id of each item.
        target_names: Names of the targets of an item; empty for a table without targets.
        input_names: Names of the inputs of an item.
    """

    def __init__(
        self,
        cohort: Cohort,
        table: pd.DataFrame,
        rows: npt.NDArray[np.intp],
        *,
        declared: ImageInput,
        transform: Transform | None,
        pixels: Path | None,
    ) -> None:
        self.image_ids = tuple(table["image_id"])
        self.target_names = tuple(name for name in cohort.targets if name in table)
        self.input_names = tuple(
            name for name in NUMERIC_INPUTS if name in table and name in cohort.spec.columns.inputs
        )
        self._targets = _columns(table, self.target_names)
        self._inputs = _columns(table, self.input_names)
        self._declared = declared
        self._transform = transform
        self._cache, self._shape, self._rows = pixels, (len(cohort), declared.height, declared.width), rows
        self._paths = None if pixels else list(table["path"])
        self._folder = cohort.folder
        self._mapped: Pixels | None = None

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, index: int) -> Item:
        """Return image (channels, height, width), targets and inputs of one item, float32.

        Raises:
            BenchError: The image is missing or damaged (``images-unreadable``, exit 3).
        """
        image = torch.from_numpy(image_tensor(self._pixels(index)[None], self._declared)[0])
        if self._transform is not None:
            image = self._transform(image)
        return image, self._targets[index], self._inputs[index]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the memory map out: each loader process opens the cache itself."""
        return self.__dict__ | {"_mapped": None}

    def _pixels(self, index: int) -> Pixels:
        if self._cache is not None:
            if self._mapped is None:
                self._mapped = np.memmap(self._cache, np.uint8, "r", shape=self._shape)
            return np.asarray(self._mapped[self._rows[index]])
        assert self._paths is not None
        path = self._paths[index]
        if path is None:
            raise unreadable_image("is missing", self._folder)
        try:
            return read_grey(path, self._declared.height, self._declared.width, self._declared.rule)
        except (OSError, SyntaxError, ValueError) as error:
            raise unreadable_image("cannot be read", self._folder) from error


def _columns(table: pd.DataFrame, names: tuple[str, ...]) -> torch.Tensor:
    """Columns of a table as (n, len(names)) float32."""
    return torch.from_numpy(table[list(names)].to_numpy(np.float32, copy=True))
