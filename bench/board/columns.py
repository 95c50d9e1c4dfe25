"""Every column of a board, declared once: its key, its words, and the cell of an entry.

Page, ``leaderboard.json``, ``leaderboard.csv`` and `bench board` are renderings of the table that these
declarations make, see `bench.board.table`. A column is added by one declaration in `BUILT_IN`, or by an entry
point of the group ``bench.columns`` in another package, which names a `Column`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path

from bench.board.column import (
    BoardContext,
    Cell,
    Column,
    Group,
    Row,
    Value,
    always,
    estimate_cell,
    text_cell,
)
from bench.board.format import (
    NOT_AVAILABLE,
    decimal,
    difference_interval,
    p_text,
    printable,
    rank_text,
    sentence,
    shortened,
)
from bench.board.format import significant as significant_digits
from bench.board.speed_words import BATCH, record_at, setting_words, verdict
from bench.board.verdict import Verdict
from bench.files import sha256_bytes
from bench.metrics import registry
from bench.metrics.metric import Direction
from bench.plugins import PluginError, load_plugin, plugin_points
from bench.submission.manifest import NOT_STATED, Manifest

ENTRY_POINTS = "bench.columns"
_BUILT_IN_METRICS = {metric.key: metric for metric in registry.BUILT_IN}

OTHER_TARGETS = 5
"""More targets do not fit beside the board's own; they stand in the CSV and on the entries' pages."""

SENSITIVITY = 0.9
"""Sensitivity at which false alarms are counted."""

Declaration = Column | Callable[[BoardContext], Iterable[Column]]
"""A column, or a family of columns that depends on the board."""


def _has_attempts(context: BoardContext) -> bool:
    return any(standing.attempts for standing in context.board.standings)


NOT_COUNTED = "Attempts are counted for ranked entries, where labels are not private."


def _attempts(row: Row) -> Cell:
    attempts, gain = row.standing.attempts, row.standing.chance_gain
    if attempts is None or gain is None:
        baseline = row.entry.manifest.kind == "baseline"
        return Cell("–", None, reason="Baselines do not count as attempts." if baseline else NOT_COUNTED)
    return Cell(f"{attempts}", attempts, note=f"+{gain:.3f} by chance" if attempts > 1 else "")


def _rank(row: Row) -> Cell:
    standing = row.standing
    return Cell(rank_text(standing), standing.rank, standing.rank_low, standing.rank_high)


def _may_be_first(row: Row) -> Cell:
    if not row.context.board.compared:
        return Cell("–", None)
    return Cell("yes" if row.may_be_first else "no", row.may_be_first)


def _difference(value: float | None, low: float | None, high: float | None) -> Cell:
    return Cell("–" if value is None else decimal(value), value, low, high, difference_interval(low, high))


def _p_value(value: float | None) -> Cell:
    return Cell(p_text(value) or "–", value)


def _verdict(row: Row) -> Cell:
    """Return the verdict on the leader against the entry."""
    if row.leader:
        return Cell("leads", "leads")
    if row.standing.rank is None or row.context.board.leader is None or not row.context.board.compared:
        return Cell("–", None)
    verdict = row.context.verdict(row)
    return Cell("lower" if verdict is Verdict.SEPARATED else verdict.value, verdict.value)


def _per_thousand(row: Row, figure: Callable[[float, float], float], digits: int) -> Cell:
    """A figure of (patients with the finding, false alarms) per 1,000, at 90% sensitivity."""
    specificity = row.score.metrics.get("specificity_at_90_sensitivity") if row.score else None
    prevalence = row.score.prevalence if row.score else None
    if specificity is None or specificity.value is None or not prevalence:
        return estimate_cell(None if specificity is None or specificity.value is not None else specificity)
    value = figure(1000 * prevalence, 1000 * (1 - prevalence) * (1 - specificity.value))
    value = float(f"{value:.6g}")  # fewer digits than the stored inputs have
    return Cell(f"{value:,.{digits}f}", value)


MAY_BE_FIRST = "No entry has a significantly higher AUROC when all pairs of the board are compared together."


def _notes(row: Row) -> Cell:
    """Return the reason for no rank, whether the entry may be first, and its flags."""
    notes = []
    if row.standing.rank is None:
        notes.append(("not ranked", sentence(row.standing.unranked_reason or "no reason given")))
    if row.may_be_first and not row.leader:
        notes.append(("may be first", MAY_BE_FIRST))
    for flag in row.standing.flags:
        notes.append((flag.label, sentence(flag.message)))
    if row.same_ranking:
        notes.append(("same ranking", f"Same order of scores as {', '.join(row.same_ranking)}."))
    text = printable("; ".join(word for word, _ in notes))
    return Cell(text, text, reason=" ".join(why for _, why in notes))


def _auroc(row: Row) -> Cell:
    return estimate_cell(row.auroc, missing="no predictions for this target")


def _prevalence(row: Row) -> Cell:
    value = row.score.prevalence if row.score else None
    return Cell(decimal(value), value)


def _macro(row: Row) -> Cell:
    return estimate_cell(row.entry.scorecard.macro if row.entry.scorecard else None)


def speed_cell(row: Row) -> Cell:
    """Median latency at the board's setting; a figure that is not ranked keeps its word."""
    record = record_at(row.entry, row.context.setting)
    timing = record.row(BATCH) if record else None
    if timing is None:
        return Cell(NOT_AVAILABLE, None, reason="Not timed at the setting of this column.")
    word, why = verdict(timing)
    latency = timing.end_to_end.p50
    if latency.value_ms is None:
        reason = why or sentence(latency.reason or timing.end_to_end.reason or "not measured")
        return Cell(word or NOT_AVAILABLE, None, reason=reason)
    return Cell(significant_digits(latency.value_ms), latency.value_ms, reason=why, note=word)


