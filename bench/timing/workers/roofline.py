"""The process that counts a model's work and measures what the device can do."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import onnx

from bench.onnx.cost import UncountedError, model_cost
from bench.sandbox.messages import read_message, serve, write_message
from bench.sandbox.worker_process import scrubbed


def work(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer one request."""
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


SIDE: Final = {"cpu": 512, "gpu": 8192}
COPY_BYTES: Final = {"cpu": 2**27, "gpu": 2**31}
LEAST_S: Final = 0.4
_ROUNDS: Final = 3


def cpu_ceilings() -> tuple[float, float]:
    """(multiply-adds per second in single precision, bytes read and written per second) of the processor."""
    generator = np.random.default_rng(0)
    a, b = (generator.random((SIDE["cpu"], SIDE["cpu"]), dtype=np.float32) for _ in range(2))
    out = np.empty_like(a)
    source = np.ones(COPY_BYTES["cpu"], np.uint8)
    target = np.empty_like(source)
    product_s = _fastest_s(lambda: np.matmul(a, b, out=out))
    copy_s = _fastest_s(lambda: np.copyto(target, source))
    return SIDE["cpu"] ** 3 / product_s, 2 * COPY_BYTES["cpu"] / copy_s


def gpu_ceilings(precision: str) -> tuple[float, float]:
    """(multiply-adds per second in `precision`, bytes read and written per second) of the GPU."""
    import torch

    kinds = {"fp16": torch.float16, "bf16": torch.bfloat16}
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    side = SIDE["gpu"]
    a, b = (torch.rand(side, side, device="cuda").to(kinds.get(precision, torch.float32)) for _ in range(2))
    source = torch.ones(COPY_BYTES["gpu"], dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)

    def finished(work: Callable[[], object]) -> None:
        work()
        torch.cuda.synchronize()

    product_s = _fastest_s(lambda: finished(lambda: torch.matmul(a, b)))
    copy_s = _fastest_s(lambda: finished(lambda: target.copy_(source)))
    return side**3 / product_s, 2 * COPY_BYTES["gpu"] / copy_s


def _fastest_s(work: Callable[[], Any]) -> float:
    """Seconds of the fastest of several runs: a ceiling is what was reached once."""
    work()
    fastest, run, end = float("inf"), 0, time.perf_counter() + LEAST_S
    while run < _ROUNDS or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        fastest = min(fastest, time.perf_counter() - start)
        run += 1
    return fastest


if __name__ == "__main__":
    serve(work)
