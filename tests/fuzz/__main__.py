"""Fuzzes one reader: ``python -m tests.fuzz TARGET [--runs N] [--corpus DIR] [--seed S]``.

The corpus is kept in ``.fuzz/TARGET``, so that the next run goes on from it.

With atheris installed, inputs are chosen by coverage (libFuzzer), otherwise damaged at random. What ends in
an exception, takes over 2 GiB or over 30 s is kept in the corpus folder as ``crash-*`` and ends the run.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import pkgutil
import sys
import time
from pathlib import Path
from random import Random

MEMORY_MB = 2048


def by_coverage(name: str, runs: int, corpus: Path, seed: int) -> None:
    """Run libFuzzer, which ends the process."""
    import atheris

    from bench.metrics import kernels

    for module in pkgutil.iter_modules(kernels.__path__, f"{kernels.__name__}."):
        importlib.import_module(module.name)  # not instrumented: they are compiled, which would fail then
    with atheris.instrument_imports(include=["bench"]):
        from tests.fuzz.targets import TARGETS, run

    target = TARGETS[name]
    for data in target.seeds():
        (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)

    def once(data: bytes) -> None:
        run(target, data)

    options = [
        f"-runs={runs}",
        f"-seed={seed}",
        f"-rss_limit_mb={MEMORY_MB}",
        "-timeout=30",
        "-max_len=20000",
    ]
    options += [f"-artifact_prefix={corpus}/", "-print_final_stats=1", "-verbosity=1"]
    atheris.Setup([sys.argv[0], str(corpus), *options], once)
    atheris.Fuzz()


def at_random(name: str, runs: int, corpus: Path, seed: int) -> None:
    """Damages the seeds, and what is in the corpus, at random."""
    from tests.fuzz.targets import TARGETS, run
    from tests.submission.test_damaged_bytes import damaged

    target = TARGETS[name]
    pool = [*target.seeds(), *(path.read_bytes() for path in sorted(corpus.iterdir()) if path.is_file())]
    begun = time.monotonic()
    for number in range(runs):
        data = damaged(Random(seed + number).choice(pool), seed + number)
        try:
            run(target, data)
        except BaseException:
            kept = corpus / f"crash-{hashlib.sha256(data).hexdigest()[:16]}"
            kept.write_bytes(data)
            print(f"{name}: run {number} fails; its input is {kept}", file=sys.stderr)
            raise
    print(f"{name}: {runs:,} runs in {time.monotonic() - begun:.0f} s, no fault")


def main() -> None:
    """Fuzzes the target that is named."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    corpus = chosen.corpus or Path(".fuzz") / chosen.target
    corpus.mkdir(parents=True, exist_ok=True)
    way = by_coverage if importlib.util.find_spec("atheris") else at_random
    way(chosen.target, chosen.runs, corpus, chosen.seed)


if __name__ == "__main__":
    main()
