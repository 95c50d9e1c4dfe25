"""Effect of gaming on the ranks of honest entries, before and after the rules of the board, as a table.

`python -m tests.simulation.gaming` (minutes). Five honest entries are joined by ten random ones, by ten exact
copies of the last, or by ten weaker entries of the leader's team. Before: all are one family. After: entries
at chance stay outside, copies count once, one entry of each team is ranked.
"""

from __future__ import annotations

import numpy as np

from bench.uncertainty.bootstrap import PatientBootstrap
from bench.uncertainty.evaluate import evaluate
from bench.uncertainty.family import compare_all_pairs

BOARDS, IMAGES, POSITIVES, REPLICATES, HONEST = 20, 600, 120, 400, 5


def _scored(
    scores: list[np.ndarray], y: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Replicates, values, influences, and whether each entry is at chance."""
    bootstrap = PatientBootstrap(np.arange(IMAGES), replicates=REPLICATES, seed=seed)
    found = [
        evaluate(y, s, bootstrap=bootstrap, probabilities=False, level=0.95, metrics=("auroc",))
        for s in scores
    ]
    limits = [(f.auroc.low, f.auroc.high) for f in found]
    return (
        np.array([f.auroc_replicates for f in found]),
        np.array([f.auroc.value for f in found]),
        np.array([f.auroc_influence for f in found]),
        np.array([low is not None and high is not None and low <= 0.5 <= high for low, high in limits]),
    )


def _figures(parts: tuple[np.ndarray, np.ndarray, np.ndarray], honest: np.ndarray) -> list[float]:
    """Mean width of the honest rank intervals, entries that may be first, smallest p against the leader."""
    family = compare_all_pairs(*parts)
    width = (family.rank_high - family.rank_low + 1)[honest].mean()
    p = np.delete(family.p_adjusted[family.leader], family.leader)
    return [float(width), float(family.may_be_first.sum()), float(p.min())]


def main() -> None:
    """Simulate boards with each attack and print the table."""
    attacks = ("none", "10 random entries", "10 copies of the last", "10 weaker entries of the leader's team")
    table: dict[str, list[list[float]]] = {name: [] for name in attacks}
    y = np.repeat([0.0, 1.0], [IMAGES - POSITIVES, POSITIVES])
    for seed in range(BOARDS):
        random = np.random.default_rng(seed)
        common = random.normal(size=IMAGES)
        honest = [
            strength * y + 0.7 * common + 0.7 * random.normal(size=IMAGES)
            for strength in (1.6, 1.45, 1.3, 1.1, 0.9)
        ]
        team = [1.2 * y + 0.7 * common + 0.7 * random.normal(size=IMAGES) for _ in range(10)]
        for name, added in zip(
            attacks,
            ([], [random.normal(size=IMAGES) for _ in range(10)], [honest[-1]] * 10, team),
            strict=True,
        ):
            replicates, values, influences, chance = _scored([*honest, *added], y, seed)
            own = np.arange(len(values)) < HONEST
            kept = ~chance & (own if name.startswith("10 copies") or "team" in name else True)
            before = _figures((replicates, values, influences), own)
            after = _figures((replicates[kept], values[kept], influences[kept]), own[kept])
            table[name].append([*before, *after])
    print(
        "| attack | rank interval | may be first | smallest p | rank interval | may be first | smallest p |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, rows in table.items():
        mean = np.mean(rows, axis=0)
        cells = [
            f"{mean[0]:.2f}",
            f"{mean[1]:.2f}",
            f"{mean[2]:.4f}",
            f"{mean[3]:.2f}",
            f"{mean[4]:.2f}",
            f"{mean[5]:.4f}",
        ]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
