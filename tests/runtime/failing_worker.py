"""A worker that ends in the way that the test requests."""

from __future__ import annotations

import os
import signal
import time
from typing import BinaryIO

import numpy as np

from bench.sandbox.messages import limit_memory, peak_memory_mb, read_message, serve, write_message


def work(requests: BinaryIO, answers: BinaryIO) -> None:
    request, arrays = read_message(requests)
    limit_memory(request.get("memory_mb"))
    match request.get("end", "segfault"):
        case "echo":
            print("libraries print what they like")
            os.write(1, b"so do native ones\n")
            write_message(answers, {"peak_memory_mb": peak_memory_mb()}, arrays)
        case "raise":
            raise ValueError("the graph is odd")
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "exit":
            os._exit(7)
        case "hang":
            time.sleep(60)
        case "eat":
            np.ones(2**33, np.uint8)
        case "native-memory":
            raise RuntimeError("onnxruntime: std::bad_alloc in BFCArena")
        case "abort":
            os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
            os.abort()


if __name__ == "__main__":
    serve(work)
