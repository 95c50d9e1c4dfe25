"""View of a board: the answer, the facts, the tabs, the table, and what could change the order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bench.board.column import Group, Row
from bench.board.columns import speed_cell
from bench.board.format import decimal, fitting, interval, number_word, p_text, plural
from bench.board.matrix import PairMatrix
from bench.board.model import Entry, TargetBoard, TestSet
from bench.board.speed_words import record_at, setting_words
from bench.board.table import BoardTable
from bench.board.verdict import Verdict, confirmable_lead, pair_verdict, times_the_patients
from bench.publish.charts.picture import PictureRow, PictureText, board_picture, plain_letters
from bench.publish.charts.power import PowerCurve, power_curve
from bench.publish.charts.rows import axis_marks, row_axis, row_marks, strip
from bench.publish.charts.scales import Linear, domain
from bench.publish.charts.tradeoff import tradeoff
from bench.publish.exports import as_printed, printed_interval, reported_entries
from bench.publish.urls import Place
from bench.publish.views.speed import Timed, speed_points
from bench.submission.manifest import Reported, ReportedValue

PAGE_ROWS = 70
"""Rows of a table with all columns, about 75 elements each: a page stays below 6,000 elements."""

LIST_ROWS = 100
"""Rows of a part of the list of all entries: the browser lays out only the parts that are in view."""

MATRIX_ROWS = 9
"""Entries of the pairwise matrix on the page; all pairs are in the JSON."""

NAME, SHORT = 26, 12
"""Letters of a name in the matrix; its headings stand upright where one is longer than `SHORT`."""

PRESETS = (
    ("v-o", "Overview", (Group.TARGET, Group.LEADER)),
    ("v-f", "All findings", (Group.OTHER,)),
    ("v-c", "Calibration", (Group.CALIBRATION,)),
    ("v-s", "Speed", (Group.SPEED,)),
    ("v-d", "What was submitted", (Group.SOURCE,)),
)
"""Columns that the page shows together: element, words, groups. Rank, entry and AUROC are always shown."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A figure with what it is and what qualifies it."""

    words: str
    figure: str
    more: str


@dataclass(frozen=True, slots=True)
class Tab:
    """A target: its link, how many are positive, and the entries on a line."""

    href: str
    label: str
    current: bool
    strip: Markup
    positives: str
    leader: str


@dataclass(frozen=True, slots=True)
class PairCell:
    """A cell of the pairwise matrix: the difference in thousandths, its verdict and its class."""

    text: str
    verdict: str
    css: str


def board_view(place: Place, table: BoardTable, path: str) -> dict[str, Any]:
    """The template's values for one target's board: its first rows with all columns."""
    loaded = place.loaded
    board = loaded.board
    if board is None:
        raise ValueError(f"cohort {loaded.spec.id} has no board")
    home = place.home(path)
    rows = table.rows[:PAGE_ROWS]
    leader = table.ranked[0] if table.ranked else None
    top = leader.standing.auroc if leader else None
    groups = {c.group for c in table.page_columns}
    presets = [(i, words, g) for i, words, g in PRESETS if groups.intersection(g)]
    pairs = _distinct(board.target(table.target), table)
    return {
        "heading": board.title,
        "board": board,
        "test": board.test_set,
        "table": table,
        "level": f"{100 * board.level:g}%",
        "question": _question(table, board.test_set),
        "leader": leader,
        "facts": _facts(table, f"{100 * board.level:g}%"),
        "resolution": resolution_sentence(board.test_set, table),
        "tabs": _tabs(place, table.target, home),
        "tabs_heading": _tabs_heading(place),
        "presets": presets,
        "labelled": [group for _, _, shown in PRESETS[1:] for group in shown],
        **_auroc_column(place, table, rows, top),
        "identical": identical_entries(board.target(table.target)),
        "bodies": [
            ("", [row for row in rows if row.standing.rank is not None]),
            ("Not ranked", [row for row in rows if row.standing.rank is None]),
        ],
        "shown": len(rows),
        "rest": f"{home}{place.folders[table.target]}all/index.html" if len(rows) < len(table.rows) else "",
        "columns": table.page_columns,
        "reasons": table.reasons(table.page_columns),
        "width": sum(1 + c.bar for c in table.page_columns),
        "facets": _facets(table, rows),
        "matrix": _matrix(table, pairs),
        "closest": _closest(table, pairs),
        "power": _power(board.target(table.target), top),
        "patients": _patients(table, pairs, board.test_set),
        "tradeoff": _tradeoff(table, rows, home),
        "setting_words": setting_words(table.setting) if table.setting else "",
        "reported": len(reported_entries(loaded)),
    }