def metric_column(
    key: str, group: Group = Group.TARGET, *, on_page: bool = True, priority: int | None = 5
) -> Column:
    """The column of a metric; its words come from the registry of metrics."""
    metric = _BUILT_IN_METRICS.get(key) or registry.metrics().get(key)
    digits = metric.digits if metric else 3

    label = metric.label if metric else registry.label(key)

    def cell(row: Row) -> Cell:
        missing = f"{label} not scored" if row.score else "no predictions for this target"
        return estimate_cell(row.score.metrics.get(key) if row.score else None, digits, missing)

    def undefined(context: BoardContext) -> bool:
        """Whether every scorecard says why it has no value, as that of uncalibrated scores does."""
        scores = [row.score for row in context.rows if row.score]
        return all(key in score.metrics and score.metrics[key].value is None for score in scores)

    return Column(
        key=key,
        label=metric.short_label if metric else label,
        group=group,
        hint=metric.definition if metric else label,
        cell=cell,
        may_be_empty=undefined,
        descending=metric is not None and metric.direction == Direction.HIGHER,
        on_page=on_page,
        priority=priority,
    )


def _other_targets(context: BoardContext) -> Iterator[Column]:
    """The AUROC for the cohort's other targets."""
    others = [t for t in context.spec.binary_targets if t.name != context.board.target]
    for target in others[:OTHER_TARGETS]:
        yield _other_target(target.name, target.label)


def _other_target(name: str, label: str) -> Column:
    def cell(row: Row) -> Cell:
        score = row.entry.scorecard.target(name) if row.entry.scorecard else None
        return estimate_cell(score.ranked if score else None, missing="no predictions for this target")

    def all_empty(context: BoardContext) -> bool:
        return all(cell(row).empty for row in context.rows)

    return Column(
        key=f"auroc:{name}",
        label=label,
        group=Group.OTHER,
        hint=f"AUROC for {label}",
        cell=cell,
        may_be_empty=all_empty,
        descending=True,
    )


def _other_metrics(context: BoardContext) -> Iterator[Column]:
    """Every metric of the scorecards that no column of its own shows: for JSON, CSV and ``--columns``."""
    shown = {declared.key for declared in BUILT_IN if isinstance(declared, Column)}
    stored = {name for row in context.rows if row.score for name in row.score.metrics}
    order = registry.keys()
    for name in [*(k for k in order if k in stored), *sorted(stored.difference(order))]:
        if name not in shown:
            yield metric_column(name, on_page=False, priority=None)


def _speed(context: BoardContext) -> Iterator[Column]:
    if context.setting is not None:
        yield Column(
            key="speed",
            label="Median time, ms",
            group=Group.SPEED,
            hint=f"Median end-to-end latency: {setting_words(context.setting)}",
            cell=speed_cell,
            may_be_empty=always,
            explained=True,
        )


def _has_macro(context: BoardContext) -> bool:
    return any(row.entry.scorecard and row.entry.scorecard.macro for row in context.rows)


def _has_runs(context: BoardContext) -> bool:
    return any(row.score and row.score.runs for row in context.rows)


