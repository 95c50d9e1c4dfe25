"""A block's worker whose backend takes longer to build a session than a configuration may take."""

from __future__ import annotations

import time
from pathlib import Path

from bench.runtime.backends.onnxruntime_cpu import OnnxRuntimeCpu, OnnxRuntimeSession
from bench.sandbox.messages import serve
from bench.timing.workers import block

BUILD_S = 8.0
LIMIT_S = 7.0


class SlowBuild(OnnxRuntimeCpu):
    """Builds slowly."""

    def prepare(self, onnx_path: Path, precision: str, batch: int) -> OnnxRuntimeSession:
        time.sleep(BUILD_S)
        return super().prepare(onnx_path, precision, batch)


if __name__ == "__main__":
    block.require_backend = lambda *_: SlowBuild()  # type: ignore[attr-defined]
    serve(block.work)
