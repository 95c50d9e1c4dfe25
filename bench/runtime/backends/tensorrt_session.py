"""Run a TensorRT engine on buffers of its own, through a CUDA graph where one can be captured.

Nothing is deserialised without a driver, and no engine but one that this process built.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.environment import Fact
from bench.files import sha256_bytes
from bench.runtime.backends.base import Arrays, DeviceTimes
from bench.runtime.backends.gpu import event_times
from bench.runtime.backends.tensorrt_build import (
    Engine,
    EngineError,
    collecting_logger,
    failure,
    uses_runtime_config,
)

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
                if match := _FORMAT.search(str(output.get("Format/Datatype", ""))):
                    word = match.group(1).lower()
                    types[_WORDS.get(word, word)] += 1
    return dict(sorted(types.items()))


def check_engine_types(types: dict[str, int], precision: str) -> None:
    """Refuse an engine whose layers are of another precision than its figures would be published under.

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


@dataclass(frozen=True, slots=True)
class LoadedEngine:
    """An engine in the device's memory.

    Attributes:
        engine: `ICudaEngine`.
        logger: Keeps the lines of the runtime that loaded it.
        facts: Evidence of its precision, and settings to be recorded.
    """

    engine: Any
    logger: Any
    facts: dict[str, Fact]


def load_engine(trt: Any, built: Engine) -> LoadedEngine:
    """Load an engine into the device's memory and check the types of its layers.

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
    layer_types = engine_layer_types(information)
    check_engine_types(layer_types, built.precision)
    types = {kind: str(count) for kind, count in layer_types.items()}
    facts: dict[str, Fact] = {
        "network_layer_types": {kind: str(count) for kind, count in built.layer_types.items()},
        "engine_layer_types": types or None,
        "build_ms": built.build_ms,
        "builder_optimization_level": built.optimization_level,
        "timing_cache": "none: every build is its own",
        "tf32": built.tf32,
        "engine_sha256": sha256_bytes(built.plan),
        "engine_bytes": len(built.plan),
    }
    return LoadedEngine(engine, logger, facts)


class TensorRtSession:
    """An execution context with its buffers and its own stream.

    Args:
        trt: The module `tensorrt` or `tensorrt_rtx`.
        loaded: Loaded engine of one batch size.
        batch: That batch size.

    Raises:
        EngineError: A context cannot be made or does not run, in TensorRT's own words.
    """

    def __init__(self, trt: Any, loaded: LoadedEngine, batch: int) -> None:
        import torch

        self._torch = torch
        self._trt = trt
        self._loaded = loaded
        self._batch = batch
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._device: dict[str, Any] = {}
        self._host: dict[str, Any] = {}
        self._inputs: list[str] = []
        self._outputs: list[str] = []
        self._workspace: Any = None
        self._context = self._new_context()
        self._bind()
        self._graph_failure = ""
        self._graph = self._captured()
        self.options: dict[str, Fact] = {**loaded.facts, "cuda_graph": self._graph is not None}
        if self._graph_failure:
            self.options["cuda_graph_failure"] = self._graph_failure

    def _new_context(self) -> Any:
        """An execution context.

        TensorRT-RTX compiles its kernels at once rather than after the first runs, and works in memory of
        ours, which a CUDA graph needs.
        """
        trt, engine = self._trt, self._loaded.engine
        if not uses_runtime_config(trt):
            return self._made(engine.create_execution_context())
        runtime_config = engine.create_runtime_config()
        strategies = trt.DynamicShapesKernelSpecializationStrategy
        runtime_config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
        allocation = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        runtime_config.set_execution_context_allocation_strategy(allocation)
        context = self._made(engine.create_execution_context(runtime_config))
        size = max(int(engine.device_memory_size_v2), 1)
        self._workspace = self._torch.empty((size,), dtype=self._torch.uint8, device="cuda")
        context.set_device_memory(self._workspace.data_ptr(), size)
        return context

    def _made(self, context: Any) -> Any:
        if context is None:
            otherwise = "probably the device is out of memory"
            raise failure(self._loaded.logger, "no execution context could be made", otherwise)
        return context

    def _bind(self) -> None:
        """Give every tensor of the engine a buffer on the device and a pinned one on the host."""
        trt, engine, context, torch = self._trt, self._loaded.engine, self._context, self._torch
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
                if not context.set_input_shape(name, shape):
                    raise failure(self._loaded.logger, f"input {name!r} does not take shape {shape}")
            else:
                self._outputs.append(name)
        for name in names:
            kind = types.get(engine.get_tensor_dtype(name))
            if kind is None:
                raise EngineError(f"tensor {name!r} is of a type that is not exchanged")
            shape = tuple(context.get_tensor_shape(name))
            self._device[name] = torch.empty(shape, dtype=kind, device="cuda")
            self._host[name] = torch.empty(shape, dtype=kind, pin_memory=True)
            if not context.set_tensor_address(name, self._device[name].data_ptr()):
                raise failure(self._loaded.logger, f"tensor {name!r} does not take its buffer")

    def _enqueue(self) -> None:
        context = self._context
        if not context.execute_async_v3(self._stream.cuda_stream):
            raise failure(self._loaded.logger, "the engine did not start")

    def _captured(self) -> Any:
        """A CUDA graph of one run, after one real run; None where it cannot be captured.

        Other threads of the process may allocate meanwhile, so that only calls of this thread count. After a
        failed capture a plain run shows that the context still works.
        """
        torch = self._torch
        self._run_once()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                self._enqueue()
        except (RuntimeError, EngineError) as error:
            self._graph_failure = " ".join(str(error).split())[:300] or type(error).__name__
            self._stream.synchronize()
            self._run_once()
            return None
        return graph

    def _run_once(self) -> None:
        with self._torch.cuda.stream(self._stream):
            self._enqueue()
        self._stream.synchronize()

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

    def run_block(self, runs: int) -> DeviceTimes | None:
        """Device times of `runs` runs between two events around each."""
        return event_times(self._torch, self._stream, self._run, runs)

    def lanes(self, count: int) -> Sequence[TensorRtSession]:
        """This session, and more contexts of the same engine with their own buffers and streams."""
        more = [TensorRtSession(self._trt, self._loaded, self._batch) for _ in range(count - 1)]
        return [self, *more]
