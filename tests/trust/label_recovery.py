"""Attack on published figures: how many entries reveal labels, as a table (`make label-recovery`).

The attacker knows the number of positive images, and solves for the labels by linear programming (HiGHS):
every published figure is a linear equation in the labels, within its rounding. The positives found are the
images with the largest values of the solution. With few entries the normal approximation of the labels given
the figures is better; the better of the two attacks counts.

Three cases are measured: `public` as such boards publish (predictions, AUROC, Brier score and calibration
with 9 digits, no curves: one whole ROC curve alone would tell all labels); `shared` if predictions became
known (the same figures with 4 digits, and the coarse ROC curve); `private` for an entrant who chooses random
predictions and gets the AUROC to three decimals. In `shared` mode as intended nobody outside has predictions,
and no equation can be written.

Results are kept in a file after each attack, so that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import linprog

from bench.files import write_json
from bench.metrics.discrimination import auroc, mean_rank
from bench.metrics.recalibration_line import calibration_line
from bench.scoring.published import CURVE_POINTS, DECIMALS, DIGITS

PREVALENCE = 0.2
SIZES = (365, 1_500, 14_000)
MODES = ("public", "shared", "private")
ENTRIES = (1, 2, 4, 7, 10, 15, 20, 30, 40, 60, 80, 160)
STEPS = (0.01, 0.10)
"""Shares of images above the base rate that are asked for."""


@dataclass(frozen=True)
class Equation:
    """A linear figure of the labels y: low <= weights · y <= high."""

    weights: np.ndarray
    low: float
    high: float


def _interval(value: float, digits: int | None, decimals: int | None) -> tuple[float, float]:
    """What a rounded figure says of the exact one."""
    if decimals is not None:
        half = 0.5 * 10.0**-decimals
    else:
        assert digits is not None
        half = 0.5 * 10.0 ** (np.floor(np.log10(max(abs(value), 1e-12))) - digits + 1)
    rounded = round(value / (2 * half)) * 2 * half
    return rounded - half * 1.0001, rounded + half * 1.0001


def equations(y: np.ndarray, p: np.ndarray, mode: str) -> Iterator[Equation]:
    """Yield what the figures of one entry say of the labels."""
    positives, n = int(y.sum()), len(y)
    pairs, ascending = positives * (n - positives), mean_rank(p)
    if np.corrcoef(ascending, p)[0, 1] < 0:
        ascending = n - 1 - ascending
    ascending = ascending - ascending.min() + 1
    offset = positives * (positives + 1) / 2
    area = auroc(y, p)
    assert area is not None
    assert abs((ascending @ y - offset) / pairs - area) < 1e-9
    decimals, digits = (DECIMALS, None) if mode == "private" else (None, 9 if mode == "public" else DIGITS)
    low, high = _interval(area, digits, decimals)
    yield Equation(ascending, low * pairs + offset, high * pairs + offset)
    if mode == "private":
        return
    low, high = _interval(float(np.mean((p - y) ** 2)), digits, None)
    known = float((p**2).sum()) + positives
    yield Equation(p, (known - n * high) / 2, (known - n * low) / 2)  # Σ(p - y)² = Σp² - 2Σpy + Σy
    yield from _line(y, p, digits)
    if mode == "shared":
        order = np.argsort(-p, kind="stable")
        for place in np.linspace(0, n, CURVE_POINTS).round().astype(int)[1:-1]:
            above = np.zeros(n)
            above[order[:place]] = 1
            low, high = _interval(float(above @ y) / positives, DIGITS, None)
            yield Equation(above, low * positives, high * positives)


def _line(y: np.ndarray, p: np.ndarray, digits: int | None) -> Iterator[Equation]:
    """The score equation of the calibration line: Σ logit(p)·y is that of the fitted probabilities."""
    line = calibration_line(y, p)
    if line.slope is None or line.intercept is None:
        return
    logit = np.log(p / (1 - p))
    ends = [_interval(value, digits, None) for value in (line.slope, line.intercept)]
    sums = [
        float(logit @ (1 / (1 + np.exp(-(intercept + slope * logit)))))
        for slope in ends[0]
        for intercept in ends[1]
    ]
    yield Equation(logit, min(sums) - 1e-6, max(sums) + 1e-6)


def attack(n: int, entries: int, mode: str, seed: int = 0) -> tuple[float, float]:
    """Return the share of labels found from the figures of so many entries, and the base rate.

    The base rate is the better of calling all images negative and of guessing from the mean score.
    """
    random = np.random.default_rng(seed)
    y = np.zeros(n)
    y[random.permutation(n)[: round(PREVALENCE * n)]] = 1
    signal = y + 1.2 * random.normal(size=n)
    scores = [
        random.random(n)
        if mode == "private"
        else 1 / (1 + np.exp(1.8 - 1.1 * (signal + 0.6 * random.normal(size=n))))
        for _ in range(entries)
    ]
    found = [e for p in scores for e in equations(y, p, mode)]
    rows = np.array([e.weights for e in found])
    scale = np.linalg.norm(rows, axis=1)
    rows /= scale[:, None]
    high, low = np.array([e.high for e in found]) / scale, np.array([e.low for e in found]) / scale
    prior = np.mean(scores, axis=0) if mode != "private" else random.random(n)
    solved = linprog(
        -(prior - prior.mean()) / prior.std(),
        A_ub=np.vstack([rows, -rows]),
        b_ub=np.concatenate([high, -low]),
        A_eq=np.ones((1, n)),
        b_eq=[y.sum()],
        bounds=(0, 1),
        method="highs",
        options={"time_limit": 300.0},
    )
    expected = np.full(n, PREVALENCE) if mode == "private" else prior
    base = max(1 - PREVALENCE, float(((expected > 0.5) == y).mean()))
    # The mean of y given all figures, if labels and roundings were normal.
    spread = expected * (1 - expected)
    width = np.maximum((high - low) / np.sqrt(12), 1e-9)
    gain = np.linalg.solve((rows * spread) @ rows.T + np.diag(width**2), (high + low) / 2 - rows @ expected)
    posterior = expected + spread * (rows.T @ gain)
    found_by = [float(((posterior > 0.5) == y).mean())]
    if solved.x is not None:
        found_by.append(_share(y, solved.x))
    return max(found_by), base


def _share(y: np.ndarray, values: np.ndarray) -> float:
    """Share of labels that are right where the images with the largest values are called positive."""
    called = np.zeros(len(y))
    called[np.argsort(-values, kind="stable")[: int(y.sum())]] = 1
    return float((called == y).mean())


def main() -> None:
    """Run the attacks that are not in the file yet, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=Path(".bench/label-recovery.json"))
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--modes", nargs="+", default=MODES, choices=MODES)
    parser.add_argument("--most", type=int, default=max(ENTRIES), help="Entries at most.")
    chosen = parser.parse_args()
    results = json.loads(chosen.results.read_text()) if chosen.results.exists() else {}
    for n in chosen.sizes:
        for mode in chosen.modes:
            for entries in (k for k in ENTRIES if k <= chosen.most):
                key = f"{mode}/{n}/{entries}"
                if key not in results:
                    began = time.monotonic()
                    results[key] = list(attack(n, entries, mode))
                    chosen.results.parent.mkdir(parents=True, exist_ok=True)
                    write_json(chosen.results, results)
                    print(f"{key}: {results[key]}, {time.monotonic() - began:.0f} s", flush=True)
                share, base = results[key]
                if share - base >= STEPS[-1] or share == 1:
                    break
    print_table(results)


def print_table(results: dict[str, list[float]]) -> None:
    """Print the entries that were needed for each mode and size."""
    print("| images | mode | base rate | + 1% | + 10% | most entries tried: labels right |")
    print("|---|---|---|---|---|---|")
    for n in SIZES:
        for mode in MODES:
            tried = {k: results[f"{mode}/{n}/{k}"] for k in ENTRIES if f"{mode}/{n}/{k}" in results}
            if tried:
                needed = [
                    next((str(k) for k, (s, b) in tried.items() if s - b >= step), "–") for step in STEPS
                ]
                most = max(tried)
                share, base = tried[most]
                print(f"| {n:,} | {mode} | {base:.3f} | {needed[0]} | {needed[1]} | {most}: {share:.3f} |")


if __name__ == "__main__":
    main()