def _runs(row: Row) -> Cell:
    """Return the number of runs; their standard deviation as the note."""
    if row.score is None:
        return Cell("–", None, reason="No predictions for this target.")
    runs = row.score.runs
    if runs is None:
        return Cell("1", 1)
    return Cell(f"{runs.count}", runs.count, note="" if runs.sd is None else f"SD {decimal(runs.sd)}")


def _runs_sd(row: Row) -> Cell:
    runs = row.score.runs if row.score else None
    if runs is None or runs.sd is None:
        return Cell(NOT_AVAILABLE, None, reason="Withheld, or undefined." if runs else "One run.")
    return Cell(decimal(runs.sd), runs.sd)


def _declared(
    key: str,
    label: str,
    hint: str,
    words: Callable[[Manifest], Value],
    *,
    on_page: bool = True,
    optional: bool = False,
    numeric: bool = False,
) -> Column:
    """The column of a declaration in the manifest.

    Args:
        key: As in `Column`.
        label: As in `Column`.
        hint: As in `Column`.
        words: What an entry declares; None or `NOT_STATED` where its authors say nothing.
        on_page: As in `Column`; columns on the page can be filtered by.
        optional: Whether boards have the column only where an entry declares something.
        numeric: As in `Column`.
    """

    def cell(row: Row) -> Cell:
        value = words(row.entry.manifest)
        if value is None or value == NOT_STATED:
            return Cell(NOT_STATED, NOT_STATED if not numeric else None)
        if isinstance(value, bool):
            return Cell("yes" if value else "no", value)
        text = f"{value:,}" if isinstance(value, int) else printable(shortened(str(value), 40))
        return Cell(text, value)

    def applies(context: BoardContext) -> bool:
        return not optional or any(words(row.entry.manifest) is not None for row in context.rows)

    return Column(
        key=key,
        label=label,
        group=Group.SOURCE,
        hint=hint,
        cell=cell,
        applies=applies,
        may_be_empty=always,
        numeric=numeric,
        facet=on_page and not numeric,
        on_page=on_page,
        priority=None,
    )


def _image_size(manifest: Manifest) -> Value:
    if manifest.image_size is None or manifest.upsampled_from is None:
        return None if manifest.image_size is None else f"{manifest.image_size}"
    return f"{manifest.image_size}, upsampled from {manifest.upsampled_from}"


def _has_code(manifest: Manifest) -> bool:
    return any(name.strip().lower() in CODE_LINKS for name in manifest.links)


CODE_LINKS = frozenset({"code", "source", "source code", "repository", "github", "git"})
"""Names of links in a manifest that lead to the code of an entry."""


def _has_reference(context: BoardContext) -> bool:
    return context.board.reference is not None


