"""Attack on published figures: how many entries reveal labels, as a table (`make label-recovery`).

The attacker knows the number of positive images. Every published figure is a linear equation in the labels,
within its rounding. Of three ways to solve them the best one counts:

- the maximum-entropy probabilities of the labels, given the prior and the figures (`maximum_entropy`). A
  Newton step costs (equations)² · images operations: half a minute for 160 entries on 14,000 images;
- the normal approximation of the labels given the figures, which is the same to first order;
- linear programming (HiGHS), up to `MOST_FOR_LP` images: it does not end for 14,000, and where it was tried
  it got at most as many labels right as the maximum entropy.

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
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import linprog
from scipy.special import expit, logit

from bench.choices import PUBLISHED_DIGITS
from bench.files import write_json
from bench.metrics.discrimination import auroc, mean_rank
from bench.metrics.recalibration_line import calibration_line
from bench.scoring.published import CURVE_POINTS, DECIMALS

PREVALENCE = 0.2
SIZES = (365, 1_500, 14_000)
MODES = ("public", "shared", "private")
ENTRIES = (1, 2, 4, 7, 10, 15, 20, 30, 40, 60, 80, 160)
MOST_FOR_LP = 1_500
NEWTON_STEPS = 60
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
    decimals, digits = (
        (DECIMALS, None) if mode == "private" else (None, 9 if mode == "public" else PUBLISHED_DIGITS)
    )
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
            low, high = _interval(float(above @ y) / positives, PUBLISHED_DIGITS, None)
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
    expected = np.full(n, PREVALENCE) if mode == "private" else prior
    base = max(1 - PREVALENCE, float(((expected > 0.5) == y).mean()))
    width = np.maximum((high - low) / np.sqrt(12), 1e-9)
    posterior = maximum_entropy(expected, rows, (low + high) / 2, width)
    spread = expected * (1 - expected)
    gain = np.linalg.solve((rows * spread) @ rows.T + np.diag(width**2), (high + low) / 2 - rows @ expected)
    normal = expected + spread * (rows.T @ gain)
    found_by = [_share(y, posterior), *(float(((p > 0.5) == y).mean()) for p in (posterior, normal))]
    if n <= MOST_FOR_LP:
        found_by.append(_by_linear_program(y, prior, rows, low, high))
    return max(found_by), base


def maximum_entropy(
    prior: np.ndarray, rows: np.ndarray, figures: np.ndarray, width: np.ndarray
) -> np.ndarray:
    """Return the probabilities of maximum entropy relative to the prior that reproduce the figures.

    They are sigmoid(logit(prior) + rows^T λ), where λ maximises the concave function
    figures·λ - Σ log(1 - prior + prior · exp(rows^T λ)) - ½ Σ (width λ)², here by damped Newton steps.

    Args:
        prior: (n,) probabilities of the labels before any figure is known.
        rows: (m, n) coefficients of the figures, each of length 1.
        figures: (m,) values of rows · labels.
        width: (m,) standard deviations of their rounding.
    """
    start, weights = logit(np.clip(prior, 1e-6, 1 - 1e-6)), np.zeros(len(figures))

    def objective(candidate: np.ndarray) -> float:
        partition = np.logaddexp(0, start + candidate @ rows).sum()
        return float(partition - figures @ candidate + ((width * candidate) ** 2).sum() / 2)

    value = objective(weights)
    for _ in range(NEWTON_STEPS):
        p = expit(start + weights @ rows)
        gradient = rows @ p - figures + width**2 * weights
        curvature = (rows * (p * (1 - p))) @ rows.T + np.diag(width**2)
        step = _newton_step(curvature, gradient)
        length = 1.0
        while (new := objective(weights - length * step)) > value and length > 1e-4:
            length /= 2
        if new >= value - 1e-9 * abs(value):
            break
        weights, value = weights - length * step, new
    return np.asarray(expit(start + weights @ rows))


def _newton_step(curvature: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Solve with the least damping at which the curvature is positive definite."""
    diagonal, damping = np.diag(curvature).copy(), 1e-13
    while True:
        np.fill_diagonal(curvature, diagonal * (1 + damping) + damping * diagonal.mean())
        try:
            return np.asarray(cho_solve(cho_factor(curvature), gradient))
        except np.linalg.LinAlgError:
            damping *= 100


def _by_linear_program(
    y: np.ndarray, prior: np.ndarray, rows: np.ndarray, low: np.ndarray, high: np.ndarray
) -> float:
    """Share of labels that the likeliest solution within all roundings gets right; 0 without one."""
    solved = linprog(
        -(prior - prior.mean()) / prior.std(),
        A_ub=np.vstack([rows, -rows]),
        b_ub=np.concatenate([high, -low]),
        A_eq=np.ones((1, len(y))),
        b_eq=[y.sum()],
        bounds=(0, 1),
        method="highs",
        options={"time_limit": 300.0},
    )
    return 0.0 if solved.x is None else _share(y, solved.x)


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
