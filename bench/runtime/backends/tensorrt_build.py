"""Build a TensorRT engine from an ONNX file: the half that needs no GPU with TensorRT-RTX.

Works with TensorRT 10.13 to 11 and with TensorRT-RTX, whose Python interfaces agree in what is used here. The
network is strongly typed: its precision is that of the ONNX file, and is counted before anything is built.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

WORKSPACE_BYTES: Final = 4 * 2**30
OPTIMIZATION_LEVEL: Final = 3

# Precision → type of what convolutions and matrix products put out.
_EXPECTED: Final = {"fp32": "FLOAT", "tf32": "FLOAT", "fp16": "HALF", "bf16": "BF16"}


class EngineError(RuntimeError):
    """TensorRT refused, with its own words."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A serialised engine.

    Attributes:
        plan: What the runtime loads; made here, never taken from anybody.
        precision: What the network's types were found to show.
        build_ms: How long the build took.
        layer_types: Type → number of the network's layers that put it out.
        optimization_level: Of the builder.
        tf32: Whether single-precision products may be rounded to TF32.
    """

    plan: bytes
    precision: str
    build_ms: float
    layer_types: dict[str, int]
    optimization_level: int
    tf32: bool


def collecting_logger(trt: Any) -> Any:
    """A logger that keeps TensorRT's warnings and errors, since its calls return None rather than raise."""

    class CollectingLogger(trt.ILogger):  # type: ignore[misc]
        """Keep lines."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            serious = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)
            if severity in serious:
                self.lines.append(message)

    return CollectingLogger()


def uses_runtime_config(trt: Any) -> bool:
    """Return whether sessions are configured when loaded, as TensorRT-RTX does and TensorRT does not."""
    return hasattr(trt, "DynamicShapesKernelSpecializationStrategy")


def failure(logger: Any, what: str, otherwise: str = "it gave no reason") -> EngineError:
    """An exception with the logger's first lines.

    Args:
        logger: Of the builder or the runtime.
        what: What failed.
        otherwise: The reason where the logger has no line.
    """
    reason = " | ".join(dict.fromkeys(logger.lines[:4])) or otherwise
    return EngineError(f"{what}: {reason}"[:600])


def build_engine(trt: Any, onnx_bytes: bytes, precision: str, batch: int) -> Engine:
    """Parse and build; every free size becomes the batch.

    Args:
        trt: The module `tensorrt` or `tensorrt_rtx`.
        onnx_bytes: The model, in the precision that it is to run in.
        precision: What the network's types must show.
        batch: The engine's one batch size.

    Raises:
        EngineError: The file cannot be parsed, is of another precision, or cannot be built.
    """
    logger = collecting_logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(trt, network, onnx_bytes, logger)
    layer_types = check_precision(trt, network, precision)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    config.builder_optimization_level = OPTIMIZATION_LEVEL
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if precision == "tf32":
        config.set_flag(trt.BuilderFlag.TF32)
    else:
        config.clear_flag(trt.BuilderFlag.TF32)  # on by default
    if uses_runtime_config(trt):
        config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)  # a graph is captured on memory of ours
    for index in range(network.num_inputs):
        tensor = network.get_input(index)  # with free sizes, kernels for any batch would be timed
        tensor.shape = tuple(batch if size < 0 else size for size in tensor.shape)
    start = time.perf_counter()
    plan = builder.build_serialized_network(network, config)
    build_ms = 1000 * (time.perf_counter() - start)
    if plan is None:
        raise failure(logger, "the engine could not be built")
    return Engine(
        plan=bytes(plan),
        precision=precision,
        build_ms=build_ms,
        layer_types=layer_types,
        optimization_level=int(config.builder_optimization_level),
        tf32=bool(config.get_flag(trt.BuilderFlag.TF32)),
    )


def _parse(trt: Any, network: Any, onnx_bytes: bytes, logger: Any) -> None:
    parser = trt.OnnxParser(network, logger)
    if parser.parse(onnx_bytes):
        return
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        operator = f"{error.node_operator()}: " if error.node_operator() else ""
        logger.lines.insert(index, f"{operator}{error.desc()}")
    raise failure(logger, "the model could not be parsed")


def check_precision(trt: Any, network: Any, precision: str) -> dict[str, int]:
    """Type → number of layers that put it out.

    Raises:
        EngineError: Convolutions or matrix products are not of the precision, or an int8 network quantises
            nothing.
    """
    types: Counter[str] = Counter()
    products: Counter[str] = Counter()
    quantised = 0
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        quantised += layer.type == trt.LayerType.QUANTIZE
        if layer.num_outputs:
            kind = str(layer.get_output(0).dtype).removeprefix("DataType.")
            types[kind] += 1
            if layer.type in (trt.LayerType.CONVOLUTION, trt.LayerType.MATRIX_MULTIPLY):
                products[kind] += 1
    expected = _EXPECTED.get(precision)
    if expected is None and not quantised:
        raise EngineError("the network was to be in int8, and none of its layers quantises")
    wrong = products.total() - products[expected] if expected else 0
    if wrong:
        message = f"the network was to be in {precision}, and {wrong} of {products.total()} products are not"
        raise EngineError(f"{message} ({dict(products)})")
    return dict(sorted(types.items()))
