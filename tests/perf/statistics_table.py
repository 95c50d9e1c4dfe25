"""Speed of the statistics against the loop that everybody writes: `python -m tests.perf.statistics_table`.

The loop resamples patients, collects their rows and calls scikit-learn's `roc_auc_score`; it is timed on some
replicates in the same run and scaled to all of them. Ratios hold on any machine, absolute times do not.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from sklearn.metrics import roc_auc_score

import bench

REPLICATES = 2000
SIZES = ((3_600, 1_235), (71_589, 24_689))
TARGETS = {"multiplicities ready": (8_000, 1_800), "from nothing": (150, 150), "evaluate": (40, 40)}


@dataclass(frozen=True)
class Data:
    """A simulated test split."""

    y: np.ndarray
    p: np.ndarray
    patient: np.ndarray


def data(images: int, patients: int) -> Data:
    """Sizes vary around their mean, labels are those of the patient, 14% positive."""
    rng = np.random.default_rng(0)
    patient = np.sort(np.append(np.arange(patients), rng.integers(0, patients, images - patients)))
    y = (rng.random(patients) < 0.14)[patient]
    p = expit(1.2 * y - 2 + 0.7 * rng.normal(size=patients)[patient] + 0.7 * rng.normal(size=images))
    ids = np.array([f"{k * 2654435761 % 2**32:032x}" for k in range(patients)], dtype=object)
    return Data(y.astype(int), p, ids[patient])


def best(work: Callable[[], object], repeat: int = 5) -> float:
    """Shortest of some runs, in CPU seconds: all use one core, and other programs do not count."""
    found: list[float] = []
    while len(found) < repeat or (sum(found) < 0.3 and len(found) < 200):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def loop(sample: Data, replicates: int) -> np.ndarray:
    """The usual way: draw patients, gather their rows, score."""
    rng = np.random.default_rng(0)
    order = np.argsort(sample.patient, kind="stable")
    _, start, size = np.unique(sample.patient[order], return_index=True, return_counts=True)
    rows_of = [order[s : s + k] for s, k in zip(start, size, strict=True)]
    found = np.empty(replicates)
    for b in range(replicates):
        rows = np.concatenate([rows_of[k] for k in rng.integers(0, len(rows_of), len(rows_of))])
        found[b] = roc_auc_score(sample.y[rows], sample.p[rows])
    return found


def loop_seconds(sample: Data) -> float:
    """The loop, scaled to all replicates."""
    some = 60 if len(sample.y) < 10_000 else 15
    return best(lambda: loop(sample, some), 3) * REPLICATES / some


def ours(sample: Data) -> dict[str, float]:
    """Seconds of each piece of work, compiled."""
    boot = bench.PatientBootstrap(sample.patient, REPLICATES)
    bench.evaluate(sample.y, sample.p, bootstrap=boot)
    boot.replicates(sample.y, sample.p)
    return {
        "multiplicities ready": best(lambda: boot.replicates(sample.y, sample.p), 9),
        "from nothing": best(
            lambda: bench.PatientBootstrap(sample.patient, REPLICATES).replicates(sample.y, sample.p)
        ),
        "evaluate": best(lambda: bench.evaluate(sample.y, sample.p, sample.patient, REPLICATES)),
        "evaluate, multiplicities ready": best(lambda: bench.evaluate(sample.y, sample.p, bootstrap=boot)),
        "lines refitted": best(
            lambda: bench.evaluate(sample.y, sample.p, bootstrap=boot, refit_lines=True), 2
        ),
    }


FIRST_USE = """
import time, numpy as np
rng = np.random.default_rng(0)
y, p = rng.integers(0, 2, 400), rng.random(400)
import scipy.fft, scipy.special, bench
import bench.uncertainty.evaluate, bench.uncertainty.family
start = time.process_time()
boot = bench.PatientBootstrap(np.arange(400) // 3, 100)
bench.evaluate(y, p, bootstrap=boot)
bench.evaluate(y, p, bootstrap=boot, weight=p + 0.1)
found = [bench.evaluate(y, score, bootstrap=boot, metrics=["auroc"]) for score in (p, p * (1 - p))]
replicates, influences = [e.auroc_replicates for e in found], [e.auroc_influence for e in found]
bench.compare_all_pairs(replicates, [e.auroc.value for e in found], influences)
print(time.process_time() - start)
"""


def first_use_seconds() -> tuple[float, float]:
    """CPU seconds for one evaluation of each kind and a board, without and with the compilation cache."""
    with tempfile.TemporaryDirectory() as cache:
        runs = [
            subprocess.run(
                [sys.executable, "-c", FIRST_USE], env={"NUMBA_CACHE_DIR": cache, "PATH": ""},
                capture_output=True, text=True, check=True,
            )
            for _ in range(2)
        ]  # fmt: skip
    return float(runs[0].stdout), float(runs[1].stdout)


def measure() -> dict[tuple[int, str], tuple[float, float]]:
    """Seconds and ratio to the loop of every piece of work at both sizes."""
    found = {}
    for images, patients in SIZES:
        sample = data(images, patients)
        usual = loop_seconds(sample)
        found[images, "loop"] = usual, 1.0
        for name, seconds in ours(sample).items():
            found[images, name] = seconds, usual / seconds
    return found


def table(found: dict[tuple[int, str], tuple[float, float]]) -> str:
    """What was measured, beside the goals, as a Markdown table."""
    sizes = " | ".join(f"n = {n:,} / {p:,} patients" for n, p in SIZES)
    lines = [
        f"B = {REPLICATES:,}; CPU seconds of one core, and how many times faster than the loop\n",
        f"| | {sizes} | goal |",
        "|---|---|---|---|",
    ]
    for name in dict.fromkeys(name for _, name in found):
        cells = " | ".join(f"{found[n, name][0]:.4g} s, {found[n, name][1]:,.4g}×" for n, _ in SIZES)
        goal = " / ".join(f"{times:,}×" for times in TARGETS.get(name, ()))
        lines.append(f"| {name} | {cells} | {goal} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    print(table(measure()))
    cold, warm = first_use_seconds()
    print(f"\nFirst use: {cold:.1f} s with compilation, {warm:.2f} s from the cache")


if __name__ == "__main__":
    main()
