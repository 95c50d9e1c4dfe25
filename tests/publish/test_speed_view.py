"""Speed on the pages: shares of the limit, the work of an image, the AUROC of a precision."""

from __future__ import annotations

import dataclasses

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
    return [row for section in sections for row in section.rows if row.entry.slug == slug]


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
        assert row.limit == limit
        assert why in row.limit_why
        assert bool(row.limit_why) == (limit == "n/a")


def test_int8_stands_with_its_own_auroc_and_others_with_the_entry_s():
    unchecked = Parity(status="not_checked", message="int8 has no gate")
    own = rows_of(board_with(precision="int8", own_auroc={HEADLINE: 0.7123}, parity=unchecked))[0]
    assert (own.auroc.text, own.own, own.word) == ("0.712", True, "parity not checked")
    none = rows_of(board_with(precision="int8", parity=unchecked))[0]
    assert (none.auroc.value, none.auroc.reason) == (None, "int8's own predictions were not scored.")
    board = board_with()
    shared = rows_of(board)[0]
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
    shown = [
        row.cells for row in speed_view(board, "")["sections"][0].service if row.entry.slug == "entry-0000"
    ]
    assert first.batch == 1
    assert shown[0] == ("1", "400 at 2.50 ms", "n/a", "n/a", "2.50", "1.23", "360 (p99 ≤ 100 ms)")
    assert shown[1][1:6] == ("not recorded",) * 5
    build_site([board], tmp_path / "site")
    text = read(tmp_path / "site" / "speed" / "index.html").text()
    assert "400 at 2.50 ms" in text
    assert "360 (p99 ≤ 100 ms)" in text
    assert "not recorded" in text
