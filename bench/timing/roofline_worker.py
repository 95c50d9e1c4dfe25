"""The process that counts a model's work and measures what the device can do."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import onnx

from bench.onnx.cost import UncountedError, model_cost
from bench.runtime.messages import read_message, serve, write_message
from bench.runtime.worker_process import scrubbed
from bench.timing.ceilings import cpu_ceilings, gpu_ceilings


def work(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answers one request."""
    request, _ = read_message(requests)
    path = Path(request["model"])
    try:
        model = onnx.load(path, load_external_data=False)
        cost = model_cost(model, {name: tuple(shape) for name, shape in request["inputs"].items()})
    except UncountedError as error:
        write_message(answers, {"reason": f"{str(error)[0].upper()}{str(error)[1:]}."})
        return
    except Exception as error:
        raise RuntimeError(scrubbed(str(error) or type(error).__name__, path)) from error
    products, moved = gpu_ceilings(request["precision"]) if request["is_gpu"] else cpu_ceilings()
    write_message(answers, {"cost": asdict(cost), "products_per_s": products, "bytes_per_s": moved})


if __name__ == "__main__":
    serve(work)
