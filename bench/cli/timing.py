"""`bench time`."""

from __future__ import annotations

from math import floor, log10
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.choices import Precision
from bench.cli.options import CohortOption, DataOption, JsonOption
from bench.cli.output import Report, reporting, stages, table

if TYPE_CHECKING:
    from bench.actions.time import TimeResult
    from bench.timing.record import BatchTiming, Roofline, TimingRecord
    from bench.timing.time_entries import Timed


_COMPARED = {
    "faster": "faster than",
    "slower": "slower than",
    "same": "the same as",
    "undecided": "undecided whether faster or slower than",
}


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
    device: Annotated[
        str | None, typer.Option(help="GPU, such as cuda:1; `bench doctor` lists them. Default: the first.")
    ] = None,
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
        from bench.actions.time import time_entries
        from bench.runtime.backends.registry import DEFAULT_BACKEND
        from bench.timing.time_model import DEFAULT_BATCHES

        batches = tuple(batch or DEFAULT_BATCHES)
        with stages("Timing") as stage:
            done = time_entries(
                entries or None,
                backends=backend or (DEFAULT_BACKEND,),
                precisions=precision or (Precision.FP32,),
                batches=batches,
                largest=largest,
                quick=quick,
                again=again,
                device=device,
                cohort=cohort,
                data=data,
                progress=stage,
            )
        if done.without_model:
            report.say(f"Without a model here, so not timed: {', '.join(done.without_model)}.")
        _say(report, done, batches)


def _say(report: Report, done: TimeResult, batches: tuple[int, ...]) -> None:
    """Every record, what was not run again, and the problems of what could not be timed."""
    from bench.errors import raise_errors

    report.result(timings=[_plain(timed) for timed in done.timed])
    for timed in done.timed:
        title = timed.configuration.title
        if timed.record is None:
            continue
        if timed.changed:
            report.say(f"{title}: measured again, since conditions changed ({'; '.join(timed.changed)}).")
        if kept := sorted(set(batches) - set(timed.measured)):
            sizes = ", ".join(map(str, kept))
            report.say(f"{title}: batch {sizes} was measured before; --again measures it anew.")
        _show_record(report, timed.record)
        for size, word in timed.compared:
            report.show(f"batch {size}: {_COMPARED[word]} before")
    raise_errors(done.problems)


def _plain(timed: Timed) -> dict[str, Any]:
    configuration = timed.configuration
    return {
        "slug": configuration.submission.slug,
        "backend": configuration.backend,
        "precision": configuration.precision,
        "measured": list(timed.measured),
        "changed": list(timed.changed),
        "file": str(timed.path) if timed.path else None,
        "compared": {str(size): word for size, word in timed.compared},
        "record": timed.record.plain() if timed.record else None,
    }


def _show_record(report: Report, record: TimingRecord) -> None:
    report.show(f"{record.slug}: {record.backend_label}, {record.precision}, {record.device}")
    headings = ["batch", "status", "p50 ms (95%)", "compute ms", "p95 ms", "images/s", "of limit"]
    rows = [_cells(row) for row in record.batches]
    report.show(table([*headings, "stability", "parity"], rows, right=frozenset({0, 3, 4, 5, 6})))
    report.show(_limit(record.roofline))
    if record.own_auroc:
        values = ", ".join(f"{target} {value:.3f}" for target, value in sorted(record.own_auroc.items()))
        report.show(f"AUROC of {record.precision}'s own predictions: {values}")
    for row in record.batches:
        reasons = [reason.message for reason in row.stability.reasons]
        notes = (*row.stability.notes, *(row.compute_stability.notes if row.compute_stability else ()))
        for text in (row.message, row.parity.message, *reasons, row.stability.message, *notes):
            if text:
                report.show(f"batch {row.batch}: {text}")
    report.show("")


def _cells(row: BatchTiming) -> list[str]:
    """A row of the table."""
    p50, images = row.end_to_end.p50, row.throughput.images_per_s
    value = "–" if p50.value_ms is None else f"{_ms(p50.value_ms)} ({_ms(p50.low_ms)}–{_ms(p50.high_ms)})"
    return [
        str(row.batch),
        row.status,
        value,
        _ms(row.compute.p50.value_ms),
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
    """Milliseconds to three significant digits."""
    if value is None:
        return "–"
    digits = max(0, 2 - floor(log10(value))) if value > 0 else 2
    return f"{value:.{digits}f}"
