"""A submitted ONNX file: every fault has its code, its numbers and a remedy, without running anything."""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from bench.errors import BenchError, catalogue
from bench.onnx.interface import check_model
from bench.onnx.outputs import OutputColumn, output_column
from tests.runtime.models import (
    SIZE,
    SPEC,
    build,
    busy_model,
    linear_model,
    linear_weights,
    manifest,
    save,
    value,
    with_age_and_sex,
)

MATMUL = [
    helper.make_node("Flatten", ["image"], ["flat"]),
    helper.make_node("MatMul", ["flat", "w"], ["scores"]),
]
IMAGE = value("image", ["N", 1, SIZE, SIZE])
SCORES = value("scores", ["N", 2])
W = {"w": linear_weights()}


def faults(model: Any, tmp_path: Path, said: Any = None) -> list[tuple[str, str]]:
    """Codes and messages of a model given as a proto or as bytes; each code has a page with a remedy."""
    path = tmp_path / "model.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    problems, _ = check_model(path, said or manifest(), SPEC)
    assert all(problem.as_dict()["remedy"] for problem in problems)
    assert {problem.code for problem in problems} <= set(catalogue())
    return [(problem.code, problem.message) for problem in problems]


def only(found: list[tuple[str, str]], code: str) -> str:
    """The message of the one fault, which has this code."""
    assert [c for c, _ in found] == [code], found
    return found[0][1]


@pytest.mark.parametrize("opset", [9, 13, 18, 22])
def test_a_correct_model_has_no_fault(tmp_path: Path, opset: int) -> None:
    assert faults(linear_model(opset=opset), tmp_path) == []


def test_inputs_for_age_and_sex_are_accepted(tmp_path: Path) -> None:
    said = manifest({"a": "score"}, age="years", sex="male", activation="none")
    assert faults(with_age_and_sex(), tmp_path, said) == []


def test_a_function_of_standard_operators_is_accepted(tmp_path: Path) -> None:
    function = helper.make_function(
        "local",
        "Twice",
        ["x"],
        ["y"],
        [helper.make_node("Add", ["x", "x"], ["y"])],
        [helper.make_opsetid("", 18)],
    )
    nodes = [*MATMUL[:1], helper.make_node("MatMul", ["flat", "w"], ["half"])]
    nodes.append(helper.make_node("Twice", ["half"], ["scores"], domain="local"))
    model = build(nodes, [IMAGE], [SCORES], W, functions=(function,), domains=("local",))
    assert faults(model, tmp_path) == []


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"w": [1.0]}))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"image_id,a,b\n1,0.5,0.5\n", "not an ONNX model"),
        (pickle.dumps({"weights": [1.0, 2.0]}), "pickle"),
        (zipped(), "zip archive"),
        (gzip.compress(b"x" * 100, mtime=0), "gzip"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 100, "HDF5"),
        (b"ftrt" + b"\0" * 100, "TensorRT engine"),
        (b"\x1c\0\0\0ORTM" + b"\0" * 100, "ONNX Runtime's own format"),
        (b"\x08\x0a", "no graph"),
        (bytes(range(1, 200)), "not an ONNX model"),
    ],
)
def test_other_formats_are_named_and_never_opened(tmp_path: Path, data: bytes, said: str) -> None:
    assert said in only(faults(data, tmp_path), "model-format")


def test_a_pickle_is_not_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
            return Path.touch, (tmp_path / "sprung",)  # type: ignore[return-value]

    only(faults(pickle.dumps(Trap()), tmp_path), "model-format")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_a_cut_off_file_says_how_long_it_should_be(tmp_path: Path, share: float) -> None:
    data = linear_model().SerializeToString()
    message = only(faults(data[: int(share * len(data))], tmp_path), "model-truncated")
    assert f"{int(share * len(data)):,} bytes" in message


