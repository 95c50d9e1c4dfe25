"""The TensorRT runner on the strict fake, and with mistakes planted in it; one process per bindings.

`python -m tests.runtime.strict_run FOLDER` prints JSON: the version, and for each mistake what gave it away.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.runtime.strict_tensorrt import WEIGHTS, WORKSPACE_BYTES, Device, FakeState, StrictModule
from tests.runtime.tensorrt_api import bindings

BATCH = 4
MODULES = ("gpu", "tensorrt_build", "tensorrt_session")
IMAGES = np.random.default_rng(0).random((BATCH, 3)).astype(np.float32)


class Mistake(NamedTuple):
    """A text of the runner and what it is replaced by."""

    module: str
    right: str
    wrong: str
    rtx_only: bool = False


MISTAKES = (
    Mistake(
        "tensorrt_session", "execute_async_v3(self._stream.cuda_stream)", "execute_async_v3(self._stream)"
    ),
    Mistake("tensorrt_session", "execute_async_v3(self._stream.cuda_stream)", "execute_async_v3(0)"),
    Mistake("tensorrt_session", "trt.LayerInformationFormat.JSON", '"JSON"'),
    Mistake("tensorrt_session", "== trt.TensorIOMode.INPUT", "== trt.TensorIOMode.OUTPUT"),
    Mistake("tensorrt_session", "trt.DataType.FLOAT: torch.float32", "trt.DataType.HALF: torch.float32"),
    Mistake("tensorrt_session", "self._device[name].data_ptr()):", "self._host[name].data_ptr()):"),
    Mistake("tensorrt_session", "self._device[name].data_ptr()):", "self._device[name]):"),
    Mistake("tensorrt_session", 'capture_error_mode="thread_local"', 'capture_error_mode="global"'),
    Mistake(
        "tensorrt_session", "            self._run_once()\n            return None", "            return None"
    ),
    Mistake("tensorrt_session", ".numpy().copy() for name", ".numpy() for name"),
    Mistake("tensorrt_session", "self._host[name].copy_(self._device[name], non_blocking=True)", "pass"),
    Mistake("tensorrt_session", "pin_memory=True)", "pin_memory=False)"),
    Mistake(
        "tensorrt_session", "        self._stream.synchronize()\n        return {name", "        return {name"
    ),
    Mistake(
        "tensorrt_session", "deserialize_cuda_engine(built.plan)", "deserialize_cuda_engine(str(built.plan))"
    ),
    Mistake("tensorrt_session", "for _ in range(count - 1)", "for _ in range(count)"),
    Mistake(
        "tensorrt_session",
        "if not context.set_input_shape(name, shape):",
        "if not context.set_input_shape(shape, name):",
    ),
    Mistake("tensorrt_session", "self._graph.replay()", "pass"),
    Mistake(
        "tensorrt_session",
        "return self._made(engine.create_execution_context())",
        "return engine.create_execution_context()",
    ),
    Mistake(
        "tensorrt_build",
        "trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))",
        "trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED) + 1)",
    ),
    Mistake(
        "tensorrt_build",
        "set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)",
        "set_memory_pool_limit(WORKSPACE_BYTES, trt.MemoryPoolType.WORKSPACE)",
    ),
    Mistake(
        "tensorrt_build", "config.clear_flag(trt.BuilderFlag.TF32)", "config.set_flag(trt.BuilderFlag.TF32)"
    ),
    Mistake("tensorrt_build", "trt.ProfilingVerbosity.DETAILED", "trt.ProfilingVerbosity.NONE"),
    Mistake(
        "tensorrt_build", "tensor.shape = tuple(batch if size < 0 else size for size in tensor.shape)", "pass"
    ),
    Mistake("tensorrt_build", "trt.OnnxParser(network, logger)", "trt.OnnxParser(logger, network)"),
    Mistake(
        "tensorrt_build",
        "trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR",
        "trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.WARNING",
    ),
    Mistake(
        "tensorrt_build",
        "builder.build_serialized_network(network, config)",
        "builder.build_serialized_network(config, network)",
    ),
    Mistake(
        "gpu",
        "for event in (held, released, *(event for pair in pairs for event in pair)):",
        "for event in ():",
    ),
    Mistake("gpu", "        torch.cuda._sleep(", "        int("),
    Mistake("gpu", "            end.record(stream)", "            start.record(stream)"),
    Mistake(
        "gpu",
        "torch.cuda.Event(enable_timing=True) for _ in range(2)] for",
        "torch.cuda.Event() for _ in range(2)] for",
    ),
    Mistake("tensorrt_session", "strategies.EAGER", "strategies.LAZY", True),
    Mistake(
        "tensorrt_session",
        "trt.ExecutionContextAllocationStrategy.USER_MANAGED",
        "trt.ExecutionContextAllocationStrategy.STATIC",
        True,
    ),
    Mistake("tensorrt_session", "context.set_device_memory(self._workspace.data_ptr(), size)", "pass", True),
    Mistake(
        "tensorrt_session",
        "engine.create_execution_context(runtime_config)",
        "engine.create_execution_context()",
        True,
    ),
    Mistake("tensorrt_build", "config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)", "pass", True),
)


def loaded(mistake: Mistake | None = None) -> dict[str, ModuleType]:
    """The runner's modules from their sources, with a mistake planted."""
    made = {}
    for name in MODULES:
        whole = f"bench.runtime.backends.{name}"
        path = Path(__file__).resolve().parents[2] / "bench" / "runtime" / "backends" / f"{name}.py"
        text = path.read_text()
        if mistake and mistake.module == name:
            assert mistake.right in text, f"the runner has changed: {mistake.right}"
            text = text.replace(mistake.right, mistake.wrong)
        module = ModuleType(whole)
        sys.modules[whole] = made[name] = module
        exec(compile(text, str(path), "exec"), module.__dict__)
    return made


