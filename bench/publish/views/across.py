"""View of several hospitals: the board over their aggregates, and transfer of entries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.board.format import estimate as interval_words
from bench.board.format import sentence
from bench.federation.model import PooledEntry, PooledTarget, SitesBoard, TransferBoard, TransferSite
from bench.federation.transfer import transfer
from bench.metrics.results import Estimate, PooledEstimate
from bench.publish.urls import Place

MISSING = "n/a"


@dataclass(frozen=True, slots=True)
class AcrossTable:
    """A table of entries: the first column names them, the others are numbers as text."""

    ident: str
    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[str, ...]], ...]
    """Slug or empty where a row continues the entry above, address of its page or empty, cells."""
    notes: tuple[str, ...] = ()


def hospitals_view(board: SitesBoard, links: Mapping[str, str]) -> dict[str, Any]:
    """The template's values of the board over hospitals.

    Args:
        board: The board.
        links: Slug → address of the entry's page, of those that have one.
    """
    names = [site.site for site in board.sites]
    targets = sorted(board.targets, key=lambda target: target.target != board.headline)
    return {
        "lead": f"Entries on the aggregates of {len(names)} hospitals. No prediction and no label left any "
        "of them; each signed what it published.",
        "about": "Ranks compare the mean AUROC over these hospitals, each counting the same, adjusted for "
        "all pairs. Pooled figures are of random effects with their 95% intervals. “New hospital” is the 95% "
        "prediction interval of the AUROC at a hospital that is not among these.",
        "tables": tuple(_hospitals_table(target, names, links) for target in targets),
        "synthetic": any(site.synthetic for site in board.sites),
        "data": "board.json",
    }


def _hospitals_table(target: PooledTarget, names: Sequence[str], links: Mapping[str, str]) -> AcrossTable:
    return AcrossTable(
        ident=target.target,
        title=target.label,
        headings=("Rank", "Mean AUROC", "Pooled AUROC", "New hospital", "O/E", "Calibration slope", *names),
        rows=tuple(
            (entry.slug, links.get(entry.slug, ""), tuple(_hospital_cells(entry, names)))
            for entry in target.entries
        ),
        notes=tuple(_notes(target)),
    )


def _hospital_cells(entry: PooledEntry, names: Sequence[str]) -> Iterator[str]:
    if entry.rank is None:
        yield MISSING
    elif entry.rank_low == entry.rank_high:
        yield str(entry.rank)
    else:
        yield f"{entry.rank} ({entry.rank_low}–{entry.rank_high})"
    yield MISSING if entry.mean_auroc is None else f"{entry.mean_auroc:.3f}"
    area = entry.pooled.get("auroc")
    yield _pooled(area)
    if area is None or area.prediction_low is None or area.prediction_high is None:
        yield MISSING
    else:
        yield f"{area.prediction_low:.3f}–{area.prediction_high:.3f}"
    yield _pooled(entry.pooled.get("oe_ratio"))
    yield _pooled(entry.pooled.get("calibration_slope"))
    for name in names:
        figure = entry.sites.get(name, {}).get("auroc")
        yield MISSING if figure is None or figure.value is None else f"{figure.value:.3f}"


def _pooled(pooled: PooledEstimate | None) -> str:
    if pooled is None or pooled.value is None:
        return MISSING
    return f"{pooled.value:.3f} ({pooled.low:.3f}–{pooled.high:.3f})"


def _notes(target: PooledTarget) -> Iterator[str]:
    for entry in target.entries:
        if entry.unranked_reason:
            yield f"{entry.slug} has no rank: {entry.unranked_reason}."
    for count in target.counts:
        if count.withheld:
            yield f"{count.site} withholds this target: {count.withheld}."
    for reason in sorted({p.reason for entry in target.entries for p in entry.pooled.values() if p.reason}):
        yield sentence(f"pooled figures are {reason}")


def transfer_of(places: Sequence[Place]) -> TransferBoard | None:
    """Entries of the first cohort that were scored on another one too; None where there is none."""
    cards = {
        place.loaded.spec.id: [e.scorecard for e in place.loaded.entries.values() if e.scorecard is not None]
        for place in places
        if place.loaded.board is not None
    }
    if len(cards) < 2:
        return None
    transferred = transfer(cards, next(p.loaded.spec.headline for p in places if p.loaded.spec.id in cards))
    return transferred if transferred.targets else None


def transfer_view(board: TransferBoard, links: Mapping[str, str]) -> dict[str, Any]:
    """The template's values of the page about transfer; arguments as `hospitals_view`."""
    return {
        "lead": f"Entries of {board.home}, their home, scored on other cohorts as well.",
        "about": "Changes are from home, with 95% intervals; the cohorts have different patients, so that an "
        "interval carries the errors of both. Calibration in the large is in log odds: below 0 the scores "
        "expect too many cases. The change of O/E is a ratio.",
        "tables": tuple(
            AcrossTable(
                ident=target.target,
                title=target.label,
                headings=(
                    "Cohort",
                    "AUROC",
                    "Change",
                    "Calibration in the large",
                    "Change",
                    "O/E",
                    "Times that at home",
                ),
                rows=tuple(
                    ("" if i else entry.slug, "" if i else links.get(entry.slug, ""), _transfer_cells(site))
                    for entry in target.entries
                    for i, site in enumerate(entry.sites)
                ),
            )
            for target in board.targets
        ),
        "data": "transfer.json",
    }


def _transfer_cells(site: TransferSite) -> tuple[str, ...]:
    return (
        site.cohort,
        _words(site.auroc),
        _change(site.change_auroc),
        _words(site.calibration_in_the_large),
        _change(site.change_calibration_in_the_large),
        _words(site.oe_ratio),
        MISSING_CHANGE if site.change_oe_ratio is None else _words(site.change_oe_ratio),
    )


MISSING_CHANGE = "–"
"""What stands at home, where nothing changes."""


def _change(change: Estimate | None) -> str:
    """A difference from home, with its sign."""
    if change is None:
        return MISSING_CHANGE
    sign = "+" if change.value is not None and change.value > 0 else ""
    return f"{sign}{_words(change)}"


def _words(value: Estimate | None) -> str:
    return MISSING if value is None or value.value is None else str(interval_words(value, 3))
