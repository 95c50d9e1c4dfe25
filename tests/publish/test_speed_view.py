"""Speed on the pages: shares of the limit, the work of an image, the AUROC of a precision."""

from __future__ import annotations

import dataclasses
import math
from xml.etree import ElementTree

import numpy as np
import pytest

from bench.publish.build import build_site
from bench.publish.views.speed import speed_view
from bench.timing.record import ColdStart, LoadPoint, Parity, Pipeline, Roofline, Server
from bench.timing.statistics import summarise
from tests.publish.boards import loaded_board
from tests.publish.pages import read

HEADLINE = "composite_slvh_dlv"
KNOWN = Roofline(
    mflop_per_image=8.0, weight_mb=0.75, image_mb=0.25, device_gflop_per_s=300.0, device_gb_per_s=30.0
)
SLOW_WHEN_MEASURED = KNOWN.model_copy(update={"device_gb_per_s": 1e-6})
PARTLY_KNOWN = KNOWN.model_copy(update={"image_mb": None})


def board_with(**update):
    """A board whose first entry's record says other things; `limit` goes to its rows."""
    board = loaded_board(3)
    entry = board.entries["entry-0000"]
    limit = {"limit_fraction": update.pop("limit", None)}
    if "parity" in update:
        limit["parity"] = update.pop("parity")
    (record,) = entry.timings
    rows = tuple(row.model_copy(update=limit) for row in record.batches)
    timed = dataclasses.replace(entry, timings=(record.model_copy(update={"batches": rows, **update}),))
    return dataclasses.replace(board, entries={**board.entries, "entry-0000": timed})


def rows_of(board, slug="entry-0000"):
    sections = speed_view(board, "")["sections"]
    return [row for one in timed_in(sections, slug) for row in one.rows]


def timed_in(sections, slug="entry-0000"):
    return [one for section in sections for one in section.entries if one.entry.slug == slug]


@pytest.mark.parametrize(
    ("update", "limit", "why"),
    [
        ({"roofline": KNOWN, "limit": 0.4329}, "43%", ""),
        ({"roofline": SLOW_WHEN_MEASURED}, "n/a", "less time than the measured limit"),
        ({"roofline": KNOWN}, "n/a", "The limit was not measured."),
        ({"roofline": PARTLY_KNOWN}, "n/a", "The limit was not measured."),
        ({"roofline": Roofline(reason="no ceiling for int8")}, "n/a", "No ceiling for int8."),
        ({}, "n/a", "The limit was not measured."),
    ],
)
def test_a_share_of_the_limit_is_shown_or_its_reason(update, limit, why):
    for row in rows_of(board_with(**update)):
        cell = row.figures["Of the limit"]
        assert cell.text == limit
        assert why in cell.reason
        assert bool(cell.reason) == (limit == "n/a")


def test_int8_stands_with_its_own_auroc_and_others_with_the_entry_s():
    unchecked = Parity(status="not_checked", message="int8 has no gate")
    board = board_with(precision="int8", own_auroc={HEADLINE: 0.7123}, parity=unchecked)
    (own,) = timed_in(speed_view(board, "")["sections"])
    assert (own.auroc.text, own.own, own.rows[0].word) == ("0.712", True, "parity not checked")
    (none,) = timed_in(speed_view(board_with(precision="int8", parity=unchecked), "")["sections"])
    assert (none.auroc.value, none.auroc.reason) == (None, "int8's own predictions were not scored.")
    board = board_with()
    (shared,) = timed_in(speed_view(board, "")["sections"])
    assert shared.auroc.value == board.entries["entry-0000"].scorecard.target(HEADLINE).ranked.value
    assert not shared.own


def test_work_and_own_auroc_are_on_the_pages(tmp_path):
    unchecked = Parity(status="not_checked", message="int8 has no gate")
    board = board_with(
        roofline=KNOWN, limit=0.43, precision="int8", own_auroc={HEADLINE: 0.7123}, parity=unchecked
    )
    build_site([board], tmp_path / "site")
    speed = read(tmp_path / "site" / "speed" / "index.html")
    row = next(r for r in speed.find_all("tr") if "8.00" in r.text() and "300" in r.text())
    assert [c.text() for c in row.find_all("td")] == ["8.00", "0.250", "0.750", "8.00", "300", "30.0"]
    assert "own predictions" in speed.text()
    assert "The limit was not measured." in speed.text()
    entry = read(tmp_path / "site" / "e" / "entry-0000" / "index.html").text()
    assert "8.00 MFLOP and 0.250 MB an image, 0.750 MB of weights a batch" in entry
    assert "AUROC of its own predictions Composite 0.712" in entry
    assert "43%" in entry


