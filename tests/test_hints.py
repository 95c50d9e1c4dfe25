"""Hints: the nearest name, and what to do about a path that leads nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import did_you_mean, missing_file_hint

CODES = ("slvh", "dlv", "composite_slvh_dlv")


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("slhv", " Did you mean 'slvh'?"),
        (" SLVH ", " Did you mean 'slvh'?"),
        ("composite_slvh", " Did you mean 'composite_slvh_dlv'?"),
        ("nope", ""),
        ("", ""),
        ("x" * 1_000_000, ""),
    ],
)
def test_the_nearest_name_is_offered_and_no_far_one(word: str, says: str) -> None:
    assert did_you_mean(word, CODES) == says


def test_at_most_two_names_are_offered_as_they_are_spelt() -> None:
    assert did_you_mean("abc", ["ABCD", "abce", "abcf"]).count("'") == 4
    assert did_you_mean("abcd", ["ABCD"]) == " Did you mean 'ABCD'?"


def test_a_misspelt_file_is_found_beside_it(tmp_path: Path) -> None:
    (tmp_path / "predictions.csv").touch()
    message, remedy = missing_file_hint(tmp_path / "prediction.csv")
    assert message == "There is no such file."
    assert remedy == "Check the path. Did you mean 'predictions.csv'?"


@pytest.mark.parametrize("ending", [".jpg", ".dcm.gz", ".nii.gz", ".gz"])
def test_an_image_beside_it_is_never_named(ending: str, tmp_path: Path) -> None:
    (tmp_path / f"p00013{ending}").touch()
    assert "p00013" not in " ".join(missing_file_hint(tmp_path / "p0001.csv"))


def test_a_packed_table_beside_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "predictions.csv.gz").touch()
    assert (
        missing_file_hint(tmp_path / "prediction.csv")[1]
        == "Check the path. Did you mean 'predictions.csv.gz'?"
    )


def test_a_missing_folder_is_named_as_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    message, remedy = missing_file_hint(Path("absent/p.csv"))
    assert message == "There is no such file, nor a folder 'absent'."
    assert str(tmp_path) in remedy
