"""Unambiguous tables of unusual forms are read: labels, ages, lists, index, headers, compression."""

from __future__ import annotations

import decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from bench.cohort.load import load_cohort
from bench.cohort.read_table import read_text_table
from tests.cohort.small_cohort import (
    ROWS,
    cells,
    check,
    columns,
    csv,
    good,
    labels,
    loaded,
    parquet_bytes,
    spec,
    target,
    word,
    write,
)


def test_rows_of_blank_cells_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, good())
    wanted = load_cohort(spec(), tmp_path).split.fingerprint
    lines = csv(good()).splitlines(keepends=True)
    write(tmp_path, b"".join([*lines[:50], b",,,,\n", *lines[50:], b", ,,\t,\n,,,,\n"]))
    assert load_cohort(spec(), tmp_path).split.fingerprint == wanted


@pytest.mark.parametrize("words", [("True", "False"), ("TRUE", "FALSE"), ("true", "false"), ("1.0", "0.0")])
def test_true_and_false_are_labels(words: tuple[str, str], tmp_path: Path) -> None:
    wanted = good()["y"].astype(float).tolist()
    assert loaded(tmp_path, labels(*words)(good())).targets["y"].tolist() == wanted


def test_true_and_false_of_parquet_are_labels(tmp_path: Path) -> None:
    table = pa.table(good().to_dict("list") | {"y": [v == "1" for v in good()["y"]]})
    assert loaded(tmp_path, table).targets["y"].tolist() == good()["y"].astype(float).tolist()


@pytest.mark.parametrize("na", ["NA", "nan", "None", "NULL", "", "#N/A", "N/A", " "])
def test_words_for_missing_labels_follow_the_policy(na: str, tmp_path: Path) -> None:
    cohort = loaded(tmp_path, cells("y", lambda _: na, 4)(good()), target(blank="exclude"))
    assert np.isnan(cohort.targets["y"]).tolist() == [True] * 4 + [False] * (ROWS - 4)


def test_blank_lists_follow_the_policy(tmp_path: Path) -> None:
    table = good().assign(y=["" if i < 6 else "Edema" if i < 30 else "Normal" for i in range(ROWS)])
    for policy, value in (("exclude", np.nan), ("negative", 0.0)):
        cohort = loaded(tmp_path, table, target(source={"column": "y", "word": "Edema"}, blank=policy))
        assert np.array_equal(cohort.targets["y"], [value] * 6 + [1.0] * 24 + [0.0] * 150, equal_nan=True)


@pytest.mark.parametrize(
    "lists", [("['edema', 'mass']", "['normal']"), ('["mass","edema"]', '["x"]'), ("[edema]", "[]")]
)
def test_lists_written_as_text_are_read(lists: tuple[str, str], tmp_path: Path) -> None:
    cohort = loaded(tmp_path, labels(*lists)(good()), word("edema", separator=","))
    assert cohort.targets["y"].tolist() == good()["y"].astype(float).tolist()


def test_ages_of_the_dicom_form_are_years(tmp_path: Path) -> None:
    ages = ["058Y", "011M", "003W", "020D", "39Y", "040y"]
    table = good().assign(age=ages + good()["age"].tolist()[6:])
    cohort = loaded(tmp_path, table)
    years = [float(age) for age in cohort.table["age"][:6]]
    assert years == pytest.approx([58, 11 / 12, 21 / 365.25, 20 / 365.25, 39, 40], rel=1e-5)
    assert cohort.subgroups[1].codes[:6].tolist() == [1, -1, -1, -1, 0, 1]


def test_an_implausible_age_is_in_no_subgroup(tmp_path: Path) -> None:
    cohort = loaded(tmp_path, cells("age", lambda _: "411", 30)(good()))
    assert (cohort.subgroups[1].codes[:30] == -1).all()
    assert (cohort.subgroups[1].codes[30:] >= 0).all()


