"""Reading and checking at full size: against the bare CSV reader, so that a busy machine counts for both."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import pyarrow.csv
import pytest

from bench.cohort.cohort import Cohort
from bench.cohort.load import load_cohort
from bench.cohort.spec import load_spec
from bench.cohort.split import hash_parts, make_split, patient_uniform
from bench.cohort.synthetic.write import write_demo
from bench.submission.check_predictions import load_predictions

pytestmark = pytest.mark.perf
REPEATS = 15
IMAGES = 71_589
NIH_IMAGES, NIH_PATIENTS = 112_120, 30_805


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(*works: Callable[[], object]) -> list[list[float]]:
    """Durations of each piece of work, taken in turns; the first turn warms up and is left out."""
    turns = [[seconds(work) for work in works] for _ in range(REPEATS + 1)]
    return [list(column) for column in zip(*turns[1:], strict=True)]


def report(title: str, rows: list[tuple[str, float, float]]) -> None:
    print(f"\n{title}\n{'':44}{'median s':>10}{'least s':>10}")
    for name, middle, least in rows:
        print(f"{name:44}{middle:10.3f}{least:10.3f}")


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """The synthetic cohort of all patients, cut or repeated to the release's number of images."""
    folder = tmp_path_factory.mktemp("full")
    write_demo(folder / "c", patients=24_689, images=False)
    table = pd.read_csv(folder / "c" / "metadata.csv", dtype=str)
    if len(table) < IMAGES:
        more = table.head(IMAGES - len(table))
        table = pd.concat([table, more.assign(cxr_filename="f" * 32 + more["cxr_filename"].str[-13:])])
    table.head(IMAGES).to_csv(folder / "c" / "metadata.csv", index=False)
    return load_cohort(load_spec("demo"), folder / "c")


@pytest.mark.parametrize("order", ["as in the template", "shuffled"])
def test_reading_and_checking_takes_four_times_the_bare_reader_at_most(
    order: str, full_size: Cohort, tmp_path: Path
) -> None:
    assert len(full_size) == IMAGES
    random = np.random.default_rng(0)
    images = full_size.images if order != "shuffled" else random.permutation(full_size.images)
    frame = pd.DataFrame({"cxr_filename": images})
    for target in full_size.spec.binary_targets:
        frame[target.name] = random.random(IMAGES)
    frame.to_csv(tmp_path / "p.csv", index=False)
    bare, checked = interleaved(
        lambda: pyarrow.csv.read_csv(tmp_path / "p.csv"),
        lambda: load_predictions(tmp_path / "p.csv", full_size, covered="cv5"),
    )
    report(
        f"predictions CSV of {IMAGES:,} rows and {len(full_size.spec.binary_targets)} targets, {order}",
        [
            ("pyarrow.csv.read_csv", median(bare), min(bare)),
            ("read and check", median(checked), min(checked)),
            ("ratio", median(checked) / median(bare), min(checked) / min(bare)),
        ],
    )
    assert min(median(checked) / median(bare), min(checked) / min(bare)) <= 4


def test_splitting_takes_a_second_at_most() -> None:
    random = np.random.default_rng(0)
    images = np.array([f"{k:08d}_{k % 100:03d}.png" for k in range(NIH_IMAGES)], dtype=object)
    owners = np.concatenate(
        [np.arange(NIH_PATIENTS), random.integers(0, NIH_PATIENTS, NIH_IMAGES - NIH_PATIENTS)]
    )
    patients = owners.astype(str).astype(object)
    rule = load_spec("demo").split

    def split() -> None:
        parts = hash_parts(rule, patient_uniform(rule.salt, patients))  # type: ignore[arg-type, union-attr]
        make_split("c 1", images, patients, parts, rule.salt)  # type: ignore[union-attr]

    (found,) = interleaved(split)
    report("hash split, folds and fingerprint", [(f"{NIH_IMAGES:,} images", median(found), min(found))])
    assert min(found) <= 1


def test_help_answers_in_three_tenths_of_a_second() -> None:
    def start(*words: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, *words], check=True, capture_output=True)

    helped, bare = interleaved(start("-m", "bench", "--help"), start("-c", "pass"))
    report(
        "starting",
        [("python -c pass", median(bare), min(bare)), ("bench --help", median(helped), min(helped))],
    )
    assert min(helped) <= 0.3
