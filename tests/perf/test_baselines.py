"""Decoding once, reading batches, and the null family at full size."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
import pytest

from baselines.pixels import CachedImages, FileSource
from bench.cohort.cohort import Cohort
from bench.cohort.image_cache import build_cache, cached_images
from bench.cohort.load import load_cohort
from bench.cohort.spec import load_spec
from bench.cohort.synthetic.write import write_demo
from bench.environment import usable_cores
from bench.workspace import Workspace, create_workspace
from tests.perf.pillow_alone import pillow_alone
from tests.perf.test_reading import report

pytestmark = pytest.mark.perf
PATIENTS = 2_000
TURNS = 5
BATCH = 256
TABLE_BASELINES = ("prevalence", "shuffled", "demographics", "demographics-boosted", "metadata")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("images") / "c"
    write_demo(folder, patients=PATIENTS, jobs=usable_cores())
    return load_cohort(load_spec("demo"), folder)


def pillow_on_all_cores(files: list[str]) -> None:
    with ProcessPoolExecutor(usable_cores(), mp_context=get_context("spawn")) as pool:
        list(pool.map(pillow_alone, [files[k::8] for k in range(8)]))


def processor_seconds() -> float:
    """Of this process and its children that have ended: other programs beside it do not count."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def test_the_cache_is_decoded_as_fast_as_pillow_alone_nearly(images: Cohort, tmp_path: Path) -> None:
    files = [str(images.folder / "images" / str(image)) for image in images.images]
    turns = []
    for _ in range(TURNS + 1):
        marks = [(time.perf_counter(), processor_seconds())]
        pillow_on_all_cores(files)
        marks.append((time.perf_counter(), processor_seconds()))
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        build_cache(images, tmp_path / "cache", jobs=usable_cores())
        marks.append((time.perf_counter(), processor_seconds()))
        turns.append(np.diff(np.array(marks), axis=0))
    (wall_bare, wall), (cpu_bare, cpu) = np.moveaxis(np.array(turns[1:]), 0, 2).transpose(1, 0, 2)
    report(
        f"decoding {len(files):,} images of 224 by 224 on {usable_cores()} cores",
        [
            ("Pillow alone", median(wall_bare), min(wall_bare)),
            ("bench cohort cache", median(wall), min(wall)),
            ("Pillow alone, processor time", median(cpu_bare), min(cpu_bare)),
            ("bench cohort cache, processor time", median(cpu), min(cpu)),
            ("share of Pillow's rate", median(wall_bare) / median(wall), min(wall_bare) / min(wall)),
            ("the same by processor time", median(cpu_bare) / median(cpu), min(cpu_bare) / min(cpu)),
        ],
    )
    assert max(median(wall_bare) / median(wall), min(wall_bare) / min(wall)) >= 0.85


def test_batches_from_the_cache_come_twenty_times_as_fast(images: Cohort, tmp_path: Path) -> None:
    pixels = cached_images(images, tmp_path, jobs=usable_cores())
    cached, files = CachedImages(pixels, np.arange(len(images))), FileSource(images, images.images)
    random = np.random.default_rng(0)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(TURNS + 1):
        rows = random.integers(0, len(images), BATCH)
        for spent, read in zip(times, (cached.__getitem__, lambda r: files.read(r, 224, 224)), strict=True):
            start = time.perf_counter()
            read(rows)
            spent.append(time.perf_counter() - start)
    fast, slow = (spent[1:] for spent in times)
    report(
        f"a shuffled batch of {BATCH} images",
        [
            ("from the cache", median(fast), min(fast)),
            ("decoded on all cores", median(slow), min(slow)),
            ("ratio", median(slow) / median(fast), min(slow) / min(fast)),
        ],
    )
    assert max(median(slow) / median(fast), min(slow) / min(fast)) >= 20


def test_decoding_stays_within_its_memory(images: Cohort, tmp_path: Path) -> None:
    space = create_workspace(tmp_path / "space", data={"demo": images.folder})
    peak = 0.0
    with subprocess.Popen([sys.executable, "-m", "bench", "cohort", "cache"], **_at(space)) as process:
        while process.poll() is None:
            peak = max(peak, _memory_mib(psutil.Process(process.pid)))
            time.sleep(0.05)
    assert process.returncode == 0
    report("bench cohort cache, memory of all its processes", [("MiB", peak, peak)])
    assert 0 < peak <= 500


def _memory_mib(root: psutil.Process) -> float:
    total = 0
    for process in [root, *root.children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 2**20


def _at(space: Workspace) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("BENCH_DATA", None)
    return {"cwd": space.root, "env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def test_the_null_family_at_full_size(tmp_path: Path) -> None:
    write_demo(tmp_path / "full", patients=24_689, images=False)
    space = create_workspace(tmp_path / "space", data={"demo": tmp_path / "full"})
    rows, total, before = [], 0.0, processor_seconds()
    for name in TABLE_BASELINES:
        start = time.perf_counter()
        words = [sys.executable, "-m", "bench", "baseline", "run", name]
        assert subprocess.run(words, check=False, **_at(space)).returncode == 0
        seconds = time.perf_counter() - start
        total += seconds
        rows.append((name, seconds, seconds))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    spent = processor_seconds() - before
    rows += [("all", total, total), ("all, processor time", spent, spent)]
    report("bench baseline run NAME, synthetic table of 24,689 patients", rows)
    print(f"largest memory of any child of these tests: {peak:.2f} GiB")
    assert min(total, spent) <= 60  # a busy machine makes them wait, not work
    assert peak <= 2
