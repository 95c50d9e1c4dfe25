"""A small cohort of 60 patients in text, ways to edit its table, and what the check says of it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.cohort.audit import audit
from bench.cohort.cohort import Cohort
from bench.cohort.load import load_cohort
from bench.cohort.spec import CohortSpec
from bench.documents import parse
from bench.errors import BenchError, Problem

PATIENTS, EACH = 60, 3
ROWS = PATIENTS * EACH
SPEC: dict[str, Any] = {
    "schema": "cohort-spec/1",
    "id": "hosp",
    "version": "1",
    "title": "Hospital",
    "headline": "y",
    "files": {"table": ["t.csv", "t.parquet"], "images": "images"},
    "columns": {"image": "image", "patient": "patient", "inputs": {"age": "age", "sex": "sex"}},
    "split": {"rule": "hash", "salt": "s1", "test": 0.5},
    "targets": [{"name": "y", "label": "Y", "source": "y"}],
    "subgroups": [
        {"name": "sex", "label": "Sex", "column": "sex", "values": {"F": "Female", "M": "Male"}},
        {"name": "age", "label": "Age", "column": "age", "bands": [18, 40, 60, 80], "unit": "years"},
    ],
}


def good() -> pd.DataFrame:
    """180 images of 60 patients, every cell as text."""
    random = np.random.default_rng(0)
    rows = []
    for patient in range(1, PATIENTS + 1):
        label, sex, age = int(random.random() < 0.4), "FM"[int(random.integers(2))], random.integers(20, 90)
        rows += [(f"{patient:08d}_{k:03d}.png", str(patient), str(age), sex, str(label)) for k in range(EACH)]
    return pd.DataFrame(rows, columns=["image", "patient", "age", "sex", "y"])


def spec(changes: dict[str, Any] | None = None) -> CohortSpec:
    return parse(CohortSpec, SPEC | (changes or {}), "cohort-spec", "spec.toml")


def target(**changes: Any) -> dict[str, Any]:
    return {"targets": [SPEC["targets"][0] | changes]}


def columns(**changes: Any) -> dict[str, Any]:
    return {"columns": SPEC["columns"] | changes}


def write(folder: Path, table: pd.DataFrame | pa.Table | bytes) -> None:
    if isinstance(table, bytes):
        (folder / "t.csv").write_bytes(table)
    elif isinstance(table, pa.Table):
        pq.write_table(table, folder / "t.parquet")
    else:
        table.to_csv(folder / "t.csv", index=False)


def check(
    folder: Path, table: pd.DataFrame | pa.Table | bytes, changes: dict[str, Any] | None = None
) -> list[Problem]:
    """The problems that `bench cohort check --no-images` shows."""
    write(folder, table)
    try:
        return list(audit(load_cohort(spec(changes), folder), images=False).problems)
    except BenchError as error:
        return list(error.problems)


def csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False).encode()


Edit = Callable[[pd.DataFrame], "pd.DataFrame | pa.Table | bytes"]


def patients(change: Callable[[int, str], str]) -> Edit:
    """Change the patient of each row, by row and id."""
    return lambda t: t.assign(patient=[change(i, p) for i, p in enumerate(t["patient"])])


def every_second(change: Callable[[str], str]) -> Edit:
    return patients(lambda i, p: change(p) if i % 2 else p)


def cells(column: str, change: Callable[[str], str], rows: int = ROWS) -> Edit:
    """Change the first cells of a column."""
    return lambda t: t.assign(**{column: [change(v) if i < rows else v for i, v in enumerate(t[column])]})


def labels(positive: str, negative: str) -> Edit:
    return cells("y", lambda v: positive if v == "1" else negative)


def word(word: str, **more: Any) -> dict[str, Any]:
    return target(source={"column": "y", "word": word, **more})


ALL_TEST = {"split": {"rule": "all-test"}}


def loaded(
    folder: Path, table: pd.DataFrame | pa.Table | bytes, changes: dict[str, Any] | None = None
) -> Cohort:
    assert [p for p in check(folder, table, changes) if p.severity == "error"] == []
    return load_cohort(spec(changes), folder)


def parquet_bytes(table: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    table.to_parquet(stream)
    return stream.getvalue()
