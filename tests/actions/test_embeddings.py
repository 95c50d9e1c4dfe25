"""Embeddings as an entry: the heads against scikit-learn, what is recorded, and every fault of the files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

import bench
from baselines.probe.head import fit_probe, fit_ridge
from bench.actions.embeddings import label_efficiency
from bench.cohort.cohort import Cohort
from bench.cohort.frames import few_shot_rows
from bench.cohort.split import PARTS, Part
from bench.errors import BenchError
from bench.submission.manifest import EmbeddingRecord
from bench.submission.packed import DRAWS, FRACTIONS, draw_column, unpack
from bench.submission.read_embeddings import MOST_FEATURES, Embeddings, read_embeddings
from bench.submission.store import find_submission
from bench.uncertainty.bootstrap import PatientBootstrap
from bench.uncertainty.runs import evaluate_runs
from bench.workspace import Workspace
from tests.conftest import Cli
from tests.faulty import assert_problem, only

Matrix = npt.NDArray[np.floating]
WIDTH = 5
MEASURED = ("ivsd", "lvidd", "lvpwd")


def embeddings_of(cohort: Cohort, dtype: str = "float16") -> Matrix:
    """Random features; the first leans on the label of `slvh`, the second on `lvidd`."""
    features = np.random.default_rng(0).normal(size=(len(cohort), WIDTH))
    features[:, 0] += np.nan_to_num(cohort.targets["slvh"])
    features[:, 1] += np.nan_to_num(cohort.targets["lvidd"])
    return features.astype(dtype)


def write_npy(folder: Path, cohort: Cohort, matrix: Matrix, *, parts: tuple[Part, ...] = PARTS) -> None:
    """The files of the parts, rows in another order than the cohort's."""
    folder.mkdir(exist_ok=True)
    for part in parts:
        rows = cohort.rows(part)[::-1]
        np.save(folder / f"{part}.npy", matrix[rows])
        (folder / f"{part}_ids.txt").write_text("\n".join(cohort.images[rows]) + "\n")


def write_parquet(folder: Path, cohort: Cohort, matrix: Matrix) -> None:
    folder.mkdir(exist_ok=True)
    for part in PARTS:
        rows = cohort.rows(part)[::-1]
        pd.DataFrame({"image_id": cohort.images[rows], "embedding": list(matrix[rows])}).to_parquet(
            folder / f"{part}.parquet"
        )


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("write", [write_npy, write_parquet])
def test_both_forms_are_read_in_canonical_order(
    cohort: Cohort, tmp_path: Path, write: Callable[[Path, Cohort, Matrix], None], dtype: str
) -> None:
    matrix = embeddings_of(cohort, dtype)
    write(tmp_path, cohort, matrix)
    found = read_embeddings(tmp_path, cohort)
    for part in PARTS:
        assert found.parts[part].dtype == dtype
        np.testing.assert_array_equal(found.parts[part], matrix[cohort.rows(part)])
    assert (found.record.dimension, found.record.dtype) == (WIDTH, dtype)
    (file,) = tmp_path.glob("test.[np]*")
    assert found.record.sha256["test"] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_matrix_written_by_columns_is_the_same(cohort: Cohort, tmp_path: Path) -> None:
    matrix = embeddings_of(cohort)
    write_npy(tmp_path, cohort, matrix)
    np.save(tmp_path / "val.npy", np.asfortranarray(np.load(tmp_path / "val.npy")))
    np.testing.assert_array_equal(read_embeddings(tmp_path, cohort).parts["val"], matrix[cohort.rows("val")])


