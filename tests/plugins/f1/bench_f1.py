"""F1 score at the operating point, as a metric that another package adds."""

from bench.metrics.discrimination import point_at_specificity
from bench.metrics.metric import Direction, Metric, Needs
from bench.metrics.prepared import LabelledScores


def f1(scores: LabelledScores) -> float | None:
    """Harmonic mean of precision and sensitivity at the threshold that keeps 90% specificity."""
    point = point_at_specificity(scores.ranking, 0.9)
    if point is None:
        return None
    called = scores.unit * (scores.score >= point.threshold)
    hits = float((called * scores.positive).sum())
    return 2 * hits / float(called.sum() + (scores.unit * scores.positive).sum())


F1 = Metric(
    key="f1_at_90_specificity",
    label="F1 at 90% specificity",
    short_label="F1",
    definition="Harmonic mean of precision and sensitivity at the threshold that keeps 90% specificity.",
    direction=Direction.HIGHER,
    needs=Needs.RANKING,
    value=f1,
    scale="logit",
    comparable=True,
)
