"""Checks of the arrays that callers pass; every error names the argument and how many values are wrong."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

LARGEST_EXACT_INTEGER = 2**53
"""Up to here float64 holds every whole number."""

BLANK_IDS = frozenset({"", "nan", "none", "<na>", "nat", "null"})
"""Texts, in lower case, that Python, numpy and pandas write for a missing value."""

PLAIN_WEIGHTS = 2.0**-100, 2.0**100
"""Largest row weights between these two are used as given; products of others would overflow or underflow."""


def inner(a: Floats | Bools, b: Floats | Bools) -> float:
    """Sum of products, added up in an order that does not depend on threads as a BLAS may."""
    return float(np.add.reduce(a * b, dtype=np.float64))


def refuse_unordered(values: Any, name: str) -> None:
    """Refuse what has no order of rows.

    Raises:
        TypeError: A set, a mapping, text or bytes.
    """
    if isinstance(values, Set | Mapping | str | bytes):
        kind = type(values).__name__
        raise TypeError(f"{name} must be a list or an array with one value per row, not {kind}")


def is_missing(value: object) -> bool:
    """Return whether a value is None, NaN, NaT or pandas' NA."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except TypeError:  # pandas' NA is neither true nor false
        return True
    except ValueError:  # an array as a value
        return False


def _as_array(values: Any) -> NDArray[Any]:
    """`values` as numpy holds them; a tensor leaves its graph and its device."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        try:
            return np.asarray(values)
        except TypeError:  # a type that numpy does not have, such as bfloat16
            return np.asarray(values.double())
    return np.asarray(values)


def _masked(values: Any, name: str) -> None:
    if isinstance(values, np.ma.MaskedArray):
        masked = int(np.count_nonzero(np.ma.getmaskarray(values)))
        if masked:
            raise ValueError(f"{name} holds {masked} masked values")


def _numbers_of_objects(array: NDArray[Any], name: str) -> NDArray[Any]:
    """An array of Python objects as float64."""
    flat: list[Any] = array.ravel().tolist()
    missing = sum(map(is_missing, flat))
    if missing:
        raise ValueError(f"{name} holds {missing} missing values")
    if any(isinstance(value, str | bytes | complex) for value in flat):
        raise ValueError(f"{name} must hold numbers only")
    if any(isinstance(value, int) and abs(value) > LARGEST_EXACT_INTEGER for value in flat):
        raise ValueError(f"{name} holds whole numbers beyond 2**53, which float64 cannot represent exactly")
    try:
        return np.array([float(value) for value in flat]).reshape(array.shape)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must hold numbers only") from error


def _numbers(values: Any, name: str) -> NDArray[Any]:
    """`values` as an array of real numbers or booleans that float64 holds without loss."""
    refuse_unordered(values, name)
    _masked(values, name)
    try:
        array = _as_array(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} must hold numbers only, in rows of one length") from error
    if array.dtype == np.object_:
        return _numbers_of_objects(array, name)
    if array.dtype.kind not in "buif":
        raise ValueError(f"{name} must hold numbers only, not {array.dtype}")
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8 and array.size:
        beyond = np.count_nonzero((array > LARGEST_EXACT_INTEGER) | (array < -LARGEST_EXACT_INTEGER))
        if beyond:
            raise ValueError(
                f"{name} holds {beyond} whole numbers beyond 2**53, which float64 cannot represent exactly"
            )
    return array


def _one_dimension(array: NDArray[Any], name: str) -> None:
    if array.ndim == 1:
        return
    hint = ""
    if array.ndim == 2 and array.shape[1] == 2:
        hint = f"; of two columns give the one of label 1: {name}[:, 1]"
    elif array.ndim == 2 and array.shape[1] == 1:
        hint = f"; give its only column: {name}[:, 0]"
    raise ValueError(f"{name} must have one dimension, not {array.ndim}{hint}")


def finite_vector(values: ArrayLike, name: str) -> Floats:
    """Return `values` as a float64 vector (n,).

    Raises:
        TypeError: A set, a mapping or text.
        ValueError: Not one-dimensional, not numeric, with NaN, infinite, missing or masked values, or with
            whole numbers that float64 does not hold exactly.
    """
    array = _numbers(values, name)
    _one_dimension(array, name)
    vector = array.astype(np.float64, copy=False)
    bad = len(vector) - int(np.count_nonzero(np.isfinite(vector)))
    if bad:
        raise ValueError(f"{name} holds {bad} values that are NaN or infinite")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        lost = int(np.count_nonzero(vector != array))
        if lost:
            raise ValueError(f"{name} holds {lost} values with more digits than float64 has")
    return vector


def probability_vector(p: ArrayLike, name: str = "p") -> Floats:
    """Return probabilities as a float64 vector (n,).

    Raises:
        TypeError: As `finite_vector`.
        ValueError: As `finite_vector`, or a value outside [0, 1].
    """
    vector = finite_vector(p, name)
    bad = int(np.count_nonzero((vector < 0) | (vector > 1)))
    if bad:
        least, most = (float(f(vector)) for f in (np.min, np.max))
        verb = "value does" if bad == 1 else "values do"
        raise ValueError(f"{name} must lie in [0, 1]; {bad} {verb} not (from {least!r} to {most!r})")
    return vector


def row_count(values: Any) -> int | None:
    """Number of rows of what a caller passed; None where it is not known, as of an iterator."""
    shape = getattr(values, "shape", None)
    if shape is not None:
        return int(shape[0]) if len(shape) else None
    try:
        return len(values)
    except TypeError:
        return None


def same_rows(**arrays: Any) -> None:
    """Check that the arguments of one call have the same rows, before anything is taken out of them.

    Args:
        **arrays: What the caller passed, by the name of the argument; None is skipped.

    Raises:
        TypeError: A set, a mapping, text or bytes.
        ValueError: Another number of rows than the first, or pandas objects whose indexes differ.
    """
    given = {name: values for name, values in arrays.items() if values is not None}
    for name, values in given.items():
        refuse_unordered(values, name)
    counted = {name: rows for name, values in given.items() if (rows := row_count(values)) is not None}
    for name, rows in list(counted.items())[1:]:
        first = next(iter(counted))
        if rows != counted[first]:
            raise ValueError(f"{name} has {rows} rows, {first} has {counted[first]}")
    indexed = [
        (name, index) for name, values in given.items() if (index := _pandas_index(values)) is not None
    ]
    for name, index in indexed[1:]:
        first, reference = indexed[0]
        if not index.equals(reference):
            raise ValueError(
                f"{name} and {first} have different pandas indexes, so their rows may not belong together; "
                f"align them, for example {name}.reindex({first}.index), or pass arrays"
            )


def _pandas_index(values: Any) -> Any:
    """The index of a pandas Series or DataFrame, else None; a list has a method of this name."""
    index = getattr(values, "index", None)
    return index if hasattr(index, "equals") and hasattr(values, "iloc") else None


def same_length(**vectors: NDArray[Any]) -> None:
    """Require all vectors to have as many rows as the first."""
    (first, reference), *others = vectors.items()
    for name, vector in others:
        if len(vector) != len(reference):
            raise ValueError(f"{name} has {len(vector)} rows, {first} has {len(reference)}")


def labels(y: ArrayLike, name: str = "y") -> Bools:
    """Return labels (n,) of 0/1 or booleans as booleans.

    Raises:
        TypeError: As `finite_vector`.
        ValueError: Any other value.
    """
    array = _numbers(y, name)
    _one_dimension(array, name)
    if array.dtype == np.bool_:
        return array
    numbers = finite_vector(array, name)
    positive: Bools = numbers == 1
    bad = len(numbers) - int(np.count_nonzero(positive)) - int(np.count_nonzero(numbers == 0))
    if bad:
        raise ValueError(f"{name} must hold 0 and 1 only; {bad} labels are something else")
    return positive


def weights(weight: ArrayLike | None, rows: int, reference: str = "y") -> Floats | None:
    """Return row weights (n,) as float64, or None where all rows count the same.

    Only the ratios of weights matter: very large or small ones are divided by a power of two, which is exact.

    Args:
        weight: (n,) non-negative weights of any finite scale.
        rows: How many there must be.
        reference: The argument that has so many rows.

    Raises:
        TypeError: As `finite_vector`.
        ValueError: Wrong length, negative, NaN or infinite weights.
    """
    if weight is None:
        return None
    vector = finite_vector(weight, "weight")
    if len(vector) != rows:
        raise ValueError(f"weight has {len(vector)} rows, {reference} has {rows}")
    bad = int(np.count_nonzero(vector < 0))
    if bad:
        raise ValueError(f"weight holds {bad} negative values")
    largest = float(vector.max(initial=0.0))
    least, most = PLAIN_WEIGHTS
    if largest == 0 or least <= largest <= most:
        return vector
    return np.ldexp(vector, -int(np.frexp(largest)[1]))


def whole_number(value: object, name: str, least: int, most: int | None = None) -> int:
    """Return a whole number from `least` to `most`; 2000.0 counts, 2.5 and True do not.

    Raises:
        TypeError: Not a whole number.
        ValueError: Below `least` or above `most`.
    """
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError as error:
        raise TypeError(f"{name} must be a whole number, not {value!r}") from error
    if number < least:
        raise ValueError(f"{name} must be at least {least}, not {number}")
    if most is not None and number > most:
        raise ValueError(f"{name} must be at most {most}, not {number}")
    return number


def yes_or_no(value: object, name: str) -> bool:
    """Return True or False; words such as "no", which Python takes for true, are refused.

    Raises:
        TypeError: Neither True nor False.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return bool(value)


