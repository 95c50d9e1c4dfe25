"""A timing record: what one model took on one device, with one backend, in one precision.

One file per (device, backend, precision) holds one row per batch size, all measured under the same
conditions. A figure that was not or cannot be measured is null with a reason; a configuration that crashed is
a row that says so.
"""

from __future__ import annotations

import datetime
import re
from typing import Literal

from pydantic import Field

from bench.choices import PUBLISHED_DIGITS, LabelMode, Precision
from bench.documents import Document, schema_field
from bench.environment import Fact
from bench.files import round_significant
from bench.timing.protocol import RecordedProtocol

Status = Literal["ok", "crashed", "timeout", "out-of-memory", "failed"]
InstabilityCode = Literal[
    "variation",  # records of before 2026-11 alone
    "p50-interval",
    "block-spread",
    "trend",
    "clocks",
    "throttled",
    "foreign-process",
    "telemetry",
    "precision",
]
Comparison = Literal["faster", "slower", "same", "undecided"]
ParityStatus = Literal["passed", "failed", "not_checked"]


class Percentile(Document):
    """A percentile of latency in milliseconds with its 95% interval; null with a reason where undefined."""

    value_ms: float | None
    low_ms: float | None = None
    high_ms: float | None = None
    reason: str = ""


class Latency(Document):
    """The latencies of one scope, all blocks together.

    The interval of `p50` is a bootstrap over blocks; those of the others are nonparametric, from order
    statistics.
    """

    n: int = Field(ge=0, description="Runs that were measured.")
    mean_ms: float | None = None
    cv: float | None = Field(default=None, description="Standard deviation / mean.")
    p50: Percentile
    p90: Percentile
    p95: Percentile
    p99: Percentile
    p50_se_ms: float | None = Field(default=None, description="Standard error of p50 over blocks.")
    block_p50_ms: tuple[float, ...] = ()
    reason: str = Field(default="", description="Why the whole scope was not measured.")


class Throughput(Document):
    """Images per second with several batches in flight."""

    images_per_s: float | None
    low: float | None = None
    high: float | None = None
    in_flight: int | None = None
    reason: str = ""


class LoadPoint(Document):
    """Latency and throughput with a number of batches in flight: a point of the latency-throughput curve."""

    in_flight: int = Field(gt=0)
    images_per_s: float
    latency: Latency


class ArrivalRate(Document):
    """Latencies of requests that arrived at random at one rate, the wait for those before included."""

    requests_per_s: float
    latency: Latency


class Server(Document):
    """Requests of one image that arrive at random (a Poisson process) and are answered in turn."""

    bound_ms: float = Field(description="Latency that 99 of 100 requests must not exceed.")
    rates: tuple[ArrivalRate, ...] = ()
    requests_per_s: float | None = Field(
        default=None, description="Largest rate that was tried whose p99 is within the bound."
    )
    reason: str = ""


class Pipeline(Document):
    """From the bytes of image files to predictions, on one thread of the host."""

    latency: Latency
    decode_ms: float | None = Field(
        default=None, description="Median time of decoding, resizing and normalising a batch."
    )


class ColdStart(Document):
    """Time from the start of a fresh process to its first answer: medians over processes, in milliseconds."""

    prepare_ms: float | None = Field(description="Load or build of the session.")
    first_inference_ms: float | None
    total_ms: float | None = Field(
        default=None, description="From the start of the process to its first answer, imports included."
    )
    processes: int = Field(
        default=0, description="Fresh processes that did nothing else; 0: the blocks' own processes."
    )
    reason: str = ""


class Instability(Document):
    """One reason why a row is unstable: what was measured and its limit."""

    code: InstabilityCode
    message: str
    value: float | None = None
    limit: float | None = None


class Stability(Document):
    """Precision of p50: known well enough to be ranked or not. Null: nothing was measured."""

    stable: bool | None
    reasons: tuple[Instability, ...] = ()
    p50_half_width: float | None = Field(
        default=None, description="Half the width of p50's 95% interval / p50."
    )
    notes: tuple[str, ...] = Field(default=(), description="What is worth knowing and does not count.")
    message: str = Field(default="", description="For people: what disturbed the figures, and what to do.")


class Trial(Document):
    """One trial of a configuration; the one whose p50 is known best gives the figures."""

    p50_ms: float | None
    p50_half_width: float | None
    stable: bool | None
    load_average: float | None = None
    used: bool = False
    reason: str = ""


