"""The board for machines: JSON documents and CSV tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from markupsafe import escape

from bench.board.column import Column, Row
from bench.board.columns import speed_cell
from bench.board.format import decimal, printable
from bench.board.model import Entry, LoadedBoard, Standing
from bench.board.pareto import Setting
from bench.board.render import Field, csv_bytes, latex
from bench.board.speed_words import BATCH
from bench.board.table import BoardTable
from bench.cohort.spec import CohortSpec
from bench.files import canonical_json
from bench.metrics.results import Estimate
from bench.publish.schemas import (
    PUBLISHED,
    ColumnSummary,
    Leaderboard,
    LeaderboardRow,
    LeaderboardTarget,
    PublishedEntry,
    ReportedEntry,
    SpeedSetting,
)
from bench.scoring.scorecard import BoardInputs, Scorecard, SubgroupInputs
from bench.submission.manifest import Reported, ReportedValue
from bench.workspace import SITE_TITLE


def leaderboard(loaded: LoadedBoard, tables: Sequence[BoardTable], built_from: str) -> Leaderboard:
    """The document behind a cohort's board pages."""
    board = loaded.board
    setting = tables[0].setting if tables else None
    return Leaderboard(
        cohort=loaded.spec.id,
        version=loaded.spec.version,
        title=board.title if board else loaded.spec.title,
        synthetic=loaded.spec.synthetic,
        headline=loaded.spec.headline,
        stamp=board.stamp if board else None,
        scoring_version=board.scoring_version if board else None,
        seed=board.seed if board else None,
        replicates=board.replicates if board else None,
        level=board.level if board else None,
        test_set=board.test_set if board else None,
        speed=_speed(setting),
        targets=tuple(_target(loaded, table) for table in tables),
        reported=tuple(_reported(entry) for entry in reported_entries(loaded)),
        built_from=built_from,
    )


def reported_entries(loaded: LoadedBoard) -> tuple[Entry, ...]:
    """Entries that are numbers from a paper, by date and slug."""
    entries = (e for e in loaded.entries.values() if e.manifest.reported is not None)
    return tuple(sorted(entries, key=lambda e: (e.manifest.date, e.slug)))


def published_entry(loaded: LoadedBoard, entry: Entry, standings: dict[str, Standing]) -> PublishedEntry:
    """The document behind an entry's page."""
    return PublishedEntry(
        slug=entry.slug,
        cohort=loaded.spec.id,
        synthetic=loaded.spec.synthetic,
        manifest=entry.manifest,
        standings=standings,
        scorecard=entry.card(Scorecard),
        timings=entry.timings,
        attempts=entry.attempts,
        team_attempts=len(entry.team_attempts),
    )


@cache
def schema(name: str) -> bytes:
    """The JSON Schema of a published document."""
    return canonical_json(PUBLISHED[name].model_json_schema(by_alias=True))


def long_csv(loaded: LoadedBoard) -> bytes:
    """One row for each entry, target, subgroup and metric, with its interval, or why it is null."""
    rows: list[list[Field]] = [
        [
            "slug",
            "target",
            "division",
            "level",
            "images",
            "patients",
            "positives",
            "metric",
            "value",
            "low",
            "high",
            "reason",
        ]
    ]
    for slug, entry in sorted(loaded.entries.items()):
        card = entry.card(BoardInputs)
        if card is None:
            continue
        for score in card.targets:
            counts: list[Field] = [score.images, score.patients, score.positives]
            shown = {**score.metrics, **{f"auroc_{name}": e for name, e in score.estimands.items()}}
            rows += _long(slug, score.target, "", "", counts, shown)
        for other in card.continuous:
            rows += _long(slug, other.target, "", "", [other.images, other.patients, None], other.metrics)
        for group in card.subgroups:
            rows += _subgroup_rows(slug, group)
            gaps = {f"gap_{name}": estimate for name, estimate in group.gaps.items()}
            rows += _long(slug, group.target, group.division, group.level, [None] * 3, gaps)
    return csv_bytes(rows)


def _long(
    slug: str, target: str, division: str, level: str, counts: Sequence[Field], metrics: dict[str, Estimate]
) -> list[list[Field]]:
    return [
        [slug, target, division, level, *counts, name, e.value, e.low, e.high, e.reason]
        for name, e in sorted(metrics.items())
    ]


def _subgroup_rows(slug: str, group: SubgroupInputs) -> list[list[Field]]:
    counts: list[Field] = [group.images, group.patients, group.positives]
    if group.suppressed or not group.metrics:
        empty: list[Field] = [slug, group.target, group.division, group.level, *counts]
        return [[*empty, "auroc", None, None, None, group.reason or "suppressed"]]
    return _long(slug, group.target, group.division, group.level, counts, group.metrics)


def _speed(setting: Setting | None) -> SpeedSetting | None:
    if setting is None:
        return None
    return SpeedSetting(
        backend=setting.backend, device=setting.device, precision=setting.precision, batch=BATCH
    )


def _target(loaded: LoadedBoard, table: BoardTable) -> LeaderboardTarget:
    board = loaded.board
    shown = board.target(table.target) if board else None
    return LeaderboardTarget(
        target=table.target,
        label=table.label,
        leader=table.leader,
        others_may_be_first=table.others_may_be_first if table.compared else None,
        sentence=table.sentence,
        shrunken_auroc=shown.shrunken_auroc if shown else None,
        prevalence=table.prevalence,
        columns=tuple(column_summary(column, table) for column in table.columns),
        rows=tuple(_leaderboard_row(row, table) for row in table.rows),
        same_ranking=shown.same_ranking if shown else (),
        critical=shown.critical if shown else None,
        pairs=table.pairs,
    )


