"""Curves: right where labels are public, and never telling a label where they are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, roc_auc_score, roc_curve

from bench.scoring.curves import (
    THRESHOLDS,
    Cuts,
    decision,
    distribution,
    precision_recall,
    reliability,
    roc,
)
from bench.uncertainty.bootstrap import PatientBootstrap
from bench.uncertainty.wilson import clustered_share
from tests.uncertainty.test_curves import net_benefit_limits


def sample(seed: int, n: int, prevalence: float = 0.2, digits: int = 2):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < prevalence).astype(float)
    y[:2] = (0, 1)
    p = np.round(1 / (1 + np.exp(-(y + rng.normal(size=n) - 1))), digits)
    return y, p


def test_full_roc_is_scikit_learns_and_holds_the_area():
    y, p = sample(0, 150)
    points = roc(Cuts(y, p, 0))
    fpr, tpr, _ = roc_curve(y, p, drop_intermediate=False)
    assert [point.x for point in points] == pytest.approx(list(fpr))
    assert [point.y for point in points] == pytest.approx(list(tpr))
    area = auc([point.x for point in points], [point.y for point in points])
    assert area == pytest.approx(roc_auc_score(y, p))


@given(st.integers(0, 10_000), st.integers(60, 400), st.integers(1, 12), st.sampled_from([1, 2, 6]))
@settings(max_examples=60, deadline=None)
def test_every_step_hides_enough_images_of_both_classes(seed, n, cell, digits):
    y, p = sample(seed, n, digits=digits)
    points = roc(Cuts(y, p, cell))
    positives, negatives = y.sum(), n - y.sum()
    steps = np.diff([[point.x * negatives, point.y * positives] for point in points], axis=0).round()
    if len(steps) > 1:
        assert steps.min() >= cell
    assert (points[0].x, points[0].y) == (0, 0)
    assert (points[-1].x, points[-1].y) == (1, 1)


@given(st.integers(0, 1000), st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_all_curves_are_cut_at_the_places_of_the_roc(seed, cell):
    """Nobody can difference two curves to get a narrower step than one of them has."""
    y, p = sample(seed, 300, digits=3)
    cuts = Cuts(y, p, cell)
    labelled = PatientBootstrap(np.arange(300), replicates=20).sample(y)
    allowed = set(cuts.places.tolist())
    for point in precision_recall(cuts):
        assert round(point.x * y.sum() / point.y) in allowed
    ends = np.cumsum([b.images for b in reliability(cuts, y, p, labelled, 0.95)][::-1])
    assert set(ends.tolist()) <= allowed
    shown = np.interp(cuts.above(THRESHOLDS), cuts.places, cuts.hits[cuts.places])
    for one, positives in zip(decision(cuts, labelled, 0.95), shown, strict=True):
        odds = one.threshold / (1 - one.threshold)
        called = (p >= one.threshold).sum()
        assert one.net_benefit == pytest.approx((positives - (called - positives) * odds) / 300)


def test_decision_curve_by_its_definition():
    y, p = sample(1, 400)
    patient = np.arange(400) // 2
    curve = decision(Cuts(y, p, 0), PatientBootstrap(patient, 2).sample(y), 0.95)
    assert [point.threshold for point in curve] == pytest.approx(list(THRESHOLDS))
    for point in curve:
        called = p >= point.threshold
        odds = point.threshold / (1 - point.threshold)
        tp, fp = (called & (y == 1)).sum(), (called & (y == 0)).sum()
        assert point.net_benefit == pytest.approx((tp - fp * odds) / 400)
        limits = net_benefit_limits(y, called, point.threshold, patient)
        assert (point.low, point.high) == pytest.approx(limits)
        assert point.treat_all == pytest.approx((y.sum() - (1 - y).sum() * odds) / 400)


def test_reliability_by_its_definition_and_its_band_covers():
    y, p = sample(2, 500, digits=6)
    boot = PatientBootstrap(np.arange(500) // 2, replicates=400, seed=1)
    bins = reliability(Cuts(y, p, 0), y, p, boot.sample(y), 0.95)
    assert sum(b.images for b in bins) == 500
    for b in bins:
        inside = (p >= b.low) & (p <= b.high)
        assert b.images == inside.sum()
        assert b.observed == pytest.approx(y[inside].mean())
        assert b.mean_prediction == pytest.approx(p[inside].mean())
        if len(set((np.arange(500) // 2)[inside])) < 2:
            assert b.observed_low is None
            continue
        assert b.observed_low <= b.observed <= b.observed_high
        share = clustered_share(y[inside] == 1, np.ones(inside.sum()), (np.arange(500) // 2)[inside])
        assert (b.observed_low, b.observed_high) == pytest.approx((share.low, share.high))
        assert int(b.low * 15) == int(min(b.high, 0.999) * 15), "edges lie at multiples of 1/15"


def test_distribution_is_the_histogram_where_labels_are_public():
    y, p = sample(3, 400, digits=6)
    bins = distribution(Cuts(y, p, 0))
    for shares, label in ((bins.positive, 1), (bins.negative, 0)):
        counts = np.histogram(p[y == label], np.linspace(0, 1, len(shares) + 1))[0]
        assert list(shares) == pytest.approx(list(counts / (y == label).sum()))


def test_a_distribution_tells_no_more_than_the_allowed_places():
    """Another labelling with the same positives at the allowed places gives the same picture."""
    y, p = sample(4, 400, digits=6)
    cuts = Cuts(y, p, 10)
    order = np.argsort(-p, kind="stable")
    other = y.copy()
    for low, high in zip(cuts.places[:-1], cuts.places[1:], strict=True):
        inside = order[low:high]
        other[inside] = np.sort(y[inside])
    assert not np.array_equal(other, y)
    again = Cuts(other, p, 10)
    again.places = cuts.places
    assert distribution(again) == distribution(cuts)
    shown = [
        [point.net_benefit for point in decision(part, PatientBootstrap(np.arange(400), 2).sample(one), 0.95)]
        for part, one in ((again, other), (cuts, y))
    ]
    assert shown[0] == shown[1]
