"""Embeddings at full size: read, and heads of three targets fitted; the figures are printed, not asserted."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from baselines.probe.head import ScaledFeatures, fit_probe
from bench.cohort.cohort import Cohort
from bench.cohort.split import PARTS
from bench.submission.read_embeddings import read_embeddings
from tests.perf.test_reading import full_size

__all__ = ["full_size"]
pytestmark = pytest.mark.perf
WIDTH = 1024


def test_three_heads_on_embeddings_of_all_images(full_size: Cohort, tmp_path: Path) -> None:
    random, signal = np.random.default_rng(0), full_size.targets["slvh"]
    for part in PARTS:
        rows = full_size.rows(part)
        matrix = random.standard_normal((len(rows), WIDTH), np.float32)
        matrix[:, :8] += np.nan_to_num(signal[rows])[:, None] / 4
        np.save(tmp_path / f"{part}.npy", matrix.astype(np.float16))
        (tmp_path / f"{part}_ids.txt").write_text("\n".join(full_size.images[rows]))
    with threadpool_limits(2):
        start, used = time.perf_counter(), time.process_time()
        embeddings = read_embeddings(tmp_path, full_size)
        read = time.perf_counter() - start
        train, val = embeddings.parts["train"], embeddings.parts["val"]
        scaled = ScaledFeatures(train)
        labels = {t.name: full_size.targets[t.name] for t in full_size.spec.binary_targets}
        probes = {
            name: fit_probe(
                scaled, y[full_size.rows("train")], val, y[full_size.rows("val")], refit_tolerance=1e-8
            )
            for name, y in labels.items()
        }
        done, processor = time.perf_counter() - start, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    heads = f"{len(probes)} heads {done - read:.1f} s, {processor:.1f} s of processor time, {peak:.2f} GiB"
    print(f"\n{len(full_size):,} x {WIDTH}: read {read:.1f} s, {heads}")
    name, probe = next(iter(probes.items()))
    y = labels[name][full_size.rows("train")]
    x = train[~np.isnan(y)].astype(np.float64)
    mean, spread = x.mean(0), x.std(0)
    own = LogisticRegression(C=probe.strength, tol=1e-10, max_iter=10_000).fit(
        (x - mean) / spread, y[~np.isnan(y)]
    )
    expected = own.predict_proba((val.astype(np.float64) - mean) / spread)[:, 1]
    np.testing.assert_allclose(probe.probabilities(val), expected, rtol=0, atol=1e-6)
