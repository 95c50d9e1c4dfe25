"""A plug-in backend: ONNX's reference implementation.

It imports from the harness and site-packages only: a confined worker may read no other code.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from bench.environment import Fact, cpu_name
from bench.runtime.backends.base import Arrays, Availability, Device, Milliseconds


class ReferenceSession:
    """A model that ONNX's reference implementation runs."""

    def __init__(self, path: Path) -> None:
        self._model = ReferenceEvaluator(onnx.load(path))
        self.options: dict[str, Fact] = {"implementation": "reference"}

    def infer(self, inputs: Arrays) -> dict[str, Any]:
        """Outputs by name."""
        answers = self._model.run(None, dict(inputs))
        return dict(zip(self._model.output_names, map(np.asarray, answers), strict=True))

    def run_block(self, runs: int) -> Milliseconds | None:
        """None: there is no device clock."""

    def lanes(self, count: int) -> Sequence[ReferenceSession]:
        """The session itself: it keeps no state."""
        return [self] * count


class Reference:
    """ONNX's reference implementation, in numpy."""

    name = "onnx-reference"
    label = "ONNX reference"
    is_gpu = False
    precisions = ("fp32",)

    def availability(self) -> Availability:
        """Always: it comes with `onnx`."""
        return Availability(True)

    def device(self) -> Device:
        """This machine's processor."""
        return Device(cpu_name(), is_gpu=False, facts={"onnx": onnx.__version__})

    def prepare(self, onnx_path: Path, precision: str, batch: int) -> ReferenceSession:
        """A session; batch sizes are free."""
        return ReferenceSession(onnx_path)


BACKEND = Reference()
