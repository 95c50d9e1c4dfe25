"""Damaged files of every kind: the result is numbers or a problem of the catalogue, never a crash."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from bench.choices import Track
from bench.cohort.cohort import Cohort
from bench.cohort.load import load_cohort
from bench.cohort.spec import CohortSpec, load_spec
from bench.documents import Document, parse_toml
from bench.errors import BenchError, Problem, catalogue
from bench.submission.check_predictions import load_predictions
from bench.submission.manifest import Manifest
from bench.submission.packed import PackStamp, pack, unpack
from tests.tiny import MANIFEST, cohort_table, predictions

PIECES = [
    b"\0",
    b"\xff",
    b'"',
    b",",
    b"\n",
    b"\r",
    b";",
    b"nan",
    b"-1",
    b"1e999",
    b"\xef\xbb\xbf",
    b"'",
    b"[",
    b"=",
]
SEEDS = range(60)


def damaged(whole: bytes, seed: int) -> bytes:
    """`whole` with a few bytes put in, replaced, left out or doubled, sometimes cut off."""
    random, data = Random(seed), whole
    for _ in range(random.randint(1, 4)):
        at, length = random.randint(0, len(data)), random.randint(0, 40)
        noise = random.randbytes(random.randint(0, 6))
        middle = random.choice([random.choice(PIECES), noise, data[at : at + length] * 2])
        data = data[:at] + middle + data[at + length :]
    return data[: random.randint(0, len(data))] if random.random() < 0.25 else data


def survives(work: Callable[[], object]) -> None:
    problems: tuple[Problem, ...] = ()
    try:
        work()
    except BenchError as error:
        problems = error.problems
    for problem in problems:
        assert problem.code in catalogue()
        assert problem.as_dict()["remedy"]
        assert len(problem.message) < 2000


@pytest.fixture(scope="module")
def forms(cohort: Cohort) -> dict[str, bytes]:
    frame = predictions(cohort)
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    text = frame.to_csv(index=False).encode()
    return {"csv": text, "gzip": gzip.compress(text), "parquet": buffer.getvalue()}


@pytest.mark.parametrize("form", ["csv", "gzip", "parquet"])
def test_damaged_predictions(form: str, forms: dict[str, bytes], cohort: Cohort, tmp_path: Path) -> None:
    for seed in SEEDS:
        (tmp_path / "p").write_bytes(damaged(forms[form], seed))
        survives(lambda: load_predictions(tmp_path / "p", cohort))


def test_damaged_stored_predictions(cohort: Cohort, tmp_path: Path) -> None:
    stamp = PackStamp(
        cohort="chexchonet",
        version="1.0.0",
        fingerprint=cohort.split.fingerprint,
        track="holdout",
        source_sha256="0" * 64,
    )
    whole = pack({"slvh": predictions(cohort)["slvh"].to_numpy()}, stamp)
    for seed in SEEDS:
        (tmp_path / "p").write_bytes(damaged(whole, seed))
        survives(lambda: unpack(tmp_path / "p", cohort, Track.HOLDOUT))


def test_a_damaged_table(tmp_path: Path) -> None:
    whole = cohort_table(8).to_csv(index=False).encode()
    for seed in SEEDS:
        (tmp_path / "metadata.csv").write_bytes(damaged(whole, seed))
        survives(lambda: load_cohort(load_spec("chexchonet"), tmp_path))


@pytest.mark.parametrize("model", [Manifest, CohortSpec])
def test_a_damaged_manifest_or_spec(model: type[Document]) -> None:
    spec = Path(__file__).parents[1] / "real" / "nih-1000.toml"
    whole = MANIFEST.encode() if model is Manifest else spec.read_bytes()
    for seed in SEEDS:
        broken = damaged(whole, seed).decode("utf-8", errors="replace")
        survives(lambda broken=broken: parse_toml(model, broken, "manifest-invalid", "x"))  # type: ignore[misc]
