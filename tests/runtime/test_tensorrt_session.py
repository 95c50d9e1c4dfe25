"""The TensorRT session on a fake engine and a fake device: buffers, graph, fallback, lanes, errors.

The fake engine reads and writes the very addresses that it was given, as a real one does.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.runtime.backends.tensorrt_build import Engine, EngineError
from bench.runtime.backends.tensorrt_session import LoadedEngine, TensorRtSession, load_engine

torch = pytest.importorskip("torch")

BATCH = 4
SHAPES = {"image": (-1, 3), "scores": (-1, 2)}
WEIGHTS = np.arange(6, dtype=np.float32).reshape(3, 2)


class Context:
    """Multiplies what lies at the input's address into the output's."""

    def __init__(self, starts: bool) -> None:
        self.starts = starts
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.runs = 0

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (self.shapes["image"][0], *SHAPES[name][1:])

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        def view(name: str) -> np.ndarray:
            shape = self.get_tensor_shape(name)
            pointer = ctypes.cast(self.addresses[name], ctypes.POINTER(ctypes.c_float))
            return np.ctypeslib.as_array(pointer, shape)

        self.runs += 1
        with np.errstate(all="ignore"):  # the first run is on memory as it was found
            view("scores")[:] = view("image") @ WEIGHTS
        return self.starts


class FakeEngine:
    num_io_tensors = 2

    def __init__(self, *, starts: bool = True, kind: str = "float", contexts: int = 9) -> None:
        self.starts = starts
        self.kind = kind
        self.contexts = contexts
        self.made: list[Context] = []

    def get_tensor_name(self, index: int) -> str:
        return list(SHAPES)[index]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name == "image" else "out"

    def get_tensor_dtype(self, name: str) -> str:
        return self.kind

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return SHAPES[name]

    def create_execution_context(self) -> Context | None:
        if len(self.made) == self.contexts:
            return None
        self.made.append(Context(self.starts))
        return self.made[-1]

    def create_engine_inspector(self) -> Any:
        text = '{"Layers": [{"Name": "x", "Outputs": [{"Format/Datatype": "Row major linear FP32"}]}]}'
        return SimpleNamespace(get_engine_information=lambda _: text)


class Log:
    class Severity:
        INTERNAL_ERROR, ERROR, WARNING = 0, 1, 2


def played_trt(engine: FakeEngine | None, said: str = "") -> Any:
    class Runtime:
        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def deserialize_cuda_engine(self, plan: bytes) -> FakeEngine | None:
            if said:
                self.logger.log(1, said)
                self.logger.log(2, "a warning that nobody needs")
            return engine

    return SimpleNamespace(
        DataType=SimpleNamespace(FLOAT="float", HALF="half", INT32="i32", INT64="i64"),
        TensorIOMode=SimpleNamespace(INPUT="in"),
        LayerInformationFormat=SimpleNamespace(JSON="json"),
        ILogger=Log,
        Runtime=Runtime,
    )


class Event:
    clock = 0.0

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing
        self.at = 0.0

    def record(self, stream: object) -> None:
        Event.clock += 0.5
        self.at = Event.clock

    def elapsed_time(self, end: Event) -> float:
        return end.at - self.at


class Stream:
    cuda_stream = 77

    def synchronize(self) -> None:
        pass


class Graph:
    """Captured graph that replays its calls; `capture` says whether that works."""

    capture = True
    recorded: Any = None

    def replay(self) -> None:
        self.recorded()


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module `torch` whose GPU is host memory."""

    @contextmanager
    def stream(_: Stream) -> Iterator[None]:
        yield

    @contextmanager
    def graph(captured: Graph, stream: Stream, capture_error_mode: str) -> Iterator[None]:
        if not cuda.capture:
            raise RuntimeError("operation not permitted when stream is capturing")
        yield
        captured.recorded = lambda: session_of[0]._enqueue()

    session_of: list[TensorRtSession] = []
    cuda = SimpleNamespace(
        Stream=Stream,
        stream=stream,
        CUDAGraph=Graph,
        graph=graph,
        Event=Event,
        capture=True,
        is_available=lambda: True,
        _sleep=lambda cycles: None,
        session_of=session_of,
    )
    shim = SimpleNamespace(
        float32=torch.float32,
        float16=torch.float16,
        int32=torch.int32,
        int64=torch.int64,
        from_numpy=torch.from_numpy,
        empty=lambda shape, dtype, device="cpu", pin_memory=False: torch.empty(shape, dtype=dtype),
        cuda=cuda,
    )
    monkeypatch.setitem(sys.modules, "torch", shim)
    return cuda