def test_a_damaged_middle_is_a_fault_and_no_crash(tmp_path: Path) -> None:
    data = bytearray(linear_model().SerializeToString())
    graph_start = data.index(b"Flatten") - 12
    data[graph_start : graph_start + 30] = b"\xff" * 30
    assert faults(bytes(data), tmp_path)[0][0] in {
        "model-truncated",
        "model-invalid",
        "model-unknown-operator",
    }


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_bytes_make_the_reader_crash(tmp_path: Path, data: st.DataObject) -> None:
    whole = linear_model().SerializeToString()
    blob = data.draw(st.binary(max_size=200) | st.sampled_from(range(len(whole))).map(lambda n: whole[:n]))
    if data.draw(st.booleans()) and blob:
        at = data.draw(st.integers(0, len(blob) - 1))
        blob = blob[:at] + bytes([data.draw(st.integers(0, 255))]) + blob[at + 1 :]
    path = tmp_path / "model.onnx"
    path.write_bytes(blob)
    codes = {problem.code for problem in check_model(path, manifest(), SPEC)[0]}
    assert codes <= {code for code in catalogue() if code.startswith("model-")}


def test_missing_file_folder_and_size_limit(tmp_path: Path) -> None:
    said = manifest()
    assert [p.code for p in check_model(tmp_path / "none.onnx", said, SPEC)[0]] == ["model-unreadable"]
    assert [p.code for p in check_model(tmp_path, said, SPEC)[0]] == ["model-format"]
    path = save(linear_model(), tmp_path / "m.onnx")
    (problem,), _ = check_model(path, said, SPEC, limit_bytes=1000)
    assert problem.code == "model-size"
    assert f"{path.stat().st_size:,} bytes; at most 1,000" in problem.message


def external(model: onnx.ModelProto, location: str) -> onnx.ModelProto:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return model


@pytest.mark.parametrize("location", ["weights.bin", "../../etc/passwd", "/etc/passwd"])
def test_external_data_are_refused_and_not_read(tmp_path: Path, location: str) -> None:
    message = only(faults(external(linear_model(), location), tmp_path), "model-external-data")
    assert message.startswith("1 of 1 tensors lie in other files (1 files")
    assert location in message


def test_external_data_inside_an_attribute_are_found(tmp_path: Path) -> None:
    tensor = numpy_helper.from_array(np.ones((2,), np.float32), "hidden")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="hidden.bin")
    nodes = [
        MATMUL[0],
        helper.make_node("MatMul", ["flat", "w"], ["linear"]),
        helper.make_node("Constant", [], ["bias"], value=tensor),
        helper.make_node("Add", ["linear", "bias"], ["scores"]),
    ]
    assert "hidden.bin" in only(faults(build(nodes, [IMAGE], [SCORES], W), tmp_path), "model-external-data")


def test_custom_operators_are_counted_by_name(tmp_path: Path) -> None:
    nodes = [
        MATMUL[0],
        helper.make_node("FusedMatMul", ["flat", "w"], ["m"], domain="com.microsoft"),
        helper.make_node("Evil", ["m"], ["e"], domain="my.ops"),
        helper.make_node("Evil", ["e"], ["scores"], domain="my.ops"),
    ]
    model = build(nodes, [IMAGE], [SCORES], W, domains=("com.microsoft", "my.ops"))
    message = only(faults(model, tmp_path), "model-custom-operator")
    assert message == "3 of 4 operators are not ONNX's own: my.ops::Evil (2), com.microsoft::FusedMatMul (1)."


def test_a_custom_operator_inside_a_branch_is_found(tmp_path: Path) -> None:
    branch = helper.make_graph(
        [helper.make_node("Evil", ["linear"], ["chosen"], domain="my.ops")],
        "then",
        [],
        [value("chosen", ["N", 2])],
    )
    other = helper.make_graph(
        [helper.make_node("Identity", ["linear"], ["kept"])], "else", [], [value("kept", ["N", 2])]
    )
    nodes = [
        MATMUL[0],
        helper.make_node("MatMul", ["flat", "w"], ["linear"]),
        helper.make_node("If", ["yes"], ["scores"], then_branch=branch, else_branch=other),
    ]
    model = build(nodes, [IMAGE], [SCORES], {**W, "yes": np.array(True)}, domains=("my.ops",))
    assert "my.ops::Evil" in only(faults(model, tmp_path), "model-custom-operator")


