"""Variation of p50 between whole repetitions of a timing: `python -m tests.perf.p50_table [SLUG]`.

The entry is timed by the full protocol several times, each in a process of its own (`bench time --again`),
and a row is printed for each batch size. Run it in a workspace that holds the entry's model, on a machine
that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from statistics import fmean, stdev


def measure(slug: str) -> tuple[float, dict[int, tuple[float, bool]]]:
    """Time the entry once; return its seconds, and by batch size p50 in ms and whether it is stable."""
    started = time.monotonic()
    command = [sys.executable, "-m", "bench", "time", slug, "--again", "--json"]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    (timing,) = json.loads(answer.stdout)["result"]["timings"]
    return seconds, {
        row["batch"]: (row["end_to_end"]["p50"]["value_ms"], row["stability"]["stable"])
        for row in timing["record"]["batches"]
    }


def main() -> None:
    """Read the options, repeat the timing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slug", nargs="?", default="random-convolutions")
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    values: defaultdict[int, list[float]] = defaultdict(list)
    stable: defaultdict[int, int] = defaultdict(int)
    seconds = []
    for _ in range(options.repetitions):
        elapsed, rows = measure(options.slug)
        seconds.append(elapsed)
        for batch, (p50, is_stable) in rows.items():
            values[batch].append(p50)
            stable[batch] += is_stable
    took = f"{min(seconds):.0f} to {max(seconds):.0f} s each"
    load = f"load average at the end {os.getloadavg()[0]:.1f}"
    print(f"{options.slug}: {options.repetitions} repetitions, {took}; {load}\n")
    print("| batch | p50 ms, mean | least | most | standard deviation / mean | stable |")
    print("|---|---|---|---|---|---|")
    for batch, p50s in values.items():
        spread = stdev(p50s) / fmean(p50s)
        print(
            f"| {batch} | {fmean(p50s):.3f} | {min(p50s):.3f} | {max(p50s):.3f} | {spread:.1%} | "
            f"{stable[batch]} of {len(p50s)} |"
        )


if __name__ == "__main__":
    main()