class Telemetry(Document):
    """Readings of a GPU while it was measured, over all blocks; null where it reports nothing."""

    samples: int = Field(ge=0)
    clock_mhz_min: float | None = None
    clock_mhz_median: float | None = None
    clock_mhz_max: float | None = None
    power_w_median: float | None = None
    power_w_max: float | None = None
    temperature_c_max: float | None = None
    memory_mb_max: float | None = None
    throttle_reasons: tuple[str, ...] = ()
    foreign_processes: int = 0
    energy_j_per_1000_images: float | None = None
    power_capped: bool | None = Field(
        default=None,
        description="The power limit held the clock down: common under full load, not counted. Null: not "
        "recorded.",
    )
    clock_set: bool | None = Field(
        default=None,
        description="The clock was held by a setting (`nvidia-smi -lgc` or `-ac`). Null: not recorded.",
    )


class Parity(Document):
    """Comparison of the timed session's predictions with the stored ones."""

    status: ParityStatus
    images: int = 0
    max_difference: float | None = Field(default=None, description="Largest |Δp| over images and targets.")
    max_difference_gate: float | None = None
    target: str = Field(default="", description="Target of the largest difference.")
    auroc_difference: float | None = Field(default=None, description="Largest |ΔAUROC| over targets.")
    auroc_difference_gate: float | None = None
    message: str = Field(default="", description="What differed, or why nothing was compared.")
    pass_ratio: float | None = Field(
        default=None,
        description="Time of a batch while parity was checked / end to end (10% quantiles).",
    )
    unseen_ratio: float | None = Field(
        default=None,
        description="Time of a batch of images made for the check / of test images run in turn with them "
        "(10% quantiles).",
    )
    unseen_repeats: float | None = Field(
        default=None, description="Share of those images that got exactly the predictions of a test image."
    )


class EngineBuild(Document):
    """One build of an engine: each block makes its own, since they differ from build to build."""

    sha256: str
    build_ms: float
    engine_bytes: int = Field(ge=0)
    layer_types: dict[str, int] = Field(
        default_factory=dict, description="Type → layers that put it out, as the engine's inspector says."
    )


class BatchTiming(Document):
    """One batch size: the figures, or how it ended."""

    batch: int = Field(gt=0)
    status: Status
    message: str = ""
    compute: Latency
    end_to_end: Latency
    throughput: Throughput
    cold_start: ColdStart
    stability: Stability
    parity: Parity
    blocks: int = Field(ge=0, description="Blocks that ended well.")
    limit_fraction: float | None = Field(
        default=None,
        description="Least time by the roofline / median latency: of `compute` where the device reports it, "
        "otherwise of `end_to_end`. Null also where that is above 1: perhaps the device was busy while the "
        "limit was measured, or the data stayed in a cache.",
    )
    telemetry: Telemetry | None = Field(default=None, description="Of a GPU; null for a CPU.")
    peak_memory_mb: float | None = Field(default=None, description="Largest resident memory of a block.")
    load_average: float | None = Field(default=None, description="1-minute load before the first block.")
    compute_stability: Stability | None = Field(
        default=None, description="Of `compute`; `stability` is that of `end_to_end`, which is ranked."
    )
    compute_telemetry: Telemetry | None = Field(default=None, description="While `compute` was measured.")
    enqueue_ms: float | None = Field(
        default=None, description="Median time of the host to start a run on the device."
    )
    trials: tuple[Trial, ...] = Field(
        default=(), description="Every trial, in order of time; empty: not recorded."
    )
    measured_on: datetime.date | None = Field(default=None, description="Null: as the record says.")
    builds: tuple[EngineBuild, ...] = Field(
        default=(), description="Engines in the order of the blocks; their medians are `block_p50_ms`."
    )
    load_curve: tuple[LoadPoint, ...] | None = Field(
        default=None,
        description="Latency and throughput with 1, 2 and 4 batches in flight. Null: not recorded.",
    )
    server: Server | None = Field(
        default=None, description="Requests that arrive at random, at batch 1. Null: not recorded."
    )
    pipeline: Pipeline | None = Field(
        default=None, description="From image files to predictions. Null: not recorded."
    )

    @property
    def ranked(self) -> bool:
        """Return whether the row may be ranked: it ended well, is stable, and reproduced the predictions."""
        return self.status == "ok" and self.stability.stable is True and self.parity.status == "passed"