def test_unknown_operators_and_opsets(tmp_path: Path) -> None:
    nodes = [MATMUL[0], helper.make_node("MatMuul", ["flat", "w"], ["scores"])]
    assert "MatMuul (1)" in only(
        faults(build(nodes, [IMAGE], [SCORES], W), tmp_path), "model-unknown-operator"
    )
    assert "operator set 7" in only(faults(linear_model(opset=7), tmp_path), "model-opset")
    assert "operator set 999" in only(faults(linear_model(opset=999), tmp_path), "model-opset")
    assert "IR version 99" in only(faults(linear_model(ir=99), tmp_path), "model-opset")
    without = linear_model()
    del without.opset_import[:]
    assert any("no operator set" in message for _, message in faults(without, tmp_path))


def test_a_graph_that_contradicts_itself(tmp_path: Path) -> None:
    nodes = [MATMUL[0], helper.make_node("MatMul", ["flat", "absent"], ["scores"])]
    assert "absent" in only(faults(build(nodes, [IMAGE], [SCORES], W), tmp_path), "model-invalid")


def test_loops_need_a_constant_bound(tmp_path: Path) -> None:
    assert faults(busy_model(100, 4), tmp_path) == []
    too_long = only(faults(busy_model(10_001, 4), tmp_path), "model-control-flow")
    assert too_long.startswith("1 of 1 Loop operators")
    endless = busy_model(100, 4)
    endless.graph.node[0].input[0] = ""
    endless.graph.node[0].input[1] = "true"
    endless.graph.initializer.append(numpy_helper.from_array(np.array(True), "true"))
    only(faults(endless, tmp_path), "model-control-flow")


def test_random_operators_are_refused(tmp_path: Path) -> None:
    nodes = [
        MATMUL[0],
        helper.make_node("MatMul", ["flat", "w"], ["linear"]),
        helper.make_node("RandomNormalLike", ["linear"], ["noise"]),
        helper.make_node("Add", ["linear", "noise"], ["scores"]),
    ]
    path = save(build(nodes, [IMAGE], [SCORES], W), tmp_path / "m.onnx")
    (problem,), _ = check_model(path, manifest(), SPEC)
    assert (problem.code, problem.severity) == ("model-random", "error")


def reshaped(
    image: list[int | str] | None, scores: list[int | str] | None, kind: int = TensorProto.FLOAT
) -> Any:
    """A structurally valid model with these declared shapes."""
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["float"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["scores"]),
    ]
    return build(nodes, [value("image", image, kind)], [value("scores", scores)], W)


@pytest.mark.parametrize(
    ("model", "code", "said"),
    [
        (
            reshaped(["N", 1, 32, 32], ["N", 2]),
            "model-input",
            "(free, 1, 32, 32); (free, 1, 24, 24) is expected",
        ),
        (reshaped(["N", 3, SIZE, SIZE], ["N", 2]), "model-input", "(free, 3, 24, 24)"),
        (reshaped(["N", SIZE, SIZE], ["N", 2]), "model-input", "has 3 dimensions"),
        (reshaped(["N", SIZE, SIZE, 1], ["N", 2]), "model-input", "(free, 24, 24, 1)"),
        (reshaped(["N", 1, SIZE, SIZE], ["N", 2], TensorProto.UINT8), "model-input", "type is uint8"),
        (reshaped(["N", 1, SIZE, SIZE], ["N", 2], TensorProto.FLOAT16), "model-input", "type is float16"),
        (reshaped([1, 1, SIZE, SIZE], ["N", 2]), "model-batch", "fixed at 1"),
        (reshaped(["N", 1, SIZE, SIZE], [8, 2]), "model-batch", "fixed at 8"),
        (reshaped(["N", 1, SIZE, SIZE], ["N", 2, 1]), "model-output", "(N,) or (N, columns)"),
    ],
)
def test_interface_faults(tmp_path: Path, model: Any, code: str, said: str) -> None:
    assert said in only(faults(model, tmp_path), code)


