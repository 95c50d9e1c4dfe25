"""Published worked examples, and pROC where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

import bench
from bench.metrics.ladder import Ladder
from bench.uncertainty.clustered import obuchowski_se
from tests.peers import ask_proc, has_proc

OVARIAN = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0  1.6 5.6 5 1
3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0
2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1
3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0
3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1
3.3 5.7 6 1  3.7 6.9 5 1  3.6 6.6 5 1
"""
"""Albumin, total protein, reversed K-G score and benefit: DeLong, DeLong & Clarke-Pearson 1988.

As in the SAS/STAT manual, LOGISTIC, "Comparing Receiver Operating Characteristic Curves", which prints the
areas and standard errors below.
"""

albumin, protein, reversed_score, benefit = np.array(OVARIAN.split(), float).reshape(-1, 4).T
benefit = benefit == 1
score = 10 - reversed_score


@pytest.mark.parametrize(
    ("test", "area", "se"),
    [(albumin, 0.7366, 0.0927), (score, 0.7258, 0.1028), (protein, 0.6478, 0.1000)],
    ids=["albumin", "K-G score", "total protein"],
)
def test_areas_and_errors_of_delong_1988(test, area, se):
    assert round(bench.auroc(benefit, test), 4) == area
    assert round(obuchowski_se(Ladder.of(benefit, test), np.arange(43)), 4) == se


needs_proc = pytest.mark.skipif(not has_proc(), reason="needs R with pROC (apt-get install r-cran-proc)")


@needs_proc
@pytest.mark.parametrize("seed", range(3))
def test_area_and_error_equal_proc(seed, tmp_path):
    rng = np.random.default_rng(seed)
    y = (rng.random(300) < 0.3).astype(int)
    p = np.round(y + rng.normal(size=300), 1 + seed)
    ((area, se, _),) = ask_proc(tmp_path, 10, y=y, p=p)
    assert bench.auroc(y, p) == pytest.approx(area, abs=1e-12)
    assert obuchowski_se(Ladder.of(y == 1, p), np.arange(300)) == pytest.approx(se, rel=1e-10)


@needs_proc
def test_a_paired_difference_agrees_with_proc(tmp_path):
    """DeLong's test in closed form against ours over patients of one image each."""
    rng = np.random.default_rng(5)
    y = (rng.random(800) < 0.3).astype(int)
    common = rng.normal(size=800)
    p, q = 1.2 * y + common, 0.9 * y + 0.7 * common + rng.normal(size=800)
    _, (z, p_value) = ask_proc(tmp_path, 10, y=y, p=p, q=q)
    found = bench.compare(y, p, q, np.arange(800), replicates=20_000)
    assert found.difference / found.se == pytest.approx(z, rel=0.03)
    assert np.log(found.p) == pytest.approx(np.log(p_value), rel=0.08)