class Roofline(Document):
    """The least work of an image and the most that the device was seen to do; null with a reason."""

    mflop_per_image: float | None = Field(default=None, description="10^6 operations, two per multiply-add.")
    weight_mb: float | None = Field(default=None, description="Weights, read once for each batch.")
    image_mb: float | None = Field(default=None, description="Inputs and outputs of an image.")
    device_gflop_per_s: float | None = Field(default=None, description="Of one large matrix product.")
    device_gb_per_s: float | None = Field(default=None, description="Read and written by one large copy.")
    reason: str = ""

    @property
    def figures(self) -> tuple[float, ...]:
        """All five figures in the order of the fields; empty where one is not known."""
        figures = (
            self.mflop_per_image,
            self.weight_mb,
            self.image_mb,
            self.device_gflop_per_s,
            self.device_gb_per_s,
        )
        known = tuple(value for value in figures if value is not None)
        return known if len(known) == len(figures) else ()


class TimingRecord(Document):
    """``timings/<device>-<backend>-<precision>.json``."""

    schema_: str = schema_field("timing", 1, 1)
    slug: str = Field(default="", description="The entry; empty for a model that is in no store.")
    cohort: str = ""
    fingerprint: str = Field(default="", description="Split whose test images were used.")
    backend: str = Field(description="Such as `onnxruntime-cpu`.")
    backend_label: str = Field(description="As shown, such as `ONNX Runtime (CPU)`.")
    device: str = Field(description="Name of the processor that computed.")
    is_gpu: bool
    precision: Precision
    model_sha256: str
    harness_version: str
    measured_on: datetime.date = Field(description="Of the last rows.")
    protocol: RecordedProtocol
    inputs: Literal["cohort images", "random pixels"] = "cohort images"
    options: dict[str, Fact] = Field(
        default_factory=dict, description="Settings of the session: threads, providers, optimisation level."
    )
    roofline: Roofline = Field(default_factory=Roofline)
    own_auroc: dict[str, float] = Field(
        default_factory=dict,
        description="Target → AUROC on all test images of this precision's own predictions: for int8, "
        "which has no gate of parity.",
    )
    control_flow: tuple[str, ...] | None = Field(
        default=None,
        description="Operators that choose what is computed: `If`, `Loop`, `Scan`. Null: not recorded.",
    )
    stored_precision: dict[str, int] | None = Field(
        default=None,
        description="Precision → convolutions and matrix products that the file has in it. Null: not "
        "recorded.",
    )
    batches: tuple[BatchTiming, ...] = Field(min_length=1)
    environment: dict[str, Fact] = Field(default_factory=dict)
    argv: tuple[str, ...] = Field(
        default=(), description="Command line of the last rows; paths shortened to file names."
    )

    @property
    def file_name(self) -> str:
        """Name of the record's file: ``<device>-<backend>-<precision>.json``."""
        return f"{device_slug(self.device)}-{self.backend}-{self.precision}.json"

    def row(self, batch: int) -> BatchTiming | None:
        """The row of one batch size, None where it was not tried."""
        return next((row for row in self.batches if row.batch == batch), None)


def device_slug(device: str) -> str:
    """A device's name as part of a file name: lower-case letters, digits and hyphens."""
    words = re.sub(r"\((r|tm)\)|processor|@.*", " ", device.lower())
    return re.sub(r"[^a-z0-9]+", "-", words).strip("-")[:48].strip("-") or "unknown"


def with_published_figures(record: TimingRecord, labels: LabelMode) -> TimingRecord:
    """Reduce the figures of a record that were computed from labels to what may be published.

    Args:
        record: The record.
        labels: Who has the labels. Where they are shared, AUROCs and their differences get few digits; where
            they are private, none is left: an entry's AUROC is published once, in its scorecard.
    """
    if labels is LabelMode.PUBLIC:
        return record
    shared = labels is LabelMode.SHARED
    own = {t: round_significant(v, PUBLISHED_DIGITS) for t, v in record.own_auroc.items()} if shared else {}

    def reduced(row: BatchTiming) -> BatchTiming:
        shift = row.parity.auroc_difference
        shift = round_significant(shift, PUBLISHED_DIGITS) if shared and shift is not None else None
        return row.model_copy(update={"parity": row.parity.model_copy(update={"auroc_difference": shift})})

    return record.model_copy(update={"own_auroc": own, "batches": tuple(map(reduced, record.batches))})
