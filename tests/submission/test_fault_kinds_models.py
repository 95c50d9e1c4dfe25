"""Faulty models and manifests by kind: all faults in one pass, each with its code, place and remedy."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from bench.errors import BenchError
from bench.onnx.interface import check_model
from bench.runtime.accept import accept_model
from bench.submission.manifest import Manifest
from bench.submission.store import read_manifest
from tests.faulty import assert_problem
from tests.runtime.models import (
    SIZE,
    SPEC,
    build,
    linear_model,
    linear_weights,
    manifest,
    save,
    tiny_cohort,
    value,
)
from tests.tiny import MANIFEST, REPORTED

Said = list[tuple[str, str, str, str]]


def said(model: onnx.ModelProto, stated: Manifest, folder: Path) -> Said:
    """Code, message, place after the file's name, and remedy of each problem."""
    path = save(model, folder / "m.onnx")
    problems, _ = check_model(path, stated, SPEC)
    return [(p.code, p.message, p.where.removeprefix(str(path)), p.as_dict()["remedy"]) for p in problems]


def named(image: str, outputs: dict[str, str]) -> Manifest:
    return manifest(outputs, image={"name": image})


def fixed(batch: int, image: str = "image", scores: str = "scores", columns: int = 2) -> onnx.ModelProto:
    """`linear_model` with a fixed batch and these names."""
    nodes = [
        helper.make_node("Flatten", [image], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], [scores]),
    ]
    inputs = [value(image, [batch, 1, SIZE, SIZE])]
    return build(nodes, inputs, [value(scores, [batch, columns])], {"w": linear_weights(columns)})


def test_a_wrong_name_does_not_hide_the_other_faults(tmp_path: Path) -> None:
    found = said(fixed(1, "input", "logits"), named("image", {"a": "scores:0"}), tmp_path)
    assert [(code, place) for code, _, place, _ in found] == [
        ("model-input", ""),
        ("model-batch", ", input input"),
        ("model-output", ""),
        ("model-batch", ", output logits"),
    ]
    assert found[0][1] == "The image is to go into 'image'; the model's inputs are 'input'."
    assert found[0][3] == "If 'input' is meant, write it in [model] of the manifest."
    assert found[2][1] == "A is to be read from 'scores:0'; the model's outputs are 'logits'.".replace(
        "A", "a"
    )
    assert found[2][3] == "If 'logits' is meant, write `a = \"logits:0\"`."


def test_shape_type_and_batch_are_named_together(tmp_path: Path) -> None:
    model = fixed(4, "pixels")
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 3
    found = said(model, named("image", {"a": "scores:5", "b": "scores:1"}), tmp_path)
    codes = [code for code, *_ in found]
    assert codes.count("model-batch") == 2  # input and output
    assert ("model-input", ", input pixels") in [(code, place) for code, _, place, _ in found]
    assert any("column 5" in message for _, message, _, _ in found)


@pytest.mark.parametrize("size", [-1, -2])
def test_sizes_of_older_converters_are_free(size: int, tmp_path: Path) -> None:
    assert said(fixed(size), manifest(), tmp_path) == []
    cohort = tiny_cohort(tmp_path / "c", 40)
    accepted = accept_model(tmp_path / "m.onnx", cohort, manifest())
    assert len(accepted.values["a"]) == 40


@pytest.mark.parametrize(
    ("columns", "remedy"),
    [
        (2, r'^Write `a = "scores:1"` where the columns are the negative and the positive class'),
        (3, r'^Write `a = "scores:COLUMN"` with the column of this target, counted from 0\.$'),
    ],
)
def test_a_column_is_never_guessed(columns: int, remedy: str, tmp_path: Path) -> None:
    ((code, message, place, advice),) = said(
        linear_model(columns=columns), manifest({"a": "scores"}), tmp_path
    )
    assert (code, place) == ("model-output", ", output scores")
    assert message == f"a has {columns} columns, and the manifest names none of them."
    assert re.search(remedy, advice)


