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

from baselines.api import DecodedImages, LabelledImages, Pixels, UnlabelledImages
from baselines.tabular.features import age_years, male
from bench.progress import StageProgress

READ_BATCH = 128
FILLING = -1  # a row that is there to make batches equal: its labels do not count
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
        labels = self.labels[at]
        labels[at == FILLING] = np.nan
        return pixels.unsqueeze(1), torch.from_numpy(self.extra[at]), torch.from_numpy(labels)


class EpochSampler(Sampler[int]):
    """A new order each epoch, from seed and epoch alone, so that a resumed run meets the same batches.

    Processes that train together share each batch: the first takes its first rows, and so on. The last
    incomplete batch is left out where there are others.
    """

    def __init__(self, count: int, seed: int, batch: int = 1, processes: int = 1) -> None:
        self.count = count
        self.seed = seed
        self.batch = batch
        self.processes = processes
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Told by the trainer before an epoch begins."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.count).tolist()
        own = own_rank()
        for size, start in self._batches():
            share = size // self.processes
            yield from order[start + own * share : start + (own + 1) * share]

    def _batches(self) -> Iterator[tuple[int, int]]:
        whole, rest = divmod(self.count, self.batch)
        yield from ((self.batch, k * self.batch) for k in range(whole))
        if whole < 2 and rest:
            yield rest, whole * self.batch

    def __len__(self) -> int:
        return sum(size // self.processes for size, _ in self._batches())


class SharedSampler(Sampler[int]):
    """The rows in their order, dealt out to processes; each gets as many, filled up with `FILLING`."""

    def __init__(self, count: int, processes: int = 1) -> None:
        self.count = count
        self.processes = processes

    def __iter__(self) -> Iterator[int]:
        rows = list(range(own_rank() if self.processes > 1 else 0, self.count, self.processes))
        yield from rows + [FILLING] * (len(self) - len(rows))

    def __len__(self) -> int:
        return -(-self.count // self.processes)


def own_rank() -> int:
    """Which of the processes that train together this one is; 0 where it is alone."""
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_rank() if together else 0


def training_batches(arrays: Arrays, batch: int, seed: int, processes: int = 1) -> DataLoader[Batch]:
    """This process's share of each batch of `batch` images, in the order of each epoch."""
    sampler = EpochSampler(len(arrays), seed, batch, processes)
    return DataLoader(arrays, batch // processes, sampler=sampler, collate_fn=_as_it_is)


def ordered_batches(arrays: Arrays, batch: int, processes: int = 1) -> DataLoader[Batch]:
    """Batches in the order of the view, dealt out to processes."""
    sampler = SharedSampler(len(arrays), processes)
    return DataLoader(arrays, batch // processes, sampler=sampler, collate_fn=_as_it_is)


def _as_it_is(batch: Any) -> Any:
    return batch


def load_arrays(
    images: UnlabelledImages,
    side: int,
    extra: Sequence[str],
    labels: Sequence[str],
    progress: StageProgress,
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


def _pixels(
    images: UnlabelledImages, side: int, progress: StageProgress, what: str
) -> Pixels | DecodedImages:
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
