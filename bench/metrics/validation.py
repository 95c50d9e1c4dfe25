"""What every metric asks of its arrays before it counts anything."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def inner(a: Floats | Bools, b: Floats | Bools) -> float:
    """Sum of products, added up in an order that does not depend on threads as a BLAS may."""
    return float(np.sum(a * b, dtype=np.float64))


def finite_vector(values: ArrayLike, name: str) -> Floats:
    """`values` as a float64 vector (n,).

    Raises:
        ValueError: Not one-dimensional, not numeric, or with NaN or infinite values.
    """
    try:
        vector = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold numbers only") from error
    if vector.ndim != 1:
        raise ValueError(f"{name} must have one dimension, not {vector.ndim}")
    bad = len(vector) - int(np.count_nonzero(np.isfinite(vector)))
    if bad:
        raise ValueError(f"{name} holds {bad} values that are NaN or infinite")
    return vector


def same_length(**vectors: NDArray[Any]) -> None:
    """Raises ValueError unless all vectors have as many rows as the first."""
    (first, reference), *others = vectors.items()
    for name, vector in others:
        if len(vector) != len(reference):
            raise ValueError(f"{name} has {len(vector)} rows, {first} has {len(reference)}")


def labels(y: ArrayLike) -> Bools:
    """`y` (n,) of 0/1 or booleans as booleans.

    Raises:
        ValueError: Any other value.
    """
    vector = np.asarray(y)
    if vector.dtype == np.bool_ and vector.ndim == 1:
        return vector
    numbers = finite_vector(y, "y")
    positive: Bools = numbers == 1
    bad = len(numbers) - int(np.count_nonzero(positive)) - int(np.count_nonzero(numbers == 0))
    if bad:
        raise ValueError(f"y must hold 0 and 1 only; {bad} labels are something else")
    return positive


def weights(weight: ArrayLike | None, rows: int) -> Floats | None:
    """Row weights (n,) as float64, or None where all rows count the same.

    Raises:
        ValueError: Wrong length, negative, NaN or infinite weights.
    """
    if weight is None:
        return None
    vector = finite_vector(weight, "weight")
    if len(vector) != rows:
        raise ValueError(f"weight has {len(vector)} rows, y has {rows}")
    bad = int(np.count_nonzero(vector < 0))
    if bad:
        raise ValueError(f"weight holds {bad} negative values")
    return vector


def scored(
    y: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None
) -> tuple[Bools, Floats, Floats | None]:
    """Labels, scores and weights of the rows that count: rows of weight 0 are dropped.

    Raises:
        ValueError: See `labels`, `finite_vector`, `weights`; or lengths differ.
    """
    positive, scores = labels(y), finite_vector(score, "score")
    same_length(y=positive, score=scores)
    row_weight = weights(weight, len(positive))
    if row_weight is None:
        return positive, scores, None
    keep = row_weight > 0
    return positive[keep], scores[keep], row_weight[keep]


def predicted(
    y: ArrayLike, p: ArrayLike, weight: ArrayLike | None = None
) -> tuple[Bools, Floats, Floats | None]:
    """As `scored`, for probabilities.

    Raises:
        ValueError: Also where a probability lies outside [0, 1].
    """
    positive, probability, row_weight = scored(y, p, weight)
    bad = int(np.count_nonzero((probability < 0) | (probability > 1)))
    if bad:
        raise ValueError(f"p must lie in [0, 1]; {bad} values do not")
    return positive, probability, row_weight


def check_level(level: float, name: str) -> float:
    """`level` if it lies strictly between 0 and 1.

    Raises:
        ValueError: It does not.
    """
    if not 0 < level < 1:
        raise ValueError(f"{name} must lie between 0 and 1, not {level}")
    return float(level)
