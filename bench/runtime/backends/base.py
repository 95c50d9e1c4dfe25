"""The protocol of what runs a model: a backend prepares sessions, a session answers and is timed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bench.environment import Fact

Arrays = Mapping[str, npt.NDArray[Any]]
Milliseconds = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Availability:
    """Availability of a backend on this machine, with the reason and the remedy where it is not available."""

    ok: bool
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """The processor that computes.

    Attributes:
        name: As shown, such as ``AMD EPYC 7R13`` or ``NVIDIA H200``.
        is_gpu: Whether its figures belong in a GPU column.
        facts: Versions and properties to be recorded.
    """

    name: str
    is_gpu: bool
    facts: dict[str, Fact]


@dataclass(frozen=True, slots=True)
class DeviceTimes:
    """Run by the device's own clock.

    Attributes:
        compute_ms: (runs,) milliseconds of device time.
        enqueue_ms: (runs,) milliseconds that the host took to start each run.
        blocked_ms: Milliseconds that the device was held back until the runs were queued.
    """

    compute_ms: Milliseconds
    enqueue_ms: Milliseconds
    blocked_ms: float = 0.0


class Session(Protocol):
    """A model that is loaded and ready."""

    @property
    def options(self) -> dict[str, Fact]:
        """The settings it really runs with."""

    def infer(self, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Outputs by name. Host arrays in, host arrays out; the work is done when it returns."""

    def run_block(self, runs: int) -> DeviceTimes | None:
        """Device times of `runs` runs on the data of the last `infer`, already on the device.

        None where the device has no clock of its own.
        """

    def lanes(self, count: int) -> Sequence[Session]:
        """Sessions of the same model that `count` threads may use at the same time, one each."""


class Backend(Protocol):
    """Something that can run ONNX models."""

    name: str
    label: str
    is_gpu: bool
    precisions: tuple[str, ...]

    def availability(self) -> Availability:
        """Return whether it can be used here; never raise, and load no native library that could crash."""

    def device(self) -> Device:
        """The processor that it computes on; loads the library."""

    def prepare(self, onnx_path: Path, precision: str, batch: int) -> Session:
        """A session for batches of up to `batch` images."""
