"""Every reader of what strangers hand in, on inputs that hypothesis makes; `make fuzz` goes by coverage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from bench.errors import BenchError
from tests.fuzz.targets import TARGETS, run
from tests.runtime.models import linear_model
from tests.submission.test_damaged_bytes import damaged

CALM = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_any_bytes(name: str) -> None:
    @CALM
    @given(st.binary(max_size=200))
    def holds(data: bytes) -> None:
        run(TARGETS[name], data)

    holds()


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_damaged_seeds(name: str) -> None:
    seeds = TARGETS[name].seeds()
    for number in range(60):
        run(TARGETS[name], damaged(seeds[number % len(seeds)], number))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value within a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, inner in items for found in places(inner, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


def test_a_scorecard_with_one_value_replaced() -> None:
    card = json.loads(TARGETS["scorecard"].seeds()[0])
    every = places(card)

    @CALM
    @given(st.sampled_from(every), JSON)
    def holds(path: tuple[Any, ...], new: Any) -> None:
        run(TARGETS["scorecard"], json.dumps(replaced(card, path, new)).encode())

    holds()


def test_corpora_of_earlier_runs() -> None:
    """Inputs that failed once; each stays here."""
    for path in sorted(Path(__file__).with_name("corpus").glob("*/*")):
        run(TARGETS[path.parent.name], path.read_bytes())


def test_names_that_are_not_text_in_an_onnx_file() -> None:
    """Found by fuzzing: protobuf hands on a name that is not UTF-8 as bytes, not as text."""
    model = linear_model()
    for number in range(2):
        tensor = model.graph.initializer.add(data_type=TensorProto.FLOAT, dims=[1], name=f"t{number}")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=f"file-{number}")
        model.graph.input.add(name=f"extra-{number}")
    data = model.SerializeToString()
    for old in (b"file-1", b"extra-1", b"MatMul", b"scores"):
        assert old in data
        run(TARGETS["onnx"], data.replace(old, b"\xff" + old[1:]))


def test_a_type_that_onnx_does_not_have() -> None:
    """Found by fuzzing."""
    model = linear_model()
    model.graph.input[0].type.tensor_type.elem_type = 65
    run(TARGETS["onnx"], model.SerializeToString())
    assert any("unknown (65)" in p.message for p in TARGETS["onnx"].read(model.SerializeToString()))  # type: ignore[attr-defined]


def test_rows_that_a_group_says_it_has() -> None:
    """Found by fuzzing: ten rows of a file, 51,919,124,086 of its group; room for them took all memory."""
    data = next(Path(__file__).with_name("corpus").glob("stored/oom-*")).read_bytes()
    with pytest.raises(BenchError) as caught:
        TARGETS["stored"].read(data)
    assert "51919124086 rows in 1 groups, 10 expected" in caught.value.problems[0].message
