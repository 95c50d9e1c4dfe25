"""`bench time`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import CohortOption, DataOption, JsonOption, open_cohort, workspace
from bench.cli.output import Report, reporting, stages, table

if TYPE_CHECKING:
    from bench.submission.store import Submission
    from bench.timing.record import BatchTiming, Roofline, TimingRecord
    from bench.timing.time_entries import Configuration, Timed
    from bench.workspace import Workspace


class Precision(StrEnum):
    """The precisions that a backend may offer."""

    fp32 = "fp32"
    tf32 = "tf32"
    fp16 = "fp16"
    bf16 = "bf16"
    int8 = "int8"


def time(
    entries: Annotated[
        list[str] | None,
        typer.Argument(metavar="SLUG|MODEL.onnx", help="Entries, or the model files of entries."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Time every entry that has a model.")] = False,
    backend: Annotated[
        list[str] | None, typer.Option(help="Backend; may be repeated; --list shows them.")
    ] = None,
    precision: Annotated[list[Precision] | None, typer.Option(help="Precision; may be repeated.")] = None,
    batch: Annotated[list[int] | None, typer.Option(min=1, help="Batch size; may be repeated.")] = None,
    largest: Annotated[
        bool, typer.Option("--largest", help="Also the largest batch that fits, found by doubling.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="A short protocol for a trial, marked as such.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Measure also what is finished.")] = False,
    list_backends: Annotated[bool, typer.Option("--list", help="Show which backends are ready.")] = False,
    cohort: CohortOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure latency and throughput of entries; check that the timed sessions give the stored predictions.

    Rows are stored as soon as they are measured, and what is finished is not run again: a command that was
    interrupted is given again.

    Example: bench time cnn-small --batch 1 --batch 8
    """
    if bool(entries) + everything + list_backends != 1:
        raise typer.BadParameter("name entries or models, or say --all or --list", param_hint="SLUG")
    with reporting(as_json) as report:
        if list_backends:
            from bench.cli.reference import show_backends
            from bench.runtime.backends.registry import availabilities

            show_backends(report, availabilities())
            return
        from bench.runtime.backends.registry import DEFAULT_BACKEND, require_backend
        from bench.submission.store import LOCK
        from bench.timing.protocol import FULL, QUICK
        from bench.timing.time_entries import Setup, time_entries
        from bench.timing.time_model import DEFAULT_BATCHES, check_batches

        chosen = [(b, p.value) for b in backend or [DEFAULT_BACKEND] for p in precision or [Precision.fp32]]
        for name, wanted in chosen:
            require_backend(name, wanted)
        batches = tuple(batch or DEFAULT_BATCHES)
        check_batches(batches)
        space, opened = workspace(), open_cohort(cohort, data)
        folder = space.submissions(opened.spec.id)
        models = _with_models(report, folder, space) if everything else _named(entries or [], folder, space)
        setup = Setup(opened, batches, QUICK if quick else FULL, folder / LOCK, again, largest)
        with stages("Timing") as stage:
            timed = time_entries(_configurations(models, chosen), setup, stage=stage)
        _say(report, timed, batches)


def _configurations(
    models: list[tuple[Submission, Path]], chosen: list[tuple[str, Any]]
) -> list[Configuration]:
    from bench.timing.time_entries import Configuration

    return [Configuration(entry, model, b, p) for entry, model in models for b, p in chosen]


def _with_models(report: Report, folder: Path, space: Workspace) -> list[tuple[Submission, Path]]:
    """Every entry whose model is at hand; the others are named."""
    from bench.errors import BenchError, Problem
    from bench.submission.store import list_submissions
    from bench.timing.time_entries import model_of

    found, without = [], []
    for entry in list_submissions(folder):
        if entry.manifest.kind == "reported":
            continue
        try:
            found.append((entry, model_of(entry, space)))
        except BenchError:
            without.append(entry.slug)
    if without:
        report.say(f"Without a model here, so not timed: {', '.join(without)}.")
    if not found:
        message = "No entry of this cohort has a model in this workspace."
        raise BenchError(Problem("model-missing", message, str(folder)))
    return found


