"""Figures of scorecards and boards on matplotlib axes (extra ``plot``).

Every function draws on the axes `ax`, or on those of a new figure, and returns them, so that labels, limits
and files are the caller's: ``bench.plot.roc(card).figure.savefig("roc.svg")``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from bench.display import estimate_text
from bench.extras import require
from bench.metrics import registry
from bench.uncertainty.estimates import Estimates

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.board.model import LoadedBoard
    from bench.scoring.scorecard import Scorecard


class HasScorecards(Protocol):
    """Object with scorecards, such as the result of `bench.score`."""

    @property
    def scorecards(self) -> Sequence[Scorecard]:
        """Scorecards of some entries."""


Cards: TypeAlias = "Scorecard | HasScorecards | LoadedBoard | Sequence[Scorecard]"
"""Scorecards: one or several, what `bench.score` returned, or a board read with ``whole=True``."""

Rows: TypeAlias = "Cards | Estimates | Mapping[str, Estimates]"
"""What a forest plot has rows of: entries, one evaluation, or evaluations by name."""

GREY = "0.6"
BAND = 0.2


def roc(cards: Cards, target: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw the stored ROC curve of each entry, with its AUROC and interval in the legend.

    Args:
        cards: Scorecards.
        target: The target; default: the headline.
        ax: Axes to draw on.

    Raises:
        ValueError: No scorecard has the target, or curves were not read.
        BenchError: matplotlib is not installed (``extra-missing``).
    """
    axes = _axes(ax)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    scored = _scored(cards, target, "roc")
    for slug, score in scored:
        auroc = score.metrics["auroc"]
        label = f"{slug}: {estimate_text(auroc.value, auroc.low, auroc.high)}"
        axes.plot([p.x for p in score.roc], [p.y for p in score.roc], label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="1 − specificity", ylabel="Sensitivity")
    return _finished(axes, scored)


def reliability(cards: Cards, target: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw observed frequency against mean prediction in the stored bins, with confidence intervals.

    Arguments and errors are those of `roc`. An entry whose scores are not probabilities has no bins.
    """
    axes = _axes(ax)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    scored = _scored(cards, target, "reliability")
    for slug, score in scored:
        bins = [b for b in score.reliability if b.mean_prediction is not None and b.observed is not None]
        x = [b.mean_prediction for b in bins]
        (line,) = axes.plot(x, [b.observed for b in bins], marker="o", markersize=4, label=slug)
        limits = [(b.observed_low, b.observed_high) for b in bins]
        for at, (low, high) in zip(x, limits, strict=True):
            if low is not None and high is not None:
                axes.vlines(at, low, high, color=line.get_color(), linewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="Mean prediction", ylabel="Observed frequency")
    return _finished(axes, scored)


def decision(cards: Cards, target: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw the stored decision curve of each entry with its interval, and those of treating all and none.

    Arguments and errors are those of `roc`.
    """
    axes = _axes(ax)
    axes.axhline(0, color=GREY, linewidth=1, label="treat none")
    scored = _scored(cards, target, "decision")
    if everybody := next((score.decision for _, score in scored if score.decision), ()):
        thresholds = [p.threshold for p in everybody]
        axes.plot(thresholds, [p.treat_all for p in everybody], color=GREY, linestyle="--", label="treat all")
    for slug, score in scored:
        points = score.decision
        (line,) = axes.plot([p.threshold for p in points], [p.net_benefit for p in points], label=slug)
        known = [(p.threshold, p.low, p.high) for p in points if p.low is not None and p.high is not None]
        if known:
            x, low, high = zip(*known, strict=True)
            axes.fill_between(x, low, high, color=line.get_color(), alpha=BAND, linewidth=0)
    best = max((p.net_benefit for _, score in scored for p in score.decision), default=0.1)
    axes.set(xlabel="Threshold probability", ylabel="Net benefit", ylim=(-0.25 * max(best, 0.01), None))
    return _finished(axes, scored)


def forest(rows: Rows, target: str | None = None, *, metric: str = "auroc", ax: Axes | None = None) -> Axes:
    """Draw a metric with its interval, a row for each entry or evaluation, the first on top.

    Args:
        rows: Entries, in the board's order for a board; evaluations by name; or one evaluation, which gives a
            single row.
        target: The target of entries; default: the headline.
        metric: Key of the metric; the AUROC of entries is the one that the board ranks.
        ax: Axes to draw on.

    Raises:
        ValueError: No scorecard has the target, or the metric is unknown.
        BenchError: matplotlib is not installed (``extra-missing``).
    """
    axes = _axes(ax)
    estimates = _estimates(rows, target, metric)
    names = list(estimates)
    for y, estimate in enumerate(estimates.values()):
        if estimate.value is None:
            continue
        (line,) = axes.plot([estimate.value], [y], marker="s", linestyle="none", color="C0")
        if estimate.low is not None and estimate.high is not None:
            axes.hlines(y, estimate.low, estimate.high, color=line.get_color())
    axes.set(
        yticks=range(len(names)),
        yticklabels=names,
        ylim=(len(names) - 0.5, -0.5),
        xlabel=registry.metric(metric).label,
    )
    return axes


def _estimates(rows: Any, target: str | None, metric: str) -> dict[str, Any]:
    """Estimate of each row by its name."""
    by_name: Mapping[str, Mapping[str, Any]]
    if isinstance(rows, Estimates):
        by_name = {metric: rows}
    elif isinstance(rows, Mapping):
        by_name = rows
    else:
        scored = _scored(rows, target)
        by_name = {slug: {**score.metrics, "auroc": score.ranked} for slug, score in scored}
    known = dict.fromkeys(key for estimates in by_name.values() for key in estimates)
    key = registry.metric(metric, known).key
    return {name: estimates[key] for name, estimates in by_name.items()}


def _scored(cards: Cards, target: str | None, curve: str = "") -> list[tuple[str, Any]]:
    """Slug and scores of each entry that has the target.

    Args:
        cards: Scorecards.
        target: The target; None for the headline.
        curve: Field that must have been read.

    Raises:
        ValueError: No entry has the target, or the curve was not read.
    """
    every = _every(cards)
    name = target or (every[0].headline if every else "")
    scored = [(card.slug, score) for card in every if (score := card.target(name))]
    if not scored:
        known = ", ".join(dict.fromkeys(t.target for card in every for t in card.targets)) or "none"
        raise ValueError(f"no scorecard has the target {name!r}; the targets are {known}")
    if curve and not hasattr(scored[0][1], curve):
        raise ValueError("the board was read without curves; use bench.read_board(..., whole=True)")
    return scored


def _every(cards: Any) -> list[Any]:
    """All scorecards; those of a board in its order."""
    if hasattr(cards, "scorecards") and not hasattr(cards, "entries"):
        return list(cards.scorecards)
    if hasattr(cards, "entries"):
        first = cards.board.target(cards.spec.headline).standings if cards.board else ()
        order = [s.slug for s in first]
        slugs = [*order, *(slug for slug in cards.entries if slug not in order)]
        return [card for slug in slugs if (card := cards.entries[slug].scorecard)]
    every = list(cards) if isinstance(cards, Sequence) else [cards]
    if wrong := [type(card).__name__ for card in every if not hasattr(card, "headline")]:
        raise TypeError(f"draw scorecards, the result of bench.score or a board, not {wrong[0]}")
    return every


def _axes(ax: Axes | None) -> Axes:
    require("matplotlib", "`bench.plot`")
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots()[1]


def _finished(axes: Axes, scored: list[tuple[str, Any]]) -> Axes:
    axes.set_title(scored[0][1].label)
    axes.legend(fontsize="small")
    return axes
