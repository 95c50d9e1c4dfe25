"""EchoNext's table and predictions files as its users write them; a cohort without images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from bench.cohort.load import load_cohort
from bench.cohort.spec import load_spec
from bench.workspace import create_workspace
from tests.conftest import Cli

FLAGS = (
    "lvef_lte_45_flag",
    "lvwt_gte_13_flag",
    "aortic_stenosis_moderate_or_greater_flag",
    "aortic_regurgitation_moderate_or_greater_flag",
    "mitral_regurgitation_moderate_or_greater_flag",
    "tricuspid_regurgitation_moderate_or_greater_flag",
    "pulmonary_regurgitation_moderate_or_greater_flag",
    "rv_systolic_dysfunction_moderate_or_greater_flag",
    "pericardial_effusion_moderate_large_flag",
    "pasp_gte_45_flag",
    "tr_max_gte_32_flag",
    "shd_moderate_or_greater_flag",
)
PARTS = ("train", "train", "val", "test", "test", "no_split")


def made_table(patients: int = 600) -> pd.DataFrame:
    """A table in EchoNext's layout: one to three electrocardiograms of each patient, a part for each."""
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(patients), rng.integers(1, 4, patients))
    n = len(patient)
    risk = rng.normal(size=patients)[patient]
    flags = {flag: (risk + rng.normal(size=n) > 1.2).astype(int) for flag in FLAGS[:-1]}
    return pd.DataFrame(
        {
            "ecg_key": [f"e{k:05}" for k in rng.permutation(n)],
            "patient_key": [f"p{k:05}" for k in patient],
            "age_at_ecg": rng.integers(18, 91, n),
            "sex": rng.choice(["female", "male"], n),
            "acquisition_year": 2015,
            "location_setting": rng.choice(["inpatient", "outpatient", "emergency", "procedural"], n),
            "race_ethnicity": rng.choice(["white", "black", "hispanic", "asian", "other", "unknown"], n),
            "most_recent_ecg": (np.diff(patient, append=-1) != 0).astype(int),
            "split": np.resize(PARTS, patients)[patient],
            **flags,
            FLAGS[-1]: np.maximum.reduce(list(flags.values())),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("echonext")
    made_table().to_csv(made / "echonext_metadata_100k.csv", index=False)
    return made


def test_the_published_split_is_read_and_rows_of_no_part_are_left_out(folder: Path) -> None:
    table = made_table()
    cohort = load_cohort(load_spec("echonext"), folder)
    counts = {part: len(cohort.rows(part)) for part in ("train", "val", "test")}
    assert counts == {part: int((table["split"] == part).sum()) for part in counts}
    (notice,) = cohort.notices
    assert notice.message.startswith(f"{(table['split'] == 'no_split').sum()} of {len(table):,} rows are not")
    assert {t.source for t in cohort.spec.binary_targets} == set(FLAGS)
    assert not cohort.spec.files.images


@pytest.mark.parametrize("named", ["flags", "targets"])
def test_a_predictions_file_is_scored_without_images(
    named: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(create_workspace(tmp_path / "board").root)
    table = made_table()
    spec = load_spec("echonext")
    names = {t.source: t.source if named == "flags" else t.name for t in spec.binary_targets}
    rng = np.random.default_rng(1)
    test = table[table["split"] == "test"]
    predicted = {names[flag]: 0.2 * test[flag] + 0.8 * rng.random(len(test)) for flag in FLAGS}
    frame = pd.DataFrame({"ecg_key": test["ecg_key"], **predicted})
    frame.to_csv(tmp_path / "p.csv", index=False)
    words = ("--cohort", "echonext", "--data", folder)
    ran = cli("submit", tmp_path / "p.csv", "--slug", "ecg", *words)
    assert ran.exit_code == 0, ran.stderr
    ran = cli("score", "ecg", "--replicates", "100", "--jobs", "1", *words, "--json")
    assert ran.exit_code == 0, ran.stderr
    (card,) = ran.object["result"]["scorecards"]
    areas = {t["target"]: t["metrics"]["auroc"]["value"] for t in card["targets"]}
    assert len(areas) == 12
    for target in spec.binary_targets:
        area = roc_auc_score(test[target.source], frame[names[str(target.source)]])
        assert areas[target.name] == pytest.approx(area, abs=1e-9)
