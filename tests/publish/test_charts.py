import io
import math
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bench.board.pareto import pareto_front
from bench.metrics.results import Estimate
from bench.publish.charts.calibration import distribution, reliability
from bench.publish.charts.curves import Curve, decision, precision_recall, roc, simplified
from bench.publish.charts.forest import ForestRow, forest
from bench.publish.charts.picture import (
    FIRST_ROW,
    ROW,
    PictureRow,
    PictureText,
    board_picture,
    plain_letters,
)
from bench.publish.charts.rows import row_axis, row_marks
from bench.publish.charts.scales import Linear
from bench.publish.charts.tradeoff import SpeedPoint, tradeoff
from bench.scoring.scorecard import DecisionPoint, ReliabilityBin, ScoreDistribution
from tests.publish.boards import HOSTILE

EVIL = HOSTILE[2] + "\x07]]>&"


def xml(drawing):
    return ET.fromstring(str(drawing))


def texts(drawing):
    return ["".join(e.itertext()) for e in xml(drawing).iter("text")]


def test_a_forest_draws_each_row_where_its_numbers_are():
    rows = [
        ForestRow("one", 0.8, 0.7, 0.9),
        ForestRow("two", 0.6, 0.55, 0.65),
        ForestRow("three", None, note="one class"),
    ]
    drawing = forest(rows, title="T", axis_label="AUROC", reference=0.7)
    assert {"0.800 (0.700–0.900)", "0.600 (0.550–0.650)", "n/a", "one class"} <= set(texts(drawing))
    bars = [p.get("d") for p in xml(drawing).iter("path") if p.get("class") == "ci"]
    ends = [tuple(float(x) for x in re.match(r"M([\d.]+) [\d.]+H([\d.]+)$", bar).groups()) for bar in bars]
    (low_1, high_1), (low_2, high_2) = ends
    assert low_2 < high_2 < low_1 < high_1
    assert (high_1 - low_1) / (high_2 - low_2) == pytest.approx(2, rel=0.02)


def test_a_chart_with_links_is_a_group_and_one_without_is_an_image():
    plain = forest([ForestRow("a", 0.5)], title="T", axis_label="x")
    linked = forest([ForestRow("a", 0.5, href="e/a/index.html")], title="T", axis_label="x")
    assert xml(plain).get("role") == "img"
    assert xml(linked).get("role") == "group"
    assert next(xml(linked).iter("a")).get("aria-label") == "a: 0.500"


def test_names_cannot_leave_their_place():
    row = ForestRow(EVIL, 0.5, 0.4, 0.6, href='e/"><script>', slug=EVIL)
    point = SpeedPoint(EVIL, "s", "e/s/index.html", 1.5, 0.8, 0.7, 0.9, True)
    for drawing in (
        forest([row], title=EVIL, axis_label=EVIL),
        tradeoff([point], EVIL),
        roc([Curve(EVIL, ((0, 0), (1, 1)), 0.5)]),
        decision([DecisionPoint(threshold=0.1, net_benefit=0.1, treat_all=0.05)], EVIL),
    ):
        assert {e.tag for e in xml(drawing).iter()} <= {"svg", "g", "a", "text", "title", "path", "circle"}