def scenario(real: Any, mistake: Mistake | None = None) -> None:
    """Builds, loads, runs, times and closes; every expectation is asserted."""
    modules = loaded(mistake)
    for captures in (True, False):
        whole_life(real, modules, captures=captures)
    failures(real, modules)


def start(real: Any, modules: dict[str, ModuleType], device: Device) -> tuple[Any, Any, FakeState]:
    """The fake module, a loaded engine and the state."""
    sys.modules["torch"] = device.torch  # type: ignore[assignment]
    state = FakeState(real)
    trt = StrictModule(state)
    built = modules["tensorrt_build"].build_engine(trt, b"onnx", "fp32", BATCH)
    assert (built.tf32, built.optimization_level, built.layer_types) == (False, 3, {"FLOAT": 2})
    assert state.shapes == {"image": (BATCH, 3), "scores": (BATCH, 2)}, "free sizes are left"
    if state.uses_runtime_config:
        assert real.BuilderFlag.REQUIRE_USER_ALLOCATION in state.flags
    return trt, modules["tensorrt_session"].load_engine(trt, built), state


def whole_life(real: Any, modules: dict[str, ModuleType], *, captures: bool) -> None:
    """A session from its engine to its end."""
    device = Device(captures=captures)
    trt, engine, state = start(real, modules, device)
    session = modules["tensorrt_session"].TensorRtSession(trt, engine, BATCH)
    for graph in device.graphs:
        graph.run = session._enqueue
    assert device.modes == ["thread_local"]
    assert session.options["cuda_graph"] is captures
    assert ("not permitted" in session.options.get("cuda_graph_failure", "")) is not captures
    assert state.runs == 2  # one real run, then the captured one, or one after the failure
    waits = session._stream.waits
    first = session.infer({"image": IMAGES})["scores"]
    assert session._stream.waits == waits + 1, "an answer before the work is done"
    second = session.infer({"image": 2 * IMAGES})["scores"]
    np.testing.assert_allclose(first, IMAGES @ WEIGHTS, rtol=1e-6)
    np.testing.assert_allclose(second, 2 * IMAGES @ WEIGHTS, rtol=1e-6)
    addresses = {session._host[n].data_ptr() for n in session._host}
    assert not addresses & {v for k, v in session._context._values.items() if str(k).startswith("address")}
    device.order.clear()
    runs = state.runs
    times = session.run_block(7)
    assert state.runs - runs == 8  # the first shows how long a run takes to start
    np.testing.assert_allclose(times.compute_ms, np.full(7, 0.5))
    assert (times.enqueue_ms >= 0).all()
    assert len(times.enqueue_ms) == 7
    assert times.blocked_ms == 0.5
    timed = device.order[device.order.index("held back") :]
    assert "new event" not in timed, "an event is created while it is timed"
    assert device.order.count("new event") == 16
    if captures:
        assert sum(graph.replays for graph in device.graphs) == 2 + 8
    before = state.created
    lanes = session.lanes(2)
    assert (len(lanes), state.created - before) == (2, 1)
    other = lanes[1].infer({"image": 3 * IMAGES})["scores"] if not captures else None
    if other is not None:
        np.testing.assert_allclose(other, 3 * IMAGES @ WEIGHTS, rtol=1e-6)
    if state.uses_runtime_config:
        assert len({address for address, _ in state.workspaces}) == 2
        assert all(size == WORKSPACE_BYTES for _, size in state.workspaces)


def failures(real: Any, modules: dict[str, ModuleType]) -> None:
    """Every call that fails does so in TensorRT's own words."""
    session, error = modules["tensorrt_session"].TensorRtSession, modules["tensorrt_build"].EngineError
    for call, what in (
        ("ICudaEngine.create_execution_context", "no execution context could be made"),
        ("IExecutionContext.set_input_shape", "input 'image' does not take shape"),
        ("IExecutionContext.set_tensor_address", "tensor 'image' does not take its buffer"),
        ("IExecutionContext.execute_async_v3", "the engine did not start"),
    ):
        trt, engine, state = start(real, modules, Device())
        state.refuse, state.said = {call}, "[defaultAllocator.cpp] OutOfMemory: 2 GiB could not be allocated"
        with pytest.raises(error, match=f"^{what}.*OutOfMemory"):
            session(trt, engine, BATCH)
    trt, engine, state = start(real, modules, Device())
    state.refuse = {"ICudaEngine.create_execution_context"}
    with pytest.raises(error, match="probably the device is out of memory"):
        session(trt, engine, BATCH)
    state.refuse = {"OnnxParser.parse"}
    with pytest.raises(error, match="could not be parsed: Nothing: no such operator"):
        modules["tensorrt_build"].build_engine(trt, b"onnx", "fp32", BATCH)


def main(folder: str) -> None:
    """Print what became of the runner and of every mistake."""
    sys.path.insert(0, folder)
    if (Path(folder) / "tensorrt_rtx").is_dir():
        import tensorrt_rtx as real
    else:
        real = bindings(Path(tempfile.mkdtemp()))
    scenario(real)
    is_rtx = FakeState(real).uses_runtime_config
    caught = {}
    for mistake in MISTAKES:
        if mistake.rtx_only and not is_rtx:
            continue
        if "self._made(engine" in mistake.right and is_rtx:
            continue
        try:
            scenario(real, mistake)
        except BaseException as error:
            caught[f"{mistake.right} -> {mistake.wrong}"] = f"{type(error).__name__}: {error}"[:200]
        else:
            caught[f"{mistake.right} -> {mistake.wrong}"] = ""
    print(json.dumps({"version": real.__version__, "mistakes": caught}))


if __name__ == "__main__":
    main(sys.argv[1])
