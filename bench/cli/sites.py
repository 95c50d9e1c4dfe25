"""`bench keygen`, and boards over several hospitals or cohorts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import JsonOption
from bench.cli.output import Report, difference, reporting, table

if TYPE_CHECKING:
    from bench.federation.model import Figure, PooledEntry, PooledTarget, TransferTarget
    from bench.metrics.results import Estimate, PooledEstimate


def keygen(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="New file for the private key.")],
    site: Annotated[str, typer.Option("--site", metavar="NAME", help="Name of the hospital.")],
    as_json: JsonOption = False,
) -> None:
    """Make the key pair with which a hospital signs its aggregates.

    Example: bench keygen ~/north.pem --site north
    """
    from bench.actions.sites import make_site_key

    with reporting(as_json) as report:
        line = make_site_key(file, site)
        report.result(site=site, file=str(file), line=line)
        report.show(line)
        report.say(f"The private key is {file}: keep it. The line above belongs in the board's sites.toml.")


def show_sites(report: Report, files: Sequence[Path], keys: Path | None, target: str | None) -> None:
    """Show the board over the hospitals of these files."""
    from bench.actions.sites import sites_board

    board = sites_board(files, keys=keys)
    shown = board.target(target or board.headline)
    report.result(sites_board=board.plain(), target=shown.target)
    names = [site.site for site in board.sites]
    kind = "SYNTHETIC " if any(site.synthetic for site in board.sites) else ""
    report.show(f"{kind}{shown.label}: {len(names)} hospitals, {_counted(shown)}.\n")
    headings = ["rank", "slug", "mean AUROC", "pooled AUROC", "new hospital", "O/E", "slope", *names]
    rows = [_row(entry, names) for entry in shown.entries]
    report.show(table(headings, rows, right=frozenset({0, 2, *range(7, len(headings))})))
    report.show("")
    for entry in shown.entries:
        if entry.unranked_reason:
            report.show(f"{entry.slug} has no rank: {entry.unranked_reason}.")
    for count in shown.counts:
        if count.withheld:
            report.show(f"{count.site} withholds this target: {count.withheld}.")
    reasons = {p.reason for entry in shown.entries for p in entry.pooled.values() if p.reason}
    for reason in sorted(reasons):
        report.show(f"Pooled figures: {reason}.")
    report.show(
        "Ranks compare the means over these hospitals. Pooled: random effects, 95% interval; new hospital: "
        "95% prediction interval of the AUROC."
    )


def _counted(target: PooledTarget) -> str:
    known = [count.images for count in target.counts if count.images is not None]
    return f"about {sum(known):,} test images"


def _row(entry: PooledEntry, names: Sequence[str]) -> list[str]:
    rank = "–"
    if entry.rank is not None:
        alone = entry.rank_low == entry.rank_high
        rank = f"{entry.rank}" if alone else f"{entry.rank} ({entry.rank_low}–{entry.rank_high})"
    mean = "–" if entry.mean_auroc is None else f"{entry.mean_auroc:.3f}"
    area = entry.pooled.get("auroc")
    new = "–"
    if area is not None and area.prediction_low is not None and area.prediction_high is not None:
        new = f"{area.prediction_low:.3f} to {area.prediction_high:.3f}"
    pooled = [_pooled(entry.pooled.get(key)) for key in ("auroc", "oe_ratio", "calibration_slope")]
    own = [_figure(entry.sites.get(name, {}).get("auroc")) for name in names]
    return [rank, entry.slug, mean, pooled[0], new, *pooled[1:], *own]


def _pooled(estimate: PooledEstimate | None) -> str:
    if estimate is None or estimate.value is None:
        return "–"
    return f"{estimate.value:.3f} ({estimate.low:.3f}–{estimate.high:.3f})"


def _figure(figure: Figure | None) -> str:
    return "–" if figure is None or figure.value is None else f"{figure.value:.3g}"


def show_transfer(report: Report, cohorts: Sequence[str], target: str | None) -> None:
    """Show the entries of several cohorts beside each other, with their change from the first."""
    from bench.actions.sites import transfer_board

    board = transfer_board(cohorts)
    shown = board.target(target or board.headline)
    report.result(transfer=board.plain(), target=shown.target)
    report.show(f"{shown.label}: changes from {board.home}, with 95% intervals.\n")
    _show_transfer_table(report, shown)


def _show_transfer_table(report: Report, shown: TransferTarget) -> None:
    headings = ["slug", "cohort", "AUROC", "change of AUROC", "change of CITL", "O/E, times"]
    rows = [
        [
            entry.slug,
            site.cohort,
            _interval(site.auroc),
            _change(site.change_auroc),
            _change(site.change_calibration_in_the_large),
            _interval(site.change_oe_ratio),
        ]
        for entry in shown.entries
        for site in entry.sites
    ]
    report.show(table(headings, rows))


def _interval(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f}–{estimate.high:.3f})"


def _change(estimate: Estimate | None) -> str:
    return "–" if estimate is None else difference(estimate.value, estimate.low, estimate.high)
