"""A view's pixels, inputs and labels as arrays that training reads batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from baselines.api import DecodedImages, LabelledImages, Pixels, Progress, UnlabelledImages
from baselines.features import age_years, male

READ_BATCH = 128
Batch = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Arrays(Dataset[Batch]):
    """Images of a view, decoded.

    Attributes:
        pixels: (n, side, side) uint8, in memory or read from a cache as they are asked for.
        extra: (n, k) float32 inputs beside the image.
        labels: (n, m) float32, NaN where excluded; no columns for unlabelled images.
    """

    pixels: Pixels | DecodedImages
    extra: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        """A batch at once: pixels (b, 1, side, side) uint8, extra (b, k), labels (b, m)."""
        at = np.asarray(rows)
        pixels = torch.from_numpy(np.ascontiguousarray(self.pixels[at]))
        return pixels.unsqueeze(1), torch.from_numpy(self.extra[at]), torch.from_numpy(self.labels[at])


class EpochSampler(Sampler[int]):
    """A new order each epoch, from seed and epoch alone, so that a resumed run meets the same batches."""

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Told by the trainer before an epoch begins."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter(np.random.default_rng((self.seed, self.epoch)).permutation(self.count).tolist())

    def __len__(self) -> int:
        return self.count


def training_batches(arrays: Arrays, batch: int, seed: int) -> DataLoader[Batch]:
    """Batches in the order of each epoch; the last incomplete one is left out where there are others."""
    sampler = EpochSampler(len(arrays), seed)
    drop = len(arrays) >= 2 * batch
    return DataLoader(arrays, batch, sampler=sampler, drop_last=drop, collate_fn=_as_it_is)


def ordered_batches(arrays: Arrays, batch: int) -> DataLoader[Batch]:
    """Batches in the order of the view."""
    return DataLoader(arrays, batch, shuffle=False, collate_fn=_as_it_is)


def _as_it_is(batch: Any) -> Any:
    return batch


def load_arrays(
    images: UnlabelledImages,
    side: int,
    extra: Sequence[str],
    labels: Sequence[str],
    progress: Progress,
    what: str,
) -> Arrays:
    """Decodes a view.

    Args:
        images: The view; its labels are read where `labels` names any.
        side: Side of the square image in pixels.
        extra: ``age``, ``sex``, in the order of the columns wanted.
        labels: Label columns wanted.
        progress: Told as the images are read.
        what: Words for the progress.
    """
    readers = {"age": age_years, "sex": male}
    columns = [readers[name](images) for name in extra]
    known = images.labels if isinstance(images, LabelledImages) else {}
    return Arrays(
        _pixels(images, side, progress, what),
        _columns(columns, len(images)),
        _columns([known[name] for name in labels], len(images)),
    )


def _pixels(images: UnlabelledImages, side: int, progress: Progress, what: str) -> Pixels | DecodedImages:
    decoded = images.source.decoded(side, side) if images.source is not None else None
    if decoded is not None:
        return decoded
    pixels = np.empty((len(images), side, side), np.uint8)
    done = 0
    for batch in images.pixels(side, side, READ_BATCH):
        pixels[done : done + len(batch)] = batch
        done += len(batch)
        progress(f"reading {what} images", done, len(images))
    return pixels


def _columns(columns: Sequence[npt.NDArray[np.float64]], rows: int) -> npt.NDArray[np.float32]:
    return np.column_stack(columns).astype(np.float32) if columns else np.empty((rows, 0), np.float32)