def column_summary(column: Column, table: BoardTable) -> ColumnSummary:
    """Description of a column in the JSON."""
    return ColumnSummary(
        key=column.key,
        label=column.label,
        group=column.group,
        hint=column.hint,
        on_page=column in table.page_columns,
        may_be_empty=column.key in table.may_be_empty,
    )


def _leaderboard_row(row: Row, table: BoardTable) -> LeaderboardRow:
    manifest, card = row.entry.manifest, row.entry.scorecard
    speed = speed_cell(row)
    return LeaderboardRow.model_construct(  # of parts that were checked when they were read or computed
        slug=row.slug,
        name=manifest.name,
        team=manifest.team,
        date=manifest.date.isoformat(),
        kind=manifest.kind,
        inputs=manifest.inputs,
        track=manifest.track,
        standing=row.standing,
        metrics=row.score.metrics if row.score else {},
        macro=card.macro if card else None,
        latency_ms=speed.value if isinstance(speed.value, float) else None,
        latency_note=f"{speed.note}: {speed.reason}" if speed.note else speed.reason,
        cells=table.cells[row.slug],
    )


def _reported(entry: Entry) -> ReportedEntry:
    manifest = entry.manifest
    if manifest.reported is None:
        raise ValueError(f"entry {entry.slug} is not a reported one")
    return ReportedEntry(
        slug=entry.slug,
        name=manifest.name,
        team=manifest.team,
        date=manifest.date.isoformat(),
        inputs=manifest.inputs,
        reported=manifest.reported,
    )


def published_year(citation: str) -> str:
    """The year of a citation, as its first number from 1900 to 2099 that no DOI holds; empty without one."""
    years = re.findall(r"(?<![\w/.])(?:19|20)\d\d(?![\w/])", _DOI.sub("", citation))
    return years[0] if years else ""


def published_doi(reported: Reported) -> str:
    """The DOI in a citation or its link; empty without one."""
    match = _DOI.search(reported.citation) or _DOI.search(reported.link or "")
    return match[0].rstrip(".,;)") if match else ""


_DOI = re.compile(r"10\.\d{4,9}/[^\s\"<>]+")


def as_printed(value: float | None, reported: Reported) -> str:
    """A published number with the decimals of its source: the most of any of its numbers, at least two."""
    numbers = [n for v in reported.metrics.values() for n in (v.auroc, v.low, v.high) if n is not None]
    digits = max(2, *(len(repr(number).partition(".")[2]) for number in numbers))
    return decimal(value, digits)


def printed_interval(value: ReportedValue, reported: Reported) -> str:
    """A published interval with the decimals of its source; empty without one."""
    if value.low is None or value.high is None:
        return ""
    return f"{as_printed(value.low, reported)}–{as_printed(value.high, reported)}"


def bibtex(entry: Entry, spec: CohortSpec, address: str = "", site: str = SITE_TITLE) -> str:
    """BibTeX record that cites an entry: for a published result its paper, otherwise its page on this board.

    Every text is escaped, so that none can end its field.

    Args:
        entry: The entry.
        spec: Its cohort.
        address: Where its page stands; empty where that is not known.
        site: Name of the site.
    """
    manifest, reported = entry.manifest, entry.manifest.reported
    if reported is not None:
        fields = {
            "author": manifest.team,
            "title": manifest.name,
            "year": published_year(reported.citation),
            "doi": published_doi(reported),
            "url": reported.link or "",
            "note": reported.citation,
        }
    else:
        fields = {
            "author": manifest.team,
            "title": f"{manifest.name} on {site}, cohort {spec.id} {spec.version}",
            "year": str(manifest.date.year),
            "version": f"{spec.id} {spec.version}",
            "url": address,
            "note": "Predictions scored by chexchobench",
        }
    return _misc(f"{spec.id}-{entry.slug}", fields)


def cohort_bibtex(spec: CohortSpec, year: str = "", address: str = "", site: str = SITE_TITLE) -> str:
    """BibTeX record that cites the cohort's board.

    Args:
        spec: The cohort.
        year: Year of its newest entry.
        address: Where the board stands; without one the cohort's own address is named.
        site: Name of the site.
    """
    fields = {
        "author": f"{site} contributors",
        "title": f"{site}: {spec.title}",
        "year": year,
        "version": spec.version,
        "url": address or spec.url,
        "note": spec.citation,
    }
    return _misc(f"chexchobench-{spec.id}", fields)


def _field(value: str) -> str:
    """Return a text for a field in braces: BibTeX counts braces even behind a backslash."""
    return latex(value).replace(r"\{", r"\textbraceleft{}").replace(r"\}", r"\textbraceright{}")


def _misc(key: str, fields: dict[str, str]) -> str:
    lines = [f"  {name} = {{{_field(value)}}}," for name, value in fields.items() if value]
    return "\n".join([f"@misc{{{key},", *lines, "}"])


CHARACTER = 6.6


def badge(left: str, right: str) -> bytes:
    """A badge with two fields; a stand-alone picture, so its style is in its attributes."""
    left, right = printable(left), printable(right)
    first, second = (round(CHARACTER * len(words)) + 14 for words in (left, right))
    width = first + second
    font = 'font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" fill="#fff"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" '
        f'aria-label="{escape(left)}: {escape(right)}"><title>{escape(left)}: {escape(right)}</title>'
        f'<rect width="{width}" height="20" rx="3" fill="#444c56"/>'
        f'<path d="M{first} 0h{second - 3}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{second - 3}z" fill="#0b57a4"/>'
        f'<g {font}><text x="7" y="14">{escape(left)}</text>'
        f'<text x="{first + 7}" y="14">{escape(right)}</text></g></svg>\n'
    ).encode()
