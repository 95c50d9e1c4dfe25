"""Correct predictions in every form that people write them: each gives the same stored numbers."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cohort.cohort import Cohort
from bench.errors import BenchError
from bench.submission.check_predictions import load_predictions
from bench.submission.manifest import Manifest
from bench.submission.packed import PackStamp, pack, read_stamp, unpack
from bench.workspace import Workspace
from tests.conftest import Cli
from tests.tiny import MANIFEST, TARGETS

ID = "cxr_filename"


def as_csv(frame: pd.DataFrame, **options: Any) -> bytes:
    return frame.to_csv(index=False, **options).encode()


def as_parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


def expected(frame: pd.DataFrame) -> dict[str, list[float]]:
    """Target → values in ascending order of the id, by plain Python."""
    rows = sorted(frame.to_dict("records"), key=lambda row: row[ID])
    return {target: [float(row[target]) for row in rows] for target in TARGETS}


def same(found: dict[str, np.ndarray], wanted: dict[str, list[float]]) -> bool:
    return {name: column.tolist() for name, column in found.items()} == wanted


FORMS: dict[str, Callable[[pd.DataFrame], bytes]] = {
    "CSV": as_csv,
    "rows in another order": lambda f: as_csv(f.sample(frac=1, random_state=3)),
    "columns in another order": lambda f: as_csv(f[[*TARGETS[::-1], ID]]),
    "more columns": lambda f: as_csv(f.assign(note="x, y", fold=3)),
    "ids as image_id": lambda f: as_csv(f.rename(columns={ID: "image_id"})),
    "gzip": lambda f: gzip.compress(as_csv(f)),
    "two gzip members": lambda f: gzip.compress(as_csv(f)[:700]) + gzip.compress(as_csv(f)[700:]),
    "byte order mark": lambda f: b"\xef\xbb\xbf" + as_csv(f),
    "CRLF": lambda f: as_csv(f, lineterminator="\r\n"),
    "everything quoted": lambda f: as_csv(f, quoting=csv.QUOTE_ALL),
    "ids quoted": lambda f: as_csv(f, quoting=csv.QUOTE_NONNUMERIC),
    "no line break at the end": lambda f: as_csv(f).rstrip(),
    "blanks around the numbers": lambda f: as_csv(f.assign(slvh=[f" {v} " for v in f.slvh])),
    "Parquet": as_parquet,
    "Parquet with an index": lambda f: as_parquet(f.sample(frac=1, random_state=1)),
    "Parquet with ids as categories": lambda f: as_parquet(f.astype({ID: "category"})),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_gives_the_same_numbers(
    form: Callable[[pd.DataFrame], bytes], good: pd.DataFrame, cohort: Cohort, tmp_path: Path
) -> None:
    path = tmp_path / "predictions.any"  # the form is told by the content, not by the name
    path.write_bytes(form(good))
    predictions = load_predictions(path, cohort)
    assert same(predictions.values, expected(good))
    assert not [r for r in predictions.notices if r.severity != "notice"]


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_parquet_floats_are_taken_as_they_are(
    kind: str, good: pd.DataFrame, cohort: Cohort, tmp_path: Path
) -> None:
    narrow = good.astype(dict.fromkeys(TARGETS, kind))
    (tmp_path / "p").write_bytes(as_parquet(narrow))
    assert same(load_predictions(tmp_path / "p", cohort).values, expected(narrow))


@pytest.mark.parametrize("kind", ["int8", "int64", "uint8"])
def test_whole_numbers_are_numbers_with_a_warning(
    kind: str, good: pd.DataFrame, cohort: Cohort, tmp_path: Path
) -> None:
    rounded = good.assign(slvh=(good.slvh > 0.5).to_numpy().astype(kind))
    (tmp_path / "p").write_bytes(as_parquet(rounded))
    predictions = load_predictions(tmp_path / "p", cohort)
    assert same(predictions.values, expected(rounded))
    notices = [r for r in predictions.notices if r.code == "predictions-few-distinct"]
    assert [r.message for r in notices] == ["Only 2 distinct values in 102 rows."]


def test_the_authors_file_is_read_by_its_prediction_columns_never_by_its_labels(
    good: pd.DataFrame, cohort: Cohort, tmp_path: Path
) -> None:
    authors = cohort.table.copy()  # 18 columns, all rows, the true labels under the names of the targets
    names = {"slvh": "slvh_preds", "dlv": "dlv_preds", "composite_slvh_dlv": "composite_preds"}
    for target, column in names.items():
        authors[column] = authors[ID].map(good.set_index(ID)[target]).fillna(0.25)
        authors[column.replace("preds", "labs")] = authors[target]
    assert len(authors.columns) == 24
    (tmp_path / "metadata_with_predictions_x_updated.csv").write_bytes(as_csv(authors))
    predictions = load_predictions(tmp_path / "metadata_with_predictions_x_updated.csv", cohort)
    assert same(predictions.values, expected(good))
    said = {r.code: r.message for r in predictions.notices}
    assert set(said) == {"predictions-ignored-columns", "predictions-dropped"}
    others = len(cohort) - len(good)
    assert said["predictions-dropped"] == f"{others} rows of other parts of the split are dropped."


def test_a_label_column_beside_one_alias_is_not_read(
    good: pd.DataFrame, cohort: Cohort, tmp_path: Path
) -> None:
    mixed = good.rename(columns={"composite_slvh_dlv": "composite_preds"})
    (tmp_path / "p.csv").write_bytes(as_csv(mixed))
    assert set(load_predictions(tmp_path / "p.csv", cohort).values) == {"composite_slvh_dlv"}


def test_the_headline_alone_is_enough(good: pd.DataFrame, cohort: Cohort, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_bytes(as_csv(good[[ID, "composite_slvh_dlv"]]))
    assert set(load_predictions(tmp_path / "p.csv", cohort).values) == {"composite_slvh_dlv"}


def test_measurements_are_read_and_millimetres_are_reported(
    good: pd.DataFrame, cohort: Cohort, tmp_path: Path
) -> None:
    (tmp_path / "p.csv").write_bytes(as_csv(good.assign(lvidd=48.0, ivsd=1.1)))
    predictions = load_predictions(tmp_path / "p.csv", cohort)
    assert set(predictions.values) == {*TARGETS, "lvidd", "ivsd"}
    (notice,) = [r for r in predictions.notices if r.severity == "warning"]
    assert (notice.code, notice.where.endswith("lvidd")) == ("predictions-unit", True)
    assert notice.message == "102 of 102 values lie outside 1.5 to 10 cm, median 48."


def test_uncalibrated_scores_may_be_any_finite_number(
    good: pd.DataFrame, cohort: Cohort, tmp_path: Path
) -> None:
    logits = good.assign(**{t: 100 * good[t] - 50 for t in TARGETS})
    (tmp_path / "p.csv").write_bytes(as_csv(logits))
    with pytest.raises(BenchError, match="predictions-out-of-range"):
        load_predictions(tmp_path / "p.csv", cohort)
    assert same(load_predictions(tmp_path / "p.csv", cohort, scores="uncalibrated").values, expected(logits))
    (tmp_path / "p.csv").write_bytes(as_csv(logits.replace({"slvh": {logits.slvh[0]: np.inf}})))
    with pytest.raises(BenchError, match="predictions-infinite"):
        load_predictions(tmp_path / "p.csv", cohort, scores="uncalibrated")


def test_out_of_fold_predictions_cover_every_image(
    good: pd.DataFrame, cohort: Cohort, tmp_path: Path
) -> None:
    (tmp_path / "p.csv").write_bytes(as_csv(good))
    with pytest.raises(BenchError, match=f"{len(cohort) - 102} of {len(cohort)} images have no row"):
        load_predictions(tmp_path / "p.csv", cohort, covered="cv5")
    whole = pd.DataFrame({ID: cohort.images, "composite_slvh_dlv": np.linspace(0, 1, len(cohort))})
    (tmp_path / "p.csv").write_bytes(as_csv(whole[::-1]))
    values = load_predictions(tmp_path / "p.csv", cohort, covered="cv5").values["composite_slvh_dlv"]
    assert values.tolist() == np.linspace(0, 1, len(cohort)).tolist()


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (lambda f: f.assign(slvh=0.3), "predictions-constant", "All 102 values are 0.3."),
        (lambda f: f.assign(slvh=[0.3] * 101 + [0.4]), "predictions-constant", "101 of 102 values are 0.3."),
        (lambda f: f.assign(slvh=1 - f.slvh), "predictions-inverted", "below 0.5"),
        (lambda f: f.assign(slvh=f.slvh.round(1) // 0.25 / 4), "predictions-few-distinct", "distinct values"),
    ],
    ids=["constant", "near-constant", "inverted", "coarse"],
)
def test_doubtful_columns_are_warned_about_and_accepted(
    change: Callable[[pd.DataFrame], pd.DataFrame],
    code: str,
    says: str,
    good: pd.DataFrame,
    cohort: Cohort,
    tmp_path: Path,
) -> None:
    (tmp_path / "p.csv").write_bytes(as_csv(change(good)))
    (notice,) = [r for r in load_predictions(tmp_path / "p.csv", cohort).notices if r.code == code]
    assert says in notice.message
    assert notice.severity == "warning"
    assert notice.where.endswith("target slvh")


def test_labels_of_a_rare_target_are_labels_and_not_a_constant(
    good: pd.DataFrame, cohort: Cohort, tmp_path: Path
) -> None:
    rows = cohort.rows("test")
    rare = np.zeros(len(cohort))
    rare[rows[0]] = 1
    (tmp_path / "p.csv").write_bytes(as_csv(good.assign(slvh=rare[rows])))
    of_rare = replace(cohort, targets={**cohort.targets, "slvh": rare})
    with pytest.raises(BenchError, match="predictions-are-labels: All 102 values"):
        load_predictions(tmp_path / "p.csv", of_rare)


def test_all_faults_of_a_file_are_told_at_once(good: pd.DataFrame, cohort: Cohort, tmp_path: Path) -> None:
    bad = good.astype(dict.fromkeys(TARGETS, object))
    bad.loc[0, "slvh"], bad.loc[1, "slvh"], bad.loc[2, "slvh"] = "x", "inf", 7
    bad.loc[3, "dlv"] = ""
    bad = pd.concat([bad.iloc[:-1], bad.iloc[:1], pd.DataFrame({ID: ["q.jpg"]})])
    (tmp_path / "p.csv").write_bytes(as_csv(bad))
    with pytest.raises(BenchError) as caught:
        load_predictions(tmp_path / "p.csv", cohort)
    assert [p.code for p in caught.value.problems] == [
        "predictions-unknown-id",
        "predictions-duplicate-id",
        "predictions-missing-id",
        "predictions-not-a-number",
        "predictions-infinite",
        "predictions-out-of-range",
        "predictions-nan",
    ]


@pytest.mark.parametrize(
    ("form", "advice"),
    [
        (lambda s: "./cxrs/" + s, "Remove the folders from the ids."),
        (lambda s: "C:\\data\\" + s, "Remove the folders from the ids."),
        (lambda s: f" {s} ", "Remove the blanks around the ids."),
        (lambda s: s.removesuffix(".jpg"), "Add the file ending .jpg to the ids."),
    ],
)
def test_ids_in_another_form_get_the_advice_that_mends_them(
    form: Callable[[str], str], advice: str, good: pd.DataFrame, cohort: Cohort, tmp_path: Path
) -> None:
    (tmp_path / "p.csv").write_bytes(as_csv(good.assign(**{ID: good[ID].map(form)})))
    with pytest.raises(BenchError) as caught:
        load_predictions(tmp_path / "p.csv", cohort)
    assert caught.value.problems[0].remedy == advice


def test_line_numbers_are_those_of_the_file(good: pd.DataFrame, cohort: Cohort, tmp_path: Path) -> None:
    bad = good.astype({"slvh": object})
    bad.loc[[4, 40], "slvh"] = "here"
    (tmp_path / "p.csv").write_bytes(as_csv(bad))
    lines = (tmp_path / "p.csv").read_text().splitlines()
    wanted = [str(n) for n, line in enumerate(lines, 1) if "here" in line]
    with pytest.raises(BenchError, match=f"first at line {', '.join(wanted)}"):
        load_predictions(tmp_path / "p.csv", cohort)


# Packing


def stamp(of: Cohort, /, **changes: str) -> PackStamp:
    said = {
        "cohort": "chexchonet",
        "version": "1.0.0",
        "fingerprint": of.split.fingerprint,
        "track": "holdout",
        "source_sha256": "a" * 64,
    }
    return PackStamp.model_validate(said | changes)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_packing_keeps_every_bit(
    cohort: Cohort, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    finite = st.floats(allow_nan=False, allow_infinity=False)
    some = data.draw(st.lists(finite, min_size=1, max_size=8))
    column = np.resize(np.array(some, np.float64), 102)
    path = tmp_path_factory.getbasetemp() / "packed.parquet"
    path.write_bytes(pack({"slvh": column, "composite_slvh_dlv": -column}, stamp(cohort)))
    unpacked = unpack(path, cohort, "holdout")
    assert list(unpacked) == ["composite_slvh_dlv", "slvh"]
    assert unpacked["slvh"].tobytes() == column.tobytes()
    assert unpacked["composite_slvh_dlv"].tobytes() == (-column).tobytes()
    assert read_stamp(path) == stamp(cohort)


def test_equal_predictions_give_equal_bytes(cohort: Cohort, good: pd.DataFrame) -> None:
    values = {t: good[t].to_numpy() for t in TARGETS}
    assert pack(values, stamp(cohort)) == pack(dict(reversed(values.items())), stamp(cohort))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (lambda c: pack({"slvh": np.zeros(102)}, stamp(c, fingerprint="0" * 64)), "stored-split"),
        (lambda c: pack({"slvh": np.zeros(102)}, stamp(c, cohort="demo")), "stored-split"),
        (lambda c: pack({"slvh": np.zeros(101)}, stamp(c)), "stored-predictions: 101 rows, 102 expected"),
        (lambda c: pack({"slvh": np.full(102, np.nan)}, stamp(c)), "stored-predictions: Some values"),
        (lambda c: pack({"slvh": np.zeros(102)}, stamp(c))[:-50], "stored-predictions"),
        (lambda c: as_parquet(pd.DataFrame({"slvh": np.zeros(102)})), "stored-predictions"),
        (lambda c: b"", "stored-predictions"),
    ],
    ids=["other split", "other cohort", "too few rows", "NaN", "truncated", "not ours", "empty"],
)
def test_stored_predictions_that_do_not_fit_are_refused(
    content: Callable[[Cohort], bytes], code: str, cohort: Cohort, tmp_path: Path
) -> None:
    path = tmp_path / "predictions.parquet"
    path.write_bytes(content(cohort))
    with pytest.raises(BenchError, match=code):
        unpack(path, cohort, "holdout")


# Through the command line


def test_nothing_that_is_stored_names_a_patient_or_an_image(
    space: Workspace, cohort: Cohort, good: pd.DataFrame, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "submission.toml").write_text(MANIFEST)
    (tmp_path / "p.csv").write_bytes(as_csv(good))
    assert cli("submit", tmp_path / "p.csv", "--slug", "a-model").exit_code == 0
    assert cli("submit", tmp_path / "p.csv", "--slug", "duplicate").exit_code == 0
    assert cli("score", "--all", "--replicates", "200", "--jobs", "1").exit_code == 0
    stored = [path for path in space.root.rglob("*") if path.is_file()]
    kinds = {"submission.toml", "predictions.parquet", "scorecard.json", "board.json"}
    assert kinds <= {path.name for path in stored}
    names = [*cohort.images, *set(cohort.patients), *(i.removesuffix(".jpg")[-8:] for i in cohort.images)]
    for path in stored:
        content = path.read_bytes()
        assert not [name for name in names if str(name).encode() in content], path.name


def test_the_board_and_the_numbers_are_those_of_the_file(
    space: Workspace, cohort: Cohort, good: pd.DataFrame, cli: Cli, tmp_path: Path
) -> None:
    from sklearn.metrics import roc_auc_score

    (tmp_path / "submission.toml").write_text(MANIFEST)
    (tmp_path / "p.csv").write_bytes(as_csv(good.sample(frac=1, random_state=2)))
    (tmp_path / "q.csv").write_bytes(as_csv(good.assign(**{t: 1 - good[t] for t in TARGETS})))
    for slug, name in (("better", "p.csv"), ("worse", "q.csv")):
        assert cli("submit", tmp_path / name, "--slug", slug).exit_code == 0
    scored = cli("score", "--all", "--replicates", "200", "--jobs", "1", "--json").object["result"]
    labels = cohort.table.set_index(ID).loc[good[ID]]
    for card in scored["scorecards"]:
        for target in card["targets"]:
            y, p = labels[target["target"]].astype(int), good[target["target"]]
            area = roc_auc_score(y, p if card["slug"] == "better" else 1 - p)
            assert target["metrics"]["auroc"]["value"] == pytest.approx(area, abs=1e-9)
    shown = csv.DictReader(cli("board", "--target", "dlv", "--csv").stdout.splitlines())
    assert [row["slug"] for row in shown] == ["better", "worse"]
    assert cli("board", "--target", "ivsd", "--json").codes == ["target-unknown"]
    compared = cli("compare", "better", "worse", "--replicates", "200", "--json").object["result"]
    areas = [m for c in compared["comparisons"] for m in c["metrics"] if m["metric"] == "auroc"]
    assert len(areas) == len(compared["comparisons"]) > 0
    assert all(area["difference"] > 0 for area in areas)
    assert cli("verify", "--jobs", "1", "--json").object["result"]["differing"] == 0


def test_without_a_manifest_the_entry_is_stored_with_a_warning(
    space: Workspace, good: pd.DataFrame, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "p.csv").write_bytes(as_csv(good))
    ran = cli("submit", tmp_path / "p.csv", "--slug", "bare", "--json")
    assert (ran.exit_code, ran.codes) == (0, ["manifest-absent"])
    assert ran.object["result"]["stored"] is True


def test_equal_predictions_are_reported(
    space: Workspace, good: pd.DataFrame, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "submission.toml").write_text(MANIFEST)
    (tmp_path / "p.csv").write_bytes(as_csv(good))
    (tmp_path / "q.csv").write_bytes(as_csv(good.assign(dlv=good.dlv / 2)))
    assert cli("submit", tmp_path / "p.csv", "--slug", "first", "--json").codes == []
    ran = cli("submit", tmp_path / "q.csv", "--slug", "second", "--json")
    (problem,) = ran.object["problems"]
    assert problem["code"] == "predictions-equal-entry"
    assert "composite_slvh_dlv, slvh equal those of the stored entry 'first'" in problem["message"]


def test_a_dry_run_only_checks(space: Workspace, good: pd.DataFrame, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "submission.toml").write_text(MANIFEST)
    (tmp_path / "p.csv").write_bytes(as_csv(good))
    before = sorted(space.root.rglob("*"))
    ran = cli("submit", tmp_path / "p.csv", "--dry-run", "--json")
    assert (ran.exit_code, ran.object["result"]["stored"]) == (0, False)
    assert sorted(space.root.rglob("*")) == before


def test_the_template_is_accepted_once_it_is_filled(
    space: Workspace, good: pd.DataFrame, cohort: Cohort, cli: Cli, tmp_path: Path
) -> None:
    assert cli("template", "--out", tmp_path / "t").exit_code == 0
    empty = cli("submit", tmp_path / "t" / "predictions.csv", "--slug", "a", "--json")
    assert (empty.exit_code, set(empty.codes)) == (1, {"predictions-nan"})
    frame = pd.read_csv(tmp_path / "t" / "predictions.csv")
    assert frame[ID].tolist() == cohort.images[cohort.rows("test")].tolist()
    frame[list(TARGETS)] = good.set_index(ID).loc[frame[ID], list(TARGETS)].to_numpy()
    frame.to_csv(tmp_path / "t" / "predictions.csv", index=False)
    ran = cli("submit", tmp_path / "t" / "predictions.csv", "--slug", "a", "--json")
    assert (ran.exit_code, ran.codes) == (0, ["manifest-placeholder"])
    again = cli("template", "--out", tmp_path / "t", "--json")
    assert (again.exit_code, again.codes) == (1, ["file-exists"])
    whole = tmp_path / "t" / "submission.toml"
    text = whole.read_bytes()
    whole.unlink()
    assert cli("template", "--out", tmp_path / "t", "--json").codes == ["file-exists"], (
        "values were filled in"
    )
    (tmp_path / "t" / "predictions.csv").unlink()
    whole.write_bytes(text)
    assert cli("template", "--out", tmp_path / "t").exit_code == 0, "what a run that died left is finished"
    assert cli("template", "--out", tmp_path / "all", "--images", "all").exit_code == 0
    assert len(pd.read_csv(tmp_path / "all" / "predictions.csv")) == len(cohort)


def test_a_manifest_survives_the_store(
    space: Workspace, good: pd.DataFrame, cli: Cli, tmp_path: Path
) -> None:
    from bench.submission.store import find_submission, read_manifest

    (tmp_path / "m.toml").write_text(
        MANIFEST.replace("A model", 'Modell \\"ß\\" <b>\\u00e9')
        + 'parameters = 7\nlicence = "MIT"\ndescription = """two\nlines"""\n[links]\ncode = "https://example.org/"\n'
    )
    (tmp_path / "p.csv").write_bytes(as_csv(good))
    assert cli("submit", tmp_path / "p.csv", "--slug", "m", "--manifest", tmp_path / "m.toml").exit_code == 0
    stored = find_submission(space.submissions("chexchonet"), "m").manifest
    assert isinstance(stored, Manifest)
    assert stored == read_manifest(tmp_path / "m.toml")
    assert stored.name == 'Modell "ß" <b>é'
