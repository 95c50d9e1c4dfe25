"""Drafts from a user's own files: a cohort's spec from its table, a manifest from an ONNX model."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pandas as pd
import pytest

from bench.cohort.load import load_cohort
from bench.cohort.spec import Contains, load_spec
from bench.cohort.synthetic.write import write_demo
from bench.workspace import Workspace
from tests.conftest import Cli
from tests.runtime.models import build, cnn_model, linear_model, save, value


def draft(cli: Cli, folder: Path, table: pd.DataFrame) -> Path:
    """The spec drafted from a table."""
    table.to_csv(folder / "table.csv", index=False)
    ran = cli("cohort", "new", "--table", folder / "table.csv", "--out", folder / "ours.toml")
    assert ran.exit_code == 0, ran.stderr
    return folder / "ours.toml"


def findings(rows: int = 60) -> pd.DataFrame:
    """A table with a list of findings, blank and uncertain labels, yes and no, and a column of parts."""
    return pd.DataFrame(
        {
            "Image Index": [f"SECRET{k:04}.png" for k in range(rows)],
            "Subject ID": [f"PERSON{k // 2:04}" for k in range(rows)],
            "Finding Labels": [
                ("Edema|Effusion", "No Finding", "Effusion", f"Rare {k}")[k % 4 if k % 20 else 3]
                for k in range(rows)
            ],
            "Fracture": [("1", "0", "-1", "")[k % 4] for k in range(rows)],
            "Device seen": ["yes", "no"] * (rows // 2),
            "Enlarged": ["Yes", "No"] * (rows // 2),
            "Patient Age": [f"{20 + k:03}Y" for k in range(rows)],
            "Gender": ["Female", "male"] * (rows // 2),
            "Split": [("training", "valid", "test")[k // 2 % 3] for k in range(rows)],
        }
    )


def test_the_demos_table_gives_the_split_of_its_own_spec(tmp_path: Path, cli: Cli) -> None:
    write_demo(tmp_path / "data", patients=200, images=False)
    table = tmp_path / "data" / "metadata.csv"
    ran = cli("cohort", "new", "--table", table, "--out", tmp_path / "demo.toml", "--json")
    assert (ran.exit_code, ran.object["result"]["missing"]) == (0, [])
    drafted, own = load_spec(str(tmp_path / "demo.toml")), load_spec("demo")
    assert {t.name: t.source for t in drafted.binary_targets} == {
        t.name: t.source for t in own.binary_targets
    }
    assert {t.name: (t.unit, t.plausible) for t in drafted.continuous_targets} == {
        t.name: (t.unit, t.plausible) for t in own.continuous_targets
    }
    assert drafted.headline == own.headline
    assert set(drafted.columns.inputs.values()) == set(own.columns.inputs.values())
    ours, theirs = (load_cohort(spec, tmp_path / "data") for spec in (drafted, own))
    assert ours.split.fingerprint == theirs.split.fingerprint
    again = cli("cohort", "new", "--table", table, "--out", tmp_path / "demo.toml", "--json")
    assert (again.exit_code, again.codes) == (1, ["file-exists"])


def test_words_parts_and_files_are_guessed_and_no_id_is_written(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "pngs").mkdir()
    (tmp_path / "pngs" / "SECRET0003.png").touch()
    path = draft(cli, tmp_path, findings())
    spec = load_spec(str(path))
    sources = {t.name: t.source for t in spec.binary_targets}
    assert sources["enlarged"] == Contains(column="Enlarged", word="Yes")
    (fracture,) = [t for t in spec.binary_targets if t.name == "fracture"]
    assert (fracture.uncertain, fracture.blank) == ("exclude", "exclude")
    assert spec.files.images == ("pngs",)
    assert (spec.columns.image, spec.columns.patient) == ("Image Index", "Subject ID")
    assert spec.split.model_dump() == {
        "rule": "column", "column": "Split", "train": "training", "val": "valid", "test": "test"
    }  # fmt: skip
    assert {"age", "sex"} <= spec.columns.inputs.keys()
    text = path.read_text()
    assert not [word for word in ("SECRET", "PERSON", "Rare") if word in text]
    assert len(load_cohort(spec, tmp_path)) == 60


def test_words_of_fewer_than_ten_rows_are_no_targets(tmp_path: Path, cli: Cli) -> None:
    table = findings(80).assign(
        **{"Finding Labels": ["Edema|Effusion", "No Finding", "Effusion", "Edema"] * 20}
    )
    table.loc[:8, "Finding Labels"] = "Hernia|Edema"
    spec = load_spec(str(draft(cli, tmp_path, table)))
    words = {t.source.word for t in spec.binary_targets if isinstance(t.source, Contains)}
    assert words == {"Edema", "Effusion", "Yes"}


def test_unknown_keys_are_placeholders(tmp_path: Path, cli: Cli) -> None:
    table = pd.DataFrame({"a": ["u", "u", "v"], "b": ["5", "6", "7"]})
    table.to_csv(tmp_path / "t.csv", index=False)
    ran = cli("cohort", "new", "--table", tmp_path / "t.csv", "--out", tmp_path / "o.toml", "--json")
    missing = ["headline", "targets", "columns.image", "columns.patient"]
    assert (ran.exit_code, ran.object["result"]["missing"]) == (0, missing)
    text = (tmp_path / "o.toml").read_text()
    tomllib.loads(text)
    for line in ('# image = "COLUMN"', '# patient = "COLUMN"', '# headline = "TARGET"', "# - a", "# - b"):
        assert line in text


def test_tables_without_a_header_and_broken_ones_are_refused(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "t.csv").write_text("a.png,1234,0\nb.png,5678,1\n")
    (tmp_path / "u.csv").write_bytes(b"\x80\x04\x95")
    for name, code in (
        ("t.csv", "cohort-columns"),
        ("u.csv", "cohort-table"),
        ("absent.csv", "cohort-table"),
    ):
        ran = cli("cohort", "new", "--table", tmp_path / name, "--out", tmp_path / "o.toml", "--json")
        assert (ran.exit_code, ran.codes) == (1, [code])
        assert "1234" not in ran.stdout
        assert not (tmp_path / "o.toml").exists()


def three_outputs() -> object:
    """An output for each target, behind a sigmoid, and the inputs age and sex."""
    import numpy as np
    from onnx import helper

    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("ReduceMean", ["flat", "axis"], ["mean"], keepdims=1),
        helper.make_node("Div", ["age", "hundred"], ["years"]),
        helper.make_node("Sum", ["mean", "years", "patient_sex"], ["sum"]),
        *(helper.make_node("Sigmoid", ["sum"], [name]) for name in ("dlv", "slvh", "composite_slvh_dlv")),
    ]
    weights = {"axis": np.array([1]), "hundred": np.array([[100]], np.float32)}
    inputs = [value("x", ["N", 3, 16, 16]), value("age", ["N", 1]), value("patient_sex", ["N", 1])]
    outputs = [value(name, ["N", 1]) for name in ("dlv", "slvh", "composite_slvh_dlv")]
    return build(nodes, inputs, outputs, weights)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (cnn_model, {"outputs": {"composite_slvh_dlv": "scores:1"}, "activation": "sigmoid"}),
        (
            lambda: linear_model(columns=3),
            {
                "outputs": {"composite_slvh_dlv": "scores:0", "slvh": "scores:1", "dlv": "scores:2"},
                "activation": "sigmoid",
            },
        ),
        (
            three_outputs,
            {
                "outputs": {name: name for name in ("composite_slvh_dlv", "slvh", "dlv")},
                "activation": "none",
                "age": "age",
                "sex": "patient_sex",
            },
        ),
    ],
    ids=["cnn", "columns", "names"],
)
def test_a_manifest_drafted_from_a_model_is_accepted_with_it(
    model: object, expected: dict[str, object], space: Workspace, tmp_path: Path, cli: Cli
) -> None:
    made = model()  # type: ignore[operator]
    save(made, tmp_path / "m.onnx")
    assert cli("template", "--model", tmp_path / "m.onnx", "--out", tmp_path / "e").exit_code == 0
    assert [path.name for path in (tmp_path / "e").iterdir()] == ["submission.toml"]
    text = (tmp_path / "e" / "submission.toml").read_text()
    drafted = tomllib.loads(text)
    image = drafted["model"].pop("image")
    shape = [d.dim_value for d in made.graph.input[0].type.tensor_type.shape.dim][1:]
    assert [image["channels"], image["height"], image["width"]] == shape
    assert image["name"] == made.graph.input[0].name
    assert drafted["model"] == expected
    assert f"opset {made.opset_import[0].version}" in text
    words = ("submit", "--model", tmp_path / "m.onnx", "--manifest", tmp_path / "e" / "submission.toml")
    ran = cli(*words, "--dry-run", "--json")
    assert ran.exit_code == 0, ran.stdout
    assert set(ran.object["result"]["targets"]) == set(expected["outputs"])  # type: ignore[call-overload]


def test_a_model_that_cannot_be_read_ends_in_its_code(space: Workspace, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "zip.onnx").write_bytes(b"PK\x03\x04" + bytes(64))
    whole = cnn_model().SerializeToString()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    save(
        build(list(cnn_model().graph.node), [value("image", ["N", 16, 16, 7])], [value("scores", ["N", 2])]),
        tmp_path / "last.onnx",
    )
    for name, code in (
        ("zip.onnx", "model-format"),
        ("cut.onnx", "model-truncated"),
        ("last.onnx", "model-input"),
        ("absent.onnx", "model-unreadable"),
    ):
        ran = cli("template", "--model", tmp_path / name, "--out", tmp_path / "e", "--json")
        assert (ran.exit_code, ran.codes) == (1, [code]), name
        assert str(tmp_path / name) in ran.stdout
        assert not (tmp_path / "e").exists()


def test_names_with_control_characters_are_no_broken_manifest(
    space: Workspace, tmp_path: Path, cli: Cli
) -> None:
    made = cnn_model()
    name = 'a"\\\n\x07\x7f{headline} = 1'
    made.graph.input[0].name = made.graph.node[0].input[0] = name
    made.graph.node[-1].op_type = "Ge\nmm\x07"
    save(made, tmp_path / "m.onnx")
    assert cli("template", "--model", tmp_path / "m.onnx", "--out", tmp_path / "e").exit_code == 0
    drafted = tomllib.loads((tmp_path / "e" / "submission.toml").read_text())
    assert drafted["model"]["image"]["name"] == name
    assert "mm" not in drafted


def test_without_a_folder_the_manifest_is_printed(space: Workspace, tmp_path: Path, cli: Cli) -> None:
    save(cnn_model(), tmp_path / "m.onnx")
    ran = cli("template", "--model", tmp_path / "m.onnx")
    assert tomllib.loads(ran.stdout)["model"]["image"]["name"] == "image"
