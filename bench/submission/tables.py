"""Predictions in memory: a DataFrame, or arrays by column, as the checks read them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from bench.errors import BenchError, Problem
from bench.submission.read_predictions import RawPredictions

ArrayTable = pd.DataFrame | Mapping[str, Any]
"""Predictions in memory: columns of image ids and of targets, each (n,)."""


@dataclass(frozen=True)
class PredictionTable:
    """Predictions in memory, ready to be checked.

    Attributes:
        raw: The table.
        where: What messages name as its place.
        sha256: Hash of its columns: names, ids, and values as float64.
    """

    raw: RawPredictions
    where: Path
    sha256: str


def prediction_table(
    predictions: ArrayTable, id_columns: tuple[str, ...], where: str = "predictions"
) -> PredictionTable:
    """Turn predictions in memory into what a file would hold.

    Args:
        predictions: A DataFrame (its index may hold the ids, if it bears their name), or (n,) arrays by
            column.
        id_columns: Columns that hold ids; they become text.
        where: What messages name as the place.

    Raises:
        BenchError: A column has not one value a row (``predictions-arrays``).
    """
    if isinstance(predictions, pd.DataFrame):
        named = predictions.index.name in id_columns and predictions.index.name not in predictions.columns
        frame = predictions.reset_index() if named else predictions
        columns = {str(name): frame.iloc[:, i].to_numpy() for i, name in enumerate(frame.columns)}
        if len(columns) != frame.shape[1]:
            raise _refused("Two columns have the same name.", where)
    else:
        columns = {str(name): np.asarray(values) for name, values in predictions.items()}
    shapes = {name: values.shape for name, values in columns.items()}
    if wrong := [f"{name} {shape}" for name, shape in shapes.items() if len(shape) != 1]:
        raise _refused(f"Not one value an image: {', '.join(wrong)[:200]}.", where)
    if len(set(shapes.values())) > 1:
        lengths = ", ".join(f"{name} {shape[0]:,}" for name, shape in shapes.items())
        raise _refused(f"The columns differ in length: {lengths[:200]}.", where)
    digest = hashlib.sha256()
    arrays = {}
    for name, values in columns.items():
        arrays[name] = column = _as_arrow(values, text=name in id_columns)
        digest.update(f"{name}\n".encode())
        stored = column.to_numpy(zero_copy_only=False)
        numeric = pa.types.is_floating(column.type)
        digest.update(stored.tobytes() if numeric else "\n".join(map(str, stored)).encode())
    return PredictionTable(RawPredictions(pa.table(arrays), None), Path(where), digest.hexdigest())


def _as_arrow(values: np.ndarray[Any, Any], *, text: bool) -> pa.Array:
    """Numbers as float64, ids and everything else as text; a missing value stays missing."""
    if not text and values.dtype.kind in "fiub":
        return pa.array(values.astype(np.float64), pa.float64())
    return pa.array([None if pd.isna(value) else str(value) for value in values], pa.string())


def _refused(message: str, where: str) -> BenchError:
    return BenchError(Problem("predictions-arrays", message, where))
