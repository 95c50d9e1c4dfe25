"""Official parts: tables of the parts, lists of images, and rows that do not belong to the cohort."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.cohort.cohort import Cohort
from bench.cohort.load import load_cohort
from bench.cohort.spec import AllTest, CohortSpec, HashSplit, load_spec
from bench.errors import EXIT_ENVIRONMENT, BenchError
from tests.cohort.test_load import SMALL
from tests.faulty import assert_problem

TABLES = {"train": "train.csv", "val": ["valid.csv", "val.csv"], "test": "test.csv"}
HASH = {"rule": "hash", "salt": "s"}


def load(folder: Path, texts: Mapping[str, str], **changes: Any) -> Cohort:
    for name, text in texts.items():
        (folder / name).write_text(text)
    return load_cohort(CohortSpec.model_validate(SMALL | changes), folder)


def by_tables(folder: Path, texts: Mapping[str, str], **changes: Any) -> Cohort:
    return load(folder, texts, files={}, split={"rule": "tables", **TABLES}, **changes)


GOOD = {
    "train.csv": "image,patient,y,s\nb,1,0,F\na,1,1,M\n",
    "val.csv": "image,patient,y,s\nc,2,0,F\n",
    "test.csv": "image,patient,y\nd,3,1\n",
}


def test_each_table_is_a_part(tmp_path: Path) -> None:
    cohort = by_tables(tmp_path, GOOD)
    parts = dict(zip(cohort.images.tolist(), cohort.split.parts.tolist(), strict=True))
    assert parts == {"a": "train", "b": "train", "c": "val", "d": "test"}
    assert cohort.targets["y"].tolist() == [1, 0, 0, 1]
    (tmp_path / "valid.csv").write_text("image,patient,y,s\ne,2,0,F\n")  # of two names the first is read
    assert "e" in by_tables(tmp_path, {}).images.tolist()


def test_a_part_may_lack_inputs_and_subgroups_but_no_label(tmp_path: Path) -> None:
    sex = {"name": "sex", "label": "Sex", "column": "s", "values": {"F": "Female", "M": "Male"}}
    cohort = by_tables(tmp_path, GOOD, subgroups=[sex])
    assert cohort.subgroups[0].codes.tolist() == [1, 0, 0, -1]
    (notice,) = cohort.notices
    assert (notice.code, notice.severity) == ("cohort-part-columns", "warning")
    assert notice.where.endswith("test.csv")
    assert "1 column of other parts' tables missing here: s. These 1 images" in notice.message
    with pytest.raises(BenchError, match=r"cohort-columns: 1 columns of cohort small are missing: y"):
        by_tables(tmp_path, {"test.csv": "image,patient\nd,3\n"})
    with pytest.raises(BenchError, match=r"cohort-columns: .* missing: nowhere"):
        by_tables(tmp_path, GOOD, subgroups=[sex | {"column": "nowhere"}])


def test_a_missing_table_of_a_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"no valid.csv or val.csv and no test.csv in the folder") as caught:
        by_tables(tmp_path, {"train.csv": GOOD["train.csv"]})
    assert caught.value.exit_code == EXIT_ENVIRONMENT


def test_parts_that_share_a_patient_or_an_image_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="patients-straddle: 1 patients have images in train and in test"):
        by_tables(tmp_path, GOOD | {"test.csv": "image,patient,y\nd,3,1\ne,1,0\n"})
    with pytest.raises(BenchError, match=r"cohort-duplicate-id: 1 rows .* 1 images are in the tables of sev"):
        by_tables(tmp_path, GOOD | {"test.csv": "image,patient,y\nd,3,1\na,1,0\n"})


def test_tables_are_named_once(tmp_path: Path) -> None:
    both = {"files": {"table": "t.csv"}, "split": {"rule": "tables", **TABLES}}
    for changes, says in ((both, "files.table: remove it"), ({"files": {}}, "files.table: name the table")):
        with pytest.raises(ValueError, match=says):
            CohortSpec.model_validate(SMALL | changes)


# Lists

TABLE = "image,patient,y\n" + "".join(f"i{k:02},p{k // 2:02},{k % 2}\n" for k in range(40))
LISTS = {"rule": "list", "test_file": "test.txt", "train_val_file": "rest.txt", "otherwise": HASH}


def names(rows: range) -> str:
    return "".join(f"i{k:02}\n" for k in rows)


def by_lists(folder: Path, test: str, rest: str, **changes: Any) -> Cohort:
    return load(folder, {"t.csv": TABLE, "test.txt": test, "rest.txt": rest}, split=LISTS, **changes)


def test_two_lists_hold_every_image_and_val_is_drawn_from_the_second(tmp_path: Path) -> None:
    parts = by_lists(tmp_path, names(range(10)), names(range(10, 40))).split.parts
    assert set(parts[:10]) == {"test"}
    assert set(parts[10:]) == {"train", "val"}
    assert (parts[10::2] == parts[11::2]).all()  # both images of a patient are in one part
    only_test = load(
        tmp_path, {"t.csv": TABLE}, split={k: v for k, v in LISTS.items() if k != "train_val_file"}
    )
    assert (
        only_test.split.fingerprint
        == by_lists(tmp_path, names(range(10)), names(range(10, 40))).split.fingerprint
    )


def test_three_lists_leave_nothing_to_the_hash_rule(tmp_path: Path) -> None:
    split = {"rule": "list", "test_file": "a", "val_file": "b", "train_file": "c", "otherwise": HASH}
    lists = {"a": names(range(4)), "b": names(range(4, 8)), "c": names(range(8, 40))}
    parts = load(tmp_path, {"t.csv": TABLE, **lists}, split=split).split.parts.tolist()
    assert parts == ["test"] * 4 + ["val"] * 4 + ["train"] * 32
    two = {k: v for k, v in split.items() if k != "val_file"}
    found = load(tmp_path, lists | {"c": names(range(4, 40))}, split=two).split.parts.tolist()
    assert found == ["test"] * 4 + ["train"] * 36


FAULTY = {
    "in two lists": (range(10), range(8, 40), "2 of 40 images are in two lists"),
    "in no list": (range(10), range(12, 40), "2 of 40 images are in no list"),
    "no image": (range(10), range(10, 43), "3 of 33 listed train or val images are not in the table"),
    "one patient in two": (range(9), range(9, 40), "patients-straddle: 1 patients have images in"),
}


@pytest.mark.parametrize(("test", "rest", "says"), FAULTY.values(), ids=FAULTY)
def test_lists_that_do_not_fit_the_table_are_counted(
    test: range, rest: range, says: str, tmp_path: Path
) -> None:
    with pytest.raises(BenchError, match=says):
        by_lists(tmp_path, names(test), names(rest))


@pytest.mark.parametrize(
    ("change", "message", "remedy"),
    [
        (lambda t: t.replace("i", "images/i"), "10 of 10 listed test", "Remove the folders"),
        (lambda t: t.replace("\n", ".png\n"), "10 of 10 listed test", "Remove the file ending"),
        (lambda t: t.upper(), "10 of 10 listed test", "upper and lower case"),
        (lambda t: "".join(f'"{line}"\n' for line in t.split()), "10 of 10 listed test", "Remove the quotes"),
        (lambda t: t.replace("\n", ",1\n"), "10 of 10 listed test", "the id of one image alone"),
        (lambda t: t.replace("\n", " "), "1 of 1 listed test", "the id of one image alone"),
        (lambda t: "image\n" + t, "1 of 11 listed test", "a heading or a comment"),
        (lambda t: t.encode("utf-16"), "UTF-16", "Save the file as UTF-8"),
    ],
)
def test_what_is_wrong_with_the_lines_of_a_list_is_named(
    change: Callable[[str], str | bytes], message: str, remedy: str, tmp_path: Path
) -> None:
    changed = change(names(range(10)))
    (tmp_path / "test.txt").write_bytes(changed if isinstance(changed, bytes) else changed.encode())
    (tmp_path / "rest.txt").write_text(names(range(10, 40)))
    with pytest.raises(BenchError) as caught:
        load(tmp_path, {"t.csv": TABLE}, split=LISTS)
    problem = caught.value.problems[0]
    assert_problem(problem, "cohort-split-list", message=message, where=r"test\.txt", remedy=remedy)


def test_a_list_in_another_case_is_suggested(tmp_path: Path) -> None:
    (tmp_path / "Test.txt").write_text(names(range(10)))
    (tmp_path / "rest.txt").write_text(names(range(10, 40)))
    with pytest.raises(BenchError, match=r"test\.txt not in the folder.*Did you mean 'Test\.txt'"):
        load(tmp_path, {"t.csv": TABLE}, split=LISTS)


def test_one_list_of_two_is_refused_and_none_means_the_hash_rule(tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text(names(range(10)))
    with pytest.raises(BenchError, match=r"cohort-split-list: rest.txt not in the folder, though another"):
        load(tmp_path, {"t.csv": TABLE}, split=LISTS)
    (tmp_path / "test.txt").unlink()
    cohort = load(tmp_path, {"t.csv": TABLE}, split=LISTS)
    (notice,) = cohort.notices
    assert (notice.code, notice.severity) == ("cohort-split-list", "notice")
    assert set(cohort.split.parts) == {"train", "val", "test"}


# Rows that do not belong


def test_a_filter_keeps_rows_by_pattern_or_value_and_counts_the_others(tmp_path: Path) -> None:
    table = "image,patient,y,s\nx_frontal,1,0,train\nx_lateral,1,0,train\ny_frontal,2,1, no_split\n"
    table += "z_frontal,3,1,test\n"
    frontal = {"column": "image", "pattern": "_frontal", "label": "frontal views"}
    used = {"column": "s", "values": ["train", "test"], "label": "images of the published split"}
    cohort = load(tmp_path, {"t.csv": table}, rows=[frontal, used])
    assert cohort.images.tolist() == ["x_frontal", "z_frontal"]
    assert [n.message.split(" and not")[0] for n in cohort.notices] == [
        "1 of 4 rows are not frontal views",
        "1 of 4 rows are not images of the published split",
    ]
    with pytest.raises(BenchError, match="cohort-rows: None of 4 rows is among the frontal views"):
        load(tmp_path, {"t.csv": table.replace("_frontal", "")}, rows=[frontal])
    for wrong in ({"column": "s", "label": "x"}, frontal | {"values": ["a"]}):
        with pytest.raises(ValueError, match="either values or a pattern"):
            CohortSpec.model_validate(SMALL | {"rows": [wrong]})


def test_a_list_may_name_images_that_a_filter_leaves_out(tmp_path: Path) -> None:
    even = {"column": "y", "values": ["0"], "label": "negative"}
    cohort = by_lists(tmp_path, names(range(10)), names(range(10, 40)), rows=[even])
    assert len(cohort) == 20
    assert (cohort.split.parts == "test").sum() == 5


def test_a_spec_may_extend_a_built_in_one(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('extends = "chexpert"\nid = "own"\n[study]\nviews = "mean"\n')
    spec, base = load_spec(str(own)), load_spec("chexpert")
    assert (spec.id, spec.study.views, base.study.views) == ("own", "mean", "maximum")
    assert spec.study.pattern == base.study.pattern
    assert spec.targets == base.targets
    own.write_text('extends = "mimic-echo"\nid = "own"\n[split]\nrule = "all-test"\n')
    assert load_spec(str(own)).split == AllTest(rule="all-test")
    own.write_text('extends = "mimic-echo"\nid = "own"\n[split]\ntest = 0.5\n')
    assert load_spec(str(own)).split == HashSplit(rule="hash", salt="mimic-echo-v1", test=0.5, val=0.1)
    frontal = load_spec("chexpert-frontal")
    differing = {key for key, value in base.plain().items() if frontal.plain()[key] != value}
    assert differing == {"id", "title", "rows"}
    own.write_text('extends = "chexprt"\nid = "own"\n')
    with pytest.raises(BenchError, match="extends: 'chexprt' is not one of the built-in cohorts"):
        load_spec(str(own))
    own.write_text('extends = "chexpert"\nid = "own"\n[study]\nview = "mean"\n')
    with pytest.raises(BenchError, match=r"study\.view: This key is not known"):
        load_spec(str(own))
