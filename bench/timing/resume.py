"""Records on disk: rows are added one by one, and rows of other conditions never stand among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import bench
from bench.choices import Precision
from bench.cohort.cohort import Cohort
from bench.cohort.images import has_images
from bench.environment import Fact, usable_cores
from bench.errors import BenchError, Problem
from bench.files import locked, sha256_file, write_json
from bench.runtime.backends.base import Device
from bench.sandbox.reader import read_document
from bench.timing.protocol import FULL, Protocol
from bench.timing.record import BatchTiming, Roofline, TimingRecord, device_slug
from bench.timing.roofline import with_limit


@dataclass(frozen=True, slots=True)
class Place:
    """Files of one configuration while it is measured, and the batch sizes left to do.

    A record of other conditions stays until all its batch sizes have been measured again: until then the new
    rows are kept in a file beside it.

    Attributes:
        path: The record's file.
        lock: File that is locked while the record is changed.
        kept: What is measured already; None where nothing is.
        left: Batch sizes to be measured.
        changed: In words, why an older record is measured again.
        again: Whether everything is measured again, ceilings included.
        guard: Called with the lock held before rows are written; raises where they may not be.
    """

    path: Path
    lock: Path
    kept: TimingRecord | None
    left: tuple[int, ...]
    changed: tuple[str, ...]
    again: bool = False
    guard: Callable[[], None] = lambda: None

    @property
    def roofline(self) -> Roofline | None:
        """The ceilings of the rows that are there, so that all rows of a record are held against the same.

        None where everything is measured again: they may have been taken on a busy machine.
        """
        if self.again:
            return None
        known = self.kept is not None and self.kept.roofline.device_gflop_per_s is not None
        return self.kept.roofline if known and self.kept else None

    def keep(self, record: TimingRecord) -> TimingRecord:
        """Add a record's rows to those that are there, on disk at once; return them all."""
        path = _partial(self.path) if self.changed else self.path
        with locked(self.lock):
            self.guard()
            known = _read(path)
            whole = merged(known, record) if known else record
            write_json(path, whole.plain())
            if self.changed and {row.batch for row in whole.batches} >= set(self.left):
                path.replace(self.path)
        return whole


def merged(older: TimingRecord, newer: TimingRecord) -> TimingRecord:
    """The rows of both, by batch size; where both have one, the newer. The newer ceilings hold for all."""
    rows: dict[int, BatchTiming] = {row.batch: row for row in (*older.batches, *newer.batches)}
    limited = tuple(with_limit(rows[batch], newer.roofline) for batch in sorted(rows))
    return newer.model_copy(update={"batches": limited})


def find_place(
    folder: Path, lock: Path, now: Conditions, batches: Sequence[int], *, again: bool = False
) -> Place:
    """Find which of `batches` are left to be measured, and where their rows go.

    Args:
        folder: The entry's folder of records.
        lock: File that is locked while a record is changed.
        now: The conditions now.
        batches: Wanted batch sizes. Those of a stored record of other conditions are measured again too, so
            that none is lost.
        again: Measure also what is there.

    Raises:
        BenchError: A quick row would have to stand in a record of the full protocol (``timing-protocol``), or
            the stored record cannot be read.
    """
    path = folder / now.file_name
    stored = _read(path)
    changed = tuple(now.differences(stored)) if stored else ()
    if stored and now.is_trial_of(stored) and not again:
        if more := sorted(set(batches) - _sizes(stored)):
            message = (
                f"{path.name} was measured by the full protocol; quick rows (batch "
                f"{', '.join(map(str, more))}) cannot stand in it."
            )
            raise BenchError(Problem("timing-protocol", message, str(path)))
        return Place(path, lock, stored, (), ())
    if not changed:
        return Place(path, lock, stored, _left(batches, None if again else stored), (), again)
    part = None if again else _read(_partial(path))
    if part is None or now.differences(part):
        with locked(lock):
            _partial(path).unlink(missing_ok=True)
        part = None
    wanted = dict.fromkeys((*batches, *(_sizes(stored) if stored else ())))
    return Place(path, lock, part, _left(tuple(wanted), part), changed, again)


def _left(batches: Sequence[int], known: TimingRecord | None) -> tuple[int, ...]:
    done = _sizes(known) if known else set()
    return tuple(batch for batch in batches if batch not in done)


def _sizes(record: TimingRecord) -> set[int]:
    return {row.batch for row in record.batches}


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial")


def _read(path: Path) -> TimingRecord | None:
    return read_document(TimingRecord, path, "timing-invalid")[0] if path.exists() else None


@dataclass(frozen=True, slots=True)
class Conditions:
    """Rows that were measured under equal conditions may stand in one record.

    Attributes:
        model_sha256: Of the submitted file.
        fingerprint: Of the split whose test images go in.
        inputs: Whether those images are at hand.
        backend: What runs the model.
        precision: In which precision.
        device: The processor, with versions and properties.
        protocol: How long and how often.
        cores: Processor cores that may be used.
    """

    model_sha256: str
    fingerprint: str
    inputs: str
    backend: str
    precision: Precision
    device: Device
    protocol: Protocol
    cores: int

    @property
    def file_name(self) -> str:
        """Name of the record's file."""
        return f"{device_slug(self.device.name)}-{self.backend}-{self.precision}.json"

    def differences(self, record: TimingRecord) -> list[str]:
        """In words, each way in which a record was measured under other conditions; empty if in none."""
        now: dict[str, Fact] = {
            "model": self.model_sha256[:12],
            "split": self.fingerprint[:12],
            "inputs": self.inputs,
            "device": self.device.name,
            "harness": bench.__version__,
            "cores": self.cores,
            **self.device.facts,
        }
        then: dict[str, Fact] = {
            "model": record.model_sha256[:12],
            "split": record.fingerprint[:12],
            "inputs": record.inputs,
            "device": record.device,
            "harness": record.harness_version,
            "cores": record.environment.get("usable_cores"),
            **{name: record.options.get(name) for name in self.device.facts},
        }
        differences = [f"{name}: {then[name]}, now {now[name]}" for name in now if then[name] != now[name]]
        return differences + self._protocol_differences(record)

    def _protocol_differences(self, record: TimingRecord) -> list[str]:
        """One text however many settings differ."""
        settings = record.protocol.differences(self.protocol)
        if record.protocol.name != self.protocol.name:
            return [f"protocol: {record.protocol.name}, now {self.protocol.name}"]
        return [f"protocol, {', '.join(settings)}"] if settings else []

    def is_trial_of(self, record: TimingRecord) -> bool:
        """Return whether only the protocol differs and the record's is the full one.

        Rows of the full protocol are worth more.
        """
        is_full = not record.protocol.differences(FULL)
        return is_full and len(self.differences(record)) == 1 and self.protocol != FULL


def conditions_of(
    model: Path, cohort: Cohort, backend: str, precision: Precision, device: Device, protocol: Protocol
) -> Conditions:
    """The conditions under which a model would be measured now."""
    return Conditions(
        model_sha256=sha256_file(model),
        fingerprint=cohort.split.fingerprint,
        inputs="cohort images" if has_images(cohort) else "random pixels",
        backend=backend,
        precision=precision,
        device=device,
        protocol=protocol,
        cores=usable_cores(),
    )
