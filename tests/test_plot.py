"""Figures: the lines that are drawn are the stored curves; files are written by matplotlib."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

import bench
from bench.board.model import LoadedBoard
from bench.scoring.scorecard import Scorecard, TargetScore
from bench.workspace import find_workspace

mpl.use("Agg")
from matplotlib import pyplot
from matplotlib.collections import LineCollection

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def board() -> LoadedBoard:
    return bench.read_board("demo", workspace=find_workspace(ROOT), whole=True)


@pytest.fixture(scope="module")
def card(board: LoadedBoard) -> Scorecard:
    found = board.entries["random-convolutions"].card(Scorecard)
    assert found
    return found


def target(card: Scorecard, name: str = "composite_slvh_dlv") -> TargetScore:
    found = card.target(name)
    assert found
    return found


def line(axes: Any, label: str) -> Any:
    (found,) = [one for one in axes.get_lines() if str(one.get_label()).startswith(label)]
    return found


@pytest.mark.parametrize("wrong", [{"image_id": []}, "linear-probe", [1.0]])
def test_what_is_no_scorecard_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="draw scorecards"):
        bench.plot.roc(wrong)


def test_the_roc_curve_is_the_stored_one(card: Scorecard) -> None:
    axes: Any = bench.plot.roc(card)
    drawn, stored = line(axes, "random-convolutions"), target(card)
    np.testing.assert_array_equal(drawn.get_xydata(), [(p.x, p.y) for p in stored.roc])
    assert f"{stored.metrics['auroc'].value:.4g} (" in drawn.get_label()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("1 − specificity", "Sensitivity")
    assert axes.get_title() == stored.label


def test_another_target_on_given_axes(card: Scorecard) -> None:
    given = pyplot.subplots()[1]
    assert bench.plot.roc(card, "dlv", ax=given) is given
    stored = target(card, "dlv")
    np.testing.assert_array_equal(line(given, card.slug).get_xydata(), [(p.x, p.y) for p in stored.roc])


def test_the_reliability_curve_is_the_stored_one_with_its_intervals(card: Scorecard) -> None:
    axes: Any = bench.plot.reliability(card)
    bins = target(card).reliability
    expected = [(b.mean_prediction, b.observed) for b in bins]
    np.testing.assert_array_equal(line(axes, card.slug).get_xydata(), expected)
    bars = [s for c in axes.collections if isinstance(c, LineCollection) for s in c.get_segments()]
    limits = [[(b.mean_prediction, b.observed_low), (b.mean_prediction, b.observed_high)] for b in bins]
    np.testing.assert_allclose(bars, limits)


def test_the_decision_curve_is_the_stored_one_beside_all_and_none(card: Scorecard) -> None:
    axes: Any = bench.plot.decision(card)
    points = target(card).decision
    expected = [(p.threshold, p.net_benefit) for p in points]
    np.testing.assert_array_equal(line(axes, card.slug).get_xydata(), expected)
    treat_all = [(p.threshold, p.treat_all) for p in points]
    np.testing.assert_array_equal(line(axes, "treat all").get_xydata(), treat_all)
    assert set(line(axes, "treat none").get_ydata()) == {0}
    band = axes.collections[0].get_paths()[0].vertices
    assert {round(float(y), 12) for _, y in band} == {
        round(limit, 12) for p in points for limit in (p.low, p.high) if limit is not None
    }


def test_the_forest_has_a_row_for_each_entry_in_the_boards_order(board: LoadedBoard) -> None:
    axes: Any = bench.plot.forest(board)
    standings = board.board.target("composite_slvh_dlv").standings
    assert [label.get_text() for label in axes.get_yticklabels()] == [s.slug for s in standings]
    dots = [one.get_xydata()[0] for one in axes.get_lines()]
    np.testing.assert_array_equal(dots, [(s.auroc, y) for y, s in enumerate(standings)])
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first entry is on top"
    score = board.entries[standings[0].slug].scorecard.target("composite_slvh_dlv")
    segment = axes.collections[0].get_segments()[0]
    assert segment[:, 0].tolist() == [score.metrics["auroc"].low, score.metrics["auroc"].high]


def test_the_forest_takes_evaluations_and_other_metrics() -> None:
    y, who = np.arange(40) % 2, np.arange(40) // 2
    scores = {"ours": (y + np.arange(40) % 3) / 4, "theirs": np.linspace(0, 1, 40)}
    found = {name: bench.evaluate(y, p, who, 100) for name, p in scores.items()}
    axes: Any = bench.plot.forest(found, metric="brier")
    assert [one.get_xdata()[0] for one in axes.get_lines()] == [e.brier.value for e in found.values()]
    assert len(bench.plot.forest(found["ours"]).get_lines()) == 1
    with pytest.raises(ValueError, match="unknown metric 'accuracy'"):
        bench.plot.forest(found, metric="accuracy")


def test_several_cards_share_axes_and_files_are_written(board: LoadedBoard, tmp_path: Path) -> None:
    axes: Any = bench.plot.roc(board)
    assert len(axes.get_lines()) == 1 + len(board.entries)
    axes.figure.savefig(tmp_path / "roc.png")
    axes.figure.savefig(tmp_path / "roc.svg")
    assert (tmp_path / "roc.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "roc.svg").read_text("utf-8")


def test_undrawable_figures_raise_with_the_reason(card: Scorecard) -> None:
    with pytest.raises(ValueError, match="no scorecard has the target 'asthma'"):
        bench.plot.roc(card, "asthma")
    part = bench.read_board("demo", workspace=find_workspace(ROOT))
    with pytest.raises(ValueError, match="whole=True"):
        bench.plot.decision(part)
    assert len(bench.plot.forest(part).get_lines()) == len(part.entries)
