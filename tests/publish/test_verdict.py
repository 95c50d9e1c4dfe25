"""Verdicts of pairs, the power curve, natural frequencies and icon arrays against counts by hand."""

import re
from statistics import NormalDist
from typing import cast

import pytest

from bench.board.matrix import PairComparison, PairMatrix
from bench.board.verdict import (
    Verdict,
    confirmable_lead,
    lead_of_power,
    pair_verdict,
    power,
    times_the_patients,
)
from bench.metrics.results import Estimate
from bench.publish.charts.icons import icon_array
from bench.publish.exports import as_printed, published_doi, published_year
from bench.publish.views.patients import false_positive_rate, frequencies
from bench.scoring.scorecard import OperatingPoint, Point, TargetScore
from bench.submission.manifest import Reported, ReportedValue
from tests.publish.boards import loaded_board


@pytest.mark.parametrize(
    ("low", "high", "p", "verdict"),
    [
        (0.001, 0.02, 0.001, Verdict.SEPARATED),
        (-0.02, -0.001, 0.001, Verdict.SEPARATED),
        (-0.001, 0.02, 0.03, Verdict.SUGGESTIVE),
        (0.0, 0.0, 1.0, Verdict.CHANCE),
        (-0.01, 0.02, 0.3, Verdict.CHANCE),
        (None, None, 0.001, Verdict.SUGGESTIVE),
    ],
)
def test_a_pair_is_separated_suggestive_or_could_be_chance(low, high, p, verdict):
    assert pair_verdict(PairComparison(0.01, low, high, 0.5, p)) is verdict


def test_the_confirmable_lead_is_the_median_half_width_of_the_leaders_pairs():
    pairs = PairMatrix(
        slugs=("a", "b", "c", "d"),
        difference=(0.0, 0.02, 0.03, 0.01, 0.02, 0.01),
        low=(0.0, 0.01, 0.01, 0.0, 0.0, 0.0),
        high=(0.0, 0.03, 0.05, 0.02, 0.04, 0.02),
        p_adjusted=(1.0,) * 6,
        p=(1.0,) * 6,
    )
    assert confirmable_lead(pairs) == pytest.approx(0.015)  # of 0.01 and 0.02; a and b are identical
    assert confirmable_lead(None) is None


def test_power_is_the_normal_one_and_is_inverted():
    half, critical = 0.016, 2.7
    se = half / critical
    for lead in (0.0, 0.01, half, 0.03):
        assert power(lead, half, critical) == pytest.approx(NormalDist(lead, se).cdf(2 * lead - half))
    assert power(half, half, critical) == pytest.approx(0.5)
    assert lead_of_power(0.8, half, critical) == pytest.approx(
        half + se * NormalDist().inv_cdf(0.8), abs=1e-8
    )


def test_four_times_the_patients_halve_an_interval():
    assert times_the_patients(PairComparison(0.01, -0.01, 0.03, 0.5, 0.1)) == pytest.approx(4)
    assert times_the_patients(PairComparison(0.0, -0.01, 0.01, 1.0, 1.0)) is None


def test_a_curve_is_read_between_its_points():
    roc = [Point(x=0, y=0), Point(x=0.1, y=0.5), Point(x=0.1, y=0.8), Point(x=1, y=1)]
    assert false_positive_rate(roc, 0.25) == pytest.approx(0.05)
    assert false_positive_rate(roc, 0.7) == pytest.approx(0.1)
    assert false_positive_rate(roc, 0.9) == pytest.approx(0.55)
    assert false_positive_rate(roc, 1.0) == 1


def test_counts_sum_to_a_thousand_and_take_the_threshold_of_val():
    score = cast("TargetScore", loaded_board(1).entries["entry-0000"].scorecard.targets[0])
    point = OperatingPoint(
        rule="sensitivity 0.9",
        chosen_on="val",
        threshold=0.3,
        called=1,
        moved=0,
        sensitivity=Estimate(value=0.85),
        specificity=Estimate(value=0.7),
        ppv=Estimate(value=0.1),
        npv=Estimate(value=0.1),
    )
    found = frequencies(
        score.model_copy(
            update={
                "prevalence": 0.2,
                "roc": (Point(x=0, y=0), Point(x=0.5, y=1.0), Point(x=1, y=1)),
                "operating_points": (point,),
            }
        )
    )
    assert [f.wanted for f in found] == ["75%", "80%", "85%", "90%", "95%", "99%"]
    assert [(f.found, f.missed, f.alarms, f.cleared) for f in found] == [
        (150, 50, 300, 500),
        (160, 40, 320, 480),
        (170, 30, 340, 460),
        (170, 30, 240, 560),
        (190, 10, 380, 420),
        (198, 2, 396, 404),
    ]
    assert found[3].chosen_on == "val"
    shift = next(s for s in found[3].shifts if s.sick == "100 in 1,000")
    assert (shift.flagged, shift.right, shift.per_case, shift.missed) == ("355", "24%", "4.2", "15")


def test_an_icon_array_covers_as_many_squares_as_there_are_patients():
    counts = (188, 20, 64, 728)
    areas = re.findall(r'class="(\w+)" d="([^"]+)"', str(icon_array(counts, "words")))
    boxes = {css: re.findall(r"M(\d+) (\d+)h(\d+)v(\d+)", data) for css, data in areas}
    squares = {
        css: {
            (x, y)
            for left, top, w, h in (map(int, box) for box in found)
            for x in range(left, left + w, 8)
            for y in range(top, top + h, 8)
        }
        for css, found in boxes.items()
    }
    assert [len(squares[css]) for css in ("tp", "fn", "fp", "tn")] == list(counts)
    assert len(set().union(*squares.values())) == 1000
    with pytest.raises(ValueError, match="1,000"):
        icon_array((1, 2, 3, 4), "words")


def test_a_paper_keeps_its_year_doi_and_decimals():
    reported = Reported(
        citation="Bhave S, et al. Eur Heart J 2024;45(22):2002-2012. doi:10.1093/eurheartj/ehad782",
        split="s",
        caveat="c",
        metrics={"slvh": ReportedValue(auroc=0.8, low=0.77, high=0.84)},
    )
    assert published_year(reported.citation) == "2024"
    assert published_doi(reported) == "10.1093/eurheartj/ehad782"
    assert as_printed(0.8, reported) == "0.80"
    assert published_year("GitHub repository someone/ICLR2027-bench") == ""
