"""The declaration of a metric: its meaning, what it is computed from, and how it is estimated.

Importing this module imports no numerical library.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from bench.metrics.prepared import LabelledScores
    from bench.metrics.validation import Floats, Ints

Scale = Literal["logit", "log", "identity"]
"""Scale on which an interval is symmetric."""


class Needs(StrEnum):
    """Data from which a metric is computed."""

    RANKING = "ranking"
    """Any finite scores: only their order counts."""
    PROBABILITIES = "probabilities"
    """Probabilities of label 1."""
    DECISIONS = "decisions"
    """Images called positive or negative at a threshold that was chosen beforehand."""
    MEASUREMENTS = "measurements"
    """Predicted and measured values of a continuous target."""

    @property
    def words(self) -> str:
        """The data from which a metric is computed, in words."""
        return {
            Needs.RANKING: "the order of the scores",
            Needs.PROBABILITIES: "probabilities",
            Needs.DECISIONS: "decisions at a threshold",
            Needs.MEASUREMENTS: "predicted and measured values",
        }[self]


class Direction(StrEnum):
    """Direction in which a metric's values are better."""

    HIGHER = "higher"
    LOWER = "lower"
    TARGET = "target"
    """The nearer to `Metric.target`, the better."""


class Engine(StrEnum):
    """Engine that computes a metric in every bootstrap replicate (`bench.uncertainty.replicates`).

    All but the loop are compiled for the metrics of this package.
    """

    PAIRS = "pairs"
    """Discordant pairs, counted in one pass over the sorted images."""
    PRECISION = "precision"
    """The same pass, with the precision at every positive image."""
    POINTS = "points"
    """The same pass, with the operating points."""
    SUMS = "sums"
    """Sums over the images of each replicate."""
    REFIT = "refit"
    """A refit of the calibration line in each replicate."""
    MOMENTS = "moments"
    """Moments of measured and predicted values."""
    LOOP = "loop"
    """The value function, called on the images of one replicate after the other."""