def _auroc_column(place: Place, table: BoardTable, rows: Sequence[Row], top: float | None) -> dict[str, Any]:
    """The axis of the AUROC column, with what is drawn on it for entries and for published numbers."""
    published = _published(place, table)
    ranked = [row.auroc for row in rows if row.standing.rank is not None]
    axis = row_axis(ranked, [value.auroc for _, _, value in published])
    reference = _reference(table)
    return {
        "axis": axis_marks(axis, "g", [("ref", top), ("age", reference)]),
        "reference": reference,
        "reference_drawn": reference is not None and axis.low <= reference <= axis.high,
        "drawings": {
            row.slug: row_marks(axis, "g", row.auroc.value, row.auroc.low, row.auroc.high)
            if row.auroc
            else Markup("")
            for row in rows
        },
        "published": [
            (
                entry,
                as_printed(value.auroc, reported),
                row_marks(axis, "g", value.auroc, value.low, value.high, published=True),
                printed_interval(value, reported),
            )
            for entry, reported, value in published
        ],
    }


def list_view(place: Place, table: BoardTable, path: str) -> dict[str, Any]:
    """The template's values for the list of all entries of a long board: rank, name and AUROC of each."""
    board = place.loaded.board
    ranked = table.ranked
    parts = [ranked[start : start + LIST_ROWS] for start in range(0, len(ranked), LIST_ROWS)]
    others = [row for row in table.rows if row.standing.rank is None]
    return {
        "heading": board.title if board else place.loaded.spec.title,
        "board_path": f"{place.home(path)}{place.folders[table.target]}index.html",
        "table": table,
        "level": f"{100 * board.level:g}%" if board else "",
        "bodies": [*(("", rows) for rows in parts), ("Not ranked", others)],
    }


def resolution_sentence(test: TestSet, table: BoardTable) -> str:
    """Sentence on the precision of an AUROC on the test set; empty where it is not known."""
    resolution = next((t for t in test.targets if t.target == table.target), None)
    if resolution is None or resolution.half_width_low is None or resolution.paired_difference_low is None:
        return ""
    half = _range(resolution.half_width_low, resolution.half_width_high)
    difference = _range(resolution.paired_difference_low, resolution.paired_difference_high)
    patients = plural(resolution.positive_patients, "positive patient")
    return (
        f"With {patients} an AUROC near 0.80 is known to about ±{half}, and two models must differ by about "
        f"{difference} to be separated with 80% power."
    )


def _range(low: float, high: float | None) -> str:
    first, last = decimal(low, 2), decimal(low if high is None else high, 2)
    return first if first == last else f"{first}–{last}"


def _question(table: BoardTable, test: TestSet) -> str:
    """The heading: how many entries, on how many patients."""
    entries = plural(len(table.ranked), "model")
    words = f"{number_word(len(table.ranked))} {entries.split(' ', 1)[1]}" if table.ranked else "No model yet"
    return f"{words}, scored on the chest X\u2011rays of the same {plural(test.patients, 'patient')}"


def _facts(table: BoardTable, level: str) -> list[Fact]:
    """Highest AUROC, who may be first, the smallest confirmable lead, false alarms: those that are known."""
    facts = []
    first = table.ranked[0] if table.ranked else None
    if first is not None and first.auroc is not None:
        limits = interval(first.auroc.low, first.auroc.high)
        more = f"{level} CI {limits} · " if limits else ""
        facts.append(Fact("Highest AUROC", decimal(first.auroc.value), more + first.entry.manifest.name))
    if len(table.ranked) > 1 and table.compared:
        several = sum(row.may_be_first for row in table.ranked)
        figure = f"{several} of {len(table.ranked):,}" if several < len(table.ranked) else f"all {several:,}"
        repeated = sum(bool(row.same_ranking) for row in table.ranked)
        more = (
            f"{repeated} rank the images identically"
            if repeated
            else "entries that none significantly exceeds"
        )
        facts.append(Fact("May be first", figure, more))
    lead = confirmable_lead(table.pairs)
    if lead is not None:
        count = len(table.ranked) * (len(table.ranked) - 1) // 2
        more = f"AUROC, adjusted for {'all ' if count > 1 else ''}{plural(count, 'pair')}"
        facts.append(Fact("Smallest lead this test can confirm", f"about {decimal(lead)}", more))
    alarms = [cell.value for row in table.ranked if (cell := table.cells[row.slug].get("false_alarms"))]
    known = [value for value in alarms if isinstance(value, float)]
    if known:
        figure = " to ".join(dict.fromkeys(f"{value:,.0f}" for value in (min(known), max(known))))
        more = "per 1,000 patients" + (", fewest to most" if len(known) > 1 else "")
        facts.append(Fact("False alarms at 90% sensitivity", figure, more))
    return facts