def test_the_heads_are_those_of_scikit_learn(cohort: Cohort) -> None:
    train, val = (embeddings_of(cohort)[cohort.rows(part)] for part in ("train", "val"))
    scaler = StandardScaler().fit(train.astype(float))
    labels, val_labels = (cohort.targets["slvh"][cohort.rows(part)] for part in ("train", "val"))
    known = ~np.isnan(labels)
    scaler.fit(train[known].astype(float))
    probe = fit_probe(train, labels, val, val_labels, refit_tolerance=1e-8)
    own = LogisticRegression(C=probe.strength, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    own.fit(scaler.transform(train[known].astype(float)), labels[known])
    expected = own.predict_proba(scaler.transform(val.astype(float)))[:, 1]
    np.testing.assert_allclose(probe.probabilities(val), expected, rtol=0, atol=1e-6)

    measured, val_measured = (cohort.targets["lvidd"][cohort.rows(part)] for part in ("train", "val"))
    known = ~np.isnan(measured)
    scaler.fit(train[known].astype(float))
    ridge = fit_ridge(train, measured, val, val_measured)
    errors = {}
    for penalty in (1.0, 10.0, 100.0, 1e3, 1e4, 1e5):
        model = Ridge(penalty).fit(scaler.transform(train[known].astype(float)), measured[known])
        predicted = model.predict(scaler.transform(val.astype(float)))
        errors[penalty] = np.nanmean((predicted - val_measured) ** 2), predicted
    assert ridge.strength == min(errors, key=lambda penalty: errors[penalty][0])
    np.testing.assert_allclose(ridge.predict(val), errors[ridge.strength][1], rtol=0, atol=1e-9)


def test_an_entry_holds_the_predictions_of_the_heads_and_says_what_they_come_from(
    cohort: Cohort, space: Workspace, tmp_path: Path, cli: Cli
) -> None:
    write_npy(tmp_path / "embeddings", cohort, embeddings_of(cohort))
    ran = cli("submit", "--embeddings", tmp_path / "embeddings", "--slug", "encoder", "--json")
    assert ran.exit_code == 0, ran.stderr
    entry = find_submission(space.submissions("chexchonet"), "encoder")
    record = entry.manifest.embeddings
    assert record
    assert (record.dimension, record.dtype, set(record.sha256)) == (WIDTH, "float16", set(PARTS))
    assert set(record.strength) == {target.name for target in cohort.spec.targets}
    test, val = unpack(entry.predictions, cohort, "holdout"), unpack(entry.val_predictions, cohort, "val")
    assert set(test) == set(val) == set(record.strength)
    scored = bench.score("encoder", replicates=50, jobs=1)
    assert scored.scorecards[0].targets[0].metrics["auroc"].value is not None


def test_the_record_cannot_be_claimed_by_hand(cohort: Cohort, space: Workspace, good: pd.DataFrame) -> None:
    record = {"dimension": 5, "dtype": "float16", "sha256": {}}
    keys = {"name": "A", "team": "B", "date": "2026-01-01", "inputs": ["image"], "embeddings": record}
    with pytest.raises(BenchError, match="embeddings: this table") as raised:
        bench.submit(good, slug="a", manifest=keys)
    assert raised.value.problems[0].code == "manifest-invalid"


def spoilt(folder: Path, cohort: Cohort, fault: str) -> str:
    """Spoil good files, and return the count that a message must state."""
    matrix, ids = np.load(folder / "test.npy"), (folder / "test_ids.txt").read_text().split("\n")[:-1]
    n, said = len(ids), "test_ids.txt"
    if fault == "missing":
        matrix, ids, said = matrix[3:], ids[3:], f"3 of the {n} test images"
    elif fault == "uneven":
        ids, said = ids[1:], f"{n - 1} ids for {n} rows"
    elif fault == "nan":
        matrix[[1, 4], 2] = np.nan
        said = f"2 of {n} rows (first in row 2, 5)"
    elif fault == "infinite":
        matrix[0, 0], said = np.inf, f"1 of {n} rows"
    elif fault == "float64":
        matrix, said = matrix.astype(np.float64), "float64"
    elif fault == "other type":
        matrix, said = matrix.astype(np.float32), "train float16, val float16, test float32"
    elif fault == "narrow":
        matrix, said = matrix[:, 1:], f"train {WIDTH}, val {WIDTH}, test {WIDTH - 1}"
    elif fault == "wide":
        matrix, said = np.zeros((n, MOST_FEATURES + 1), np.float16), f"{MOST_FEATURES:,} features"
    elif fault == "vector":
        matrix, said = matrix[:, 0], f"({n},)"
    elif fault == "other part":
        ids[:2], said = list(cohort.images[cohort.rows("train")[:2]]), "2 of"
    elif fault == "unknown":
        ids[5], said = "nobody.jpg", "first in row 6"
    elif fault == "twice":
        ids[1], said = ids[0], "first in row 2"
    np.save(folder / "test.npy", matrix)
    (folder / "test_ids.txt").write_text("\n".join(ids) + "\n")
    if fault == "pickle":
        np.save(folder / "test.npy", np.array([{}], object), allow_pickle=True)
        said = "object"
    elif fault == "truncated":
        (folder / "test.npy").write_bytes((folder / "test.npy").read_bytes()[:-1])
        said = "truncated"
    elif fault == "no numpy":
        (folder / "test.npy").write_bytes(b"PK\x03\x04" + bytes(200))
        said = "not a NumPy array"
    elif fault == "absent":
        (folder / "test.npy").unlink()
        said = "Neither is there."
    elif fault == "both":
        (folder / "test.parquet").write_bytes(b"PAR1")
        said = "Both are there"
    elif fault == "UTF-16 ids":
        (folder / "test_ids.txt").write_bytes("\n".join(ids).encode("utf-16"))
        said = "not UTF-8 text"
    elif fault == "no ids":
        (folder / "test_ids.txt").unlink()
        said = "no such file"
    elif fault in OTHER_FORMS:
        (folder / "test_ids.txt").write_text("\n".join(map(OTHER_FORMS[fault], ids)) + "\n")
        said = f"{n} of {n} rows"
    elif fault == "heading":
        (folder / "test_ids.txt").write_text("\n".join(["image_id", *ids]) + "\n")
        said = f"{n + 1} ids for {n} rows"
    elif fault == "blank lines":
        (folder / "test_ids.txt").write_text("\n".join(ids) + "\n\n \n")
        said = f"{n + 2} ids for {n} rows"
    elif fault == "transposed":
        np.save(folder / "test.npy", matrix.T)
        said = f"{n} ids for {WIDTH} rows"
    elif fault.startswith("named "):
        name = fault.removeprefix("named ")
        (folder / "test.npy").rename(folder / name)
        said = f"Neither is there, but {name!r}"
    return said


OTHER_FORMS: dict[str, Callable[[str], str]] = {
    "without ending": lambda name: name.removesuffix(".jpg"),
    "another ending": lambda name: name.replace(".jpg", ".png"),
    "with folders": "/data/cxrs/{}".format,
    "quoted": '"{}"'.format,
}
"""Fault → the form of the ids."""


@pytest.mark.parametrize(
    ("fault", "codes", "remedy"),
    [
        ("missing", ["missing-id"], "one id for each row"),
        ("uneven", ["missing-id"], "one id for each row"),
        ("heading", ["missing-id"], "first line of the ids is no image"),
        ("blank lines", ["missing-id"], "Remove the blank lines of the ids: there are 2"),
        ("transposed", ["missing-id"], "write the transposed matrix"),
        ("nan", ["not-finite"], "these images"),
        ("infinite", ["not-finite"], "these images"),
        ("float64", ["type"], "astype"),
        ("other type", ["type"], "astype"),
        ("narrow", ["dimension"], "the same encoder"),
        ("wide", ["dimension"], "one shorter vector"),
        ("vector", ["dimension"], "one shorter vector"),
        ("other part", ["other-part", "missing-id"], "benchmark's split"),
        ("unknown", ["unknown-id", "missing-id"], "belong to this cohort"),
        ("without ending", ["unknown-id", "missing-id"], "Add the file ending .jpg"),
        ("another ending", ["unknown-id", "missing-id"], "another file ending"),
        ("with folders", ["unknown-id", "missing-id"], "Remove the folders"),
        ("quoted", ["unknown-id", "missing-id"], "Remove the quotes"),
        ("twice", ["duplicate-id", "missing-id"], "one row for each image"),
        ("pickle", ["type"], "astype"),
        ("truncated", ["unreadable"], "Write the file again"),
        ("no numpy", ["unreadable"], "numpy.save"),
        ("absent", ["unreadable"], "Write the embeddings of the test images"),
        ("both", ["unreadable"], "Remove the one"),
        ("UTF-16 ids", ["unreadable"], "as UTF-8 text"),
        ("no ids", ["unreadable"], "the image id of each row of test.npy"),
        ("named Test.npy", ["unreadable"], "Rename it to test.npy"),
        ("named testing.npy", ["unreadable"], "Rename it to test.npy"),
        ("named test.npz", ["unreadable"], r"Write test\.npy with"),
        ("named test.csv", ["unreadable"], r"Write test\.npy with"),
    ],
)
def test_each_fault_has_its_code_count_and_remedy_and_names_no_image(
    cohort: Cohort, tmp_path: Path, fault: str, codes: list[str], remedy: str
) -> None:
    write_npy(tmp_path / "embeddings", cohort, embeddings_of(cohort))
    said = spoilt(tmp_path / "embeddings", cohort, fault)
    with pytest.raises(BenchError) as raised:
        read_embeddings(tmp_path / "embeddings", cohort)
    problems = raised.value.problems
    assert [problem.code for problem in problems] == [f"embeddings-{code}" for code in codes]
    meant = next(p for p in problems if said in p.message)
    assert_problem(meant, meant.code, message=re.escape(said), where="embeddings(/test|$)", remedy=".")
    assert re.search(remedy, "\n".join(p.as_dict()["remedy"] for p in problems))
    text = "\n".join(f"{p.message} {p.remedy}" for p in problems)
    assert not any(image in text for image in cohort.images)


@pytest.mark.parametrize("place", ["absent", "test.npy"])
def test_embeddings_are_a_folder(cohort: Cohort, tmp_path: Path, place: str) -> None:
    (tmp_path / "test.npy").write_bytes(b"")
    with pytest.raises(BenchError) as raised:
        read_embeddings(tmp_path / place, cohort)
    assert_problem(
        only(raised.value, "embeddings-unreadable"),
        "embeddings-unreadable",
        message="a file|no such folder",
        where=f"{place}$",
        remedy="Name the folder",
    )


@pytest.mark.parametrize(
    ("name", "columns", "code", "message", "remedy"),
    [
        (
            "another name",
            {"embedding": "features"},
            "unreadable",
            "a column `embedding`",
            "Rename .*'features'",
        ),
        ("no ids", {"image_id": "name"}, "unreadable", "a column of ids", "Write the image id"),
        ("columns of numbers", {}, "unreadable", "a column `embedding`", "as one list in the column"),
        ("text", {}, "type", "of type text", "astype"),
        ("float64", {}, "type", "of type float64", "astype"),
    ],
)
def test_columns_of_parquet_are_named_with_what_to_do(
    cohort: Cohort, tmp_path: Path, name: str, columns: dict[str, str], code: str, message: str, remedy: str
) -> None:
    write_parquet(tmp_path, cohort, embeddings_of(cohort))
    table = pd.read_parquet(tmp_path / "val.parquet").rename(columns=columns)
    if name == "columns of numbers":
        table = table[["image_id"]].assign(f0=1.0, f1=2.0)
    elif name == "text":
        table["embedding"] = "[1, 2]"
    elif name == "float64":
        table["embedding"] = [row.astype(float) for row in table["embedding"]]
    table.to_parquet(tmp_path / "val.parquet")
    with pytest.raises(BenchError) as raised:
        read_embeddings(tmp_path, cohort)
    found = only(raised.value, f"embeddings-{code}")
    assert_problem(found, found.code, message=message, where=r"val\.parquet$", remedy=remedy)


def test_lists_of_different_lengths_and_missing_values_are_refused(cohort: Cohort, tmp_path: Path) -> None:
    write_parquet(tmp_path, cohort, embeddings_of(cohort))
    good = pd.read_parquet(tmp_path / "test.parquet")
    for code, first in (("dimension", np.ones(1, np.float32)), ("not-finite", None)):
        lists = [first, *(row.astype(np.float32) for row in good["embedding"][1:])]
        good.assign(embedding=lists).to_parquet(tmp_path / "test.parquet")
        with pytest.raises(BenchError) as raised:
            read_embeddings(tmp_path, cohort)
        assert raised.value.problems[0].code == f"embeddings-{code}"


def test_the_curve_of_label_efficiency_is_scored_and_shown(
    cohort: Cohort, space: Workspace, tmp_path: Path
) -> None:
    write_npy(tmp_path / "embeddings", cohort, embeddings_of(cohort))
    bench.submit(embeddings=tmp_path / "embeddings", slug="encoder")
    card = bench.score("encoder", replicates=50, jobs=1).scorecards[0]
    curve = {(p.target, p.fraction): p for p in card.label_efficiency}
    assert set(curve) == {
        (t.name, fraction) for t in cohort.spec.binary_targets for fraction in (0.01, 0.05, 0.1, 0.25, 1)
    }
    slvh = card.target("slvh")
    assert slvh
    assert curve["slvh", 1].auroc == slvh.metrics["auroc"]
    rows, labels = cohort.rows("train"), cohort.targets["slvh"]
    test = cohort.rows("test")[~np.isnan(labels[cohort.rows("test")])]
    features, areas = embeddings_of(cohort), []
    for draw in range(3):
        chosen = few_shot_rows(cohort, rows, fraction=0.25, seed=draw)
        val = cohort.rows("val")
        probe = fit_probe(features[chosen], labels[chosen], features[val], labels[val])
        areas.append(roc_auc_score(labels[test], probe.probabilities(features[test])))
    assert curve["slvh", 0.25].draws == 3
    assert curve["slvh", 0.25].auroc.value == pytest.approx(np.mean(areas), abs=1e-4)
    bench.build_site()
    (page,) = space.site.rglob("encoder/index.html")
    assert "Label efficiency" in page.read_text()
    assert f"{WIDTH} features, float16; head fitted here" in page.read_text()
    assert bench.verify("encoder").entries


def test_noise_gives_a_flat_curve(cohort: Cohort) -> None:
    """Features that know nothing: at no share of the patients does the AUROC leave 0.5."""
    features = np.random.default_rng(5).normal(size=(len(cohort), WIDTH)).astype(np.float32)
    record = EmbeddingRecord(dimension=WIDTH, dtype="float32", sha256={})
    found = label_efficiency(Embeddings({p: features[cohort.rows(p)] for p in PARTS}, record), cohort)
    rows = cohort.rows("test")
    labels = cohort.targets["slvh"][rows]
    known = ~np.isnan(labels)
    bootstrap = PatientBootstrap(cohort.patients[rows][known], 200, 0)
    for fraction in FRACTIONS:
        runs = [found[draw_column("slvh", fraction, draw)][known] for draw in range(DRAWS)]
        auroc = evaluate_runs(labels[known], runs, bootstrap, level=0.999).estimate
        assert auroc.value == 0.5 or auroc.low < 0.5 < auroc.high  # equal for all: labels of one class
