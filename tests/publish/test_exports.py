import csv
import io
import json

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from bench.board.render import board_csv, csv_bytes, inert
from bench.board.table import board_table
from bench.publish.exports import schema
from tests.publish.boards import HOSTILE, loaded_board


@pytest.fixture(scope="module")
def loaded():
    return loaded_board(12, names=HOSTILE)


@pytest.fixture(scope="module")
def table_rows(site):
    return list(csv.DictReader(io.StringIO((site / "leaderboard.csv").read_text("utf-8"))))


def test_the_csv_has_every_column_of_the_pages_and_every_row(site, boards, table_rows):
    tables = [board_table(boards[0], t.target) for t in boards[0].board.targets]
    keys = {c.key for t in tables for c in t.columns} | {
        "rank",
        "entry",
        "auroc",
        "team",
        "kind",
        "inputs",
        "date",
    }
    assert keys <= set(table_rows[0])
    assert len(table_rows) == sum(len(t.rows) for t in tables)


def test_the_csv_numbers_are_those_of_the_scorecards(boards, table_rows):
    for row in table_rows:
        score = boards[0].entries[row["slug"]].scorecard.target(row["target"])
        assert float(row["auroc"]) == pytest.approx(score.metrics["auroc"].value)
        brier = score.metrics["brier"].value
        assert row["brier"] == ("" if brier is None else f"{brier:.9g}")


def test_no_field_of_a_csv_begins_a_formula(site):
    for name in ("leaderboard.csv", "long.csv"):
        for row in csv.reader(io.StringIO((site / name).read_text("utf-8"))):
            for field in row:
                if field.startswith(("=", "+", "-", "@", "\t", "\r")):
                    float(field)


@given(st.text(max_size=20))
def test_inert_texts_keep_their_content_and_never_begin_a_formula(text):
    safe = inert(text)
    assert safe in (text, f"'{text}")
    assert not safe.lstrip(" ").startswith(("=", "+", "-", "@", "\t"))


@given(st.lists(st.lists(st.one_of(st.none(), st.integers(), st.text()), min_size=2, max_size=4), max_size=5))
def test_csv_rows_survive_reading(rows):
    read = list(csv.reader(io.StringIO(csv_bytes(rows).decode(), newline="")))
    assert [len(row) for row in read] == [len(row) for row in rows]


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (True, "yes"),
        (3, "3"),
        (0.1 + 0.2, "0.3"),
        (np.float64(0.1 + 0.2), "0.3"),
        (np.int64(3), "3"),
        (Markup("=1"), "'=1"),
    ],
)
def test_a_field_is_written_by_its_kind(value, field):
    assert csv_bytes([[value, None]]).decode() == f"{field},\n"


def test_published_json_fits_its_published_schema(site):
    pairs = [
        ("leaderboard", "leaderboard.json"),
        ("entry", "e/entry-0003/entry.json"),
        ("entry", "e/paper/entry.json"),
    ]
    for name, path in pairs:
        published = json.loads((site / "schemas" / f"{name}.schema.json").read_bytes())
        jsonschema.Draft202012Validator.check_schema(published)
        jsonschema.validate(json.loads((site / path).read_bytes()), published)
        assert published == json.loads(schema(name))


def test_long_csv_keeps_the_reason_of_what_is_not_there(site):
    rows = list(csv.DictReader(io.StringIO((site / "long.csv").read_text("utf-8"))))
    missing = [row for row in rows if row["value"] == ""]
    assert missing
    assert all(row["reason"] for row in missing)
    suppressed = [row for row in rows if row["level"] == "Pacemaker or ICD"]
    assert {(row["value"], row["images"], row["reason"]) for row in suppressed} == {
        ("", "", "fewer than 20 positive patients")
    }


def test_without_timings_there_is_no_column_of_speed(loaded):
    import dataclasses

    slow = {slug: dataclasses.replace(e, timings=()) for slug, e in loaded.entries.items()}
    table = board_table(dataclasses.replace(loaded, entries=slow), "slvh")
    assert "speed" not in {c.key for c in table.columns}
    assert b"speed" not in board_csv([table])
