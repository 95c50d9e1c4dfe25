"""Backends that answer before their work is done, on ONNX Runtime for real; run as a worker, one of them."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np

from bench.runtime.backends.base import Arrays
from bench.runtime.backends.onnxruntime_cpu import OnnxRuntimeCpu, OnnxRuntimeSession

VARIABLE = "EARLY_KIND"
DELAY_S = 0.004


class Queueing(OnnxRuntimeSession):
    """Session whose buffers a thread fills later, one request after the other."""

    def start(self) -> None:
        self.waiting: Queue[tuple[Arrays, np.ndarray]] = Queue()
        threading.Thread(target=self.work, daemon=True).start()

    def work(self) -> None:
        while True:
            inputs, buffer = self.waiting.get()
            time.sleep(DELAY_S)
            buffer[:] = super().infer(inputs)["scores"]

    def infer(self, inputs: Arrays) -> dict[str, Any]:
        buffer = np.zeros((len(inputs["image"]), 2), np.float32)
        self.waiting.put((inputs, buffer))
        return {"scores": buffer}


class Lazy(OnnxRuntimeSession):
    """Session whose answer does the work when it is read."""

    def infer(self, inputs: Arrays) -> dict[str, Any]:
        run = super().infer

        class Later:
            def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
                return run(inputs)["scores"]

        return {"scores": Later()}


class OneBehind(OnnxRuntimeSession):
    """Session that waits for the request before, not for its own."""

    pool = ThreadPoolExecutor(1)
    before: Future[dict[str, Any]] | None = None

    def infer(self, inputs: Arrays) -> dict[str, Any]:
        mine = self.pool.submit(OnnxRuntimeSession.infer, self, inputs)
        before, self.before = self.before or mine, mine
        return before.result()


KINDS: dict[str, type[OnnxRuntimeSession]] = {"queueing": Queueing, "lazy": Lazy, "one-behind": OneBehind}


class Early(OnnxRuntimeCpu):
    """ONNX Runtime with sessions of one of these kinds."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def prepare(self, onnx_path: Path, precision: str, batch: int) -> OnnxRuntimeSession:
        session = super().prepare(onnx_path, precision, batch)
        session.__class__ = KINDS[self.kind]
        if isinstance(session, Queueing):
            session.start()
        return session


if __name__ == "__main__":
    from bench.sandbox.messages import serve
    from bench.timing.workers import block

    block.require_backend = lambda *_: Early(os.environ[VARIABLE])  # type: ignore[attr-defined]
    serve(block.work)