def id_list(ids: Any, name: str = "patient_id") -> list[Any]:
    """Return ids as a list, one per row.

    Raises:
        TypeError: A set, a mapping, text, or ids that are lists or other unhashable values.
        ValueError: More than one dimension, or ids that are missing, masked, or text for a missing value.
    """
    refuse_unordered(ids, name)
    _masked(ids, name)
    shape = getattr(ids, "shape", None)
    if shape is not None and len(shape) != 1:
        raise ValueError(f"{name} must have one dimension, not {len(shape)}")
    if not isinstance(ids, Iterable):
        raise TypeError(f"{name} must be a list or an array with one id per row, not {type(ids).__name__}")
    values: list[Any]
    if isinstance(ids, np.ndarray):
        values = ids.tolist()
    else:  # elements of a pyarrow array are objects of pyarrow, also where they are null
        values = ids.to_pylist() if hasattr(ids, "to_pylist") else list(ids)
    kinds = set(map(type, values))
    missing = 0 if kinds <= {int, str} else sum(map(is_missing, values))
    if missing:
        raise ValueError(f"{name} holds {missing} missing values")
    if any(issubclass(kind, list | dict | set | np.ndarray) for kind in kinds):
        raise TypeError(f"{name} must hold one id per row, not lists")
    if str in kinds:
        blank = {text for text in set(values) if isinstance(text, str) and text.strip().lower() in BLANK_IDS}
        if blank:
            words, rows = ", ".join(map(repr, sorted(blank))), sum(value in blank for value in values)
            raise ValueError(
                f"{name} holds {rows} ids that are blank or mean a missing "
                f"value ({words}); leave these rows out, or give each its patient"
            )
    return values


