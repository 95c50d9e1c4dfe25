"""A fake TensorRT as strict as the real one: classes, signatures and enums are those of the real bindings.

Every call is checked against the signatures in the binding's docstring, every attribute against the real
class. The engine multiplies the input's buffer by a matrix into the output's, at the addresses that it was
given, on the stream whose handle it was given.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch

WEIGHTS = np.arange(6, dtype=np.float32).reshape(3, 2)
FREE = {"image": (-1, 3), "scores": (-1, 2)}
STREAM_HANDLE = 77
WORKSPACE_BYTES = 512

_SIGNATURE = re.compile(r"^(?:\d+\. )?\w+\((.*)\) -> (.+)$")


class Parameter(NamedTuple):
    """One parameter of a signature."""

    name: str
    kind: str
    optional: bool


def signatures(function: Any) -> Iterator[tuple[list[Parameter], str]]:
    """(parameters without self, returned type) of each overload in a binding's docstring."""
    for line in (function.__doc__ or "").splitlines():
        if match := _SIGNATURE.match(line.strip()):
            texts = [text for text in _split(match[1]) if not text.startswith("self")]
            yield [_parameter(text) for text in texts], match[2]


def _split(text: str) -> list[str]:
    parts, depth, part = [], 0, ""
    for character in text:
        depth += (character in "([<") - (character in ")]>")
        if character == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += character
    return [p.strip() for p in (*parts, part) if p.strip()]


def _parameter(text: str) -> Parameter:
    name, _, rest = text.partition(":")
    return Parameter(name.strip(), rest.split(" = ")[0].strip() or "object", " = " in text)


@dataclass
class FakeState:
    """Calls that the fake received, and its settings.

    Attributes:
        real: The bindings.
        shapes: Shapes of the network's tensors, as they are set.
        flags: Builder flags that are on.
        created: How many execution contexts there are.
        runs: How often an engine ran.
        refuse: Names of calls that fail as the real ones do: by None or False.
        said: What the logger is told when a call fails.
        workspaces: (address, bytes) of memory that contexts were given.
        logger: The last logger.
    """

    real: Any
    shapes: dict[str, tuple[int, ...]] = field(default_factory=lambda: dict(FREE))
    flags: set[Any] = field(default_factory=set)
    created: int = 0
    runs: int = 0
    refuse: set[str] = field(default_factory=set)
    said: str = ""
    workspaces: list[tuple[int, int]] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    logger: Any = None

    @property
    def uses_runtime_config(self) -> bool:
        """Whether the bindings are those of TensorRT-RTX."""
        return hasattr(self.real, "DynamicShapesKernelSpecializationStrategy")


