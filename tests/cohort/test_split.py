"""The split rule against a slow definition, and what may and may not change it."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cohort.cohort import Cohort
from bench.cohort.load import load_cohort
from bench.cohort.spec import HashSplit, load_spec
from bench.cohort.split import hash_parts, make_split, patient_uniform, straddling_patients
from bench.cohort.summary import compare_with_lock, summarise
from bench.errors import BenchError
from bench.files import write_json
from bench.workspace import Workspace
from tests.conftest import Cli
from tests.tiny import cohort_table, write_cohort

SPEC = load_spec("chexchonet")


def slow_u(salt: str, patient: str) -> Fraction:
    """The rule by its words: the first 53 bits of SHA-256(salt, line feed, patient) as a fraction."""
    bits = "".join(f"{byte:08b}" for byte in hashlib.sha256(f"{salt}\n{patient}".encode()).digest())
    return Fraction(int(bits[:53], 2), 2**53)


def slow_part(salt: str, patient: str) -> str:
    u = slow_u(salt, patient)
    return "test" if u < Fraction(1, 5) else "val" if u < Fraction(3, 10) else "train"


def by_image(cohort: Cohort) -> dict[str, tuple[str, int]]:
    return {
        image: (str(part), int(fold))
        for image, part, fold in zip(cohort.images, cohort.split.parts, cohort.split.folds, strict=True)
    }


def reload(table: pd.DataFrame, folder: Path) -> Cohort:
    write_cohort(folder, table, images=False)
    return load_cohort(SPEC, folder)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), min_size=1), st.text("abc-1"))
def test_u_and_the_parts_are_those_of_the_slow_definition(patients: list[str], salt: str) -> None:
    column = np.array(patients, dtype=object)
    u = patient_uniform(salt or "s", column)
    assert [Fraction(value) for value in u] == [slow_u(salt or "s", p) for p in patients]
    rule = HashSplit(rule="hash", salt=salt or "s")
    assert hash_parts(rule, u).tolist() == [slow_part(salt or "s", p) for p in patients]


def test_a_known_patient_has_a_known_place() -> None:
    """Pinned values: a change of these is a change of every split."""
    u = patient_uniform("chexchonet-v1", np.array(["a", "b", "0001"], dtype=object))
    assert u.tolist() == [float(slow_u("chexchonet-v1", p)) for p in ("a", "b", "0001")]
    digest = hashlib.sha256(b"chexchonet-v1\na").hexdigest()
    assert u[0] == pytest.approx(int(digest[:8], 16) / 2**32, abs=1e-9)


def test_every_image_follows_its_patient(cohort: Cohort) -> None:
    patient = dict(zip(cohort.table["cxr_filename"], cohort.table["patient_id"], strict=True))
    for image, (part, fold) in by_image(cohort).items():
        assert part == slow_part("chexchonet-v1", patient[image])
        assert fold == int(5 * slow_u("chexchonet-v1", patient[image]))
    for a, b in (("train", "test"), ("val", "test"), ("train", "val")):
        assert straddling_patients(cohort.patients, cohort.split.parts, a, b) == 0


def test_test_is_the_first_fold(cohort: Cohort) -> None:
    """With the shares of the built-in specs the test images are fold 0, so that the two tracks agree."""
    assert np.array_equal(cohort.split.parts == "test", cohort.split.folds == 0)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_and_columns_changes_nothing(seed: int, cohort: Cohort, tmp_path: Path) -> None:
    shuffled = cohort_table().sample(frac=1, random_state=seed)
    found = reload(shuffled[shuffled.columns[::-1]], tmp_path / "c")
    assert found.split.fingerprint == cohort.split.fingerprint
    assert found.images.tolist() == cohort.images.tolist()
    assert by_image(found) == by_image(cohort)
    for name, values in cohort.targets.items():
        assert np.array_equal(found.targets[name], values, equal_nan=True)


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet", "parquet of numbers"])
def test_the_kind_of_file_and_of_column_changes_nothing(kind: str, tmp_path: Path) -> None:
    """Whole-number ids as text, as integers, as floats, in CSV and Parquet: one split."""
    table = cohort_table()
    table["patient_id"] = [str(10_000 + k) for k in pd.factorize(table["patient_id"])[0]]
    table["cxr_filename"] = [str(7_000_000 + k) for k in range(len(table))]
    plain = reload(table, tmp_path / "plain")
    data = SPEC.plain()
    suffix = kind.split()[0]
    data["files"]["table"] = [f"metadata.{suffix}"]
    spec = type(SPEC).model_validate(data)
    folder = tmp_path / "other"
    folder.mkdir()
    if kind == "parquet of numbers":
        numbers = ["ivsd", "lvpwd", "lvidd", "age"]
        table = table.astype({"patient_id": "int64", "cxr_filename": "float64", "sex": "category"})
        table = table.astype(dict.fromkeys(numbers, "float64") | {"slvh": "float32"})
        table["dlv"] = table["dlv"] == "1"
        table["cxr_time_offset"] = pd.to_timedelta(table["cxr_time_offset"])
    if suffix == "parquet":
        table.to_parquet(folder / "metadata.parquet")
    else:
        table.to_csv(folder / f"metadata.{suffix}", index=False)
    cohort = load_cohort(spec, folder)
    assert cohort.split.fingerprint == plain.split.fingerprint
    assert by_image(cohort) == by_image(plain)
    for name, values in plain.targets.items():
        assert np.array_equal(cohort.targets[name], values, equal_nan=True), name
    assert np.array_equal(cohort.first_images, plain.first_images)


def test_ids_are_text_to_the_last_zero(cohort: Cohort) -> None:
    assert "00000000000000000000000000000020" in set(cohort.patients)
    assert any(p.isdigit() for p in cohort.patients)
    assert any("e" in p and p.replace("e", "").isdigit() for p in cohort.patients)


def test_removing_a_patient_changes_the_fingerprint_and_no_part(cohort: Cohort, tmp_path: Path) -> None:
    table = cohort_table()
    gone = table["patient_id"].iloc[0]
    fewer = reload(table[table["patient_id"] != gone], tmp_path / "c")
    assert fewer.split.fingerprint != cohort.split.fingerprint
    places = by_image(cohort)
    assert by_image(fewer) == {image: places[image] for image in fewer.images}

    lock = tmp_path / "lock.json"
    write_json(lock, summarise(cohort).plain())
    (problem,) = compare_with_lock(summarise(fewer), lock)
    assert problem.code == "split-changed"
    assert "patients 119, locked 120" in problem.message
    assert f"Images {len(fewer)}, locked {len(cohort)}" in problem.message
    assert "a patient in both keeps the part" in problem.message
    assert gone not in problem.message


@pytest.mark.parametrize("column", ["patient_id", "cxr_filename"])
def test_the_fingerprint_is_of_patients_and_images(column: str, cohort: Cohort, tmp_path: Path) -> None:
    table = cohort_table()
    table.loc[0, column] = "f" * 32
    assert reload(table, tmp_path / "c").split.fingerprint != cohort.split.fingerprint


def test_the_fingerprint_is_not_of_labels(cohort: Cohort, tmp_path: Path) -> None:
    table = cohort_table().assign(slvh="0", age="50")
    assert reload(table, tmp_path / "c").split.fingerprint == cohort.split.fingerprint


def test_the_fingerprint_is_the_hash_of_every_row(cohort: Cohort) -> None:
    lines = ["chexchonet 1.0.0"]
    for image in sorted(cohort.images):
        part, fold = by_image(cohort)[image]
        lines.append(f"{image}\t{cohort.patients[cohort.images.tolist().index(image)]}\t{part}\t{fold}")
    digest = hashlib.sha256(("\n".join(lines) + "\n").encode()).hexdigest()
    assert cohort.split.fingerprint == digest


def test_version_and_cohort_are_part_of_the_fingerprint() -> None:
    images, patients = np.array(["a", "b"], dtype=object), np.array(["p", "q"], dtype=object)
    parts = np.array(["test", "train"])
    prints = {make_split(key, images, patients, parts, "s").fingerprint for key in ("c 1", "c 2", "d 1")}
    assert len(prints) == 3


def test_the_summary_counts_what_a_loop_counts(cohort: Cohort) -> None:
    summary = summarise(cohort)
    for part in (*summary.parts, *summary.folds):
        rows = [
            i
            for i in range(len(cohort))
            if part.part in (cohort.split.parts[i], f"fold {cohort.split.folds[i]}")
        ]
        assert part.images == len(rows)
        assert part.patients == len({cohort.patients[i] for i in rows})
        for target in part.targets:
            positive = [i for i in rows if cohort.targets[target.target][i] == 1]
            assert (target.labelled, target.positives) == (len(rows), len(positive))
            assert target.positive_patients == len({cohort.patients[i] for i in positive})
            assert target.prevalence == len(positive) / len(rows)
    assert sum(p.images for p in summary.parts) == sum(p.images for p in summary.folds) == len(cohort)


def test_the_lock_holds_no_id_and_comes_back_the_same(cohort: Cohort, tmp_path: Path) -> None:
    lock = tmp_path / "split.lock.json"
    write_json(lock, summarise(cohort).plain())
    text = lock.read_text()
    assert not [name for name in (*cohort.images, *cohort.patients) if name in text]
    assert '"schema": "split-lock/1"' in text
    assert compare_with_lock(summarise(cohort), lock) == []
    lock.write_text(text[:-40])
    with pytest.raises(BenchError, match="split-lock-invalid"):
        compare_with_lock(summarise(cohort), lock)


def test_a_lock_of_another_rule_differs_from_changed_data(cohort: Cohort, tmp_path: Path) -> None:
    summary = summarise(cohort)
    other = summary.model_copy(
        update={"rule": summary.rule.replace("chexchonet-v1", "v2"), "fingerprint": "0" * 64}
    )
    write_json(tmp_path / "lock.json", other.plain())
    (problem,) = compare_with_lock(summary, tmp_path / "lock.json")
    assert problem.code == "split-lock-other"


def test_the_command_writes_the_split_locks_it_and_sees_a_change(
    space: Workspace, cohort: Cohort, cli: Cli, tmp_path: Path
) -> None:
    ran = cli("cohort", "split", "--out", tmp_path / "split.csv", "--lock", "--json")
    assert (ran.exit_code, ran.codes) == (0, [])
    written = pd.read_csv(tmp_path / "split.csv", dtype=str)
    places = zip(written["split"], written["fold"].astype(int), strict=True)
    assert dict(zip(written["cxr_filename"], places, strict=True)) == by_image(cohort)
    assert written["patient_id"].tolist() == cohort.patients.tolist()
    assert cli("cohort", "split").exit_code == 0
    table = cohort_table()
    write_cohort(tmp_path / "fewer", table[table["patient_id"] != table["patient_id"].iloc[0]], images=False)
    ran = cli("cohort", "split", "--data", tmp_path / "fewer", "--json")
    assert (ran.exit_code, ran.codes) == (1, ["split-changed"])
    assert ran.object["result"]["split"]["patients"] == 119