def test_remedies_write_a_single_file() -> None:
    from bench.errors import catalogue

    for page in catalogue().values():
        for text in (page.meaning, page.remedy):
            assert text.count("dynamo=True") == text.count("dynamo=True, external_data=False"), page.code


def test_a_sigmoid_on_probabilities_is_warned_about(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["scores"]),
    ]
    model = build(
        nodes,
        [value("image", ["N", 1, SIZE, SIZE])],
        [value("scores", ["N", 2])],
        {"w": linear_weights()},
    )
    cohort = tiny_cohort(tmp_path / "c", 40)
    path = save(model, tmp_path / "m.onnx")
    twice = [p for p in accept_model(path, cohort, manifest()).notices if p.code == "model-sigmoid-twice"]
    for problem, target in zip(twice, ("a", "b"), strict=True):
        assert_problem(
            problem,
            "model-sigmoid-twice",
            message=r"^All 40 outputs lay in \[0, 1\] before the sigmoid, as probabilities do\.$",
            where=rf"/m\.onnx, target {target}$",
            remedy='`activation = "none"`.*If the outputs are logits',
            severity="warning",
        )
    once = accept_model(path, cohort, manifest(activation="none")).notices
    logits = accept_model(save(linear_model(), path), cohort, manifest()).notices
    assert not [p for p in (*once, *logits) if p.code == "model-sigmoid-twice"]


def test_logits_in_the_unit_interval_are_accepted_with_the_warning_alone(tmp_path: Path) -> None:
    """Such logits and probabilities cannot be told from each other by their values."""
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["logits"]),
        helper.make_node("Clip", ["logits", "low", "high"], ["scores"]),
    ]
    model = build(
        nodes,
        [value("image", ["N", 1, SIZE, SIZE])],
        [value("scores", ["N", 2])],
        {"w": linear_weights(), "low": np.array(0, "f4"), "high": np.array(1, "f4")},
    )
    accepted = accept_model(save(model, tmp_path / "m.onnx"), tiny_cohort(tmp_path / "c", 40), manifest())
    assert len(accepted.values["a"]) == 40
    codes = {p.code: p.severity for p in accepted.notices}
    assert codes["model-sigmoid-twice"] == "warning"
    assert "error" not in codes.values()


# Texts of a manifest that show nothing

INVISIBLE = {
    "blanks": "   ",
    "no-break spaces": "\u00a0\u00a0",
    "ideographic spaces": "\u3000",
    "zero-width spaces": "\u200b\u200b",
    "joiners": "\u200d\u2060",
    "soft hyphens": "\u00ad",
    "Hangul fillers": "\u3164\uffa0",
    "Braille blanks": "\u2800",
    "marks alone": "\u0301\u034f",
    "variation selectors": "\ufe0f",
    "tags": "\U000e0041",
}


