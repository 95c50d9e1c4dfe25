"""Real X-rays with several of a patient, and a real table that is larger than CheXchoNet's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from bench.cohort.load import load_cohort
from bench.cohort.spec import load_spec
from bench.cohort.split import straddling_patients
from bench.errors import BenchError
from bench.submission.packed import unpack
from bench.workspace import Workspace
from tests.conftest import Cli

pytestmark = pytest.mark.real
SPEC = Path(__file__).parent / "nih-1000.toml"
TABLE = "Data_Entry_2017_v2020.csv.gz"


def test_the_audit_finds_the_eight_patients_of_the_published_split_and_none_in_ours(
    real: Path, board: Workspace, cli: Cli
) -> None:
    ran = cli("cohort", "check", "--cohort", SPEC, "--data", real / "nih-1000", "--jobs", "1", "--json")
    assert ran.exit_code == 0, ran.stderr
    said = {p["code"]: p["message"] for p in ran.object["problems"]}
    table = pd.read_csv(real / "nih-1000" / "metadata.csv")
    sides = [set(table.loc[table["third_party_folder"] == part, "Patient ID"]) for part in ("train", "test")]
    assert len(sides[0] & sides[1]) == 8
    assert "has 8 patients both in train and in test" in said["published-split-straddles"]
    assert "patients-straddle" not in said
    result = ran.object["result"]
    assert (result["images_read"], result["split"]["patients"]) == (1000, 264)
    positives = sum(t["positives"] for p in result["split"]["parts"] for t in p["targets"][:1])
    assert positives == table["Finding Labels"].str.split("|").map(lambda f: "Cardiomegaly" in f).sum() == 83


def test_quick_baselines_without_torch_run_on_real_data(real: Path, board: Workspace, cli: Cli) -> None:
    words = ("--cohort", SPEC, "--data", real / "nih-1000")
    ran = cli("baseline", "run", "prevalence", "demographics", "--quick", *words)
    assert ran.exit_code == 0, ran.stderr
    scored = cli("score", "--all", "--replicates", "200", "--jobs", "1", *words, "--json").object["result"]
    cards = {card["slug"]: card["targets"][0]["metrics"] for card in scored["scorecards"]}
    assert cards["prevalence"]["auroc"]["value"] == 0.5
    assert 0.3 < cards["demographics"]["auroc"]["value"] < 0.95


@pytest.mark.full_size
def test_a_network_trains_on_real_images_and_is_timed(real: Path, board: Workspace, cli: Cli) -> None:
    words = ("--cohort", SPEC, "--data", real / "nih-1000")
    ran = cli("baseline", "run", "cnn-small", "--quick", *words)
    assert ran.exit_code == 0, ran.stderr
    assert cli("score", "cnn-small", "--replicates", "200", "--jobs", "1", *words).exit_code == 0
    timed = cli("time", "cnn-small", "--quick", "--batch", "1", *words, "--json")
    assert timed.exit_code == 0, timed.stderr
    (record,) = timed.object["result"]["timings"]
    (row,) = record["record"]["batches"]
    assert row["parity"]["status"] == "passed"


def test_the_whole_table_loads_and_splits_by_patient(real: Path) -> None:
    cohort = load_cohort(load_spec("chestxray14"), real / "nih-chestxray14")
    assert (len(cohort), len(set(cohort.patients))) == (112_120, 30_805)
    table = pd.read_csv(real / "nih-chestxray14" / TABLE, dtype=str).set_index("Image Index")
    for target, word in (("cardiomegaly", "Cardiomegaly"), ("pleural_thickening", "Pleural_Thickening")):
        findings = table.loc[cohort.images.tolist(), "Finding Labels"].str.split("|")
        assert cohort.targets[target].tolist() == [float(word in found) for found in findings]
    assert straddling_patients(cohort.patients, cohort.split.parts, "train", "test") == 0
    shares = {part: len(cohort.rows(part)) / len(cohort) for part in ("test", "val", "train")}
    assert shares["test"] == pytest.approx(0.2, abs=0.015)
    assert shares["val"] == pytest.approx(0.1, abs=0.015)
    first = cohort.first_images
    assert first.sum() == 30_805
    follow_up = table.loc[cohort.images.tolist(), "Follow-up #"].astype(int).to_numpy()
    earliest = pd.Series(follow_up).groupby(cohort.patients).transform("min").to_numpy()
    assert np.array_equal(follow_up[first], earliest[first])


def test_the_official_lists_are_the_split_where_they_lie_beside_the_table(real: Path, tmp_path: Path) -> None:
    (tmp_path / TABLE).symlink_to(real / "nih-chestxray14" / TABLE)
    table = pd.read_csv(tmp_path / TABLE, dtype=str)
    patients = set(table["Patient ID"].unique()[::5])
    in_test = table["Patient ID"].isin(patients)
    listed, others = table.loc[in_test, "Image Index"], table.loc[~in_test, "Image Index"]
    (tmp_path / "test_list.txt").write_text("\n".join(listed) + "\n")
    (tmp_path / "train_val_list.txt").write_text("\n".join(others))
    cohort = load_cohort(load_spec("chestxray14"), tmp_path)
    assert set(cohort.images[cohort.rows("test")]) == set(listed)
    assert len(cohort.rows("val")) / len(cohort) == pytest.approx(0.1, abs=0.02)
    for a, b in (("train", "test"), ("val", "test"), ("train", "val")):
        assert straddling_patients(cohort.patients, cohort.split.parts, a, b) == 0
    assert (
        cohort.split.fingerprint
        != load_cohort(load_spec("chestxray14"), real / "nih-chestxray14").split.fingerprint
    )
    (tmp_path / "train_val_list.txt").write_text("\n".join([*others[7:], *listed[:3], "00099999_000.png"]))
    with pytest.raises(BenchError) as caught:
        load_cohort(load_spec("chestxray14"), tmp_path)
    assert [p.message for p in caught.value.problems] == [
        f"1 of {len(others) - 3:,} listed train or val images are not in the table.",
        "3 of 112,120 images are in two lists.",
        "7 of 112,120 images are in no list.",
    ]


@pytest.mark.full_size
def test_age_and_sex_are_scored_on_the_whole_table_without_images(
    real: Path, board: Workspace, cli: Cli
) -> None:
    words = ("--cohort", "chestxray14", "--data", real / "nih-chestxray14")
    ran = cli("baseline", "run", "demographics", "--quick", *words)
    assert ran.exit_code == 0, ran.stderr
    ran = cli("score", "demographics", "--replicates", "200", "--jobs", "1", *words, "--json")
    assert ran.exit_code == 0, ran.stderr
    (card,) = ran.object["result"]["scorecards"]
    (shown,) = [t for t in card["targets"] if t["target"] == "cardiomegaly"]
    cohort = load_cohort(load_spec("chestxray14"), real / "nih-chestxray14")
    stored = unpack(
        board.submission("chestxray14", "demographics") / "predictions.parquet", cohort, "holdout"
    )
    area = roc_auc_score(cohort.targets["cardiomegaly"][cohort.rows("test")], stored["cardiomegaly"])
    assert shown["metrics"]["auroc"]["value"] == pytest.approx(area, abs=1e-12)
    assert 0.5 < area < 0.7
