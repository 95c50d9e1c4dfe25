"""Privacy: stored, shown, logged or published files name no patient and no image, and tell no small group."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from bench.cohort.cohort import Cohort
from bench.cohort.load import load_cohort
from bench.cohort.spec import load_spec
from bench.scoring.plan import FEWEST_PATIENTS
from bench.workspace import DATA_VARIABLE, Workspace, create_workspace
from tests.conftest import Cli
from tests.runtime.models import MODEL, hungry_model, linear_model
from tests.tiny import MANIFEST, cohort_table, predictions, write_cohort

QUICK = ("--replicates", "100", "--jobs", "1")


def names_of(cohort: Cohort) -> list[bytes]:
    """Ids of patients and images, also without their ending, and the folder that the cohort lies in."""
    stems = [Path(image).stem for image in cohort.images]
    ends = [stem[-8:] for stem in stems]
    return [str(name).encode() for name in {*cohort.images, *stems, *ends, *cohort.patients, cohort.folder}]


def leaked(data: bytes, names: list[bytes]) -> list[bytes]:
    return [name for name in names if name in data]


def unpacked(path: Path) -> bytes:
    """A file's bytes, and of Parquet its values and metadata too, which compression could hide."""
    data = path.read_bytes()
    if path.suffix == ".parquet":
        table = pyarrow.parquet.read_table(path)
        data += repr(table.to_pydict()).encode() + repr(table.schema.metadata).encode()
        assert all(str(kind) == "double" for kind in table.schema.types)
    return data


def damage(good: pd.DataFrame, folder: Path) -> list[Path]:
    """Faulty predictions files, each of which a message could quote an id or a path from."""
    key = good.columns[0]
    faulty = {
        "twice": pd.concat([good, good.head(3)]),
        "missing": good.iloc[5:],
        "unknown": good.assign(**{key: good[key].str.upper()}),
        "text": good.assign(slvh=good[key]),
        "headless": good.set_axis(good.iloc[0].astype(str), axis=1).iloc[1:],
        "turned": good.set_index(key).T.reset_index(),
        "outside": good.assign(slvh=good.slvh + 1),
    }
    for name, frame in faulty.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    return [folder / f"{name}.csv" for name in faulty]


def test_no_id_and_no_path_leaves_the_workspace_or_is_said(
    space: Workspace, cohort: Cohort, good: pd.DataFrame, cli: Cli, tmp_path: Path, short_timing: None
) -> None:
    names = names_of(cohort)
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    (inputs / "submission.toml").write_text(MANIFEST + MODEL)
    good.to_csv(inputs / "good.csv", index=False)
    (inputs / "m.onnx").write_bytes(linear_model().SerializeToString())
    (inputs / "hungry.onnx").write_bytes(hungry_model(50).SerializeToString())
    said = [cli("submit", path, "--slug", "bad", "--json") for path in damage(good, inputs)]
    assert all(ran.exit_code == 1 for ran in said)
    said += [
        cli("submit", "--model", inputs / "hungry.onnx", "--slug", "bad"),
        cli("submit", inputs / "good.csv", "--slug", "good"),
        cli("submit", "--model", inputs / "m.onnx", "--slug", "model"),
        cli("score", "--all", *QUICK),
        cli("score", "--all", "--json", *QUICK),
        cli("time", "model", "--quick", "--batch", "1"),
        cli("cohort", "check"),
        cli("cohort", "split", "--lock"),
        cli("board"),
        cli("verify", "--jobs", "1"),
        cli("site", "build"),
        cli("doctor"),
    ]
    spoken = [(ran.stdout + ran.stderr).encode() for ran in said]
    folder = str(cohort.folder).encode()  # a command may say to its own user where the data lie
    for text in spoken:
        assert leaked(text, [name for name in names if name != folder]) == []
    kept = [p for p in space.root.rglob("*") if p.is_file() and p != space.root / "bench.toml"]
    kinds = {"scorecard.json", "board.json", "split.lock.json", "predictions.parquet", "index.html"}
    assert kinds <= {p.name for p in kept}
    for path in kept:
        local = (
            space.root / ".bench" in path.parents
        )  # caches of this machine may name its folders, never ids
        found = leaked(unpacked(path), [n for n in names if not (local and n == folder)])
        assert found == [], path.name


