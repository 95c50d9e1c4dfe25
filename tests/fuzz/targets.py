"""Readers of submitted files, as functions of bytes: each returns, or raises a known `BenchError`."""

from __future__ import annotations

import gzip
import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.cohort.cohort import Cohort
from bench.cohort.load import load_cohort
from bench.cohort.spec import load_spec
from bench.documents import parse_json
from bench.errors import BenchError, catalogue
from bench.federation.model import FIGURES, ROC_PLACES, SiteAggregate
from bench.federation.pooled import ReadAggregate, check_sites, pooled_board
from bench.onnx.interface import check_model
from bench.sandbox.messages import read_message, write_message
from bench.sandbox.read_worker import document
from bench.scoring.scorecard import SCORING_VERSION
from bench.submission.check_predictions import INDEX_COLUMNS, check_predictions, id_columns
from bench.submission.packed import PackStamp, pack, packed_values
from bench.submission.read_embeddings import packed_npy, packed_parquet
from bench.submission.read_predictions import LEAST_ROOM, packed_predictions, unpacked_predictions
from tests.runtime.models import SPEC, busy_model, linear_model, manifest, with_age_and_sex
from tests.tiny import MANIFEST, cohort_table, predictions, write_cohort

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Target:
    """One reader of what strangers hand in.

    Attributes:
        read: Reads the bytes; anything but a `BenchError` that it raises is a fault.
        seeds: Makes whole inputs to begin with.
    """

    read: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]


@cache
def _folder() -> Path:
    shared = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="fuzz-", dir=shared if shared.is_dir() else None))


@cache
def _cohort() -> Cohort:
    folder = _folder() / "cohort"
    write_cohort(folder, cohort_table(20), images=False)
    return load_cohort(load_spec("chexchonet"), folder)


def _file(data: bytes) -> Path:
    path = _folder() / "input"
    path.write_bytes(data)
    return path


def run(target: Target, data: bytes) -> None:
    """Pass `data` to a reader.

    Raises:
        AssertionError: It refused without a code, a remedy or a message of bounded length.
    """
    try:
        target.read(data)
    except BenchError as error:
        for problem in error.problems:
            assert problem.code in catalogue()
            assert problem.as_dict()["remedy"]
            assert len(problem.message) < 10_000


def _csv_seeds() -> list[bytes]:
    frame = predictions(_cohort())
    text = frame.to_csv(index=False).encode()
    return [
        text,
        gzip.compress(text, mtime=0),
        text.replace(b",", b";"),
        text[:100],
        b"",
        b"PK\x03\x04",
        b"\x80\x04",
    ]


def _parquet_seeds() -> list[bytes]:
    frame = predictions(_cohort())
    buffers = [io.BytesIO(), io.BytesIO()]
    frame.to_parquet(buffers[0])
    frame.astype({frame.columns[0]: "category"}).to_parquet(buffers[1], compression="zstd")
    return [buffer.getvalue() for buffer in buffers]


def _stamp() -> PackStamp:
    return PackStamp(
        cohort="chexchonet",
        version="1.0.0",
        fingerprint=_cohort().split.fingerprint,
        track="holdout",
        source_sha256="0" * 64,
    )


def _wire_seeds() -> list[bytes]:
    stream = io.BytesIO()
    write_message(
        stream, {"rows": 3, "picks": [{"target": "a"}]}, {"a": np.arange(3.0), "b": np.zeros((2, 1), "f4")}
    )
    return [stream.getvalue()]


def _read_wire(data: bytes) -> object:
    try:
        return read_message(io.BytesIO(data))
    except (EOFError, ValueError):  # what `Worker` makes a finding of
        return None


MODELS = {
    "manifest": "bench.submission.manifest:Manifest",
    "encoder": "bench.submission.manifest:EncoderFile",
    "envelope": "bench.federation.signature:Envelope",
    "site": "bench.federation.model:SiteAggregate",
    "scorecard": "bench.scoring.scorecard:Scorecard",
}
"""Documents by name, as the sandboxed worker is told of them."""


def _read_predictions(data: bytes) -> object:
    """What the sandboxed worker does with predictions, and the checks of what it answers."""
    cohort, where = _cohort(), Path("p")
    ids = (*id_columns(cohort), *INDEX_COLUMNS)
    used = [*ids, *(target.name for target in cohort.spec.targets)]
    header, arrays, _ = packed_predictions(
        data, where="p", text_columns=list(ids), used=used, most_bytes=LEAST_ROOM
    )
    return check_predictions(unpacked_predictions(header, arrays), where, cohort)


def _read_stored(data: bytes) -> object:
    """What the sandboxed worker does with stored predictions."""
    cohort = _cohort()
    return packed_values(
        data,
        where="p",
        covered="holdout",
        cohort=cohort.spec.id,
        version=cohort.spec.version,
        fingerprint=cohort.split.fingerprint,
        rows=len(cohort.rows("test")),
        targets=[target.name for target in cohort.spec.targets],
    )


