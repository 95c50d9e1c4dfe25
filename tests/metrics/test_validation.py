"""Arrays that callers pass: the right result, or an error that names the argument and the count."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from bench.metrics.calibration import brier
from bench.metrics.discrimination import auroc
from bench.metrics.validation import (
    finite_vector,
    id_list,
    labels,
    predicted,
    probability_vector,
    same_rows,
    weights,
    whole_number,
)
from bench.uncertainty.bootstrap import PatientBootstrap

NUMBERS = [0.25, 0.5, 1.0]


def masked(values, mask):
    return np.ma.masked_array(np.array(values), np.array(mask, bool))


@pytest.mark.parametrize(
    "values",
    [
        tuple(NUMBERS),
        np.array(NUMBERS, np.float16),
        np.array(NUMBERS, np.longdouble),
        np.array(NUMBERS, object),
        masked(NUMBERS, [0, 0, 0]),
        pd.Series(NUMBERS, index=[7, 3, 5]),
        pd.array(NUMBERS, "Float64"),
        torch.tensor(NUMBERS, requires_grad=True),
        torch.tensor(NUMBERS, dtype=torch.bfloat16),
        [Decimal("0.25"), 0.5, 1],
    ],
)
def test_kinds_of_numbers_that_are_read(values):
    vector = finite_vector(values, "p")
    assert vector.dtype == np.float64
    assert vector.tolist() == NUMBERS


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (masked(NUMBERS, [0, 1, 1]), ValueError, "p holds 2 masked values"),
        (pd.array([0.1, None, 0.3], "Float64"), ValueError, "p holds 1 values that are NaN"),
        ([0.1, pd.NA], ValueError, "p holds 1 missing values"),
        ([0.1, None], ValueError, "p holds 1 missing values"),
        ([0.1, np.nan], ValueError, "p holds 1 values that are NaN or infinite"),
        (np.array([0.1 + 1j]), ValueError, "p must hold numbers only, not complex128"),
        ([0.1, 1j], ValueError, "p must hold numbers only"),
        (np.array([0.1, 1j], object), ValueError, "p must hold numbers only"),
        (["0.1", "0.2"], ValueError, "p must hold numbers only"),
        (np.array(["2020-01-01"], "M8[D]"), ValueError, "p must hold numbers only"),
        ([[0.1], [0.2, 0.3]], ValueError, "p must hold numbers only"),
        (np.array([1, 2**53 + 1]), ValueError, r"p holds 1 whole numbers beyond 2\*\*53"),
        (np.array([1, 2**63], np.uint64), ValueError, r"p holds 1 whole numbers beyond 2\*\*53"),
        ([2**70, 1], ValueError, r"beyond 2\*\*53"),
        (np.array([1], np.longdouble) / 3, ValueError, "p holds 1 values with more digits"),
        (np.ones((3, 2)), ValueError, r"not 2; of two columns give the one of label 1: p\[:, 1\]"),
        (pd.DataFrame(np.ones((3, 2))), ValueError, r"p\[:, 1\]"),
        (np.ones((3, 1)), ValueError, r"p\[:, 0\]"),
        (0.5, ValueError, "p must have one dimension, not 0"),
        ({0.1, 0.2}, TypeError, "p must be a list or an array with one value per row, not set"),
        ({"a": 0.1}, TypeError, "not dict"),
        ("0.1", TypeError, "not str"),
    ],
)
def test_values_that_are_refused(values, error, message):
    with pytest.raises(error, match=message):
        finite_vector(values, "p")


def test_whole_numbers_up_to_the_last_exact_one_are_read():
    assert finite_vector(np.array([2**53, -(2**53)]), "p").tolist() == [2.0**53, -(2.0**53)]


@pytest.mark.parametrize(
    "y",
    [
        [True, False, True],
        [np.True_, np.False_, np.True_],
        np.array([True, False, True], object),
        pd.array([True, False, True], "boolean"),
        pd.array([1, 0, 1], "Int64"),
        np.array([1, 0, 1], np.uint8),
        [1.0, 0.0, 1.0],
        torch.tensor([1, 0, 1]),
        torch.tensor([True, False, True]),
    ],
)
def test_kinds_of_labels_that_are_read(y):
    assert labels(y).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        ([0, 2, 3], ValueError, "y must hold 0 and 1 only; 2 labels are something else"),
        (["0", "1"], ValueError, "y must hold numbers only"),
        (pd.array([1, None, 1], "Int64"), ValueError, "y holds 1 values that are NaN"),
        (masked([1, 0], [1, 0]), ValueError, "y holds 1 masked values"),
        (masked([True, False], [1, 0]), ValueError, "y holds 1 masked values"),
        (np.ones((2, 2), bool), ValueError, "y must have one dimension, not 2"),
        ({0, 1}, TypeError, "y must be a list"),
    ],
)
def test_labels_that_are_refused(y, error, message):
    with pytest.raises(error, match=message):
        labels(y)


def test_probabilities_name_their_argument():
    with pytest.raises(ValueError, match=r"p_b must lie in \[0, 1\]; 2 values do not \(from "):
        probability_vector([0.5, 1.5, -0.1], "p_b")


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1.0, 3e7, 1e200, 1e307])
def test_weights_of_any_scale_give_the_same_result(scale):
    rng = np.random.default_rng(0)
    y, p, weight = rng.random(40) < 0.4, rng.random(40), rng.integers(1, 5, 40).astype(float)
    for metric in (auroc, brier):
        assert metric(y, p, weight * scale) == pytest.approx(
            metric(y, p, weight), rel=1e-3 if scale < 1e-300 else 1e-12
        )


def test_usual_weights_are_left_alone():
    given = np.array([0.0, 0.3, 7.0])
    assert weights(given, 3).tolist() == given.tolist()
    assert weights(np.zeros(3), 3).tolist() == [0.0, 0.0, 0.0]
    # A division by a power of two changes no ratio.
    assert (weights(given * 2.0**200, 3) * 8).tolist() == given.tolist()


@pytest.mark.parametrize(
    ("weight", "message"),
    [([1, 2], "weight has 2 rows, y has 3"), ([1, -1, 0], "1 negative"), ([1, np.inf, 1], "infinite")],
)
def test_weights_that_are_refused(weight, message):
    with pytest.raises(ValueError, match=message):
        weights(weight, 3)


@pytest.mark.parametrize("value", [3, 3.0, np.int16(3), np.float32(3)])
def test_whole_numbers(value):
    assert whole_number(value, "replicates", 1) == 3


@pytest.mark.parametrize("value", [2.5, True, "3", None, np.nan, [3]])
def test_numbers_that_are_not_whole(value):
    with pytest.raises(TypeError, match="replicates must be a whole number"):
        whole_number(value, "replicates", 1)


def test_draws_refuse_a_part_of_a_replicate():
    with pytest.raises(TypeError, match=r"replicates must be a whole number, not 2\.5"):
        PatientBootstrap(["a", "b"], 2.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="replicates must be at least 1, not 0"):
        PatientBootstrap(["a", "b"], 0)
    with pytest.raises(ValueError, match="replicates must be at most 10000000"):
        PatientBootstrap(["a", "b"], 1e30)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seed must be at least 0"):
        PatientBootstrap(["a", "b"], 10, -1)
    with pytest.raises(TypeError, match="seed must be a whole number, not None"):
        PatientBootstrap(["a", "b"], 10, None)


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ({"a", "b"}, TypeError, "patient_id must be a list or an array with one value per row, not set"),
        ({"a": 1}, TypeError, "not dict"),
        ("ab", TypeError, "not str"),
        (7, TypeError, "not int"),
        ([["a"], ["b"]], TypeError, "one id per row, not lists"),
        (pd.array(["a", None, "b"], "string"), ValueError, "patient_id holds 1 missing values"),
        (pd.Series([1, pd.NA], dtype="Int64"), ValueError, "patient_id holds 1 missing values"),
        (pa.array(["a", None]), ValueError, "patient_id holds 1 missing values"),
        (pd.Series([pd.NaT, pd.Timestamp(0)]), ValueError, "patient_id holds 1 missing values"),
        (masked([1, 2, 3], [0, 1, 1]), ValueError, "patient_id holds 2 masked values"),
        ([1.0, np.nan], ValueError, "patient_id holds 1 missing values"),
        (np.ones((2, 2)), ValueError, "patient_id must have one dimension, not 2"),
    ],
)
def test_ids_that_are_refused(ids, error, message):
    with pytest.raises(error, match=message):
        id_list(ids)


@pytest.mark.parametrize(
    "ids",
    [
        ["a", "b"],
        ("a", "b"),
        np.array(["a", "b"]),
        pd.Categorical(["a", "b"]),
        pa.array(["a", "b"]).dictionary_encode(),
        iter("ab"),
    ],
)
def test_kinds_of_ids_that_are_read(ids):
    assert id_list(ids) == ["a", "b"]


def test_pandas_objects_must_have_the_same_index():
    y, p = pd.Series([0, 1, 1], index=[3, 1, 2]), pd.Series([0.2, 0.9, 0.8], index=[1, 2, 3])
    with pytest.raises(ValueError, match="p and y have different pandas indexes"):
        brier(y, p)
    with pytest.raises(ValueError, match="weight and y have different pandas indexes"):
        brier(y, [0.2, 0.9, 0.8], pd.Series([1, 1, 1]))
    aligned = brier(y, p.reindex(y.index))
    assert aligned == pytest.approx(((0.8 - 0) ** 2 + (0.2 - 1) ** 2 + (0.9 - 1) ** 2) / 3)
    assert brier(y, p.to_numpy()) == pytest.approx((0.2**2 + 0.1**2 + 0.2**2) / 3)


def test_rows_are_counted_under_the_names_of_the_caller():
    with pytest.raises(ValueError, match="p_b has 2 rows, y has 3"):
        same_rows(y=[0, 1, 1], p_a=[1, 2, 3], p_b=np.ones(2), weight=None)
    with pytest.raises(ValueError, match="patient_id has 1 rows, y has 2"):
        same_rows(y=np.ones(2), patient_id=pd.Series(["a"]))
    with pytest.raises(
        TypeError, match="patient_id must be a list or an array with one value per row, not set"
    ):
        same_rows(y=np.ones(2), patient_id={"a"})
    same_rows(y=[0, 1], patient_id=iter("ab"), weight=None)


def test_valid_arrays_are_not_copied_or_changed():
    y, p = np.array([True, False]), np.array([0.1, 0.7])
    positive, probability, weight = predicted(y, p)
    assert positive is y
    assert probability is p
    assert weight is None
