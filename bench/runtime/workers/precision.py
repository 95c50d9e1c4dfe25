"""The process that puts a model into another precision."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx

from bench.environment import Fact
from bench.onnx.half_precision import cast_model, tensor_types
from bench.runtime.backends.base import Arrays
from bench.sandbox.messages import read_message, serve, write_message
from bench.sandbox.worker_process import scrubbed


def work(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer one request with what was done."""
    request, calibration = read_message(requests)
    source, target = Path(request["model"]), Path(request["target"])
    try:
        model = onnx.load(source, load_external_data=False)
        facts: dict[str, Fact] = {}
        if request["precision"] == "int8":
            quantise(model, target, calibration)
            facts["calibration_images"] = len(next(iter(calibration.values())))
            model = onnx.load(target, load_external_data=False)
        else:
            model, clipped = cast_model(model, request["precision"])
            target.write_bytes(model.SerializeToString())
            facts["clipped_weights"] = clipped
        types = tensor_types(model)
        facts["tensor_types"] = {kind: str(count) for kind, count in types.items()}
    except Exception as error:
        raise RuntimeError(scrubbed(str(error) or type(error).__name__, source)) from error
    write_message(answers, facts)


def quantise(model: onnx.ModelProto, target: Path, calibration: Arrays) -> None:
    """Write the model with quantised convolutions and matrix products (QDQ), ranges from `calibration`."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Images(CalibrationDataReader):  # type: ignore[misc]
        """One image after the other."""

        def __init__(self) -> None:
            self.left = _single(calibration)

        def get_next(self) -> dict[str, Any] | None:
            return next(self.left, None)

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # advice about preprocessing that changes nothing here
    try:
        quantize_static(
            model,
            target,
            Images(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Gemm", "MatMul"],
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            extra_options={"QuantizeBias": False, "ActivationSymmetric": True, "WeightSymmetric": True},
        )
    finally:
        logging.disable(before)


def _single(arrays: Arrays) -> Iterator[dict[str, Any]]:
    for index in range(len(next(iter(arrays.values())))):
        yield {name: np.ascontiguousarray(array[index : index + 1]) for name, array in arrays.items()}


if __name__ == "__main__":
    serve(work)
