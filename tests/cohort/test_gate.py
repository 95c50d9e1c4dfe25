"""Training refuses a cohort whose check fails, and looks at unchanged files once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cohort import audit as audit_module
from bench.cohort.audit import audit, require_valid_cohort, store_checked_images
from bench.cohort.cohort import Cohort
from bench.cohort.load import load_cohort
from bench.errors import BenchError
from tests.baselines.conftest import spec_of, write_tiny


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    write_tiny(tmp_path / "data", patients=20)
    return load_cohort(spec_of(), tmp_path / "data")


def _never(*arguments: object, **options: object) -> None:
    raise AssertionError("looks at the images again")


def _image(cohort: Cohort, row: int) -> Path:
    return cohort.folder / "images" / str(cohort.images[row])


def _copy(cohort: Cohort, source: int, target: int) -> None:
    _image(cohort, target).write_bytes(_image(cohort, source).read_bytes())


@pytest.mark.parametrize("by_hand", [False, True])
def test_unchanged_files_are_looked_at_once(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_hand: bool
):
    _copy(cohort, 3, 8)
    _copy(cohort, 3, 9)
    if by_hand:
        store_checked_images(cohort, audit(cohort), tmp_path / "kept")
    else:
        assert require_valid_cohort(cohort, tmp_path / "kept", images=True) == ((3, 8, 9),)
    with monkeypatch.context() as patch:
        patch.setattr(audit_module, "audit", _never)
        assert require_valid_cohort(cohort, tmp_path / "kept", images=True) == ((3, 8, 9),)
        os.utime(_image(cohort, 0), ns=(1, 1))
        with pytest.raises(AssertionError, match="again"):
            require_valid_cohort(cohort, tmp_path / "kept", images=True)


def test_the_stored_check_names_no_image(cohort: Cohort, tmp_path: Path):
    _copy(cohort, 3, 8)
    require_valid_cohort(cohort, tmp_path / "kept", images=True)
    (path,) = (tmp_path / "kept").iterdir()
    assert not any(str(image) in path.read_text() for image in cohort.images)


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda path: path.unlink(), "images-missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:100]), "images-damaged"),
    ],
)
def test_errors_of_the_check_are_raised_again_and_again(
    cohort: Cohort, tmp_path: Path, damage: Callable[[Path], object], code: str
):
    damage(_image(cohort, 5))
    assert require_valid_cohort(cohort, tmp_path / "kept", images=False) == ()
    for _ in range(2):
        with pytest.raises(BenchError) as caught:
            require_valid_cohort(cohort, tmp_path / "kept", images=True)
        assert [p.code for p in caught.value.problems] == [code]
        assert caught.value.exit_code == 1


def test_a_table_of_another_size_is_refused_without_images_too(tmp_path: Path):
    write_tiny(tmp_path / "data", patients=20)
    spec = spec_of(lambda text: text.replace('title = "Tiny"', 'title = "Tiny"\nexpected_images = 41'))
    with pytest.raises(BenchError) as caught:
        require_valid_cohort(load_cohort(spec, tmp_path / "data"), tmp_path, images=False)
    assert [p.code for p in caught.value.problems] == ["cohort-size"]


def test_copies_in_train_and_test_are_left_to_whoever_trains(cohort: Cohort, tmp_path: Path):
    train, test = int(cohort.rows("train")[0]), int(cohort.rows("test")[0])
    _copy(cohort, train, test)
    assert [p.code for p in audit(cohort).problems if p.severity == "error"] == ["duplicates-straddle"]
    assert require_valid_cohort(cohort, tmp_path / "kept", images=True) == (tuple(sorted((train, test))),)


def test_a_damaged_record_is_made_anew(cohort: Cohort, tmp_path: Path):
    require_valid_cohort(cohort, tmp_path / "kept", images=True)
    (path,) = (tmp_path / "kept").iterdir()
    path.write_text(path.read_text()[:50])
    assert require_valid_cohort(cohort, tmp_path / "kept", images=True) == ()