def _tabs(place: Place, current: str, home: str) -> list[Tab]:
    board = place.loaded.board
    known = {t.target: t for t in board.targets} if board else {}
    shown = [known[t] for t in place.targets if t in known]
    values = {t.target: [s.auroc for s in t.standings if s.rank and s.auroc is not None] for t in shown}
    axis = Linear(*domain([v for vs in values.values() for v in vs], within=(0, 1)), 2, 98)
    counts = {t.target: t for t in board.test_set.targets} if board else {}
    return [
        Tab(
            href=f"{home}{place.folders[t.target]}index.html",
            label=t.label,
            current=t.target == current,
            strip=strip(values[t.target], axis, _strip_words(values[t.target])),
            positives=f"{c.positives:,} of {c.images:,} positive" if (c := counts.get(t.target)) else "",
            leader=f"{decimal(values[t.target][0])} {_leader_name(place, t)}" if values[t.target] else "",
        )
        for t in shown
    ]


def _strip_words(values: Sequence[float]) -> str:
    if not values:
        return "No entry is ranked"
    return f"AUROC of {plural(len(values), 'entry', 'entries')}, {interval(values[-1], values[0])}"


def _leader_name(place: Place, board: TargetBoard) -> str:
    entry = place.loaded.entries.get(board.leader or "")
    same = next((t for t in board.same_ranking if board.leader in t.slugs), None)
    name = entry.manifest.name if entry else ""
    if same is None:
        return name
    return f"{name} and {len(same.slugs) - 1} {'identical' if same.identical else 'of the same ranking'}"


def _tabs_heading(place: Place) -> str:
    """Heading that says how many findings have how many leaders."""
    board = place.loaded.board
    shown = [t for t in board.targets if t.leader] if board else []
    leaders = len({t.leader for t in shown})
    findings = number_word(len(shown))
    if len(shown) < 2:
        return ""
    if leaders == 1:
        return f"{findings} findings, one leader"
    return f"{findings} findings, {number_word(leaders).lower()} different leaders"


def _reference(table: BoardTable) -> float | None:
    """AUROC of the baseline on age and sex."""
    slug = next((row.context.board.reference for row in table.rows), None)
    return next((row.standing.auroc for row in table.rows if row.slug == slug), None)


def _published(place: Place, table: BoardTable) -> list[tuple[Entry, Reported, ReportedValue]]:
    """Entries from papers that report the target, with what they report."""
    entries = [(e, e.manifest.reported) for e in reported_entries(place.loaded)]
    return [(e, r, r.metrics[table.target]) for e, r in entries if r and table.target in r.metrics]


def identical_entries(board: TargetBoard) -> dict[str, str]:
    """Slug → the entry, ranked before it, whose scores it repeats, in words."""
    order = [s.slug for s in board.standings]
    words: dict[str, str] = {}
    for group in board.same_ranking:
        first, *others = sorted(group.slugs, key=order.index)
        words |= dict.fromkeys(others, f"= {first}" if group.identical else f"same ranking as {first}")
    return words


def _facets(table: BoardTable, rows: Sequence[Row]) -> list[tuple[str, str, list[str]]]:
    """Columns to filter by, with their texts; those with one text only are left out."""
    columns = [column for column in table.page_columns if column.facet]
    texts_of = [(c, {table.cell(row, c).text for row in rows}) for c in columns]
    return [(column.key, column.label, sorted(texts)) for column, texts in texts_of if len(texts) > 1]


def _distinct(board: TargetBoard, table: BoardTable) -> list[str]:
    """Slugs of the pairwise comparisons, without those that repeat the ranking of an earlier one."""
    repeated = identical_entries(board)
    return [slug for slug in table.pairs.slugs if slug not in repeated] if table.pairs else []


def _matrix(table: BoardTable, slugs: Sequence[str]) -> dict[str, Any]:
    """Rows and columns of the pairwise matrix, and how many entries are left out; empty with one entry."""
    pairs, shown = table.pairs, slugs[:MATRIX_ROWS]
    if pairs is None or len(shown) < 2:
        return {}
    names = {row.slug: fitting(row.entry.manifest.name, NAME) for row in table.rows}
    grid = [
        (names[a], [None if i >= j else _pair_cell(pairs, a, b) for j, b in enumerate(shown) if j])
        for i, a in enumerate(shown[:-1])
    ]
    verdicts = [pair_verdict(pairs.pair(a, b)) for i, a in enumerate(slugs) for b in slugs[i + 1 :]]
    return {
        "columns": [names[slug] for slug in shown[1:]],
        "upright": any(len(names[slug]) > SHORT for slug in shown[1:]),
        "rows": grid,
        "left_out": len(slugs) - len(shown),
        "separated": sum(v is Verdict.SEPARATED for v in verdicts),
        "suggestive": sum(v is Verdict.SUGGESTIVE for v in verdicts),
        "pairs": len(verdicts),
    }


