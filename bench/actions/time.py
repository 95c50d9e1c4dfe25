"""Time: measure latency and throughput of entries that were submitted as models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.actions.context import (
    CohortChoice,
    EntryChoice,
    Named,
    WorkspaceChoice,
    choose_spec,
    open_cohort,
    open_workspace,
)
from bench.choices import Precision
from bench.errors import BenchError, Problem, missing_file_hint
from bench.files import sha256_file
from bench.progress import StageProgress
from bench.runtime.backends.gpu import only_gpu
from bench.runtime.backends.registry import DEFAULT_BACKEND, require_backend
from bench.submission.packed import read_stamp
from bench.submission.store import Submission, find_submission, list_submissions
from bench.timing.protocol import FULL, QUICK
from bench.timing.time_entries import Configuration, Setup, Timed, model_of
from bench.timing.time_entries import time_entries as time_configurations
from bench.timing.time_model import DEFAULT_BATCHES, check_batches
from bench.workspace import STORE_LOCK, Workspace

ModelChoice = EntryChoice | Path | Sequence[str | Path | Named]
"""Entries by slug, results of `bench.submit`, or model files of entries, one or several."""


@dataclass(frozen=True, slots=True)
class TimeResult:
    """Result of `time_entries`.

    Attributes:
        timed: One for each entry, backend and precision: its record with latencies in milliseconds and
            throughput in images a second, the batch sizes measured now, and why it could not be timed, if so.
        without_model: Slugs of entries left out since this workspace holds no model of theirs.
    """

    timed: tuple[Timed, ...]
    without_model: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Problems of configurations that could not be timed."""
        return tuple(problem for timing in self.timed for problem in timing.problems)


def time_entries(
    entries: ModelChoice | None = None,
    *,
    backends: Sequence[str] = (DEFAULT_BACKEND,),
    precisions: Sequence[Precision | str] = (Precision.FP32,),
    batches: Sequence[int] = DEFAULT_BATCHES,
    largest: bool = False,
    quick: bool = False,
    again: bool = False,
    device: str | None = None,
    cohort: CohortChoice | None = None,
    data: str | Path | None = None,
    workspace: WorkspaceChoice | None = None,
    progress: StageProgress | None = None,
) -> TimeResult:
    """Measure latency and throughput; rows are stored as soon as they are measured.

    Batch sizes that a stored record of the same conditions holds are not measured again.

    Args:
        entries: Slugs, results of `bench.submit`, or model files (``.onnx``) of entries; default: every entry
            whose model this workspace holds.
        backends: Names of backends; `bench time --list` shows them.
        precisions: ``fp32``, ``tf32``, ``fp16``, ``bf16`` or ``int8``.
        batches: Batch sizes in images.
        largest: Also the largest batch that fits, found by doubling.
        quick: A short protocol for a trial, marked as such.
        again: Measure also what is finished.
        device: The GPU, such as ``cuda:1``; default: the first. Only for backends on a GPU.
        cohort: The cohort; default: the workspace's.
        data: Folder with the cohort's files; default: what the workspace says.
        workspace: The workspace; default: the one that holds the current folder.
        progress: Called with (configuration, blocks done, blocks in total).

    Raises:
        BenchError: A backend, precision, device, batch size or entry cannot be used. What fails later, at one
            configuration, is a problem of the result.
    """
    chosen = [(name, _precision(word)) for name in backends for word in precisions]
    for name, precision in chosen:
        if not require_backend(name, precision).is_gpu and device is not None:
            message = f"{name} computes on the CPU, and {device} was requested."
            raise BenchError(Problem("device-unknown", message, "--device"))
    check_batches(tuple(batches))
    space = open_workspace(workspace)
    folder = space.submissions(choose_spec(cohort, workspace).id)
    without: list[str] = []
    models = _with_models(folder, space, without) if entries is None else _named(entries, folder, space)
    configurations = [Configuration(entry, model, b, p) for entry, model in models for b, p in chosen]
    opened = open_cohort(cohort, data, workspace)
    protocol = QUICK if quick else FULL
    setup = Setup(opened, tuple(batches), protocol, folder / STORE_LOCK, again, largest)
    with only_gpu(device):
        timed = time_configurations(configurations, setup, stage=progress)
    return TimeResult(timed, tuple(without))


def _precision(word: Precision | str) -> Precision:
    try:
        return Precision(word)
    except ValueError:
        message = f"{word!r} is not one of {', '.join(Precision)}."
        raise BenchError(Problem("precision-unsupported", message)) from None


def _with_models(folder: Path, space: Workspace, without: list[str]) -> list[tuple[Submission, Path]]:
    """Every entry whose model is at hand; slugs of the others go to `without`."""
    timed = []
    for entry in list_submissions(folder):
        if entry.manifest.kind == "reported":
            continue
        try:
            timed.append((entry, model_of(entry, space)))
        except BenchError:
            without.append(entry.slug)
    if not timed:
        message = "No entry of this cohort has a model in this workspace."
        raise BenchError(Problem("model-missing", message, str(folder)))
    return timed


def _named(chosen: ModelChoice, folder: Path, space: Workspace) -> list[tuple[Submission, Path]]:
    several = chosen if isinstance(chosen, Sequence) and not isinstance(chosen, str) else [chosen]
    pairs: dict[str, tuple[Submission, Path]] = {}
    for item in several:
        word = str(item) if isinstance(item, str | Path) else item.slug
        if word.endswith(".onnx"):
            entry, model = _of_file(Path(word), folder)
        else:
            entry = find_submission(folder, word)
            model = model_of(entry, space)
        pairs.setdefault(entry.slug, (entry, model))
    return list(pairs.values())


def _of_file(path: Path, folder: Path) -> tuple[Submission, Path]:
    """The entry that was submitted with a model file."""
    if not path.is_file():
        message, remedy = missing_file_hint(path)
        raise BenchError(Problem("model-missing", message, str(path), remedy))
    digest = sha256_file(path)
    for stored in list_submissions(folder):
        if stored.predictions.exists() and read_stamp(stored.predictions).model_sha256 == digest:
            return stored, path
    message = f"No entry of {folder.name} was submitted with this model (SHA-256 {digest[:12]}…)."
    raise BenchError(Problem("model-unknown", message, where=str(path)))
