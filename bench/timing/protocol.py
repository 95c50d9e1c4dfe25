"""Timing protocols: number and duration of the runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar, Literal

from bench.metrics.results import STORED


@dataclass(frozen=True, slots=True)
class RecordedProtocol:
    """The protocol as a record says; null: not recorded, since the record is older than the setting."""

    name: Literal["full", "quick"]
    blocks: int
    warmup_s: float
    warmup_runs: int
    measure_s: float
    measure_runs: int
    throughput_s: float
    parity_images: int
    limit_s: float
    longest_s: float | None = None
    least_runs: int | None = None
    least_warmup_runs: int | None = None
    build_limit_s: float | None = None
    trials: int | None = None
    cold_starts: int | None = None

    __pydantic_config__: ClassVar = STORED

    def differences(self, now: Protocol) -> list[str]:
        """List, in words, each setting of the record that differs from `now`."""
        then = asdict(self)
        return [
            f"{name}: {'not recorded' if then[name] is None else then[name]}, now {value}"
            for name, value in asdict(now).items()
            if then[name] != value
        ]


@dataclass(frozen=True, slots=True)
class Protocol(RecordedProtocol):
    """The protocol of one configuration (backend, precision, batch).

    Attributes:
        name: ``full``, or ``quick`` for demonstrations: the same steps, fewer runs, wider intervals.
        blocks: Independent blocks, each in a process and session of its own.
        warmup_s: Least duration of the warm-up of a block.
        warmup_runs: Least number of its runs.
        measure_s: Least duration of what is measured in a block.
        measure_runs: Least number of its runs.
        throughput_s: Duration of the throughput measurement of a block.
        parity_images: Images on which the first block's session must reproduce the predictions.
        limit_s: The configuration is given up when its blocks, those of all trials, have taken so long;
            builds do not count. With three batch sizes it is a quarter of an hour.
        longest_s: A slow model's phase (warm-up, latencies, device times) ends after so long, once it has the
            least number of runs.
        least_runs: That number for latencies and device times.
        least_warmup_runs: That number for the warm-up.
        build_limit_s: A build of a session may take so long.
        trials: A configuration whose figures are not stable is measured at most so often, while its time
            allows.
        cold_starts: Fresh processes in which the cold start is measured.
    """

    longest_s: float = 10.0
    least_runs: int = 10
    least_warmup_runs: int = 3
    build_limit_s: float = 1800.0
    trials: int = 3
    cold_starts: int = 3


FULL = Protocol(
    name="full",
    blocks=5,
    warmup_s=1.0,
    warmup_runs=50,
    measure_s=3.0,
    measure_runs=400,
    throughput_s=0.5,
    parity_images=256,
    limit_s=300.0,
)
QUICK = Protocol(
    name="quick",
    blocks=3,
    warmup_s=0.15,
    warmup_runs=5,
    measure_s=0.4,
    measure_runs=30,
    throughput_s=0.2,
    parity_images=256,
    limit_s=120.0,
    longest_s=4.0,
    trials=1,
    cold_starts=1,
)
