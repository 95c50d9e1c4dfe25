"""One text for every patient id, whatever the file; ids that are similar, rounded or blank."""

from __future__ import annotations

import decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from bench.cohort.load import load_cohort
from bench.cohort.patient_ids import canonical_id, is_blank, is_rounded, prefixed_ids, similar_ids
from bench.cohort.read_table import read_text_table
from tests.cohort.small_cohort import SPEC, columns, spec, write

FLOATS = [7.0, 12.0, 7.0, 100.0]
TEXTS = ["7", "12", "7", "100"]
AS: dict[str, pa.Array] = {
    "int8": pa.array([7, 12, 7, 100], pa.int8()),
    "int64": pa.array([7, 12, 7, 100], pa.int64()),
    "uint32": pa.array([7, 12, 7, 100], pa.uint32()),
    "float32": pa.array(FLOATS, pa.float32()),
    "float64": pa.array(FLOATS, pa.float64()),
    "float16": pa.array(np.array(FLOATS, np.float16)),
    "string": pa.array(TEXTS, pa.string()),
    "string of floats": pa.array(["7.0", "12.0", "7.0", "100.0"], pa.string()),
    "large_string": pa.array(TEXTS, pa.large_string()),
    "string_view": pa.array(TEXTS, pa.string_view()),
    "binary": pa.array([t.encode() for t in TEXTS], pa.binary()),
    "large_binary": pa.array([t.encode() for t in TEXTS], pa.large_binary()),
    "binary_view": pa.array([t.encode() for t in TEXTS], pa.binary_view()),
    "fixed_size_binary": pa.array([t.ljust(3).encode() for t in TEXTS], pa.binary(3)),
    "dictionary of strings": pa.array(TEXTS).dictionary_encode(),
    "dictionary of binaries": pa.array([t.encode() for t in TEXTS]).dictionary_encode(),
    "dictionary of ints": pa.array([7, 12, 7, 100]).dictionary_encode(),
    "decimal128": pa.array([decimal.Decimal(t) for t in TEXTS], pa.decimal128(10, 2)),
    "decimal256": pa.array([decimal.Decimal(t) for t in TEXTS], pa.decimal256(60, 20)),
    "decimal of scale 0": pa.array([decimal.Decimal(t) for t in TEXTS], pa.decimal128(12, 0)),
}

IMAGES = pa.array(["a", "b", "c", "d"])


def fingerprint(folder: Path) -> str:
    return load_cohort(spec({"subgroups": []} | columns(inputs={})), folder).split.fingerprint


@pytest.mark.parametrize("column", AS.values(), ids=AS)
def test_ids_of_every_parquet_type_give_the_split_of_the_text(column: pa.Array, tmp_path: Path) -> None:
    y = pa.array([0, 1, 0, 1])
    write(tmp_path, pa.table({"image": IMAGES, "patient": column, "y": y}))
    expected = fingerprint(tmp_path)
    for texts in (
        TEXTS,
        ["7.0", "12.0", "7.0", "100.0"],
        [" 7", "12\t", "7", "100.00"],
        ["b'7'", 'b"12"', "7", "100"],
    ):
        write(tmp_path, pd.DataFrame({"image": IMAGES, "patient": texts, "y": [0, 1, 0, 1]}))
        assert fingerprint(tmp_path) == expected
    (tmp_path / "t.csv").unlink()


@pytest.mark.parametrize("column", AS.values(), ids=AS)
def test_numbers_of_every_parquet_type_are_read(column: pa.Array, tmp_path: Path) -> None:
    """Ages and measurements, of which the same numbers are expected as of text."""
    inputs = {"image": IMAGES, "patient": IMAGES, "y": pa.array([0, 1, 0, 1]), "age": column}
    write(tmp_path, pa.table(inputs))
    width = {
        "name": "w",
        "kind": "continuous",
        "label": "W",
        "source": "age",
        "unit": "cm",
        "plausible": [0, 99],
    }
    cohort = load_cohort(
        spec({"targets": [*SPEC["targets"], width], "subgroups": []} | columns(inputs={})), tmp_path
    )
    assert cohort.targets["w"][:3].tolist() == [7, 12, 7]
    assert np.isnan(cohort.targets["w"][3])


def test_an_integer_column_with_a_missing_value_loses_no_digit(tmp_path: Path) -> None:
    ids = [2**60 + 1, 2**60 + 2, None, 2**60 + 1]
    write(tmp_path, pa.table({"image": IMAGES, "patient": pa.array(ids, pa.int64()), "y": [0, 1, 0, 1]}))
    frame = read_text_table(tmp_path / "t.parquet").frame
    assert frame["patient"].tolist() == [str(2**60 + 1), str(2**60 + 2), "", str(2**60 + 1)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("007", "007"), ("1e5", "1e5"), ("00e1", "00e1"), ("p7.0", "p7.0"), ("7.5", "7.5"), ("7.", "7"),
        ("-0.0", "0"), ("0.0", "0"), ("0007.0", "0007"), ("1.0.0", "1.0.0"), ("\u00a07\u200b", "7"),
        ("cafe\u0301", "caf\u00e9"), ("b'7'", "7"), ('b"x y"', "x y"), ("b'7", "b'7"), ("P7", "P7"),
        ("nan", ""), ("b'nan'", ""), ("\u200b", ""), ("NAN1", "NAN1"), ("None ", ""), ("n/a", ""),
        ("0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef"),
    ],
)  # fmt: skip
def test_the_canonical_text_of_an_id(text: str, wanted: str) -> None:
    assert canonical_id(text) == wanted
    assert canonical_id(wanted) == wanted


def test_which_ids_lost_digits() -> None:
    lost = ["1.23457E+15", "1e+16", "9007199254740994.0", "12345678901234567890.0"]
    kept = ["1e5", "00e1", "12345678901234567890", "9007199254740992.0", "7.0", "p1.2E+15"]
    assert [is_rounded(text) for text in lost + kept] == [True] * len(lost) + [False] * len(kept)


def test_ids_of_one_length_that_differ_by_zeros_are_distinct() -> None:
    assert similar_ids(np.array(["a01b2", "a1b02", "10", "01", "100", "abc"], object)).groups == ()
    assert similar_ids(np.array(["a01b2", "a1b2"], object)).groups == (("a01b2", "a1b2"),)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.23", "12.3"),
        ("1.2.840.10", "1.2.8.4010"),
        ("A-1-23", "A-12-3"),
        ("p7", "q7"),
        ("7a", "7b"),
        ("1950-01-02", "1950-01-20"),
        ("A1B2", "A12B"),
        ("123,45", "12,345"),
    ],
)
def test_ids_of_other_people_are_not_similar(one: str, other: str) -> None:
    assert similar_ids(np.array([one, other], object)).groups == ()
    assert prefixed_ids(np.array([one, other], object)) == 0


def test_hexadecimal_ids_are_never_similar() -> None:
    random = np.random.default_rng(0)
    ids = np.array(["".join(random.choice(list("0123456789abcdef"), 32)) for _ in range(3000)], object)
    assert similar_ids(ids).groups == ()


def test_words_for_missing_values_are_blank_and_others_are_not() -> None:
    assert all(map(is_blank, ["", " ", "NA", "n/a", "NaN", "None", "NULL", "<NA>", "#N/A", "NaT", "-"]))
    assert not any(map(is_blank, ["0", "no", "N", "x", "nano", "No Finding", "-1"]))