def _named(words: list[str], folder: Path, space: Workspace) -> list[tuple[Submission, Path]]:
    from bench.submission.store import find_submission
    from bench.timing.time_entries import model_of

    found: dict[str, tuple[Submission, Path]] = {}
    for word in words:
        if word.endswith(".onnx"):
            entry, model = _of_file(Path(word), folder)
        else:
            entry = find_submission(folder, word)
            model = model_of(entry, space)
        found.setdefault(entry.slug, (entry, model))
    return list(found.values())


def _of_file(path: Path, folder: Path) -> tuple[Submission, Path]:
    """The entry that was submitted with a model file."""
    from bench.errors import BenchError, Problem, not_there
    from bench.files import sha256_file
    from bench.submission.packed import read_stamp
    from bench.submission.store import list_submissions

    if not path.is_file():
        message, remedy = not_there(path)
        raise BenchError(Problem("model-missing", message, str(path), remedy))
    digest = sha256_file(path)
    for stored in list_submissions(folder):
        if stored.predictions.exists() and read_stamp(stored.predictions).model_sha256 == digest:
            return stored, path
    message = f"No entry of {folder.name} was submitted with this model (SHA-256 {digest[:12]}…)."
    raise BenchError(Problem("model-unknown", message, where=str(path)))


def _say(report: Report, timed: tuple[Timed, ...], batches: tuple[int, ...]) -> None:
    """Every record, what was not run again, and the problems of what could not be timed."""
    from bench.errors import raise_errors

    report.result(timings=[_plain(found) for found in timed])
    for found in timed:
        title = found.configuration.title
        if found.record is None:
            continue
        if found.changed:
            report.say(f"{title}: measured again, since conditions changed ({'; '.join(found.changed)}).")
        if kept := sorted(set(batches) - set(found.measured)):
            sizes = ", ".join(map(str, kept))
            report.say(f"{title}: batch {sizes} was measured before; --again measures it anew.")
        _show_record(report, found.record)
    raise_errors([problem for found in timed for problem in found.problems])


def _plain(found: Timed) -> dict[str, Any]:
    configuration = found.configuration
    return {
        "slug": configuration.submission.slug,
        "backend": configuration.backend,
        "precision": configuration.precision,
        "measured": list(found.measured),
        "changed": list(found.changed),
        "file": str(found.path) if found.path else None,
        "record": found.record.plain() if found.record else None,
    }


def _show_record(report: Report, record: TimingRecord) -> None:
    report.show(f"{record.slug}: {record.backend_label}, {record.precision}, {record.device}")
    headings = ["batch", "status", "p50 ms (95%)", "p95 ms", "images/s", "of limit", "stability", "parity"]
    rows = [_cells(row) for row in record.batches]
    report.show(table(headings, rows, right=frozenset({0, 4, 5})))
    report.show(_limit(record.roofline))
    if record.own_auroc:
        values = ", ".join(f"{target} {value:.3f}" for target, value in sorted(record.own_auroc.items()))
        report.show(f"AUROC of {record.precision}'s own predictions: {values}")
    for row in record.batches:
        for text in (row.message, row.parity.message, *(reason.message for reason in row.stability.reasons)):
            if text:
                report.show(f"batch {row.batch}: {text}")
    report.show("")


def _cells(row: BatchTiming) -> list[str]:
    """A row of the table."""
    p50, images = row.end_to_end.p50, row.throughput.images_per_s
    value = "–" if p50.value_ms is None else f"{p50.value_ms:.2f} ({_ms(p50.low_ms)}–{_ms(p50.high_ms)})"
    return [
        str(row.batch),
        row.status,
        value,
        _ms(row.end_to_end.p95.value_ms),
        "–" if images is None else f"{images:,.0f}",
        "–" if row.limit_fraction is None else f"{100 * row.limit_fraction:.0f}%",
        "–" if row.stability.stable is None else "stable" if row.stability.stable else "unstable",
        row.parity.status,
    ]


def _limit(roofline: Roofline) -> str:
    """The least work of an image and what the device was seen to do, in words."""
    if not roofline.figures:
        return f"limit: not known. {roofline.reason}".rstrip()
    mflop, weight_mb, image_mb, gflop_per_s, gb_per_s = roofline.figures
    return (
        f"limit: {mflop:,.1f} MFLOP and {image_mb:.3g} MB an image, {weight_mb:.3g} MB of "
        f"weights a batch; the device was seen to do {gflop_per_s:,.0f} GFLOP/s and {gb_per_s:,.1f} GB/s"
    )


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