def scored(
    y: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None, name: str = "score"
) -> tuple[Bools, Floats, Floats | None]:
    """Labels, scores and weights of the rows that count: rows of weight 0 are dropped.

    Raises:
        TypeError: As `finite_vector`.
        ValueError: See `labels`, `finite_vector`, `weights`, `same_rows`.
    """
    return _rows_that_count(y, score, weight, name, finite_vector)


def predicted(
    y: ArrayLike, p: ArrayLike, weight: ArrayLike | None = None, name: str = "p"
) -> tuple[Bools, Floats, Floats | None]:
    """As `scored`, for probabilities.

    Raises:
        TypeError: As `finite_vector`.
        ValueError: Also where a probability lies outside [0, 1].
    """
    return _rows_that_count(y, p, weight, name, probability_vector)


def _rows_that_count(
    y: ArrayLike, values: ArrayLike, weight: ArrayLike | None, name: str, read: Any
) -> tuple[Bools, Floats, Floats | None]:
    positive, vector = labels(y), read(values, name)
    same_rows(**{"y": y, name: values, "weight": weight})
    same_length(**{"y": positive, name: vector})
    row_weight = weights(weight, len(positive))
    if row_weight is None:
        return positive, vector, None
    keep = row_weight > 0
    return positive[keep], vector[keep], row_weight[keep]


def check_level(level: float, name: str) -> float:
    """Return `level` as a float if it lies strictly between 0 and 1.

    Raises:
        TypeError: Not a number.
        ValueError: Outside (0, 1).
    """
    if not isinstance(level, int | float | np.integer | np.floating):
        raise TypeError(f"{name} must be a number between 0 and 1, not {level!r}")
    if not 0 < level < 1:
        raise ValueError(f"{name} must lie between 0 and 1, not {level}")
    return float(level)
