"""Runs a TensorRT engine on buffers of its own, through a CUDA graph where one can be captured.

Nothing is deserialised without a driver, and no engine but one that this process built.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.environment import Fact
from bench.files import sha256_bytes
from bench.runtime.backends.base import Arrays, Milliseconds
from bench.runtime.backends.gpu import event_times
from bench.runtime.backends.tensorrt_build import Engine, EngineError, collecting_logger, failure

_FORMAT = re.compile(r"\b(FP32|FP16|BF16|BFloat16|INT8|FP8|Half|Float)\b", re.IGNORECASE)
_WORDS = {"half": "fp16", "float": "fp32", "bfloat16": "bf16"}

MOST_FUSED_LAYERS = 2  # what an engine may consist of without showing the precision between them


def engine_layer_types(information: str) -> dict[str, int]:
    """Type → number of layers that put it out, from the engine inspector's JSON; empty where it says none."""
    types: Counter[str] = Counter()
    with suppress(ValueError):
        for described in json.loads(information).get("Layers", []):
            outputs = described.get("Outputs", []) if isinstance(described, dict) else []
            for output in outputs[:1]:
                if found := _FORMAT.search(str(output.get("Format/Datatype", ""))):
                    word = found.group(1).lower()
                    types[_WORDS.get(word, word)] += 1
    return dict(sorted(types.items()))


def check_engine_types(types: dict[str, int], precision: str) -> None:
    """Refuses an engine whose layers are of another precision than its figures would be published under.

    Casts at the ends leave layers in fp32 whatever the precision, and a few fused layers can hide everything
    between them: there the network's types, which were counted before the build, stand alone.

    Raises:
        EngineError: Layers are in a precision that must not be there, or none is in the one that must be.
    """
    wanted = "fp32" if precision == "tf32" else precision
    others = {"fp16", "bf16", "int8", "fp8"} - {wanted}
    if precision == "int8":
        others -= {"fp16", "bf16"}  # layers that are not quantised
    strange = others & set(types)
    lacking = wanted not in types and sum(types.values()) > MOST_FUSED_LAYERS
    if strange or lacking:
        raise EngineError(f"the engine was to be in {precision}, and its layers put out {types}")


def load_engine(trt: Any, built: Engine) -> tuple[Any, dict[str, Fact]]:
    """The engine in the device's memory, and what the inspector says of its layers.

    Raises:
        EngineError: There is no usable driver, or the runtime refuses the engine, in its own words.
    """
    import torch

    if not torch.cuda.is_available():
        raise EngineError("an engine is not loaded without an NVIDIA driver")
    logger = collecting_logger(trt)
    runtime = trt.Runtime(logger)
    engine = runtime.deserialize_cuda_engine(built.plan)
    if engine is None:
        raise failure(logger, "the runtime refused the engine")
    inspector = engine.create_engine_inspector()
    information = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    found = engine_layer_types(information)
    check_engine_types(found, built.precision)
    types = {kind: str(count) for kind, count in found.items()}
    return engine, {
        "network_layer_types": {kind: str(count) for kind, count in built.layer_types.items()},
        "engine_layer_types": types or None,
        "build_ms": built.build_ms,
        "builder_optimization_level": built.optimization_level,
        "timing_cache": "none: every build is its own",
        "tf32": built.tf32,
        "engine_sha256": sha256_bytes(built.plan),
        "engine_bytes": len(built.plan),
    }


class TensorRtSession:
    """An execution context with its buffers and its own stream.

    Args:
        trt: The module `tensorrt` or `tensorrt_rtx`.
        engine: Loaded engine, with one profile of one batch size.
        batch: That batch size.
        facts: Settings to be recorded.

    Raises:
        EngineError: A context cannot be made or does not run.
    """

    def __init__(self, trt: Any, engine: Any, batch: int, facts: dict[str, Fact]) -> None:
        import torch

        self._torch = torch
        self._trt = trt
        self._engine = engine
        self._batch = batch
        self._facts = facts
        self._context = engine.create_execution_context()
        if self._context is None:
            raise EngineError("no execution context could be made; the device's memory may be too small")
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._device: dict[str, Any] = {}
        self._host: dict[str, Any] = {}
        self._inputs: list[str] = []
        self._outputs: list[str] = []
        self._bind()
        self._graph = self._captured()
        self.options: dict[str, Fact] = {**facts, "cuda_graph": self._graph is not None}

    def _bind(self) -> None:
        """Gives every tensor of the engine a buffer on the device and a pinned one on the host."""
        trt, engine, context, torch = self._trt, self._engine, self._context, self._torch
        types = {
            trt.DataType.FLOAT: torch.float32,
            trt.DataType.HALF: torch.float16,
            trt.DataType.INT32: torch.int32,
            trt.DataType.INT64: torch.int64,
        }
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        for name in names:
            if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT:
                self._inputs.append(name)
                shape = tuple(self._batch if size < 0 else size for size in engine.get_tensor_shape(name))
                context.set_input_shape(name, shape)
            else:
                self._outputs.append(name)
        for name in names:
            kind = types.get(engine.get_tensor_dtype(name))
            if kind is None:
                raise EngineError(f"tensor {name!r} is of a type that is not exchanged")
            shape = tuple(context.get_tensor_shape(name))
            self._device[name] = torch.empty(shape, dtype=kind, device="cuda")
            self._host[name] = torch.empty(shape, dtype=kind, pin_memory=True)
            context.set_tensor_address(name, self._device[name].data_ptr())

    def _enqueue(self) -> None:
        context = self._context
        if not context.execute_async_v3(self._stream.cuda_stream):
            raise EngineError("the engine did not start")

    def _captured(self) -> Any:
        """A CUDA graph of one run, after one real run; None where it cannot be captured."""
        torch = self._torch
        with torch.cuda.stream(self._stream):
            self._enqueue()
        self._stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self._stream):
                self._enqueue()
        except (RuntimeError, EngineError):
            self._stream.synchronize()
            return None
        return graph

    def _run(self) -> None:
        if self._graph is not None:
            self._graph.replay()
        else:
            self._enqueue()

    def infer(self, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Outputs by name: copied in, run, copied out and synchronised."""
        torch = self._torch
        with torch.cuda.stream(self._stream):
            for name in self._inputs:
                self._host[name].copy_(torch.from_numpy(np.ascontiguousarray(inputs[name])))
                self._device[name].copy_(self._host[name], non_blocking=True)
            self._run()
            for name in self._outputs:
                self._host[name].copy_(self._device[name], non_blocking=True)
        self._stream.synchronize()
        return {name: self._host[name].numpy().copy() for name in self._outputs}

    def run_block(self, runs: int) -> Milliseconds | None:
        """(runs,) milliseconds between two device events around each run."""
        return event_times(self._torch, self._stream, self._run, runs)

    def lanes(self, count: int) -> Sequence[TensorRtSession]:
        """This session, and more contexts of the same engine with their own buffers and streams."""
        more = [TensorRtSession(self._trt, self._engine, self._batch, self._facts) for _ in range(count - 1)]
        return [self, *more]

    def close(self) -> None:
        """Lets go of the graph, the context and the buffers."""
        self._stream.synchronize()
        self._graph = self._context = self._engine = None
        self._device.clear()
        self._host.clear()
