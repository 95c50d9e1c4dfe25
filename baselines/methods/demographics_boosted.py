"""Gradient-boosted trees on age and sex, to check the shape assumed by the logistic regression."""

from __future__ import annotations

from baselines.api import Baseline, Result, TrainingTask
from baselines.describe import describe
from baselines.tabular.boosting import boost_each_target
from baselines.tabular.features import age_and_sex

DESCRIPTION = (
    "Gradient-boosted trees on age and sex, one model per target, the number of trees chosen on val. Beside "
    "the logistic regression it shows whether any shape of the risk over age was missed."
)


def run(task: TrainingTask) -> Result:
    """Fit one ensemble per target."""
    views = (age_and_sex(task.train), age_and_sex(task.val), age_and_sex(task.test))
    predictions = boost_each_target(task, *views)
    return Result(describe(task, "Age and sex, boosted trees", DESCRIPTION, ("age", "sex")), predictions)


BASELINE = Baseline(
    "demographics-boosted", "age and sex, gradient-boosted trees", run, needs_inputs=("age", "sex")
)