def test_values_of_subgroups_are_the_same_in_every_file_format(tmp_path: Path) -> None:
    device = {"name": "device", "label": "Device", "column": "d", "values": {"0": "No", "1": "Yes"}}
    wanted = [i % 2 for i in range(ROWS)]
    for texts in (("0", "1"), ("0.0", "1.0"), ("False", "True"), (" 0", "1 ")):
        table = good().assign(d=[texts[i] for i in wanted])
        assert loaded(tmp_path, table, {"subgroups": [device]}).subgroups[0].codes.tolist() == wanted
    (tmp_path / "t.csv").unlink()
    for column in (
        pa.array([bool(i) for i in wanted]),
        pa.array([decimal.Decimal(i) for i in wanted]).cast(pa.decimal128(5, 2)),
    ):
        table = pa.table(good().to_dict("list") | {"d": column})
        assert loaded(tmp_path, table, {"subgroups": [device]}).subgroups[0].codes.tolist() == wanted


@pytest.mark.parametrize("index", [["image"], ["patient"], ["image", "patient"]])
def test_ids_may_be_the_pandas_index(index: list[str], tmp_path: Path) -> None:
    write(tmp_path, good())
    wanted = load_cohort(spec(), tmp_path).split.fingerprint
    (tmp_path / "t.csv").unlink()
    good().set_index(index).to_parquet(tmp_path / "t.parquet")
    assert load_cohort(spec(), tmp_path).split.fingerprint == wanted


def test_columns_beside_that_are_not_text_are_left_alone(tmp_path: Path) -> None:
    beside = {
        "boxes": pa.array([[1, 2]] * ROWS),
        "record": pa.array([{"a": 1}] * ROWS),
        "bytes": pa.array([b"\xff\xd8"] * ROWS),
        "nothing": pa.nulls(ROWS),
        "day": pa.array(pd.date_range("2020-01-01", periods=ROWS)),
        "": pa.array(["x"] * ROWS),
    }
    cohort = loaded(tmp_path, pa.table(good().to_dict("list") | beside))
    assert list(cohort.table.columns) == [*good().columns, "nothing", "day"]
    assert cohort.table["day"][0] == "2020-01-01 00:00:00"


@pytest.mark.parametrize("length", [30, 20_000, 1_500_000])
def test_quoted_text_of_several_lines_is_read(length: int, tmp_path: Path) -> None:
    rows = 8 if length > 1_000_000 else ROWS
    report = "FINDINGS:\n" + "lungs clear. " * (length // 13) + '\r\n"IMPRESSION", none'
    table = good().head(rows).assign(report=report)
    write(tmp_path, table)
    assert read_text_table(tmp_path / "t.csv").frame["report"].tolist() == [report] * rows


def test_a_header_over_several_lines_and_empty_lines_before_it_are_read(tmp_path: Path) -> None:
    write(tmp_path, b'\n\n"two\nlines",image\n1,a\n\n2,b\n')
    frame = read_text_table(tmp_path / "t.csv").frame
    assert frame.to_dict("list") == {"two\nlines": ["1", "2"], "image": ["a", "b"]}


def test_a_gzip_or_parquet_file_of_another_name_is_read_by_its_content(tmp_path: Path) -> None:
    import gzip

    write(tmp_path, good())
    wanted = load_cohort(spec(), tmp_path).split.fingerprint
    for content in (gzip.compress(csv(good())), parquet_bytes(good())):
        (tmp_path / "t.csv").write_bytes(content)
        assert load_cohort(spec(), tmp_path).split.fingerprint == wanted
    (tmp_path / "t.csv").write_bytes(gzip.compress(gzip.compress(csv(good()))))
    (problem,) = check(tmp_path, (tmp_path / "t.csv").read_bytes())
    assert problem.message == "It is a gzip file within a gzip file, not CSV or Parquet."


def test_a_pattern_means_its_one_group(tmp_path: Path) -> None:
    whole = loaded(tmp_path, good())
    grouped = loaded(tmp_path, good(), columns(patient={"column": "image", "pattern": r"^0*(\d+)_\d+\.png$"}))
    assert grouped.split.fingerprint == whole.split.fingerprint