def _site(name: str, level: float) -> dict[str, Any]:
    """What a hospital publishes of two entries."""
    figures = {key: {"value": level, "se": 0.02, "df": 90.0} for key in FIGURES}
    roc = [{"x": place, "y": level} for place in ROC_PLACES]
    entries = [{"slug": slug, "figures": figures, "roc": roc} for slug in ("one", "two")]
    counts = {"images": 900, "patients": 300, "positives": 200, "positive_patients": 80}
    target = {"target": "t", "label": "T", **counts, "entries": entries, "difference_se": [[0.01]]}
    return {
        "schema": "site-aggregate/1",
        "site": name,
        "cohort": "c",
        "cohort_version": "1",
        "synthetic": True,
        "split": "hash",
        "harness_version": "1",
        "scoring_version": SCORING_VERSION,
        "replicates": 1000,
        "headline": "t",
        "targets": [target, {"target": "u", "label": "U", "withheld": "few patients"}],
    }


def _read_site(data: bytes) -> object:
    """What the sandboxed worker does with the content of a hospital's file, and the board with two others."""
    _, _, plain = document(data, model=MODELS["site"], code="statement-invalid", where="s", toml=False)
    others = [SiteAggregate.model_validate(_site(name, level)) for name, level in (("b", 0.7), ("c", 0.8))]
    stated = parse_json(SiteAggregate, plain, "statement-invalid", "s")
    read = [
        ReadAggregate(one, one.site, one.site, dict.fromkeys(("one", "two"), one.site))
        for one in (stated, *others)
    ]
    check_sites(read)
    return pooled_board([one.aggregate for one in read]).plain()


def _sites() -> list[bytes]:
    seeds = [json.dumps(_site("a", level)).encode() for level in (0.5, 0.9, 1.0)]
    _read_site(seeds[0])  # compiles kernels, for which the time of one input is too short
    return seeds


def _envelopes() -> list[bytes]:
    signature = {"keyid": "0" * 64, "sig": "AAAA"}
    kind = "application/vnd.in-toto+json"
    return [json.dumps({"payloadType": kind, "payload": "e30=", "signatures": [signature]}).encode()]


def _embeddings(as_parquet: bool) -> list[bytes]:
    found = []
    for kind in ("float16", "float32"):
        stream, matrix = io.BytesIO(), np.arange(12, dtype=kind).reshape(4, 3)
        if as_parquet:
            pd.DataFrame({"image_id": list("abcd"), "embedding": list(matrix)}).to_parquet(stream)
        else:
            np.save(stream, matrix)
        found.append(stream.getvalue())
    return found


ENCODER = """schema = "encoder/1"
name = "N"
file = "encoder.onnx"
features = "features"
pretrained_weights = "none"
external_data = "none"
[image]
name = "image"
height = 24
width = 24
"""
SPECS = [
    "extends = 'demo'\nlabels = 'private'\n",
    "extends = 'chexchonet'\n[split]\nrule = 'all-test'\n",
]


def _scorecards() -> list[bytes]:
    card = json.loads((ROOT / "submissions/demo/prevalence/scorecard.json").read_text())
    short = {**card, "targets": card["targets"][:1], "subgroups": card["subgroups"][:2]}
    return [json.dumps(short).encode(), b"[]", b"{}", b"[" * 5000]


def _manifests() -> list[bytes]:
    stored = [p.read_bytes() for p in sorted((ROOT / "submissions").glob("*/*/submission.toml"))]
    return [MANIFEST.encode(), *stored[:6]]


TARGETS = {
    "csv": Target(_read_predictions, _csv_seeds),
    "parquet": Target(_read_predictions, _parquet_seeds),
    "stored": Target(
        _read_stored,
        lambda: [pack({"slvh": predictions(_cohort())["slvh"].to_numpy()}, _stamp())],
    ),
    "manifest": Target(
        lambda data: document(data, model=MODELS["manifest"], code="manifest-invalid", where="m", toml=True),
        _manifests,
    ),
    "spec": Target(
        lambda data: load_spec(str(_file(data))),
        lambda: [
            *(path.read_bytes() for path in sorted((ROOT / "bench/cohort/specs").glob("*.toml"))),
            *(text.encode() for text in SPECS),
        ],
    ),
    "encoder": Target(
        lambda data: document(data, model=MODELS["encoder"], code="baseline-encoder", where="e", toml=True),
        lambda: [ENCODER.encode()],
    ),
    "envelope": Target(
        lambda data: document(
            data, model=MODELS["envelope"], code="statement-invalid", where="e", toml=False
        ),
        _envelopes,
    ),
    "site": Target(_read_site, _sites),
    "embeddings-npy": Target(
        lambda data: packed_npy(data, where="e", id_names=["image_id"]), lambda: _embeddings(False)
    ),
    "embeddings-parquet": Target(
        lambda data: packed_parquet(data, where="e", id_names=["image_id"]), lambda: _embeddings(True)
    ),
    "onnx": Target(
        lambda data: check_model(_file(data), manifest(), SPEC)[0],
        lambda: [
            m.SerializeToString()
            for m in (linear_model(), with_age_and_sex(), busy_model(5, 2), linear_model(opset=9))
        ],
    ),
    "scorecard": Target(
        lambda data: document(
            data, model=MODELS["scorecard"], code="scorecard-invalid", where="s", toml=False
        ),
        _scorecards,
    ),
    "wire": Target(_read_wire, _wire_seeds),
}