def test_free_sizes_are_accepted(tmp_path: Path) -> None:
    assert faults(reshaped(["N", "C", "H", "W"], ["N", "K"]), tmp_path) == []


@pytest.mark.parametrize(("image", "scores"), [(["N", 1, SIZE, SIZE], None), (None, ["N", 2])])
def test_undeclared_ranks_are_not(tmp_path: Path, image: Any, scores: Any) -> None:
    assert "shape" in only(faults(reshaped(image, scores), tmp_path), "model-invalid")


@pytest.mark.parametrize(
    ("said", "code", "fragment"),
    [
        (manifest(image={"name": "x"}), "model-input", "the model's inputs are 'image'"),
        (manifest(age="years"), "model-input", "'years'"),
        (manifest({"a": "probability"}), "model-output", "the model's outputs are 'scores'"),
        (manifest({"a": "scores:2"}), "model-output", "column 2; the shape is (free, 2)"),
        (manifest({"a": "scores"}), "model-output", "2 columns"),
        (manifest({"a": "scores:-1"}), "model-output", "'scores:-1'"),
        (manifest({"b": "scores:0"}), "model-manifest", "headline target 'a'"),
        (manifest({"a": "scores:0", "z": "scores:1"}), "model-manifest", "z; it has a, b, cm"),
    ],
)
def test_manifest_and_model_must_agree(tmp_path: Path, said: Any, code: str, fragment: str) -> None:
    problems = faults(linear_model(), tmp_path, said)
    assert code in {c for c, _ in problems}
    assert any(fragment in message for _, message in problems), problems


def test_a_manifest_without_a_model_and_a_cohort_without_ages(tmp_path: Path) -> None:
    path = save(linear_model(), tmp_path / "m.onnx")
    (problem, *_), _ = check_model(path, manifest().model_copy(update={"model": None}), SPEC)
    assert problem.code == "model-manifest"
    ageless = SPEC.model_copy(update={"columns": SPEC.columns.model_copy(update={"inputs": {}})})
    said = manifest({"a": "score"}, age="years", sex="male")
    path = save(with_age_and_sex(), tmp_path / "m.onnx")
    messages = [p.message for p in check_model(path, said, ageless)[0]]
    assert messages == [f"The model takes {x}, which cohort tiny does not have." for x in ("age", "sex")]
    unsaid = said.model_copy(update={"inputs": ("image",)})
    assert [p.code for p in check_model(path, unsaid, SPEC)[0]] == ["model-manifest"] * 2


def test_inputs_that_the_manifest_does_not_know(tmp_path: Path) -> None:
    said = manifest({"a": "score"}, age="years")
    assert "1 input of the model is not in the manifest: 'male'" in only(
        faults(with_age_and_sex(), tmp_path, said), "model-input"
    )


def test_weights_listed_as_inputs_are_no_inputs(tmp_path: Path) -> None:
    model = linear_model()
    model.graph.input.append(value("w", list(linear_weights().shape)))
    assert faults(model, tmp_path) == []


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    model = reshaped([1, 3, 32, 32], [4, 2])
    model.graph.node.append(helper.make_node("Evil", ["scores"], ["more"], domain="my.ops"))
    model = external(model, "weights.bin")
    codes = [code for code, _ in faults(model, tmp_path, manifest({"b": "scores:9"}))]
    assert codes == [
        "model-manifest",
        "model-external-data",
        "model-custom-operator",
        "model-batch",
        "model-input",
        "model-batch",
        "model-output",
    ]


def test_one_batch_fault_per_output_however_many_targets_it_holds(tmp_path: Path) -> None:
    problems = faults(reshaped(["N", 1, SIZE, SIZE], [8, 2]), tmp_path)
    assert len(problems) == 1


@pytest.mark.parametrize(
    ("reference", "names", "place"),
    [
        ("scores", ["scores"], OutputColumn("scores", None)),
        ("scores:1", ["scores"], OutputColumn("scores", 1)),
        ("a:0", ["a:0", "a"], OutputColumn("a:0", None)),
        ("a:0:3", ["a:0"], OutputColumn("a:0", 3)),
    ],
)
def test_output_references(reference: str, names: list[str], place: OutputColumn) -> None:
    assert output_column(reference, names) == place