def session(device: Any, engine: FakeEngine) -> TensorRtSession:
    loaded = LoadedEngine(engine, SimpleNamespace(lines=[]), {"tf32": False})
    made = TensorRtSession(played_trt(engine), loaded, BATCH)
    device.session_of.append(made)
    return made


IMAGES = np.random.default_rng(0).random((BATCH, 3)).astype(np.float32)


@pytest.mark.parametrize("capture", [True, False])
def test_answers_come_from_the_buffers_that_the_engine_was_given(device: Any, capture: bool) -> None:
    device.capture = capture
    engine = FakeEngine()
    made = session(device, engine)
    failed = {} if capture else {"cuda_graph_failure": "operation not permitted when stream is capturing"}
    assert made.options == {"tf32": False, "cuda_graph": capture, **failed}
    assert engine.made[0].shapes == {"image": (BATCH, 3)}
    first = made.infer({"image": IMAGES})["scores"]
    np.testing.assert_allclose(first, IMAGES @ WEIGHTS, rtol=1e-6)
    second = made.infer({"image": 2 * IMAGES})["scores"]
    np.testing.assert_allclose(second, 2 * IMAGES @ WEIGHTS, rtol=1e-6)
    np.testing.assert_allclose(
        first, IMAGES @ WEIGHTS, rtol=1e-6
    )  # an answer is not a buffer that is used again


def test_device_time_is_taken_run_by_run(device: Any) -> None:
    engine = FakeEngine()
    made = session(device, engine)
    made.infer({"image": IMAGES})
    before = engine.made[0].runs
    block = made.run_block(7)
    assert block is not None
    np.testing.assert_allclose(block.compute_ms, np.full(7, 0.5))
    assert engine.made[0].runs - before == 8  # the first shows how long a run takes to start


def test_two_lanes_have_contexts_and_buffers_of_their_own(device: Any) -> None:
    device.capture = False
    engine = FakeEngine()
    first, second = session(device, engine).lanes(2)
    a, b = first.infer({"image": IMAGES}), second.infer({"image": 3 * IMAGES})
    np.testing.assert_allclose(b["scores"], 3 * a["scores"], rtol=1e-6)
    assert len(engine.made) == 2
    assert engine.made[0].addresses != engine.made[1].addresses


def test_engines_that_cannot_run_are_reported(device: Any) -> None:
    with pytest.raises(EngineError, match="did not start"):
        session(device, FakeEngine(starts=False))
    with pytest.raises(EngineError, match="no execution context"):
        session(device, FakeEngine(contexts=0))
    with pytest.raises(EngineError, match="'image' is of a type"):
        session(device, FakeEngine(kind="fp4"))


BUILT = Engine(b"plan", "fp32", 12.5, {"FLOAT": 3}, 3, False)


def test_a_loaded_engine_brings_the_evidence_of_its_precision(device: Any) -> None:
    loaded = load_engine(played_trt(FakeEngine()), BUILT)
    facts = loaded.facts
    assert loaded.engine.num_io_tensors == 2
    assert facts["network_layer_types"] == {"FLOAT": "3"}
    assert facts["engine_layer_types"] == {"fp32": "1"}
    assert (facts["build_ms"], facts["engine_bytes"], facts["tf32"]) == (12.5, 4, False)
    assert facts["engine_sha256"] == hashlib.sha256(b"plan").hexdigest()


def test_an_engine_in_another_precision_than_it_was_built_for_is_refused(device: Any) -> None:
    layers = [{"Name": str(k), "Outputs": [{"Format/Datatype": "FP32"}]} for k in range(5)]
    engine = FakeEngine()
    engine.create_engine_inspector = lambda: SimpleNamespace(  # type: ignore[method-assign]
        get_engine_information=lambda _: json.dumps({"Layers": layers})
    )
    with pytest.raises(EngineError, match="was to be in fp16"):
        load_engine(played_trt(engine), replace(BUILT, precision="fp16"))


def test_an_engine_that_the_runtime_refuses_ends_in_its_words(device: Any) -> None:
    with pytest.raises(EngineError) as caught:
        load_engine(played_trt(None, "built for another compute capability"), BUILT)
    assert str(caught.value) == "the runtime refused the engine: built for another compute capability"
    with pytest.raises(EngineError, match="gave no reason"):
        load_engine(played_trt(None), BUILT)