class Strict:
    """An object of one of the bindings' classes.

    Args:
        state: The state.
        kind: Name of the class.
        values: Values of its attributes.
    """

    def __init__(self, state: FakeState, kind: str, **values: Any) -> None:
        self.__dict__.update(_state=state, _kind=kind, _values=values)

    def __getattr__(self, name: str) -> Any:
        real = getattr(getattr(self._state.real, self._kind), name)  # AttributeError as the real one's
        if name in self._values:
            return self._values[name]
        if isinstance(real, property):
            return PROPERTIES[f"{self._kind}.{name}"](self)
        return lambda *arguments, **named: self._call(name, real, arguments, named)

    def _call(self, name: str, real: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        state, whole = self._state, f"{self._kind}.{name}"
        if not any(matches(state.real, parameters, arguments, named) for parameters, _ in signatures(real)):
            raise TypeError(f"{whole}: incompatible arguments {arguments} {named}")
        if whole in state.refuse:
            state.logger.log(state.real.ILogger.Severity.WARNING, "a warning that nobody needs")
            if state.said:
                state.logger.log(state.real.ILogger.Severity.ERROR, state.said)
            returned = next(kind for _, kind in signatures(real))
            return False if returned == "bool" else None
        return ANSWERS[whole](self, *arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        real = getattr(getattr(self._state.real, self._kind), name)
        if not isinstance(real, property) or real.fset is None:
            raise AttributeError(f"{self._kind}.{name} cannot be set")
        kind = SETTABLE[f"{self._kind}.{name}"]
        if not fits(self._state.real, value, kind):
            raise TypeError(f"{self._kind}.{name} = {value!r} is not {kind}")
        self._values[name] = value
        self._state.settings[f"{self._kind}.{name}"] = value
        if self._kind == "ITensor" and name == "shape":
            self._state.shapes[self.name] = tuple(value)
            self._state.shapes["scores"] = (value[0], 2)


def matches(
    real: Any, parameters: list[Parameter], arguments: tuple[Any, ...], named: dict[str, Any]
) -> bool:
    """Whether a call fits a signature."""
    if len(arguments) > len(parameters) or not set(named) <= {p.name for p in parameters}:
        return False
    given = [fits(real, value, p.kind) for value, p in zip(arguments, parameters, strict=False)]
    left = [p.optional or p.name in named for p in parameters[len(arguments) :]]
    return all(given) and all(left)


def fits(real: Any, value: Any, kind: str) -> bool:
    """Whether a value is taken for a parameter of this type."""
    name = kind.split(".")[-1]
    if name in ("str", "bool", "tuple", "list"):
        return isinstance(value, {"str": str, "bool": bool, "tuple": tuple, "list": list}[name])
    if name in ("SupportsInt", "int"):
        return hasattr(value, "__int__") and not isinstance(value, (str, float, bool))
    if name == "Dims":
        return isinstance(value, (tuple, list)) and all(isinstance(size, int) for size in value)
    if name == "Buffer":
        return isinstance(value, (bytes, bytearray, memoryview))
    if isinstance(value, Strict):
        return value._kind == name
    known = getattr(real, name, None)
    return isinstance(value, known) if isinstance(known, type) else False


_STRATEGY = "DynamicShapesKernelSpecializationStrategy"
SETTABLE = {
    "IBuilderConfig.builder_optimization_level": "int",
    "IBuilderConfig.profiling_verbosity": "ProfilingVerbosity",
    "IRuntimeConfig.dynamic_shapes_kernel_specialization_strategy": _STRATEGY,
    "ITensor.shape": "Dims",
}

PROPERTIES: dict[str, Callable[[Any], Any]] = {
    "INetworkDefinition.num_inputs": lambda _: 1,
    "INetworkDefinition.num_layers": lambda _: 2,
    "ILayer.type": lambda layer: layer._state.real.LayerType.CONVOLUTION,
    "ILayer.num_outputs": lambda _: 1,
    "ITensor.dtype": lambda tensor: tensor._state.real.DataType.FLOAT,
    "ITensor.shape": lambda tensor: tensor._state.shapes[tensor.name],
    "IBuilderConfig.builder_optimization_level": lambda _: 2,
    "ICudaEngine.num_io_tensors": lambda _: 2,
    "ICudaEngine.device_memory_size_v2": lambda _: WORKSPACE_BYTES,
    "OnnxParser.num_errors": lambda _: 1,
    "ParserError": lambda _: None,
}


def _new(kind: str, **values: Any) -> Callable[..., Any]:
    return lambda owner, *_: Strict(owner._state, kind, **values)


def _create_context(engine: Strict, configured: Any = None) -> Strict:
    state = engine._state
    if state.uses_runtime_config:
        assert configured is not None, "kernels would be compiled after the first runs"
        strategy = state.settings["IRuntimeConfig.dynamic_shapes_kernel_specialization_strategy"]
        assert strategy == state.real.DynamicShapesKernelSpecializationStrategy.EAGER
        managed = state.settings["allocation"]
        assert managed == state.real.ExecutionContextAllocationStrategy.USER_MANAGED
    state.created += 1
    return Strict(state, "IExecutionContext", **{"device_memory": None})


def _set_address(context: Strict, name: str, address: int) -> bool:
    context._values[f"address of {name}"] = int(address)
    return True


def _set_shape(context: Strict, name: str, shape: tuple[int, ...]) -> bool:
    wanted = context._state.shapes[name]
    return len(shape) == len(wanted) and all(w in (-1, s) for w, s in zip(wanted, shape, strict=True))


def _execute(context: Strict, handle: int) -> bool:
    state = context._state
    assert int(handle) == STREAM_HANDLE, "not on the session's stream"
    if state.uses_runtime_config:
        assert context._values.get("workspace"), "a context without memory"
    batch = state.shapes["image"][0]

    def view(name: str, columns: int) -> np.ndarray:
        pointer = ctypes.cast(context._values[f"address of {name}"], ctypes.POINTER(ctypes.c_float))
        return np.ctypeslib.as_array(pointer, (batch, columns))

    with np.errstate(all="ignore"):  # the first run is on memory as it was found
        view("scores", 2)[:] = view("image", 3) @ WEIGHTS
    state.runs += 1
    return True


def _give_memory(context: Strict, address: int, size: int) -> None:
    assert size >= WORKSPACE_BYTES
    assert address % 64 == 0
    context._values["workspace"] = address
    context._state.workspaces.append((address, size))


def _set_flag(config: Strict, flag: Any) -> None:
    config._state.flags.add(flag)


def _mode(engine: Strict, name: str) -> Any:
    modes = engine._state.real.TensorIOMode
    return modes.INPUT if name == "image" else modes.OUTPUT


def _build(builder: Strict, *_: Any) -> bytes:
    state = builder._state
    assert state.settings.get("workspace", 0) >= 2**30, "too little memory for tactics"
    verbosity = state.settings["IBuilderConfig.profiling_verbosity"]
    assert verbosity == state.real.ProfilingVerbosity.DETAILED, "the inspector would say nothing"
    return b"plan"


def _layers(_: Strict, form: Any) -> str:
    assert str(form).endswith("JSON")
    return '{"Layers": [{"Outputs": [{"Format/Datatype": "Row major linear FP32"}]}]}'


def _network(builder: Strict, flags: int = 0) -> Strict:
    typed = builder._state.real.NetworkDefinitionCreationFlag.STRONGLY_TYPED
    assert int(flags) == 1 << int(typed), "precision would be the builder's choice"
    return Strict(builder._state, "INetworkDefinition")


ANSWERS: dict[str, Callable[..., Any]] = {
    "Builder.create_network": _network,
    "Builder.create_builder_config": _new("IBuilderConfig"),
    "Builder.build_serialized_network": _build,
    "OnnxParser.parse": lambda *_: True,
    "OnnxParser.get_error": _new("ParserError"),
    "ParserError.node_operator": lambda _: "Nothing",
    "ParserError.desc": lambda _: "no such operator",
    "INetworkDefinition.get_input": _new("ITensor", name="image"),
    "INetworkDefinition.get_layer": _new("ILayer"),
    "ILayer.get_output": _new("ITensor", name="scores"),
    "IBuilderConfig.set_memory_pool_limit": lambda c, pool, size: c._state.settings.update(
        workspace=size if pool == c._state.real.MemoryPoolType.WORKSPACE else 0
    ),
    "IBuilderConfig.set_flag": _set_flag,
    "IBuilderConfig.clear_flag": lambda config, flag: config._state.flags.discard(flag),
    "IBuilderConfig.get_flag": lambda config, flag: flag in config._state.flags,
    "Runtime.deserialize_cuda_engine": _new("ICudaEngine"),
    "ICudaEngine.create_engine_inspector": _new("EngineInspector"),
    "EngineInspector.get_engine_information": _layers,
    "ICudaEngine.get_tensor_name": lambda _, index: list(FREE)[int(index)],
    "ICudaEngine.get_tensor_mode": _mode,
    "ICudaEngine.get_tensor_dtype": lambda engine, _: engine._state.real.DataType.FLOAT,
    "ICudaEngine.get_tensor_shape": lambda engine, name: engine._state.shapes[name],
    "ICudaEngine.create_runtime_config": _new("IRuntimeConfig"),
    "IRuntimeConfig.set_execution_context_allocation_strategy": lambda c, strategy: c._state.settings.update(
        allocation=strategy
    ),
    "ICudaEngine.create_execution_context": _create_context,
    "IExecutionContext.set_input_shape": _set_shape,
    "IExecutionContext.get_tensor_shape": lambda context, name: context._state.shapes[name],
    "IExecutionContext.set_tensor_address": _set_address,
    "IExecutionContext.set_device_memory": _give_memory,
    "IExecutionContext.execute_async_v3": _execute,
}


class StrictModule:
    """The module `tensorrt` or `tensorrt_rtx`, whose classes make strict objects."""

    def __init__(self, state: FakeState) -> None:
        self._state = state
        state.flags.add(state.real.BuilderFlag.TF32)  # on by default

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._state.real, name)
        if name == "ILogger" or not isinstance(real, type) or hasattr(real, "__members__"):
            return real

        def made(*arguments: Any) -> Strict:
            overloads = [parameters for parameters, _ in signatures(vars(real)["__init__"])]
            if not any(matches(self._state.real, p, arguments, {}) for p in overloads):
                raise TypeError(f"{name}: incompatible arguments {arguments}")
            self._state.logger = arguments[-1]
            return Strict(self._state, name)

        return made


class Stream:
    """A stream that is always done."""

    cuda_stream = STREAM_HANDLE
    waits = 0

    def synchronize(self) -> None:
        self.waits += 1


class Device:
    """`torch.cuda` whose device is the host's memory: records the order of what is put on the stream.

    Args:
        captures: Whether a CUDA graph can be captured.
    """

    def __init__(self, *, captures: bool = True) -> None:
        self.captures = captures
        self.order: list[str] = []
        self.modes: list[str] = []
        self.graphs: list[Any] = []
        self.capturing = False
        device = self

        class Event:
            clock = 0.0

            def __init__(self, enable_timing: bool = False) -> None:
                assert enable_timing, "an event without timing has no time"
                self.recorded: list[float] = []

            def record(self, stream: Stream) -> None:
                assert isinstance(stream, Stream), "not a stream"
                Event.clock += 0.5
                device.order.append("event" if self.recorded else "new event")
                self.recorded.append(Event.clock)

            def elapsed_time(self, end: Event) -> float:
                return end.recorded[-1] - self.recorded[-1]

        class Graph:
            replays = 0

            def replay(self) -> None:
                device.order.append("replay")
                self.replays += 1
                self.run()

            def run(self) -> None:
                raise AssertionError("nothing was captured")

        self.cuda = SimpleNamespace(
            Stream=Stream,
            Event=Event,
            CUDAGraph=Graph,
            stream=self._stream,
            graph=self._graph,
            is_available=lambda: True,
            _sleep=self._sleep,
        )
        self.torch = SimpleNamespace(
            uint8=torch.uint8,
            float32=torch.float32,
            float16=torch.float16,
            int32=torch.int32,
            int64=torch.int64,
            from_numpy=torch.from_numpy,
            empty=self._empty,
            cuda=self.cuda,
        )

    def _sleep(self, cycles: int) -> None:
        assert isinstance(cycles, int)
        assert cycles > 0
        self.order.append("held back")

    def _empty(self, shape: Any, dtype: Any, device: str = "cpu", pin_memory: bool = False) -> Any:
        assert device == "cuda" or pin_memory, "copies from pageable memory are not asynchronous"
        return torch.empty(shape, dtype=dtype)

    @contextmanager
    def _stream(self, stream: Stream) -> Iterator[None]:
        assert isinstance(stream, Stream)
        yield

    @contextmanager
    def _graph(self, graph: Any, stream: Any = None, capture_error_mode: str = "global") -> Iterator[None]:
        assert isinstance(stream, Stream)
        self.modes.append(capture_error_mode)
        if not self.captures:
            raise RuntimeError("operation not permitted when stream is capturing")
        yield
        self.graphs.append(graph)
