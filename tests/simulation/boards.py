"""Simulated boards: how often the one family of comparisons states something false.

`python -m tests.simulation.boards` (an hour). Entries are scores of the same images, each with its own noise
beside noise that all share, and with AUROCs that are equal or evenly spread.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import ndtri

import bench
from bench.metrics import influence
from bench.metrics.score_ranking import ScoreRanking
from bench.uncertainty.family import compare_all_pairs
from tests.simulation.cohorts import Setting, draw
from tests.simulation.simulate import head, monte_carlo, row

SHARED = 0.7
"""Correlation of the scores of two entries, given the label."""

COHORTS = (
    Setting("300 × 3, 19 positive patients", 300, 3, label_alike=1.0, score_alike=0.5, prevalence=0.065),
    Setting("400 × geometric(2.9), 75 positive patients", 400, 2.9, True, 0.9, 0.6),
)
LONG = Setting("300 × 3, 48 positive patients", 300, 3, label_alike=1.0, score_alike=0.5, prevalence=0.16)


@dataclass(frozen=True)
class BoardSetting:
    """Parameters from which boards are drawn.

    Attributes:
        cohort: Its images.
        entries: Number of entries.
        spread: Difference of the best and the worst true AUROC.
        middle: The AUROC in the middle of them.
    """

    cohort: Setting
    entries: int
    spread: float
    middle: float = 0.8

    @property
    def name(self) -> str:
        """As printed."""
        half = self.spread / 2
        range_ = f"AUROC {self.middle - half:.2f} to {self.middle + half:.2f}" if self.spread else "equal"
        return f"{self.entries} entries, {range_}, {self.cohort.name}"

    @property
    def areas(self) -> np.ndarray:
        """(S,) true AUROCs."""
        return self.middle + self.spread * np.linspace(0.5, -0.5, self.entries)


BOARDS = tuple(
    BoardSetting(cohort, entries, spread)
    for cohort in COHORTS
    for entries in (2, 4, 20, 200)
    for spread in (0.0, 0.1)
) + tuple(
    BoardSetting(LONG, 200, spread, middle) for spread, middle in ((0.0, 0.8), (0.35, 0.775), (0.09, 0.945))
)


def judge_board(setting: BoardSetting, rng: np.random.Generator, replicates: int, seed: int) -> np.ndarray:
    """(5,) one board: 1, whether a separated pair is false, whether all intervals hold, whether all of those
    to the leader do, and the share of truly different pairs that are separated."""
    cohort = draw(setting.cohort, rng)
    boot = bench.PatientBootstrap(cohort.patient, replicates, seed)
    sample = boot.sample(cohort.y)
    everybody = rng.normal(size=setting.cohort.patients)[cohort.patient]
    shifts = np.sqrt(2) * ndtri(setting.areas)
    drawn, values, influences = [], [], []
    for shift in shifts:
        own = rng.normal(size=(setting.cohort.patients))[cohort.patient]
        alike = setting.cohort.score_alike
        noise = np.sqrt(alike) * (np.sqrt(SHARED) * everybody + np.sqrt(1 - SHARED) * own)
        score = shift * cohort.y + noise + np.sqrt(1 - alike) * rng.normal(size=len(cohort.y))
        ranking = ScoreRanking.of(cohort.y, score)
        drawn.append(boot.replicates(cohort.y, score))
        values.append(bench.auroc(cohort.y, score))
        influences.append(sample.by_patient(influence.auroc(ranking)))
    family = compare_all_pairs(drawn, values, influences)
    truth = setting.areas[:, None] - setting.areas
    inside = (family.low <= truth) & (truth <= family.high)
    false = (family.separated & (truth <= 1e-12)).any()
    different = truth > 1e-12
    seen = family.separated[different].mean() if different.any() else np.nan
    return np.array([1, false, inside.all(), inside[family.leader].all(), seen], dtype=np.float64)


def main() -> None:
    """Read the options, draw what is not stored yet, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--boards", type=int, default=200)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--largest", type=int, default=200, help="most entries")
    parser.add_argument("--out", type=Path, default=Path("data/simulation"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    columns = (
        "boards",
        "error",
        "a false statement",
        "all pairs covered",
        "pairs with the leader",
        "separated",
    )
    print(head(("board", *columns)))
    for number, setting in enumerate(BOARDS):
        path = options.out / f"board-{number:02d}.json"
        if not path.exists() and setting.entries <= options.largest:
            rng = np.random.default_rng([2, number])
            counts = [judge_board(setting, rng, options.replicates, k) for k in range(options.boards)]
            path.write_text(json.dumps(np.array(counts).tolist()))
        if path.exists():
            counts_of = np.array(json.loads(path.read_text()))
            shares = 100 * counts_of[:, 1:].mean(axis=0)
            cells = ["–" if np.isnan(share) else f"{share:.1f}" for share in shares]
            print(row([setting.name, str(len(counts_of)), monte_carlo(len(counts_of)), *cells]), flush=True)


if __name__ == "__main__":
    main()
