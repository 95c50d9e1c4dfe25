"""Device time by CUDA events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.runtime.backend import Milliseconds


def event_times(torch: Any, stream: Any, run: Callable[[], object], runs: int) -> Milliseconds:
    """(runs,) milliseconds between two device events around each run.

    Args:
        torch: The module.
        stream: What `run` puts its work on.
        run: Starts one run and does not wait for it.
        runs: How many.
    """
    pairs = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(runs)]
    with torch.cuda.stream(stream):
        for start, end in pairs:
            start.record(stream)
            run()
            end.record(stream)
    stream.synchronize()
    return np.array([start.elapsed_time(end) for start, end in pairs])
