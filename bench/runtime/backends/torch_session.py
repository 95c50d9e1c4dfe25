"""Run a model as a PyTorch module: eagerly, compiled, or as a CUDA graph."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bench.environment import Fact
from bench.runtime.backends.base import Arrays, DeviceTimes
from bench.runtime.backends.gpu import event_times

Execution = Literal["eager", "compile", "cudagraph"]


class TorchSession:
    """A module with input buffers of its own, on a stream of its own where the device has such.

    Args:
        module: Takes the inputs in order and gives a tuple.
        sizes: Input name → sizes with the batch.
        outputs: Names of what it gives.
        device: ``cuda``, or ``cpu`` in tests.
        execution: How it is run.
        facts: Settings to be recorded.
    """

    @torch.inference_mode()  # the buffers are made where nothing is recorded for gradients
    def __init__(
        self,
        module: nn.Module,
        sizes: dict[str, tuple[int, ...]],
        outputs: Sequence[str],
        device: str,
        execution: Execution,
        facts: dict[str, Fact],
    ) -> None:
        self._made_of = (module, sizes, outputs, device, execution, facts)
        self._outputs = outputs
        self._stream: Any = torch.cuda.Stream() if device == "cuda" else None  # type: ignore[no-untyped-call]
        pinned = device == "cuda"
        self._host = {n: torch.zeros(size, pin_memory=pinned) for n, size in sizes.items()}
        self._inputs = {n: torch.zeros(size, device=device) for n, size in sizes.items()}
        self._module: Any = module
        self._graph: Any = None
        self._kept: tuple[Tensor, ...] = ()
        if execution == "compile":
            self._module = torch.compile(module, dynamic=False)
        with self._on_stream():
            self._module(
                *self._inputs.values()
            )  # compiles, and chooses its kernels, before a graph is captured
        self._wait()
        if execution == "cudagraph":
            self._capture()
        self.options: dict[str, Fact] = {**facts, "execution": execution}

    def _on_stream(self) -> Any:
        return torch.cuda.stream(self._stream) if self._stream is not None else nullcontext()

    def _wait(self) -> None:
        if self._stream is not None:
            self._stream.synchronize()

    def _capture(self) -> None:
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"):
            self._kept = self._module(*self._inputs.values())

    def _run(self) -> tuple[Tensor, ...]:
        if self._graph is None:
            outputs: tuple[Tensor, ...] = self._module(*self._inputs.values())
            return outputs
        self._graph.replay()
        return self._kept

    @torch.inference_mode()
    def infer(self, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Outputs by name: copied in, run, copied out and synchronised."""
        with self._on_stream():
            for name, buffer in self._inputs.items():
                self._host[name].copy_(torch.from_numpy(np.ascontiguousarray(inputs[name])))
                buffer.copy_(self._host[name], non_blocking=True)
            answers = [answer.to("cpu") for answer in self._run()]
        self._wait()
        return {name: answer.numpy() for name, answer in zip(self._outputs, answers, strict=True)}

    @torch.inference_mode()
    def run_block(self, runs: int) -> DeviceTimes | None:
        """Device times of `runs` runs; None on a CPU."""
        if self._stream is None:
            return None
        return event_times(torch, self._stream, self._run, runs)

    def lanes(self, count: int) -> Sequence[TorchSession]:
        """This session, and more with their own buffers and streams."""
        return [self, *(TorchSession(*self._made_of) for _ in range(count - 1))]
