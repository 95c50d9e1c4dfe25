"""Time entries of a board, one configuration after the other; what is finished is not run again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from bench.choices import Precision
from bench.cohort.cohort import Cohort
from bench.errors import BenchError, Problem
from bench.progress import Progress, StageProgress
from bench.runtime.accept import CheckedModel, checked_model
from bench.runtime.backends.base import Device
from bench.runtime.backends.registry import device_of, require_backend
from bench.runtime.precision import convert
from bench.runtime.predict import Limits
from bench.sandbox.launch import SandboxLimits
from bench.sandbox.worker_process import Worker, WorkerFailure
from bench.submission.manifest import Manifest
from bench.submission.packed import Unpacked, read_packed, read_stamp
from bench.submission.store import Submission, refuse_changed
from bench.timing.inputs import calibration_inputs, timed_inputs
from bench.timing.protocol import Protocol
from bench.timing.record import Comparison, TimingRecord
from bench.timing.resume import conditions_of, find_place
from bench.timing.time_model import time_model
from bench.timing.verdict import compare
from bench.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Configuration:
    """One entry with one backend in one precision.

    Attributes:
        submission: The entry.
        model: Its file.
        backend: What runs it.
        precision: In which precision.
    """

    submission: Submission
    model: Path
    backend: str
    precision: Precision

    @property
    def title(self) -> str:
        """In words."""
        return f"{self.submission.slug}, {self.backend}, {self.precision}"


@dataclass(frozen=True, slots=True)
class Setup:
    """Settings that all configurations share.

    Attributes:
        cohort: Whose test images go in.
        batches: Wanted batch sizes; those that a stored record holds already are not measured again.
        protocol: How long and how often.
        lock: File that is locked while a record is changed.
        again: Measure also what is finished.
        largest: Besides, the largest batch that fits.
    """

    cohort: Cohort
    batches: tuple[int, ...]
    protocol: Protocol
    lock: Path
    again: bool = False
    largest: bool = False


@dataclass(frozen=True, slots=True)
class Timed:
    """Outcome of a configuration.

    Attributes:
        configuration: Which.
        record: All its rows; None where it could not be timed.
        path: Where they are stored.
        measured: Batch sizes that were measured now.
        changed: Why an older record was measured again.
        problems: Why it could not be timed.
        compared: (batch size, how the new p50 compares with that of the row it replaces).
    """

    configuration: Configuration
    record: TimingRecord | None = None
    path: Path | None = None
    measured: tuple[int, ...] = ()
    changed: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    compared: tuple[tuple[int, Comparison], ...] = ()


def model_of(submission: Submission, space: Workspace) -> Path:
    """The kept file of an entry's model.

    Raises:
        BenchError: It was submitted without one, or it is not kept in this workspace (``model-missing``).
    """
    there = submission.predictions.exists()
    digest = read_stamp(submission.predictions).model_sha256 if there else ""
    if not digest:
        message = f"Entry {submission.slug!r} was submitted without a model."
        raise BenchError(Problem("model-missing", message))
    path = space.model(digest)
    if not path.is_file():
        message = f"The model of {submission.slug!r} (SHA-256 {digest[:12]}…) is not kept in this workspace."
        raise BenchError(Problem("model-missing", message))
    return path


def time_entries(
    configurations: Sequence[Configuration],
    setup: Setup,
    *,
    stage: StageProgress | None = None,
    on_outcome: Callable[[Timed], None] | None = None,
) -> tuple[Timed, ...]:
    """Time configurations; one that cannot be timed says why, and the others go on.

    Args:
        configurations: In this order.
        setup: What is the same for all.
        stage: Called with (configuration in words, blocks done, blocks in total).
        on_outcome: Called with each outcome at once.
    """
    devices: dict[str, Device] = {}
    outcomes: list[Timed] = []
    for number, configuration in enumerate(configurations, 1):
        which = f"{number} of {len(configurations)}: {configuration.title}"

        def progress(done: int, total: int, which: str = which) -> None:
            if stage:
                stage(which, done, total)

        try:
            if configuration.backend not in devices:
                devices[configuration.backend] = device_of(configuration.backend)
            outcome = _time(configuration, setup, devices[configuration.backend], progress)
        except BenchError as error:
            outcome = Timed(configuration, problems=tuple(error.problems))
        outcomes.append(outcome)
        if on_outcome:
            on_outcome(outcome)
    return tuple(outcomes)


def _time(configuration: Configuration, setup: Setup, device: Device, progress: Progress) -> Timed:
    """Measure what is left of a configuration, and keep every row as soon as it is there."""
    submission, spec = configuration.submission, setup.cohort.spec
    predicted = read_packed(submission.predictions, setup.cohort, submission.manifest.track)
    with checked_model(configuration.model, submission.manifest, spec) as model:
        if model.sha256 != predicted.stamp.model_sha256:
            message = (
                f"The file (SHA-256 {model.sha256[:12]}…) is not the model that entry {submission.slug!r} "
                f"was submitted with ({predicted.stamp.model_sha256[:12] or 'none'}…)."
            )
            raise BenchError(Problem("model-unknown", message, str(configuration.model)))
        return _time_checked(configuration, setup, device, progress, model, predicted)


def _time_checked(
    configuration: Configuration,
    setup: Setup,
    device: Device,
    progress: Progress,
    checked: CheckedModel,
    predicted: Unpacked,
) -> Timed:
    """Measure a model that was checked; `predicted` are the scored predictions of its entry."""
    submission, model = configuration.submission, checked.runnable
    backend, precision = configuration.backend, configuration.precision
    now = conditions_of(checked.copy, setup.cohort, backend, precision, device, setup.protocol)
    batches = setup.batches
    if setup.largest:
        batches = with_largest(batches, model, submission.manifest, setup.cohort, backend, precision)
    place = find_place(submission.timings, setup.lock, now, batches, again=setup.again)
    place = replace(place, guard=lambda: refuse_changed(submission, predicted.sha256))
    whole = earlier = place.kept
    if not place.left and whole is not None:
        return Timed(configuration, whole, place.path)

    def keep(row: TimingRecord) -> None:
        nonlocal whole
        if read_stamp(submission.predictions).model_sha256 != row.model_sha256:
            message = f"Entry {submission.slug!r} was replaced while its model was timed; nothing was kept."
            raise BenchError(Problem("model-unknown", message))
        whole = place.keep(row)

    time_model(
        model,
        submission.manifest,
        setup.cohort,
        predicted.values,
        slug=submission.slug,
        model_sha256=checked.sha256,
        backend=backend,
        precision=precision,
        batches=place.left,
        protocol=setup.protocol,
        device=device,
        roofline=place.roofline,
        progress=progress,
        keep=keep,
    )
    compared = [
        (batch, compare(new.end_to_end, old.end_to_end))
        for batch in place.left
        if whole and earlier and (new := whole.row(batch)) and (old := earlier.row(batch))
    ]
    return Timed(configuration, whole, place.path, place.left, place.changed, compared=tuple(compared))


WORKER: Final = "bench.timing.workers.largest"
LIMIT_S: Final = 120.0
CAP: Final = 4096
_IMAGES: Final = 32


def with_largest(
    batches: Sequence[int],
    model: Path,
    manifest: Manifest,
    cohort: Cohort,
    backend: str,
    precision: Precision,
    *,
    cap: int = CAP,
    limits: Limits | None = None,
) -> tuple[int, ...]:
    """The batch sizes, and the largest of their greatest doubled that still runs, up to a cap.

    Args:
        batches: Wanted anyway; the greatest is taken to fit.
        model: The submitted file.
        manifest: Its manifest.
        cohort: Its test images go in.
        backend: What runs the model.
        precision: In which precision.
        cap: Nothing larger is tried.
        limits: What a try may use; a GPU's driver is not limited.
    """
    chosen = require_backend(backend, precision)
    inputs = timed_inputs(manifest, cohort, None, _IMAGES).arrays
    calibration = calibration_inputs(manifest, cohort) if precision == "int8" else None
    with TemporaryDirectory() as folder:
        request: dict[str, Any] = {
            "model": str(convert(model.resolve(), precision, Path(folder), calibration).path),
            "backend": backend,
            "precision": precision,
            "memory_mb": None if chosen.is_gpu else (limits or Limits()).memory_mb,
        }
        largest = max(batches)
        on_cpu = SandboxLimits(request["memory_mb"], readable=(request["model"],))
        allowed = SandboxLimits.for_gpu() if chosen.is_gpu else on_cpu
        while 2 * largest <= cap and _runs({**request, "batch": 2 * largest}, inputs, allowed):
            largest *= 2
    return (*batches, largest) if largest not in batches else tuple(batches)


def _runs(request: dict[str, Any], inputs: dict[str, Any], limits: SandboxLimits) -> bool:
    """Return whether a batch fits.

    Raises:
        BenchError: It failed for another reason than memory or time (``timing-largest``).
    """
    try:
        with Worker(WORKER, LIMIT_S, limits) as worker:
            worker.send(request, inputs)
            worker.receive()
    except WorkerFailure as failure:
        if failure.kind in ("out-of-memory", "timeout"):
            return False
        message = f"Batch {request['batch']} could not be tried: {failure.message}"
        raise BenchError(Problem("timing-largest", message, "--largest")) from failure
    return True