_PAIR_CLASS = {Verdict.CHANCE: "m0", Verdict.SUGGESTIVE: "m1", Verdict.SEPARATED: "m2"}


def _pair_cell(pairs: PairMatrix, a: str, b: str) -> PairCell:
    pair = pairs.pair(a, b)
    verdict = pair_verdict(pair)
    return PairCell(f"{1000 * pair.difference:.0f}", verdict.value, _PAIR_CLASS[verdict])


def _closest(table: BoardTable, slugs: Sequence[str]) -> str:
    """The pair with the lowest adjusted p-value, where none is separated."""
    pairs = table.pairs
    if pairs is None or len(slugs) < 2:
        return ""
    comparisons = [(pairs.pair(a, b), a, b) for i, a in enumerate(slugs) for b in slugs[i + 1 :]]
    if any(pair_verdict(pair) is Verdict.SEPARATED for pair, _, _ in comparisons):
        return ""
    pair, a, b = min(comparisons, key=lambda one: (one[0].p_adjusted, one[1], one[2]))
    p = f"p = {p_text(pair.p)} alone, {p_text(pair.p_adjusted)} adjusted"
    return f"The closest call is {a} against {b}: {p}."


def _power(board: TargetBoard, leader: float | None) -> PowerCurve | None:
    half = confirmable_lead(board.pairs)
    if leader is None or half is None or board.critical is None or leader >= 0.999:
        return None
    return power_curve(leader, half, board.critical)


def _patients(table: BoardTable, slugs: Sequence[str], test: TestSet) -> str:
    """Sentence on the number of patients that would separate the first two."""
    if table.pairs is None or len(slugs) < 2:
        return ""
    pair = table.pairs.pair(*slugs[:2])
    times = times_the_patients(pair)
    if times is None or times <= 1 or times > 1000:
        return ""
    needed = round(times * test.patients, -2 if times * test.patients < 20_000 else -3)
    return (
        f"To separate today's first two entries (difference {decimal(pair.difference)}) would take about "
        f"{times:.1f} times as many patients, about {needed:,.0f}."
    )


def _tradeoff(table: BoardTable, rows: Sequence[Row], home: str) -> Markup | str:
    if table.setting is None:
        return ""
    cells = [(row, speed_cell(row)) for row in rows if row.standing.rank is not None]
    timed = [
        Timed(row.entry, record, cell.value, not cell.note)
        for row, cell in cells
        if isinstance(cell.value, float) and (record := record_at(row.entry, table.setting))
    ]
    points = speed_points(timed, table.target, home)
    return tradeoff(points, setting_words(table.setting)) if len(points) > 1 else ""


def picture(place: Place, table: BoardTable, site: str) -> bytes:
    """The PNG of one target's board for links in messengers and search engines, with the site's name."""
    board = place.loaded.board
    if board is None:
        raise ValueError(f"cohort {place.loaded.spec.id} has no board")
    rows = [
        PictureRow(_picture_name(row), row.auroc.value, row.auroc.low, row.auroc.high, row.may_be_first)
        for row in table.ranked
        if row.auroc is not None and row.auroc.value is not None
    ]
    models = f"{number_word(len(table.ranked))} {'model' if len(table.ranked) == 1 else 'models'}"
    words = PictureText(
        site=site,
        eyebrow=f"{board.title}, version {board.stamp.version}",
        title=f"{models}, {plural(board.test_set.patients, 'patient')}: {table.label}",
        answer=f"{rows[0].name} has the highest AUROC. {table.sentence}" if rows else table.sentence,
        foot=f"{'Synthetic data. ' if place.loaded.spec.synthetic else ''}Not for clinical use.",
    )
    return board_picture(words, rows)


def _picture_name(row: Row) -> str:
    """The entry's name, or its slug where the font of the picture lacks letters of the name."""
    name = plain_letters(row.entry.manifest.name)
    return row.slug if "?" in name else name


def describe(table: BoardTable) -> str:
    """A page's description in one line."""
    first = table.ranked[0] if table.ranked else None
    if first is None or first.auroc is None:
        return f"{table.label}: no entry is ranked."
    name, auroc = first.entry.manifest.name, decimal(first.auroc.value)
    return f"{table.label}: {name} has the highest AUROC, {auroc}. {table.sentence}"