BUILT_IN: tuple[Declaration, ...] = (
    Column(
        key="rank",
        label="Rank",
        group=Group.ENTRY,
        hint="Rank by AUROC with its 95% rank interval, adjusted for all pairs of the board",
        cell=_rank,
        limits=True,
        priority=0,
    ),
    Column(
        key="may_be_first",
        label="May be first",
        group=Group.ENTRY,
        hint="Whether no entry is significantly higher when all pairs of the board are compared together",
        cell=_may_be_first,
        may_be_empty=lambda context: not context.board.compared,
        numeric=False,
        on_page=False,
        priority=None,
    ),
    Column(
        key="unranked_reason",
        label="Why not ranked",
        group=Group.ENTRY,
        hint="Why the entry is not ranked; empty where it is",
        cell=lambda row: text_cell(row.standing.unranked_reason, 200),
        may_be_empty=always,
        numeric=False,
        on_page=False,
        priority=None,
    ),
    Column(
        key="slug",
        label="Slug",
        group=Group.ENTRY,
        hint="Name of the entry in the store and in commands",
        cell=lambda row: text_cell(row.slug),
        numeric=False,
        on_page=False,
        priority=0,
    ),
    Column(
        key="entry",
        label="Entry",
        group=Group.ENTRY,
        hint="Name that its authors gave the entry",
        cell=lambda row: text_cell(row.entry.manifest.name),
        numeric=False,
        priority=6,
    ),
    Column(
        key="auroc",
        label="AUROC",
        group=Group.TARGET,
        hint=_BUILT_IN_METRICS["auroc"].definition,
        cell=_auroc,
        descending=True,
        limits=True,
        bar=True,
        priority=0,
    ),
    Column(
        key="runs",
        label="Runs",
        group=Group.TARGET,
        hint="Runs, such as seeds, whose mean AUROC is ranked, and the standard deviation between them",
        cell=_runs,
        applies=_has_runs,
        may_be_empty=always,
        descending=True,
        priority=None,
    ),
    Column(
        key="runs_sd",
        label="SD of the runs",
        group=Group.TARGET,
        hint="Standard deviation between the AUROCs of the runs",
        cell=_runs_sd,
        applies=_has_runs,
        may_be_empty=always,
        on_page=False,
        priority=None,
    ),
    metric_column("auprc", priority=3),
    Column(
        key="false_alarms",
        label="False alarms per 1,000",
        group=Group.TARGET,
        hint="Patients without the finding who would be flagged, per 1,000 like these, at 90% sensitivity",
        cell=lambda row: _per_thousand(row, lambda _, alarms: alarms, 0),
        may_be_empty=always,
        priority=None,
    ),
    Column(
        key="flagged_per_case",
        label="Echocardiograms per case found",
        group=Group.TARGET,
        hint="Patients flagged, and so examined, for each one with the finding, at 90% sensitivity",
        cell=lambda row: _per_thousand(row, lambda sick, alarms: 1 + alarms / (SENSITIVITY * sick), 1),
        may_be_empty=always,
        on_page=False,
        priority=None,
    ),
    Column(
        key="prevalence",
        label="Prevalence",
        group=Group.TARGET,
        hint="Share of positive images, which a score without information reaches as AUPRC",
        cell=_prevalence,
        on_page=False,
        priority=None,
    ),
    _other_metrics,
    Column(
        key="difference",
        label="To the leader",
        group=Group.LEADER,
        hint="AUROC minus that of the leader, with its 95% interval adjusted for all pairs of the board",
        cell=lambda row: _difference(
            row.standing.difference, row.standing.difference_low, row.standing.difference_high
        ),
        may_be_empty=always,
        descending=True,
        limits=True,
        priority=1,
    ),
    Column(
        key="verdict",
        label="Lower than the leader?",
        group=Group.LEADER,
        hint="Separated from the leader, adjusted for all pairs; suggestive: only for this pair alone",
        cell=_verdict,
        may_be_empty=always,
        numeric=False,
        priority=None,
    ),
    Column(
        key="p_value",
        label="p",
        group=Group.LEADER,
        hint="p-value against the leader, adjusted for all pairs of the board",
        cell=lambda row: _p_value(row.standing.p_value),
        may_be_empty=always,
        on_page=False,
        priority=None,
    ),
    Column(
        key="reference_difference",
        label="To age and sex",
        group=Group.LEADER,
        hint="AUROC minus that of the baseline on age and sex, with its 95% interval for this pair alone",
        cell=lambda row: _difference(
            row.standing.reference_difference,
            row.standing.reference_difference_low,
            row.standing.reference_difference_high,
        ),
        applies=_has_reference,
        may_be_empty=always,
        descending=True,
        limits=True,
        on_page=False,
        priority=None,
    ),
    _other_targets,
    Column(
        key="macro",
        label="Mean of the findings",
        group=Group.OTHER,
        hint=registry.views()["macro"].definition,
        cell=_macro,
        applies=_has_macro,
        descending=True,
    ),
    metric_column("ece", Group.CALIBRATION, priority=4),
    metric_column("brier", Group.CALIBRATION),
    metric_column("calibration_slope", Group.CALIBRATION),
    _speed,
    Column(
        key="attempts",
        label="Attempts",
        group=Group.SOURCE,
        hint="Sets of predictions that the team had scored on this test set, and the gain in AUROC that the "
        "best of so many equal entries is expected to have by chance",
        cell=_attempts,
        applies=_has_attempts,
        may_be_empty=always,
        priority=None,
    ),
    Column(
        key="team",
        label="Team",
        group=Group.SOURCE,
        hint="Who submitted the entry",
        cell=lambda row: text_cell(row.entry.manifest.team, 40),
        numeric=False,
        facet=True,
        priority=None,
    ),
    Column(
        key="kind",
        label="Kind",
        group=Group.SOURCE,
        hint="Model, ensemble or baseline",
        cell=lambda row: Cell(
            row.entry.manifest.kind + (" (cv5)" if row.entry.manifest.track == "cv5" else ""),
            row.entry.manifest.kind,
        ),
        numeric=False,
        facet=True,
        priority=None,
    ),
    Column(
        key="inputs",
        label="Inputs",
        group=Group.SOURCE,
        hint="What the entry reads",
        cell=lambda row: Cell(", ".join(row.entry.manifest.inputs), " ".join(row.entry.manifest.inputs)),
        may_be_empty=always,
        numeric=False,
        facet=True,
        priority=None,
    ),
    _declared(
        "training_data",
        "Trained on",
        "What the model was trained on",
        lambda m: m.training_data,
        on_page=False,
    ),
    _declared(
        "external_data",
        "Other data",
        "Data from elsewhere that the model was trained on",
        lambda m: m.external_data,
    ),
    _declared(
        "pretrained_weights",
        "Pretrained",
        "Weights that training began with",
        lambda m: m.pretrained_weights,
    ),
    _declared(
        "zero_shot",
        "Zero-shot",
        "Whether no image of the cohort was trained or tuned on",
        lambda m: m.zero_shot,
        optional=True,
    ),
    _declared(
        "image_size",
        "Image size",
        "Pixels of the shorter side that the model gets",
        _image_size,
        optional=True,
    ),
    _declared("code", "Code", "Whether the entry links to its code", _has_code),
    _declared(
        "parameters",
        "Parameters",
        "Number of the model's parameters",
        lambda m: m.parameters,
        on_page=False,
        numeric=True,
    ),
    _declared("licence", "Licence", "Licence of the model", lambda m: m.licence, on_page=False),
    Column(
        key="date",
        label="Date",
        group=Group.SOURCE,
        hint="Day of the entry",
        cell=lambda row: text_cell(row.entry.manifest.date.isoformat()),
        numeric=False,
        descending=True,
        priority=None,
    ),
    Column(
        key="track",
        label="Track",
        group=Group.SOURCE,
        hint="Images that were predicted: holdout (test images) or cv5 (all, out of fold)",
        cell=lambda row: text_cell(row.entry.manifest.track),
        numeric=False,
        on_page=False,
        priority=None,
    ),
    Column(
        key="notes",
        label="Notes",
        group=Group.SOURCE,
        hint="Whether the entry may be first, why it is not ranked, and other flags",
        cell=_notes,
        may_be_empty=always,
        numeric=False,
        on_page=False,
        priority=2,
    ),
)
"""The columns of this package; columns of one group stand in this order."""