def test_a_bug_is_reported_without_what_it_was_working_on(
    space: Workspace, cohort: Cohort, cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(f"cannot handle {cohort.patients[0]} in {cohort.images[0]}")

    monkeypatch.setattr("bench.submission.accept.load_predictions", fail)
    (tmp_path / "p.csv").write_text("a,b\n")
    ran = cli("submit", tmp_path / "p.csv", "--slug", "a", "--json")
    assert ran.exit_code == 70
    assert leaked((ran.stdout + ran.stderr).encode(), names_of(cohort)) == []


def test_the_labels_are_in_no_file(
    space: Workspace, cohort: Cohort, good: pd.DataFrame, cli: Cli, tmp_path: Path
) -> None:
    """No stored array or list of numbers is a target's labels in canonical order, or their complement."""
    good.to_csv(tmp_path / "good.csv", index=False)
    assert cli("submit", tmp_path / "good.csv", "--slug", "good").exit_code == 0
    assert cli("score", "good", *QUICK).exit_code == 0
    assert cli("site", "build").exit_code == 0
    rows = cohort.rows("test")
    labels = [cohort.targets[t.name][rows] for t in cohort.spec.binary_targets]
    forms = [form for y in labels for form in (y, 1 - y)]
    packed = [np.packbits(form.astype(bool)).tobytes() for form in forms]
    packed += [form.astype(kind).tobytes() for form in forms for kind in ("u1", "i4", "i8", "f4", "f8")]
    digits = ["".join(str(int(v)) for v in form).encode() for form in forms]
    for path in (p for p in space.root.rglob("*") if p.is_file()):
        data = path.read_bytes()
        assert not [form for form in packed if form in data], path.name
        plain = bytes(c for c in data if c in b"01")
        assert not [form for form in digits if form in plain], path.name


def site_rows(pages: Path) -> list[dict[str, str]]:
    """Every row of every table of all results that the site publishes."""
    tables = [p for p in pages.rglob("*.csv") if b"division" in p.read_bytes()[:200]]
    assert tables
    return [row for p in tables for row in csv.DictReader(io.StringIO(p.read_text()))]


@pytest.mark.parametrize("seed", range(3))
def test_hidden_subgroups_cannot_be_worked_out_from_those_shown(
    seed: int, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The total minus what is shown of a division is nothing, or as large as what may be shown."""
    folder = tmp_path / "chexchonet-1.0.0"
    write_cohort(folder, cohort_table(900, seed), images=False)
    cohort = load_cohort(load_spec("chexchonet"), folder)
    space = create_workspace(tmp_path / "space", "chexchonet", {"chexchonet": folder})
    monkeypatch.chdir(space.root)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    predictions(cohort).to_csv(tmp_path / "p.csv", index=False)
    assert cli("submit", tmp_path / "p.csv", "--slug", "a").exit_code == 0
    assert cli("score", "a", *QUICK).exit_code == 0
    assert cli("site", "build").exit_code == 0
    card = json.loads((space.submission("chexchonet", "a") / "scorecard.json").read_text())
    published = {
        (r["target"], r["division"], r["level"])
        for r in site_rows(space.site)
        if r["division"] and r["value"]
    }
    test = cohort.rows("test")
    hidden_somewhere = 0
    for division in cohort.subgroups:
        for target in cohort.spec.binary_targets:
            shown = {
                g["level"]
                for g in card["subgroups"]
                if _is(g, target.name, division.name) and not g["suppressed"]
            }
            assert {level for t, d, level in published if (t, d) == (target.name, division.name)} <= shown
            for group in (
                g for g in card["subgroups"] if _is(g, target.name, division.name) and g["suppressed"]
            ):
                assert [group[k] for k in ("images", "patients", "positives")] == [None] * 3
                assert group["metrics"] == {}
            y = cohort.targets[target.name][test]
            inside = np.isin(division.codes[test], [division.levels.index(level) for level in shown])
            left = ~inside & ~np.isnan(y)
            if not shown or not left.any():
                continue
            hidden_somewhere += 1
            for value in (0, 1):
                assert len(set(cohort.patients[test][left & (y == value)])) >= FEWEST_PATIENTS
    assert hidden_somewhere


def _is(group: dict[str, str], target: str, division: str) -> bool:
    return group["target"] == target and group["division"] == division