def test_without_onnx_the_environment_is_blamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.onnx.file.find_spec", lambda name: None)
    with pytest.raises(BenchError) as caught:
        check_model(tmp_path / "m.onnx", manifest(), SPEC)
    assert (caught.value.exit_code, caught.value.problems[0].code) == (3, "onnx-missing")


def calls(levels: int, width: int, circle: bool = False) -> Any:
    """A model whose function 0 calls function 1 `width` times, and so on: width^levels operators."""
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    functions = []
    for level in range(levels):
        last = level == levels - 1
        inner = f"f{0 if circle else level + 1}"
        nodes = [
            helper.make_node("Identity", [f"x{i}"], [f"x{i + 1}"])
            if last and not circle
            else helper.make_node(inner if not last else "f0", [f"x{i}"], [f"x{i + 1}"], domain="own")
            for i in range(width)
        ]
        functions.append(helper.make_function("own", f"f{level}", ["x0"], [f"x{width}"], nodes, opsets))
    nodes = [*MATMUL[:1], helper.make_node("MatMul", ["flat", "w"], ["half"])]
    nodes.append(helper.make_node("f0", ["half"], ["scores"], domain="own"))
    return build(nodes, [IMAGE], [SCORES], W, functions=tuple(functions), domains=("own",))


def test_functions_that_unfold_without_measure_are_refused(tmp_path: Path) -> None:
    assert "1,000,000" in only(faults(calls(30, 4), tmp_path), "model-limits")
    assert "circle" in only(faults(calls(1, 1, circle=True), tmp_path), "model-control-flow")


def nested_loops(*passes: int) -> Any:
    """`busy_model` with its loop inside others."""
    inner = busy_model(passes[-1], 4).graph.node[0]
    for number in passes[:-1]:
        body = helper.make_graph(
            [helper.make_node("Identity", ["go"], ["go_on"]), inner],
            "outer",
            [value("i", [], TensorProto.INT64), value("go", [], TensorProto.BOOL), value("square", [4, 4])],
            [value("go_on", [], TensorProto.BOOL), value("end", [4, 4])],
        )
        inner = helper.make_node("Loop", [f"passes{number}", "", "square"], ["end"], body=body)
    model = busy_model(passes[-1], 4)
    model.graph.node[0].CopyFrom(inner)
    stored = [numpy_helper.from_array(np.array(n, np.int64), f"passes{n}") for n in passes[:-1]]
    model.graph.initializer.extend(stored)
    return model


def test_loops_multiply(tmp_path: Path) -> None:
    said = [
        message for code, message in faults(nested_loops(101, 100), tmp_path) if code == "model-control-flow"
    ]
    assert said == ["Loops within loops make more than 10,000 passes."]
    assert "model-control-flow" not in dict(faults(nested_loops(100, 100), tmp_path))


def test_tensors_that_say_more_than_they_store(tmp_path: Path) -> None:
    hollow = linear_model()
    hollow.graph.initializer[0].dims[0] = 10**9
    assert "than their stored bytes hold" in only(faults(hollow, tmp_path), "model-limits")
    hollow.graph.initializer[0].dims[0] = 10**12
    assert "2,147,483,647 elements" in faults(hollow, tmp_path)[0][1]
    hollow.graph.initializer[0].dims[0] = -3
    assert "negative" in only(faults(hollow, tmp_path), "model-limits")


def test_too_many_operators_and_tensors(tmp_path: Path) -> None:
    model = linear_model()
    model.graph.node.extend([model.graph.node[0]] * 100_000)
    assert only(faults(model, tmp_path), "model-limits").startswith("It has 100,002 operators")


def test_numbers_beyond_what_onnx_knows(tmp_path: Path) -> None:
    model = linear_model()
    model.opset_import.add(domain="ai.onnx.ml", version=2**62)
    model.graph.node.add(op_type="Nothing", domain="ai.onnx.ml", output=["x"])
    assert "model-unknown-operator" in dict(faults(model, tmp_path))