class Interval(StrEnum):
    """Method of the confidence interval (`bench.uncertainty.estimates`)."""

    T = "t"
    """Standard deviation of the replicates on `Metric.scale`, t quantile."""
    T_OR_PERCENTILE = "t or percentile"
    """The same, widened to the percentile limits of the replicates where they lie further out."""
    T_OR_SANDWICH = "t or sandwich"
    """As `T`, with the standard error of the patients' influences where that is larger."""
    SHARE = "share"
    """Wilson's interval at the effective sample size, with the larger of the same two standard errors."""
    FISHER_Z = "fisher-z"
    """As `T_OR_SANDWICH`, on Fisher's z scale of values from -1 to 1."""
    SANDWICH = "sandwich"
    """Cluster-robust standard error from the patients' influences, t quantile; needs no replicates."""
    JACKKNIFE = "jackknife"
    """Standard error from leaving out one patient at a time (CR3), t quantile; needs no replicates."""
    MOVER = "mover"
    """Limits of agreement, from the jackknife intervals of bias and standard deviation."""
    NOISE_FLOOR = "noise floor"
    """No interval; beside the value stands what a calibrated model would show."""
    NONE = "none"
    """No interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric.

    A metric with `value` and `influence` gets a patient-clustered interval from its influences (`SANDWICH`);
    one with `value` alone from a loop over the bootstrap replicates. Both take a `LabelledScores` (needs
    ``ranking`` or ``probabilities``) or a `MeasuredPairs` (needs ``measurements``) and must honour its
    `weight`.

    Attributes:
        key: Name in the Python API, in files and in schemas.
        label: Name in tables and on pages.
        short_label: Name where room is scarce.
        definition: One line for the methods page, tooltips and `bench explain`.
        direction: Which values are better.
        needs: What it is computed from.
        target: The ideal value where `direction` is ``target``.
        value: The metric of all images; None where it is undefined.
        influence: (n,) derivative of the metric by the weight of each image, times that weight; called only
            where the value is defined.
        both_classes: Whether it is undefined with one class only; `value` is then not called.
        undefined: Why `value` may be None although both classes are there.
        replicates: What computes the replicates; None for no engine but the loop.
        interval: How the interval is made; None for `SANDWICH` with an influence and no engine, else `T`.
        scale: Where an interval from replicates is symmetric.
        margin: How near to the ends of the scale a value may come; None for no limit.
        bounds: Range of the metric, to which limits are clipped.
        smaller_class: Whether standard error and degrees of freedom rest on the patients of the class with
            fewer of them, not on all patients.
        deletions: Changes (P,) of the metric without each patient, from the scores and the patient (n,) of
            every image; for `JACKKNIFE`.
        noise_floor: The value of a calibrated model, from the scores and the patient (n,) of every image; for
            `NOISE_FLOOR`.
        caution: A warning where simulated coverage is known to be low, from the scores and the patient (n,)
            of every image; empty for none.
        difference_caution: The same for a paired difference, from the scores and the larger value.
        no_interval: Why there is no interval, where there is none.
        clustered_se: Standard error in closed form from the patient (n,) of every image, unweighted.
        aliases: Other names that `bench.compare` and `PatientBootstrap.replicates` accept.
        comparable: Whether `bench.compare` knows it.
        subgroup_gap: Whether scorecards give its difference between a subgroup and the other images; needs
            an influence.
        summary: Whether it stands in short tables, not only in those of every metric.
        digits: Decimals shown.
    """

    key: str
    label: str
    short_label: str
    definition: str
    direction: Direction
    needs: Needs
    target: float | None = None
    value: Callable[[Any], float | None] | None = field(default=None, repr=False)
    influence: Callable[[Any], Floats] | None = field(default=None, repr=False)
    both_classes: bool = True
    undefined: str = "undefined"
    replicates: Engine | None = None
    interval: Interval | None = None
    scale: Scale = "identity"
    margin: Callable[[Any], float] | None = field(default=None, repr=False)
    bounds: tuple[float, float] = (-inf, inf)
    smaller_class: bool = False
    deletions: Callable[[LabelledScores, Ints], Floats] | None = field(default=None, repr=False)
    noise_floor: Callable[[LabelledScores, Ints], float] | None = field(default=None, repr=False)
    caution: Callable[[LabelledScores, Ints], str] | None = field(default=None, repr=False)
    difference_caution: Callable[[LabelledScores, float], str] | None = field(default=None, repr=False)
    no_interval: str = ""
    clustered_se: Callable[[LabelledScores, Ints], float | None] | None = field(default=None, repr=False)
    aliases: tuple[str, ...] = ()
    comparable: bool = False
    subgroup_gap: bool = False
    summary: bool = False
    digits: int = 3

    def __post_init__(self) -> None:
        wrong = _fault(self)
        if wrong:
            raise ValueError(f"metric {self.key!r}: {wrong}")

    @property
    def interval_method(self) -> Interval:
        """Method of the interval, with the default filled in."""
        if self.interval is not None:
            return self.interval
        return Interval.SANDWICH if self.influence and not self.replicates else Interval.T

    @property
    def difference_bounds(self) -> tuple[float, float]:
        """Range of the difference of two values, to which its limits are clipped."""
        widest = self.bounds[1] - self.bounds[0]
        return -widest, widest

    @property
    def better(self) -> str:
        """The better values, in words."""
        return f"nearer to {self.target:g}" if self.target is not None else str(self.direction)

    @property
    def interval_words(self) -> str:
        """Method of the confidence interval, in words."""
        method = self.interval_method
        alone = {
            Interval.NONE: "none",
            Interval.NOISE_FLOOR: "none; beside the value stands what a calibrated model would show",
            Interval.SANDWICH: "t with the cluster-robust standard error of the patients' influences",
            Interval.JACKKNIFE: "t with the standard error from leaving out one patient at a time (CR3)",
            Interval.MOVER: "MOVER from the jackknife intervals of bias and standard deviation",
            Interval.SHARE: "Wilson's at the effective sample size, t quantile",
        }
        if method in alone:
            return alone[method]
        scale = "" if self.scale == "identity" else f" on the {self.scale} scale"
        words = f"t with the standard deviation of the bootstrap replicates{scale}"
        return words + {
            Interval.T_OR_PERCENTILE: ", widened to the percentile limits",
            Interval.T_OR_SANDWICH: ", or that of the patients' influences where it is larger",
            Interval.FISHER_Z: " on Fisher's z scale",
        }.get(method, "")

    def facts(self) -> dict[str, Any]:
        """The metric's declaration as a JSON object."""
        return {
            "key": self.key,
            "label": self.label,
            "short_label": self.short_label,
            "definition": self.definition,
            "direction": str(self.direction),
            "target": self.target,
            "needs": str(self.needs),
            "interval": self.interval_words,
            "comparable": self.comparable,
            "subgroup_gap": self.subgroup_gap,
            "digits": self.digits,
        }

    def explanation(self) -> list[str]:
        """The metric's declaration as lines of text."""
        uses = {"bench compare": self.comparable, "subgroup gaps": self.subgroup_gap}
        also = ", ".join(words for words, used in uses.items() if used)
        return [
            f"{self.key}: {self.label}",
            "",
            self.definition,
            "",
            f"Better: {self.better}.",
            f"Computed from: {self.needs.words}.",
            f"95% interval: {self.interval_words}.",
            *([f"Also in: {also}."] if also else []),
        ]


