"""Loading a cohort: the traps of the release, the policies of a spec, the faults of a table."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.cohort.audit import label_agreement
from bench.cohort.cohort import Cohort
from bench.cohort.images import ImageFolders, read_batches, read_grey
from bench.cohort.load import load_cohort
from bench.cohort.spec import CohortSpec, load_spec
from bench.cohort.split import straddling_patients
from bench.cohort.studies import unit_cohort
from bench.errors import EXIT_ENVIRONMENT, BenchError
from tests.faulty import assert_problem, only
from tests.tiny import SIDE, cohort_table, write_cohort

SPEC = load_spec("chexchonet")


def load(table: pd.DataFrame, folder: Path) -> Cohort:
    write_cohort(folder, table, images=False)
    return load_cohort(SPEC, folder)


SMALL: dict[str, Any] = {
    "schema": "cohort-spec/1",
    "id": "small",
    "version": "1",
    "title": "Small",
    "headline": "y",
    "files": {"table": "t.csv"},
    "columns": {"image": "image", "patient": "patient"},
    "split": {"rule": "all-test"},
    "targets": [{"name": "y", "label": "Y", "source": "y"}],
}


def small(table: str, folder: Path, **changes: Any) -> Cohort:
    """A cohort of a spec with one target ``y``, which `changes` change."""
    target = SMALL["targets"][0] | changes.pop("target", {})
    columns = SMALL["columns"] | changes.pop("columns", {})
    folder.mkdir(exist_ok=True)
    (folder / "t.csv").write_text(table)
    return load_cohort(
        CohortSpec.model_validate(SMALL | {"targets": [target], "columns": columns} | changes), folder
    )


def small_spec(*tables: str) -> CohortSpec:
    return CohortSpec.model_validate(SMALL | {"files": {"table": tables or "t.csv"}})


# The traps of the release


def test_images_are_read_from_the_folder_of_the_spec(cohort: Cohort) -> None:
    assert cohort.table["cxr_path"].str.startswith("./cxrs/").all()
    folders = ImageFolders(cohort)
    for image in cohort.images:
        path = folders.path(image)
        assert path is not None
        assert path.parent.name == "images"
    pixels = np.concatenate(list(read_batches(cohort, cohort.rows("test"), 8, 8, 40)))
    assert pixels.shape == (102, 8, 8)


def test_a_renamed_folder_is_found_and_images_goes_first(tmp_path: Path) -> None:
    table = write_cohort(tmp_path / "c", cohort_table(3))
    cohort = load_cohort(SPEC, tmp_path / "c")
    (tmp_path / "c" / "images").rename(tmp_path / "c" / "cxrs")
    name = table["cxr_filename"][0]
    assert ImageFolders(cohort).path(name) == tmp_path / "c" / "cxrs" / name
    (tmp_path / "c" / "images").mkdir()
    (tmp_path / "c" / "images" / name).write_bytes(b"x")
    assert ImageFolders(cohort).path(name) == tmp_path / "c" / "images" / name
    assert ImageFolders(cohort).path("absent.jpg") is None


def test_no_folder_of_images_ends_in_the_environments_exit_code(tmp_path: Path) -> None:
    cohort = load(cohort_table(3), tmp_path / "c")
    with pytest.raises(BenchError, match=r"images-folder-missing.*images, cxrs") as caught:
        ImageFolders(cohort)
    assert caught.value.exit_code == EXIT_ENVIRONMENT


def test_a_needed_image_that_is_damaged_stops_and_names_nobody(tmp_path: Path) -> None:
    table = write_cohort(tmp_path / "c", cohort_table(3))
    cohort = load_cohort(SPEC, tmp_path / "c")
    name = table["cxr_filename"][0]
    for damage, says in ((b"\xff\xd8\xff half", "cannot be read"), (None, "is missing")):
        path = tmp_path / "c" / "images" / name
        path.unlink() if damage is None else path.write_bytes(damage)
        with pytest.raises(BenchError, match=f"images-unreadable.*{says}") as caught:
            list(read_batches(cohort, np.arange(len(cohort)), 8, 8, 4))
        assert name not in str(caught.value)


def test_time_offsets_are_days(cohort: Cohort) -> None:
    for text, days in zip(cohort.table["cxr_time_offset"], cohort.time, strict=True):
        assert days == pytest.approx(pd.Timedelta(text).total_seconds() / 86_400, abs=1e-9)


def test_the_first_image_is_the_earliest_not_the_first_row(cohort: Cohort) -> None:
    table = cohort.table
    for patient in set(cohort.patients):
        rows = np.flatnonzero(cohort.patients == patient)
        earliest = min(rows, key=lambda i: (pd.Timedelta(table["cxr_time_offset"][i]), cohort.images[i]))
        assert np.flatnonzero(cohort.first_images & (cohort.patients == patient)).tolist() == [earliest]


def test_offsets_are_compared_as_times_and_not_as_text(tmp_path: Path) -> None:
    table = cohort_table(2).groupby("patient_id").head(1)
    table = pd.concat([table, table.assign(cxr_filename="z" + table["cxr_filename"])])
    table["cxr_time_offset"] = ["9 days 00:00:00", "100 days", "10 days 00:00:00.5", "99 days 23:59:59"]
    cohort = load(table, tmp_path / "c")
    first = set(cohort.images[cohort.first_images])
    assert first == {table["cxr_filename"].iloc[0], table["cxr_filename"].iloc[3]}


def test_zeros_are_excluded_from_measurements_and_their_labels_are_kept(cohort: Cohort) -> None:
    zero = (cohort.table["lvidd"] == "0.000000").to_numpy()
    assert zero.sum() >= 3
    assert np.isnan(cohort.targets["lvidd"][zero]).all()
    assert np.isnan(cohort.targets["lvpwd"][zero]).all()
    assert not np.isnan(cohort.targets["dlv"]).any()
    kept = cohort.targets["lvidd"][~zero]
    assert ((kept >= 1.5) & (kept <= 10)).all()


def test_released_labels_are_taken_never_recomputed(tmp_path: Path) -> None:
    table = cohort_table()
    table["slvh"] = [str(1 - int(v)) for v in table["slvh"]]
    cohort = load(table, tmp_path / "c")
    released = table.set_index("cxr_filename").loc[cohort.images.tolist(), "slvh"].astype(float)
    assert cohort.targets["slvh"].tolist() == released.tolist()


def test_label_agreement_is_that_of_a_plain_rule(tmp_path: Path) -> None:
    table = cohort_table()
    flipped = table.index[::7]
    table.loc[flipped, "slvh"] = [str(1 - int(v)) for v in table.loc[flipped, "slvh"]]
    table.loc[3, ["sex", "ivsd", "lvpwd", "slvh"]] = ["M", "1.5", "1.5", "0"]  # not above its limit
    cohort = load(table, tmp_path / "c")
    wanted = {"slvh": [0, 0, 0], "dlv": [0, 0, 0], "composite_slvh_dlv": [0, 0, 0]}
    for row in table.to_dict("records"):
        male = row["sex"] == "M"
        thick = float(row["ivsd"]) > (1.5 if male else 1.4) or float(row["lvpwd"]) > (1.5 if male else 1.4)
        wide = float(row["lvidd"]) > (5.9 if male else 5.3)
        either = row["slvh"] == "1" or row["dlv"] == "1"
        for target, rule in (("slvh", thick), ("dlv", wide), ("composite_slvh_dlv", either)):
            released = row[target] == "1"
            wanted[target][0 if released == rule else 1 if released else 2] += 1
    for line in label_agreement(cohort):
        assert line.images == len(table)
        assert [line.agree, line.released_only, line.rule_only] == wanted[line.target]
    assert wanted["slvh"][1] > 0
    assert wanted["slvh"][2] > 0


def test_subgroups_are_those_of_the_table(cohort: Cohort) -> None:
    by_name = {s.name: s for s in cohort.subgroups}
    assert set(by_name) == {"sex", "age", "heart_transplant", "lung_transplant", "device"}
    age = by_name["age"]
    assert age.levels == ("18–39 years", "40–59 years", "60–79 years", "80+ years")
    for row, code in zip(cohort.table.to_dict("records"), age.codes, strict=True):
        years = int(row["age"])
        assert code == (0 if years < 40 else 1 if years < 60 else 2 if years < 80 else 3)
    assert 90 in cohort.table["age"].astype(int).to_list()
    sex = [("Female", "Male")[code] for code in by_name["sex"].codes]
    assert sex == [{"F": "Female", "M": "Male"}[s] for s in cohort.table["sex"]]


def test_canonical_order_is_that_of_the_ids(cohort: Cohort) -> None:
    assert cohort.images.tolist() == sorted(cohort.images)
    assert cohort.table["cxr_filename"].tolist() == cohort.images.tolist()


# Policies


@pytest.mark.parametrize(
    ("uncertain", "blank", "wanted"),
    [
        ("exclude", "negative", [0, 1, None, 0]),
        ("positive", "exclude", [0, 1, 1, None]),
        ("negative", "negative", [0, 1, 0, 0]),
        ("exclude", "exclude", [0, 1, None, None]),
    ],
)
def test_uncertain_and_blank_labels_follow_the_stated_policy(
    uncertain: str, blank: str, wanted: list[float | None], tmp_path: Path
) -> None:
    table = "image,patient,y\na,1,0.0\nb,2,1\nc,3,-1.0\nd,4,\n"
    cohort = small(table, tmp_path, target={"uncertain": uncertain, "blank": blank})
    assert [None if np.isnan(v) else v for v in cohort.targets["y"]] == wanted


@pytest.mark.parametrize("policy", [{}, {"uncertain": "exclude"}, {"blank": "negative"}])
def test_without_a_policy_they_are_faults(policy: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"\d of 4 labels of y are not 0 or 1 \(1 are -1, 1 blank\)"):
        small("image,patient,y\na,1,0\nb,2,1\nc,3,-1\nd,4,\n", tmp_path, target=policy)


def test_the_chexpert_table_is_read_by_its_policy(tmp_path: Path) -> None:
    spec = load_spec("chexpert")
    findings = [t.label for t in spec.binary_targets]
    head = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *findings]
    rows = []
    for k, cardiomegaly in enumerate(["1.0", "0.0", "-1.0", ""]):
        path = f"CheXpert-v1.0-small/train/patient{k // 2:05d}/study{k}/view1_frontal.jpg"
        values = dict.fromkeys(findings, "") | {"Cardiomegaly": cardiomegaly}
        rows.append([path, "Female", "68", "Frontal", "AP", *(values[f] for f in findings)])
    frame = pd.DataFrame(rows, columns=head)
    for place in ("train", "valid", "test"):  # the test set was published without age, sex and view
        columns = ["Path", *findings] if place == "test" else head
        part = frame.assign(Path=frame["Path"].str.replace("train/patient0", f"{place}/patient{len(place)}"))
        (part if place != "train" else frame)[columns].to_csv(tmp_path / f"{place}.csv", index=False)
    cohort = load_cohort(spec, tmp_path)
    assert cohort.split.parts.tolist() == ["test"] * 4 + ["train"] * 4 + ["val"] * 4
    assert [notice.code for notice in cohort.notices] == ["cohort-part-columns"]
    cohort = unit_cohort(cohort)
    assert cohort.images.tolist()[:2] == ["patient00000/study0", "patient00000/study1"]
    assert cohort.patients.tolist()[:4] == ["patient00000"] * 2 + ["patient00001"] * 2
    assert cohort.targets["cardiomegaly"][:2].tolist() == [1, 0]
    assert np.isnan(cohort.targets["cardiomegaly"][2])
    assert cohort.targets["cardiomegaly"][3] == 0
    assert cohort.targets["fracture"].tolist() == [0] * 12


def test_a_word_of_a_list_is_found_whole(tmp_path: Path) -> None:
    table = "image,patient,y\na,1,Mass|Edema\nb,2,Mass_B\nc,3, Edema | Mass \nd,4,\ne,5,mass\n"
    cohort = small(table, tmp_path, target={"source": {"column": "y", "word": "Mass"}, "blank": "negative"})
    assert cohort.targets["y"].tolist() == [1, 0, 1, 0, 0]


def test_bands_may_be_open_fractional_and_blank(tmp_path: Path) -> None:
    bands = {"name": "w", "label": "W", "column": "w", "bands": [0, 1.5, 3], "unit": "cm"}
    table = "image,patient,y,w\na,1,0,-1\nb,2,1,0\nc,3,1,1.5\nd,4,1,1.49\ne,5,0,99\nf,6,0,\n"
    (found,) = small(table, tmp_path, subgroups=[bands]).subgroups
    assert found.levels == ("0 to <1.5 cm", "1.5 to <3 cm", "3+ cm")
    assert found.codes.tolist() == [-1, 0, 1, 0, 2, -1]


def test_other_values_are_in_no_subgroup(tmp_path: Path) -> None:
    values = {"name": "s", "label": "S", "column": "s", "values": {"F": "Female", "M": "Male"}}
    (found,) = small(
        "image,patient,y,s\na,1,0,M\nb,2,1,O\nc,3,1,\nd,4,0, F \n", tmp_path, subgroups=[values]
    ).subgroups
    assert found.codes.tolist() == [1, -1, -1, 0]


def test_first_image_by_number_with_ties_and_blanks(tmp_path: Path) -> None:
    table = "image,patient,y,n\nb,1,0,2\na,1,0,2\nc,1,0,10\nd,2,0,\ne,2,0,7\nf,3,0,\n"
    cohort = small(table, tmp_path, columns={"time": "n"})
    assert cohort.images[cohort.first_images].tolist() == ["a", "e", "f"]


# Splits that are not the hash rule


def test_a_column_may_name_the_split(tmp_path: Path) -> None:
    table = "image,patient,y,s\na,1,0,TRAIN\nb,2,1,dev\nc,3,1, held out \n"
    split = {"rule": "column", "column": "s", "train": "TRAIN", "val": "dev", "test": "held out"}
    assert small(table, tmp_path, split=split).split.parts.tolist() == ["train", "val", "test"]
    with pytest.raises(BenchError, match="cohort-split-column: 1 of 3 rows are in none of TRAIN, held out"):
        small(table, tmp_path, split={**split, "val": ""})


def test_a_list_may_name_the_test_images(tmp_path: Path) -> None:
    lines = [f"i{k:03},p{k // 3},{k % 2}" for k in range(300)]
    table = "image,patient,y\n" + "\n".join(lines)
    split = {
        "rule": "list",
        "test_file": "test.txt",
        "otherwise": {"rule": "hash", "salt": "s", "test": 0.2, "val": 0.1},
    }
    by_rule = small(table, tmp_path, split=split)
    assert set(by_rule.split.parts) == {"train", "val", "test"}
    (tmp_path / "test.txt").write_text("\n".join(f"i{k:03}" for k in range(60)) + "\n\n")
    listed = small(table, tmp_path, split=split)
    assert (listed.split.parts == "test").tolist() == [k < 60 for k in range(300)]
    rest = listed.split.parts[60:]
    assert 0 < (rest == "val").sum() < 60
    assert straddling_patients(listed.patients, listed.split.parts, "train", "val") == 0
    assert listed.split.fingerprint != by_rule.split.fingerprint
    assert listed.split.folds.tolist() == by_rule.split.folds.tolist()
    (tmp_path / "test.txt").write_text("i001\nnobody\nx\n")
    with pytest.raises(BenchError, match="cohort-split-list: 2 of 3 listed"):
        small(table, tmp_path, split=split)
    (tmp_path / "test.txt").write_bytes(b"\xff\xfei\x00")
    with pytest.raises(BenchError, match=r"cohort-split-list: .*UTF-8"):
        small(table, tmp_path, split=split)


def test_an_external_cohort_is_all_test(tmp_path: Path) -> None:
    split = small("image,patient,y\na,1,0\nb,2,1\n", tmp_path).split
    assert split.parts.tolist() == ["test", "test"]
    assert split.rows("train").tolist() == []


# Faults of a table


def drop(text: str) -> bytes:
    return text.replace(",y\n", ",z\n", 1).encode()


GOOD = "image,patient,y\na,1,0\nb,2,1\nc,3,1\n"
Fault = tuple[bytes, str, str, str, str]
TABLE, WHOLE, KEEP_LENGTH = r"t\.csv$", "Export the table again", "in double quotes"
FAULTS: dict[str, Fault] = {
    "missing column": (
        drop(GOOD),
        "cohort-columns",
        "^1 columns of cohort small are missing: y",
        TABLE,
        "name its columns in its spec",
    ),
    "no rows": (b"image,patient,y\n", "cohort-table", "The table has no rows", TABLE, WHOLE),
    "empty": (b"", "cohort-table", "It is empty", TABLE, "compare it with its source"),
    "not UTF-8": (
        GOOD.encode().replace(b"b,", b"\xff,"),
        "cohort-table",
        "Line 3 is not UTF-8 text",
        TABLE,
        "iconv",
    ),
    "header not UTF-8": (
        b"image,patient,y,\xff\na,1,0,1\n",
        "cohort-table",
        "Line 1 is not UTF-8 text",
        TABLE,
        "iconv",
    ),
    "short row": (
        GOOD.encode()[:-3],
        "cohort-table",
        "^1 of 3 rows are longer or shorter",
        TABLE,
        KEEP_LENGTH,
    ),
    "long row": (
        GOOD.encode() + b"d,4,1,1\n",
        "cohort-table",
        "^1 of 4 rows are longer or shorter",
        TABLE,
        KEEP_LENGTH,
    ),
    "long rows": (
        b"image,patient,y\na,1,0,7\nb,2,1,7\n",
        "cohort-table",
        "^2 of 2 rows are longer",
        TABLE,
        KEEP_LENGTH,
    ),
    "repeated image": (
        GOOD.encode() + b"a,4,1\n a,5,0\n",
        "cohort-duplicate-id",
        "^2 rows repeat",
        r"t\.csv, column image$",
        "Remove the repeated rows",
    ),
    "blank image": (
        GOOD.encode() + b" ,4,1\n",
        "cohort-blank-id",
        "^1 rows have no image id",
        r"t\.csv, column image$",
        "Fill in or remove",
    ),
    "blank patient": (
        GOOD.encode() + b"d,,1\n",
        "cohort-blank-id",
        "^1 rows have no patient id",
        r"t\.csv, column patient$",
        "Fill in or remove",
    ),
    "label 2": (
        GOOD.encode() + b"d,4,2\n",
        "cohort-label",
        "^1 of 4 labels of y are not 0 or 1",
        r"t\.csv, column y$",
        'word = "2"',
    ),
    "label as text": (
        GOOD.encode() + b"d,4,yes\n",
        "cohort-value",
        "^1 of 4 values of y are not numbers",
        r"t\.csv, column y$",
        "Write labels as 0 and 1",
    ),
    "infinite label": (
        GOOD.encode() + b"d,4,inf\n",
        "cohort-value",
        "^1 of 4 values of y are not numbers",
        r"t\.csv, column y$",
        "Write labels as 0 and 1",
    ),
    "semicolons": (
        GOOD.encode().replace(b",", b";"),
        "cohort-columns",
        "^3 columns",
        TABLE,
        "commas between columns",
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_each_fault_of_a_table_is_named(fault: Fault, tmp_path: Path) -> None:
    table, code, message, where, remedy = fault
    small(GOOD, tmp_path)
    (tmp_path / "t.csv").write_bytes(table)
    spec = small_spec()
    with pytest.raises(BenchError) as caught:
        load_cohort(spec, tmp_path)
    assert_problem(only(caught.value, code), code, message=message, where=where, remedy=remedy)


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_the_remedy_names_the_separator(mark: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="3 columns") as caught:
        small(GOOD.replace(",", mark), tmp_path)
    assert caught.value.problems[0].remedy == "Save the table with commas between columns."


def test_a_misspelt_column_is_asked_about_and_others_are_not_quoted(tmp_path: Path) -> None:
    with pytest.raises(BenchError) as caught:
        small(GOOD.replace("patient", "Pateint"), tmp_path)
    (problem,) = caught.value.problems
    assert problem.message == "1 columns of cohort small are missing: patient (is it 'Pateint'?)."


def test_a_table_without_permission_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **more: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("bench.cohort.read_table.pa.input_stream", refuse)
    with pytest.raises(BenchError, match="cohort-table: Permission denied") as caught:
        small(GOOD, tmp_path)
    assert caught.value.problems[0].remedy == "Change its permissions."


def damaged(whole: bytes) -> bytes:
    return whole[:25] + bytes([b ^ 0xFF for b in whole[25:60]]) + whole[60:]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("t.csv.gz", lambda d: gzip.compress(d)[:-20]),
        ("t.csv.gz", lambda d: damaged(gzip.compress(d))),
        ("t.csv.gz", lambda d: d),
        ("t.parquet", lambda d: d),
    ],
    ids=["truncated gzip", "damaged gzip", "gzip that is none", "parquet that is none"],
)
def test_a_damaged_table_is_refused(name: str, change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    rows = "".join(f"i{k},{k},{k % 2}\n" for k in range(5000))
    (tmp_path / name).write_bytes(change(("image,patient,y\n" + rows).encode()))
    with pytest.raises(BenchError, match="cohort-table: "):
        load_cohort(small_spec(name), tmp_path)


def test_the_first_table_that_exists_is_read_and_none_is_the_environments_fault(tmp_path: Path) -> None:
    spec = small_spec().model_copy(
        update={"files": small_spec().files.model_copy(update={"table": ("a.csv", "b.csv")})}
    )
    for folder, code in ((tmp_path / "absent", "cohort-missing"), (tmp_path, "cohort-table-missing")):
        with pytest.raises(BenchError, match=code) as caught:
            load_cohort(spec, folder)
        assert caught.value.exit_code == EXIT_ENVIRONMENT
    (tmp_path / "b.csv").write_text(GOOD)
    assert len(load_cohort(spec, tmp_path)) == 3
    (tmp_path / "a.csv").write_text(GOOD + "d,4,1\n")
    assert len(load_cohort(spec, tmp_path)) == 4


def test_the_patient_may_be_part_of_a_column(tmp_path: Path) -> None:
    columns = {"patient": {"column": "image", "pattern": r"p\d+"}}
    cohort = small("image,y\nx/p01/1,0\nx/p01/2,1\nx/p2/1,1\n", tmp_path, columns=columns)
    assert cohort.patients.tolist() == ["p01", "p01", "p2"]
    with pytest.raises(BenchError, match="cohort-patient-pattern: 1 of 2 rows"):
        small("image,y\nx/p01/1,0\nq,1\n", tmp_path, columns=columns)


def test_a_byte_order_mark_crlf_and_quotes_change_nothing(tmp_path: Path) -> None:
    wanted = small(GOOD, tmp_path)
    quoted = "\ufeff" + GOOD.replace("a,1", '"a","1"').replace("\n", "\r\n")
    cohort = small(quoted, tmp_path)
    assert cohort.split.fingerprint == wanted.split.fingerprint
    assert cohort.targets["y"].tolist() == wanted.targets["y"].tolist()


def test_a_folder_that_says_it_is_synthetic_makes_a_synthetic_cohort(tmp_path: Path) -> None:
    assert not small(GOOD, tmp_path).synthetic
    (tmp_path / "SYNTHETIC.txt").write_text("invented")
    assert small(GOOD, tmp_path).synthetic


@pytest.mark.parametrize("mode", ["L", "RGB", "1", "P", "I;16", "RGBA"])
def test_images_of_every_mode_are_read_as_grey(mode: str, tmp_path: Path) -> None:
    from PIL import Image

    ramp = np.tile(np.arange(0, 256, 8, dtype=np.uint8), (SIDE, 1))
    if mode == "I;16":
        image = Image.fromarray(ramp.astype(np.uint16) * 200)
    else:
        image = Image.fromarray(ramp).convert(mode)
    image.save(tmp_path / "x.png")
    grey = read_grey(tmp_path / "x.png", SIDE, 32)
    assert (grey.shape, grey.dtype) == ((SIDE, 32), np.dtype(np.uint8))
    assert grey[:, -1].mean() > grey[:, 0].mean() + 100
    assert read_grey(tmp_path / "x.png", 5, 7).shape == (5, 7)