def board_columns(context: BoardContext) -> tuple[Column, ...]:
    """The columns of one target's board, group by group.

    Raises:
        PluginError: The column of another package cannot be used.
    """
    columns: list[Column] = []
    for declared in BUILT_IN:
        family = (declared,) if isinstance(declared, Column) else declared(context)
        columns += (column for column in family if column.applies(context))
    for point, column in plugin_columns():
        if any(column.key == known.key for known in columns):
            raise PluginError(point, "column", f"has the key {column.key!r}, which is in use")
        columns += [column] if column.applies(context) else []
    order = list(Group)
    return tuple(sorted(columns, key=lambda column: order.index(column.group)))


@cache
def plugin_columns() -> tuple[tuple[EntryPoint, Column], ...]:
    """Load the columns that installed packages declare by entry points of the group ``bench.columns``."""
    return tuple((point, _load(point)) for point in plugin_points(ENTRY_POINTS))


def plugin_fingerprint() -> tuple[str, ...]:
    """Return names and source hashes of plug-in columns, which change whenever the columns may."""
    return tuple(
        f"{point.name}={point.value} {_source_digest(point)}" for point in plugin_points(ENTRY_POINTS)
    )


def _source_digest(point: EntryPoint) -> str:
    module_spec = find_spec(point.module)
    path = Path(module_spec.origin) if module_spec and module_spec.origin else None
    return sha256_bytes(path.read_bytes()) if path and path.is_file() else ""


def _load(point: EntryPoint) -> Column:
    column = load_plugin(point, "column")
    if not isinstance(column, Column):
        reason = f"names a {type(column).__name__}, not a bench.board.column.Column"
        raise PluginError(point, "column", reason)
    return replace(column, cell=_guarded(column, point))


def _guarded(column: Column, point: EntryPoint) -> Callable[[Row], Cell]:
    """Return the column's cell function; whatever it raises becomes a `PluginError`."""

    def cell(row: Row) -> Cell:
        try:
            result = column.cell(row)
        except Exception as error:
            reason = f"failed for entry {row.slug!r}: {type(error).__name__}: {error}"
            raise PluginError(point, "column", reason) from error
        if not isinstance(result, Cell):
            raise PluginError(point, "column", f"gave a {type(result).__name__}, not a Cell")
        return result

    return cell
