"""`bench board --speed`: latency beside AUROC, one table for each device, backend and precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.cli.output import Report, table

if TYPE_CHECKING:
    from bench.board.model import LoadedBoard
    from bench.board.pareto import SpeedColumn, SpeedRow

HEADINGS = ["entry", "AUROC", "p50 ms", "images/s", "of limit", "front", "remark"]


def show_speed(report: Report, loaded: LoadedBoard, target: str) -> None:
    """Shows every setting in which entries were timed, at batch 1; ranked entries first."""
    from bench.board.pareto import speed_columns

    columns = speed_columns(loaded.entries.values(), target)
    report.result(target=target, batch=1, speed=[_plain(column) for column in columns])
    if not columns:
        report.show("No entry has been timed at batch 1; see `bench time --all`.")
    for column in columns:
        setting = column.setting
        kind = "GPU" if setting.is_gpu else "CPU"
        report.show(f"{setting.backend}, {setting.precision}, {setting.device} ({kind}), batch 1")
        report.show(table(HEADINGS, [_cells(row) for row in column.rows], right=frozenset({1, 2, 3, 4})))
        report.show("")
    if columns:
        report.show("front: no ranked entry of the table is both at least as fast and at least as good.")


def _cells(row: SpeedRow) -> list[str]:
    images, fraction = row.timing.throughput.images_per_s, row.timing.limit_fraction
    return [
        row.slug,
        "–" if row.auroc is None else f"{row.auroc:.3f}",
        "–" if row.latency_ms is None else f"{row.latency_ms:.3g}",
        "–" if images is None else f"{images:,.0f}",
        "–" if fraction is None else f"{100 * fraction:.0f}%",
        "yes" if row.on_front else "",
        f"not ranked, {row.why}" if row.why else "",
    ]


def _plain(column: SpeedColumn) -> dict[str, Any]:
    return {
        "backend": column.setting.backend,
        "device": column.setting.device,
        "precision": column.setting.precision,
        "is_gpu": column.setting.is_gpu,
        "rows": [
            {
                "slug": row.slug,
                "auroc": row.auroc,
                "latency_ms": row.latency_ms,
                "images_per_s": row.timing.throughput.images_per_s,
                "limit_fraction": row.timing.limit_fraction,
                "ranked": not row.why,
                "on_front": row.on_front,
                "why": row.why,
            }
            for row in column.rows
        ],
    }