RESERVED = (
    *("images", "patients", "positives", "positive_patients", "negative_patients", "prevalence"),
    *("estimates", "auroc_replicates", "auroc_influence", "keys", "values", "items", "get"),
    *("requested", "tables", "records", "to_frame"),
)
"""Names that an evaluation has besides its metrics."""


WITH_INFLUENCE = (Interval.SANDWICH, Interval.T_OR_SANDWICH, Interval.SHARE)


def _fault(metric: Metric) -> str:
    """Return what is wrong with a declaration, or an empty text."""
    if not metric.key.isidentifier() or metric.key.startswith("_") or metric.key in RESERVED:
        return "the key must be an identifier without leading underscore, and not a field of an evaluation"
    if not (metric.label and metric.short_label and metric.definition):
        return "label, short_label and definition must not be empty"
    if (metric.direction is Direction.TARGET) != (metric.target is not None):
        return "give target with direction TARGET, and only there"
    if metric.value is None and metric.needs is not Needs.DECISIONS:
        return "value is missing"
    if metric.subgroup_gap and metric.influence is None:
        return "a subgroup gap needs an influence function"
    if metric.interval in WITH_INFLUENCE and metric.influence is None:
        return f"an interval of the kind {metric.interval} needs an influence function"
    if metric.interval is Interval.JACKKNIFE and metric.deletions is None:
        return "a jackknife interval needs deletions"
    if metric.interval is Interval.NOISE_FLOOR and metric.noise_floor is None:
        return "noise_floor is missing"
    return ""


@dataclass(frozen=True, slots=True)
class View:
    """Another view of the AUROC, stored beside the metrics of a target.

    Attributes:
        key: Name in files.
        label: Name in tables and on pages.
        short_label: Name where room is scarce.
        definition: One line for the methods page, tooltips and `bench explain`.
    """

    key: str
    label: str
    short_label: str
    definition: str

    def facts(self) -> dict[str, Any]:
        """The view's declaration as a JSON object."""
        return asdict(self)

    def explanation(self) -> list[str]:
        """The view's declaration as lines of text."""
        return [f"{self.key}: {self.label}", "", self.definition]
