"""Published worked examples, and pROC where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

import bench
from bench.metrics.influence import obuchowski_se
from bench.metrics.score_ranking import ScoreRanking
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
    assert round(obuchowski_se(ScoreRanking.of(benefit, test), np.arange(43)), 4) == se


ARTERIES = """
1 1 87 87  1 1 79 83  2 1 88 94  2 1 95 93  3 1 100 100  3 1 68 79  4 1 65 61  4 1 89 91  5 1 97 97
5 1 100 100  6 1 100 99  6 1 89 88  7 1 77 77  8 1 94 89  8 0 45 44  9 1 89 92  9 0 -11 -17  10 1 95 91
10 0 30 14  11 1 95 95  11 0 10 -122  12 1 100 100  12 0 19 -3  13 1 75 75  14 0 70 73  14 1 70 81
15 0 26 27  15 1 86 93  16 0 0 8  16 1 65 70  17 0 6 23  17 1 100 100  18 0 76 79  18 1 96 95  19 0 44 55
19 1 100 100  20 0 73 67  20 1 97 94  21 1 85 86  22 0 58 60  22 1 100 99  23 0 -2 -2  23 1 100 100
24 0 -3 -14  24 0 0 -11  25 0 47 -3  25 0 -94 -90  26 0 -16 17  26 0 75 85  27 0 5 -22  27 0 -1 -14
28 0 -6 -52  29 0 37 38  29 0 47 35  30 0 42 40  30 0 4 6  31 0 55 23  31 0 55 45  32 0 4 -87  32 0 -13 -65
33 0 49 24  33 0 35 9  34 0 53 66  35 0 2 -15  36 0 -48 -78
"""
"""Patient, stenosis and two readers' scores of one or two carotid arteries: the example of Obuchowski 1997.

The scans are those of Masaryk et al. 1991. Areas, errors and components below are what the author's program
prints for the 65 arteries that both readers scored.
"""

patient, stenosis, *readers = np.array(ARTERIES.split(), float).reshape(-1, 4).T
stenosis, patient = stenosis == 1, patient.astype(int)


@pytest.mark.parametrize(
    ("reader", "area", "se", "s10", "s01", "s11"),
    [
        (readers[0], 0.9837, 0.0108, 0.0013151307, 0.0022375873, 0.0051785478),
        (readers[1], 0.9852, 0.0097, 0.0009284122, 0.0022598583, -0.0005015760),
    ],
    ids=["reader 1", "reader 2"],
)
def test_areas_and_clustered_errors_of_obuchowski_1997(reader, area, se, s10, s01, s11):
    found = obuchowski_se(ScoreRanking.of(stenosis, reader), patient)
    assert round(bench.auroc(stenosis, reader), 4) == area
    assert round(found, 4) == se
    assert found**2 == pytest.approx(s10 / 29 + s01 / 36 + 2 * s11 / (29 * 36), abs=1e-11)


def test_the_readers_differ_as_in_obuchowski_1997():
    comparison = bench.compare(stenosis, readers[1], readers[0], patient, replicates=20_000)
    assert round(comparison.difference, 4) == 0.0014
    # On 65 arteries the bootstrap is a tenth wider than the formula, which leaves out terms of second order.
    assert comparison.se == pytest.approx(0.0066, rel=0.15)
    assert comparison.p == pytest.approx(0.8271, abs=0.03)


needs_proc = pytest.mark.skipif(not has_proc(), reason="needs R with pROC (apt-get install r-cran-proc)")


@needs_proc
@pytest.mark.parametrize("seed", range(3))
def test_area_and_error_equal_proc(seed, tmp_path):
    rng = np.random.default_rng(seed)
    y = (rng.random(300) < 0.3).astype(int)
    p = np.round(y + rng.normal(size=300), 1 + seed)
    ((area, se, _),) = ask_proc(tmp_path, 10, y=y, p=p)
    assert bench.auroc(y, p) == pytest.approx(area, abs=1e-12)
    assert obuchowski_se(ScoreRanking.of(y == 1, p), np.arange(300)) == pytest.approx(se, rel=1e-10)


@needs_proc
def test_a_paired_difference_agrees_with_proc(tmp_path):
    """DeLong's test in closed form against ours over patients of one image each."""
    rng = np.random.default_rng(5)
    y = (rng.random(800) < 0.3).astype(int)
    common = rng.normal(size=800)
    p, q = 1.2 * y + common, 0.9 * y + 0.7 * common + rng.normal(size=800)
    _, (z, p_value) = ask_proc(tmp_path, 10, y=y, p=p, q=q)
    comparison = bench.compare(y, p, q, np.arange(800), replicates=20_000)
    assert comparison.difference / comparison.se == pytest.approx(z, rel=0.03)
    assert np.log(comparison.p) == pytest.approx(np.log(p_value), rel=0.08)