def test_the_picture_of_a_board_draws_each_entry_where_its_auroc_is():
    def rows(*names):
        return [
            PictureRow(name, 0.9 - 0.1 * i, 0.85 - 0.1 * i, 0.95 - 0.1 * i, False)
            for i, name in enumerate(names)
        ]

    words = PictureText(
        "A board", "Cohort, version 1", "Three models", "a has the highest AUROC. " * 20, "Synthetic"
    )
    data = board_picture(words, rows("a", "b", EVIL))
    assert data == board_picture(words, rows("a", "b", EVIL))
    image = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    dots = np.abs(image - (0x0B, 0x57, 0xA4)).sum(2) < 30
    centres, lengths = [], []
    for index in range(3):
        top = FIRST_ROW + ROW * index
        centres.append(np.nonzero(dots[top + ROW // 2 + 6, 452:890])[0].mean())
        lengths.append(np.nonzero(dots[top + ROW // 2, 452:890])[0].size)
    assert centres[0] - centres[1] == pytest.approx(centres[1] - centres[2], abs=2)
    assert lengths[0] == pytest.approx(centres[0] - centres[1], abs=20)  # an interval is as long as a step
    assert max(lengths) - min(lengths) <= 1
    assert plain_letters("Naïve–Møller 胸") == "Naive-M?ller ?"


def test_curves_name_their_numbers_and_differ_by_more_than_colour():
    curves = [Curve("SLVH", ((0, 0), (0.2, 0.7), (1, 1)), 0.8), Curve("DLV", ((0, 0), (1, 1)), None)]
    drawing = roc(curves)
    assert xml(drawing).get("aria-label") == "ROC curves. SLVH: AUROC 0.800; DLV: AUROC n/a"
    assert len({p.get("class") for p in xml(drawing).iter("path") if "curve" in p.get("class")}) == 2
    assert "at prevalence 10.0%" in xml(precision_recall(curves, [0.1, None])).get("aria-label")


def test_the_roc_goes_through_its_points():
    drawing = roc([Curve("a", ((0, 0), (0.25, 0.75), (1, 1)), 0.75)])
    curve = next(p.get("d") for p in xml(drawing).iter("path") if "curve" in p.get("class"))
    assert curve == "M40 276L102.5 88.5L290 26"


def test_reliability_leaves_out_bins_that_are_too_small():
    def one(low, images):
        shown = images is not None
        return ReliabilityBin(
            low=low,
            high=low + 0.5,
            images=images,
            mean_prediction=low + 0.2 if shown else None,
            observed=0.4 if shown else None,
            observed_low=0.3 if shown else None,
            observed_high=0.5 if shown else None,
        )

    drawing = reliability([one(0.0, 100), one(0.5, None)], "SLVH")
    assert "1 bin shown of 2" in xml(drawing).get("aria-label")
    assert reliability([], "SLVH")
    assert xml(reliability([one(0.0, None)], "SLVH")).get("role") == "img"


def test_a_distribution_of_one_value_can_be_drawn():
    scores = ScoreDistribution(low=0.3, high=0.3, positive=(1.0,), negative=(1.0,))
    assert xml(distribution(scores, "SLVH")).get("role") == "img"


def test_an_interval_is_drawn_on_the_axis_of_all_rows():
    estimates = [Estimate(value=0.8, low=0.7, high=0.9), Estimate(value=0.6, low=0.5, high=0.7), None]
    axis = row_axis(estimates, [0.45])
    assert axis.low <= 0.45
    assert axis.high >= 0.9
    drawn = xml(row_marks(axis, "g", 0.8, 0.7, 0.9, others=(0.5, 0.5, 2.0)))
    whisker = drawn.find("*[@class='ci']")
    assert [whisker.get("x1"), whisker.get("x2")] == [
        f"{axis(v):.2f}".rstrip("0").rstrip(".") + "%" for v in (0.7, 0.9)
    ]
    assert len(drawn.findall("*[@class='og']")) == 1
    assert "circle" not in row_marks(axis, "g", None)
    assert "circle" not in row_marks(Linear(0.7, 0.9, 0, 1), "g", 0.6)


points = st.builds(
    SpeedPoint,
    name=st.just("n"),
    slug=st.uuids().map(str),
    href=st.just("h"),
    latency_ms=st.floats(0.01, 1e4),
    auroc=st.floats(0, 1),
    low=st.none(),
    high=st.none(),
    eligible=st.booleans(),
)


@given(st.lists(points, min_size=1, max_size=30))
def test_the_front_that_is_drawn_is_that_of_the_board(found):
    drawing = xml(tradeoff(found, "a setting"))
    squares = {a.get("data-e") for a in drawing.iter("a") if a.find("path[@class='dot best']") is not None}
    assert squares == set(pareto_front((p.slug, p.latency_ms, p.auroc) for p in found if p.eligible))


@given(st.lists(points, min_size=1, max_size=20))
def test_any_set_of_points_can_be_drawn(found):
    drawing = xml(tradeoff(found, "a setting"))
    assert len(list(drawing.iter("a"))) == len(found)


unit = st.floats(0, 1)


curves = st.lists(st.tuples(unit, unit), min_size=1, max_size=60)
rising = curves.map(lambda c: list(zip(sorted(x for x, _ in c), sorted(y for _, y in c), strict=True)))


@given(st.one_of(curves, rising))
def test_a_simplified_curve_stays_within_its_tolerance(curve):
    kept = simplified(curve, 0.01)
    assert (kept[0], kept[-1]) == (curve[0], curve[-1])
    assert set(kept) <= set(curve)
    segments = list(pairwise(kept)) or [(kept[0], kept[0])]
    for point in curve:
        assert min(segment_distance(point, a, b) for a, b in segments) <= 0.01 + 1e-9


def segment_distance(p, a, b):
    length = math.dist(a, b) ** 2
    along = 0.0 if length == 0 else ((p[0] - a[0]) * (b[0] - a[0]) + (p[1] - a[1]) * (b[1] - a[1])) / length
    along = min(max(along, 0.0), 1.0)
    return math.dist(p, (a[0] + along * (b[0] - a[0]), a[1] + along * (b[1] - a[1])))


def test_a_straight_line_needs_two_points():
    assert simplified([(i / 100, i / 100) for i in range(101)]) == [(0, 0), (1, 1)]