def test_service_figures_are_on_the_page_and_old_records_say_that_they_are_not_recorded(tmp_path):
    latency = summarise([np.full(400, 2.5)])
    measured = {
        "load_curve": (LoadPoint(in_flight=1, images_per_s=400.0, latency=latency),),
        "server": Server(bound_ms=100.0, requests_per_s=360.0),
        "pipeline": Pipeline(latency=latency, decode_ms=1.0),
        "cold_start": ColdStart(prepare_ms=1.0, first_inference_ms=2.0, total_ms=1234.0, processes=3),
    }
    board = board_with()
    entry = board.entries["entry-0000"]
    (record,) = entry.timings
    first, *others = record.batches
    rows = (first.model_copy(update=measured), *others)
    timed = dataclasses.replace(entry, timings=(record.model_copy(update={"batches": rows}),))
    board = dataclasses.replace(board, entries={**board.entries, "entry-0000": timed})
    shown = [row.service for row in rows_of(board)]
    assert first.batch == 1
    assert shown[0] == ("400 at 2.50 ms", "n/a", "n/a", "2.50", "1.23", "360 (p99 ≤ 100 ms)")
    assert shown[1][:5] == ("not recorded",) * 5
    build_site([board], tmp_path / "site")
    text = read(tmp_path / "site" / "speed" / "index.html").text()
    assert "400 at 2.50 ms" in text
    assert "360 (p99 ≤ 100 ms)" in text
    assert "Not recorded: the record is older" in text


def curve_marks(drawing):
    """(latency in ms, images/s) of every circle, read off the axes by the words at their ticks."""
    tree = ElementTree.fromstring(str(drawing))
    ticks: dict[str, dict[float, float]] = {"tick mid": {}, "tick end": {}}
    for tick in tree.findall("text"):
        place = "x" if tick.get("class") == "tick mid" else "y"
        if tick.get("class") in ticks:
            value = math.log10(float(tick.text.replace(",", "")))
            ticks[tick.get("class")][value] = float(tick.get(place)) - (4 if place == "y" else 0)
    scales = [np.polyfit(list(one.values()), list(one), 1) for one in ticks.values()]
    return [
        tuple(
            10 ** np.polyval(scale, float(dot.get(at)))
            for scale, at in zip(scales, ("cx", "cy"), strict=True)
        )
        for dot in tree.iter("circle")
    ]


def test_the_drawn_curve_is_what_the_record_says():
    figures = {
        1: [(1, 2.5, 400.0), (2, 3.1, 640.0), (4, 6.4, 655.0)],
        8: [(1, 11.0, 730.0), (2, 21.5, 751.0)],
    }
    board = loaded_board(1)
    (record,) = board.entries["entry-0000"].timings
    rows = tuple(
        row.model_copy(
            update={
                "load_curve": tuple(
                    LoadPoint(in_flight=k, images_per_s=rate, latency=summarise([np.full(400, ms)]))
                    for k, ms, rate in figures[row.batch]
                )
            }
        )
        for row in record.batches
    )
    timed = dataclasses.replace(
        board.entries["entry-0000"], timings=(record.model_copy(update={"batches": rows}),)
    )
    board = dataclasses.replace(board, entries={"entry-0000": timed})
    (section,) = speed_view(board, "")["sections"]
    expected = [(ms, rate) for points in figures.values() for _, ms, rate in points]
    drawn = curve_marks(section.curve)
    assert len(drawn) == len(expected)
    assert np.allclose(drawn, expected, rtol=0.01)
    words = [title.text for title in ElementTree.fromstring(str(section.curve)).iter("title")]
    assert words[1].endswith("batch 1, 2 in flight: 3.10 ms, 640 images/s")


def test_without_figures_in_flight_the_curve_goes_through_the_batch_sizes():
    board = loaded_board(1)
    (record,) = board.entries["entry-0000"].timings
    (section,) = speed_view(board, "")["sections"]
    medians = [(row.batch, row.end_to_end.p50.value_ms) for row in record.batches]
    assert np.allclose(
        curve_marks(section.curve), [(ms, 1000 * batch / ms) for batch, ms in medians], rtol=0.01
    )


def test_notes_are_numbered_on_from_section_to_section_and_each_mark_has_one(tmp_path):
    board = loaded_board(6)
    entry = board.entries["entry-0000"]
    (record,) = entry.timings
    both = dataclasses.replace(entry, timings=(record, record.model_copy(update={"precision": "int8"})))
    board = dataclasses.replace(board, entries={**board.entries, "entry-0000": both})
    build_site([board], tmp_path / "site")
    page = read(tmp_path / "site" / "speed" / "index.html")
    marks = [a for sup in page.find_all("sup") for a in sup.find_all("a")]
    notes = [item.get("id") for item in page.find_all("li") if item.get("id").startswith("why-")]
    assert notes == [f"why-{number}" for number in range(1, len(notes) + 1)]
    assert {mark.get("href") for mark in marks} == {f"#{note}" for note in notes}
    assert len([one for one in page.find_all("ol") if one.get("start")]) == 2