@pytest.mark.parametrize("text", INVISIBLE.values(), ids=INVISIBLE)
@pytest.mark.parametrize("key", ["name", "team"])
def test_a_heading_that_shows_nothing_is_refused(key: str, text: str, tmp_path: Path) -> None:
    old = {"name": "A model", "team": "A group"}[key]
    (tmp_path / "m.toml").write_text(MANIFEST.replace(old, text), "utf-8")
    with pytest.raises(BenchError) as caught:
        read_manifest(tmp_path / "m.toml")
    (problem,) = caught.value.problems
    assert_problem(
        problem,
        "manifest-invalid",
        message=rf"^{key}: this text shows nothing: .*U\+{ord(text[0]):04X}",
        where=r"/m\.toml$",
        remedy="Correct the key",
    )


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (MANIFEST.replace('"image"', '"image", " "'), "inputs (2nd)"),
        (MANIFEST + 'training_data = "\u200b"\n', "training_data"),
        (MANIFEST + 'licence = " "\n', "licence"),
        (MANIFEST + '[links]\n" " = "https://example.org"\n', "links. "),
        (REPORTED.replace('"A 2024"', '" "'), "reported.citation"),
        (REPORTED.replace('"own"', '"\u3164"'), "reported.split"),
    ],
)
def test_every_other_text_that_is_shown_is_looked_at_too(text: str, key: str, tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(text, "utf-8")
    with pytest.raises(BenchError) as caught:
        read_manifest(tmp_path / "m.toml")
    (problem,) = caught.value.problems
    assert_problem(
        problem,
        "manifest-invalid",
        message=f"^{re.escape(key)}: this text shows nothing: ",
        where=r"/m\.toml$",
        remedy="Correct the key",
    )


@pytest.mark.parametrize(
    "name", ["模型 A", "Модель", "نموذج", "א", "é", "e\u0301", "1", "-", "👩\u200d⚕️", "∂"]
)
def test_names_of_every_script_are_accepted(name: str, tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(MANIFEST.replace("A model", name), "utf-8")
    assert read_manifest(tmp_path / "m.toml").name == name


def test_every_fault_of_a_manifest_is_named_in_one_pass(tmp_path: Path) -> None:
    text = (
        'name = " "\nteam = ""\ndate = 2026-01-01\ninputs = []\nsede = 1\nscores = "logit"\n'
        '[model]\nactivation = "softmax"\n[model.image]\nname = "i"\nheight = 0\nwidth = 4097\n'
    )
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(BenchError) as caught:
        read_manifest(tmp_path / "m.toml")
    found = dict(p.message.split(": ", 1) for p in caught.value.problems)
    assert found.keys() == {
        *("name", "team", "inputs", "sede", "scores", "model.activation", "model.outputs"),
        *("model.image.height", "model.image.width"),
    }
    assert found["inputs"] == "This needs at least 1 item."
    assert found["team"] == "This text is empty."
    assert found["model.image.width"] == "This should be at most 4096."
    assert found["scores"].startswith("This should be 'probability' or 'uncalibrated', not 'logit'.")


def test_an_unknown_key_does_not_hide_what_contradicts(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(MANIFEST + 'kind = "reported"\nsede = 1\n')
    with pytest.raises(BenchError) as caught:
        read_manifest(tmp_path / "m.toml")
    unknown, contradiction = (p.message for p in caught.value.problems)
    assert unknown.startswith("sede: This key is not known.")
    assert contradiction.endswith('kind = "reported" and the table [reported] belong together.')


@pytest.mark.parametrize("key", ['kind = "bset"', 'kind = "reported"\nlicence = ""'])
def test_no_contradiction_is_made_by_a_faulty_key(key: str, tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(REPORTED.replace('kind = "reported"', key))
    with pytest.raises(BenchError) as caught:
        read_manifest(tmp_path / "m.toml")
    (problem,) = caught.value.problems
    assert_problem(
        problem,
        "manifest-invalid",
        message="^(kind|licence): ",
        where=r"/m\.toml$",
        remedy="Correct the key",
    )


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        (("cxr",), r"1 input is not of cohort tiny: 'cxr'; it has image, age, sex\. Did you mean 'image'\?"),
        (("image", "agee"), r"'agee'; it has image, age, sex\. Did you mean 'age' or "),
        (
            ("image", "ECG", "MRI"),
            r"2 inputs are not of cohort tiny: 'ECG', 'MRI'; it has image, age, sex\.$",
        ),
    ],
)
def test_inputs_that_the_cohort_does_not_have(inputs: tuple[str, ...], says: str, tmp_path: Path) -> None:
    cohort = tiny_cohort(tmp_path / "c", 40)
    stated = manifest().model_copy(update={"inputs": inputs})
    accepted = accept_model(save(linear_model(), tmp_path / "m.onnx"), cohort, stated, manifest_file="x.toml")
    (notice,) = [p for p in accepted.notices if p.code == "manifest-inputs"]
    assert_problem(
        notice,
        "manifest-inputs",
        message=says,
        where=r"^x\.toml$",
        remedy="Use the cohort's words",
        severity="warning",
    )
