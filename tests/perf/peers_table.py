"""Beside other packages: `make peers`, which installs them where that is possible.

All run on one core in this process, or in R, on the same simulated test split; each draws some replicates,
scaled to 2,000. Ratios are to the loop over `roc_auc_score` of `tests.perf.statistics_table`.
"""

from __future__ import annotations

import warnings

import bench
from tests.peers import PEERS
from tests.perf.statistics_table import REPLICATES, SIZES, best, data, loop_seconds

SOME = 40


def rows(images: int, patients: int) -> list[str]:
    """A line for every package that is there, at one size."""
    sample = data(images, patients)
    usual = loop_seconds(sample)
    bench.evaluate(sample.y, sample.p, sample.patient, 300)
    ours = best(lambda: bench.PatientBootstrap(sample.patient, REPLICATES).replicates(sample.y, sample.p), 3)
    value = bench.auroc(sample.y, sample.p)
    lines = [
        f"| {images:,} | loop over `roc_auc_score` | {usual:.3g} | 1 | yes | – |",
        f"| {images:,} | **bench**, draws included | {ours:.3g} | {usual / ours:,.0f} | yes | 0 |",
    ]
    for peer in PEERS:
        if not peer.there():
            lines.append(f"| {images:,} | {peer.name} | not installed | | {peer.clusters} | |")
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = peer.ask(sample.y, sample.p, SOME)
        seconds = answer.seconds * REPLICATES / SOME
        apart = abs(answer.auroc - value)
        lines.append(
            f"| {images:,} | {peer.name} | {seconds:.3g} | {usual / seconds:.2f} | {peer.clusters} | "
            f"{apart:.0e} |"
        )
    return lines


def main() -> None:
    """Print the table."""
    print(f"AUROC with {REPLICATES:,} bootstrap replicates\n")
    print("| images | package | CPU s | × loop | resamples patients | AUROC differs by |")
    print("|---|---|---|---|---|---|")
    for size in SIZES:
        print("\n".join(rows(*size)), flush=True)


if __name__ == "__main__":
    main()
