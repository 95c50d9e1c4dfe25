"""`bench time`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import CohortOption, DataOption, JsonOption, open_cohort, workspace
from bench.cli.output import Report, progress, reporting, table

if TYPE_CHECKING:
    from bench.submission.store import Submission
    from bench.timing.record import TimingRecord
    from bench.workspace import Workspace


class Precision(StrEnum):
    """The precisions that a backend may offer."""

    fp32 = "fp32"
    tf32 = "tf32"
    fp16 = "fp16"
    bf16 = "bf16"
    int8 = "int8"


def time(
    entry: Annotated[
        str | None, typer.Argument(metavar="SLUG|MODEL.onnx", help="An entry, or the model file of one.")
    ] = None,
    backend: Annotated[str, typer.Option(help="Backend; --list shows them.")] = "onnxruntime-cpu",
    precision: Annotated[Precision, typer.Option(help="Precision of the computation.")] = Precision.fp32,
    batch: Annotated[list[int] | None, typer.Option(min=1, help="Batch size; may be repeated.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A short protocol for a trial, marked as such.")
    ] = False,
    list_backends: Annotated[bool, typer.Option("--list", help="Show which backends are ready.")] = False,
    cohort: CohortOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure an entry's latency and throughput; check that the timed session gives the stored predictions.

    Example: bench time cnn-small --batch 1 --batch 8
    """
    if (entry is None) != list_backends:
        raise typer.BadParameter("name an entry or a model, or say --list", param_hint="SLUG|MODEL.onnx")
    with reporting(as_json) as report:
        if entry is None:
            from bench.cli.reference import show_backends
            from bench.runtime.registry import availabilities

            show_backends(report, availabilities())
            return
        from bench.files import write_json
        from bench.runtime.registry import require_backend
        from bench.submission.pack import unpack
        from bench.timing.protocol import FULL, QUICK
        from bench.timing.run import time_model

        require_backend(backend, precision.value)
        opened = open_cohort(cohort, data)
        submission, model = _find(entry, workspace(), opened.spec.id)
        with progress(f"Timing {submission.slug}") as step:
            record = time_model(
                model,
                submission.manifest,
                opened,
                unpack(submission.predictions, opened, submission.manifest.track),
                slug=submission.slug,
                backend=backend,
                precision=precision.value,
                batches=tuple(batch or (1, 8, 32)),
                protocol=QUICK if quick else FULL,
                progress=step,
            )
        path = submission.timings / record.file_name
        write_json(path, record.plain())
        report.result(record=record.plain(), file=str(path))
        _show_record(report, record)


def _find(entry: str, space: Workspace, cohort_id: str) -> tuple[Submission, Path]:
    """The stored submission and its model file, from a slug or from the model file of an entry."""
    from bench.errors import BenchError, Problem
    from bench.files import sha256_file
    from bench.submission.pack import read_stamp
    from bench.submission.store import find_submission, list_submissions

    folder = space.submissions(cohort_id)
    if entry.endswith(".onnx"):
        path = Path(entry)
        if not path.is_file():
            raise BenchError(Problem("model-missing", "There is no such file.", where=entry))
        digest = sha256_file(path)
        for stored in list_submissions(folder):
            if stored.predictions.exists() and read_stamp(stored.predictions).model_sha256 == digest:
                return stored, path
        message = f"No entry of {cohort_id} was submitted with this model (SHA-256 {digest[:12]}…)."
        raise BenchError(Problem("model-unknown", message, where=entry))
    submission = find_submission(folder, entry)
    digest = read_stamp(submission.predictions).model_sha256 if submission.predictions.exists() else ""
    if not digest:
        raise BenchError(Problem("model-missing", f"Entry {entry!r} was submitted without a model."))
    path = space.model(digest)
    if not path.is_file():
        message = f"The model of {entry!r} (SHA-256 {digest[:12]}…) is not kept in this workspace."
        raise BenchError(Problem("model-missing", message))
    return submission, path


def _show_record(report: Report, record: TimingRecord) -> None:
    rows = []
    for row in record.batches:
        p50 = row.end_to_end.p50
        value = "–" if p50.value_ms is None else f"{p50.value_ms:.2f} ({_ms(p50.low_ms)}–{_ms(p50.high_ms)})"
        images = row.throughput.images_per_s
        stable = "–" if row.stability.stable is None else "stable" if row.stability.stable else "unstable"
        rows.append(
            [
                str(row.batch),
                row.status,
                value,
                _ms(row.end_to_end.p95.value_ms),
                "–" if images is None else f"{images:,.0f}",
                stable,
                row.parity.status,
            ]
        )
    report.show(f"{record.slug}: {record.backend_label}, {record.precision}, {record.device}")
    headings = ["batch", "status", "p50 ms (95%)", "p95 ms", "images/s", "stability", "parity"]
    report.show(table(headings, rows, right=frozenset({0, 4})))
    for row in record.batches:
        for text in (row.message, row.parity.message, *(reason.message for reason in row.stability.reasons)):
            if text:
                report.show(f"batch {row.batch}: {text}")


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
