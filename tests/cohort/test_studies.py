"""Evaluation by study: what a study is, how its views are combined, and predictions by image or by study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from bench.cohort.cohort import Cohort
from bench.cohort.load import load_cohort
from bench.cohort.spec import CohortSpec
from bench.cohort.studies import combine_views, unit_cohort
from bench.errors import BenchError
from bench.scoring.plan import make_plan
from bench.scoring.score import score
from bench.submission.check_predictions import load_predictions
from tests.cohort.test_load import SMALL

STUDY = {"column": "image", "pattern": r"p\d+/s\d+", "views": "maximum"}
VIEW = {"name": "view", "label": "View", "column": "view", "values": {"PA": "PA", "AP": "AP"}}


def cohort_of(folder: Path, table: pd.DataFrame, **changes: Any) -> Cohort:
    folder.mkdir(exist_ok=True)
    table.to_csv(folder / "t.csv", index=False)
    spec = SMALL | {"study": STUDY, "subgroups": [VIEW]} | changes
    return load_cohort(CohortSpec.model_validate(spec), folder)


def made_table(studies: int = 120, seed: int = 0) -> pd.DataFrame:
    """Studies of one to three views, two studies for every second patient."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(studies):
        label = int(rng.random() < 0.4)
        for view in range(int(rng.integers(1, 4))):
            name = f"p{k * 2 // 3:03}/s{k}/v{view}"
            rows.append((name, f"p{k * 2 // 3:03}", label, rng.choice(["PA", "AP"])))
    table = pd.DataFrame(rows, columns=["image", "patient", "y", "view"])
    return table.sample(frac=1, random_state=seed)


def slow_units(table: pd.DataFrame, predicted: pd.Series, how: str) -> pd.DataFrame:
    """One row for each study by pandas: label, patient and combined prediction, by ascending study id."""
    study = table["image"].str.rsplit("/", n=1).str[0]
    frame = table.assign(study=study, predicted=predicted).groupby("study")
    return frame.agg(
        y=("y", "first"), patient=("patient", "first"), predicted=("predicted", how)
    ).sort_index()


@pytest.mark.parametrize(("views", "how"), [("mean", "mean"), ("maximum", "max")])
def test_studies_are_scored_as_pandas_and_scikit_learn_score_them(
    views: str, how: str, tmp_path: Path
) -> None:
    table = made_table()
    rng = np.random.default_rng(1)
    predicted = table["y"] * 0.1 + rng.random(len(table)) * 0.9
    cohort = cohort_of(tmp_path, table, study=STUDY | {"views": views})
    by_image = predicted.to_numpy()[np.argsort(table["image"].to_numpy())]
    wanted = slow_units(table, predicted, how)
    units = unit_cohort(cohort)
    assert units.images.tolist() == wanted.index.tolist()
    assert units.patients.tolist() == wanted["patient"].tolist()
    assert units.targets["y"].tolist() == wanted["y"].tolist()
    values = combine_views(cohort, cohort.rows("test"), {"y": by_image})
    np.testing.assert_allclose(values["y"], wanted["predicted"])
    plan = make_plan(cohort, replicates=50)
    assert (plan.images, plan.stamp.study_views) == (120, views)
    card = score(plan, "s", values, scores="probability", predictions_sha256="").scorecard
    area = roc_auc_score(wanted["y"], wanted["predicted"])
    assert card.targets[0].metrics["auroc"].value == pytest.approx(area, abs=1e-12)
    assert (card.targets[0].images, card.targets[0].patients) == (120, 80)


def test_a_study_is_in_a_subgroup_if_all_its_views_are(tmp_path: Path) -> None:
    views = {"a": ["PA", "PA"], "b": ["PA", "AP"], "c": ["AP"], "d": ["PA", ""]}
    rows = [(f"p{k}/s0/v{v}", k, k % 2, view) for k, s in enumerate(views) for v, view in enumerate(views[s])]
    cohort = cohort_of(tmp_path, pd.DataFrame(rows, columns=["image", "patient", "y", "view"]))
    assert unit_cohort(cohort).subgroups[0].codes.tolist() == [0, -1, 1, -1]


def test_predictions_by_study_and_by_image_give_the_same(tmp_path: Path) -> None:
    table = made_table()
    cohort = cohort_of(tmp_path, table)
    rng = np.random.default_rng(2)
    predicted = pd.Series(rng.random(len(table)).round(6), index=table.index)
    by_study = slow_units(table, predicted, "max")
    files = {
        "image": pd.DataFrame({"image": table["image"], "y": predicted}),
        "study": pd.DataFrame({"Study": "release/" + by_study.index, "y": by_study["predicted"].to_numpy()}),
    }
    found = []
    for name, frame in files.items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
        read = load_predictions(tmp_path / f"{name}.csv", cohort).values
        assert len(read["y"]) == len(table)
        found.append(combine_views(cohort, cohort.rows("test"), read)["y"])
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_allclose(found[0], by_study["predicted"])


FAULTS = {
    "missing": (lambda f: f.iloc[3:], "predictions-missing-id: 3 of 120 studies have no row"),
    "twice": (lambda f: pd.concat([f, f[:2]]), r"duplicate-id: 2 studies have more than one row \(4 rows\)"),
    "unknown": (
        lambda f: f.replace("p000/s0", "p999/s0"),
        "unknown-id: 1 of 120 ids are not in cohort small",
    ),
}


@pytest.mark.parametrize(("change", "says"), FAULTS.values(), ids=FAULTS)
def test_faults_of_a_file_by_study_are_counted_in_studies(change: Any, says: str, tmp_path: Path) -> None:
    table = made_table()
    cohort = cohort_of(tmp_path, table)
    ids = sorted(set(table["image"].str.rsplit("/", n=1).str[0]))
    frame = pd.DataFrame({"study_id": ids, "y": np.linspace(0, 1, len(ids))})
    change(frame).to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(BenchError, match=says):
        load_predictions(tmp_path / "p.csv", cohort)


def test_studies_that_are_no_unit_are_refused_with_counts(tmp_path: Path) -> None:
    table = made_table().sort_values("image", ignore_index=True)
    several = table["image"].str.rsplit("/", n=1).str[0].duplicated(keep=False)
    first, second = np.flatnonzero(several)[:2]
    changed = table.copy()
    changed.loc[first, "y"] = 1 - changed.loc[second, "y"]
    with pytest.raises(
        BenchError, match="cohort-study-labels: The views of 1 of 120 studies differ in their y"
    ):
        cohort_of(tmp_path, changed)
    blank = table.copy().astype({"y": object})
    blank.loc[first, "y"] = ""
    with pytest.raises(BenchError, match="cohort-study-labels: The views of 1 of 120"):
        cohort_of(tmp_path, blank, targets=[SMALL["targets"][0] | {"blank": "exclude"}])
    changed = table.copy()
    changed.loc[first, "patient"] = "another"
    with pytest.raises(BenchError, match="cohort-study: 1 of 120 studies have images of several patients"):
        cohort_of(tmp_path, changed)
    with pytest.raises(BenchError, match=r"cohort-patient-pattern: .* do not match the study pattern"):
        cohort_of(tmp_path, table, study=STUDY | {"pattern": r"x\d+"})
