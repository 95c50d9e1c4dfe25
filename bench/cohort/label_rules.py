"""Do the released labels follow from the released measurements? Reported, never used to change a label."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.cohort.spec import LabelRule
from bench.cohort.table import Cohort
from bench.documents import Document


class LabelAgreement(Document):
    """How many released labels equal what the rule gives."""

    target: str
    images: int
    agree: int
    released_only: int
    rule_only: int


def label_agreement(cohort: Cohort) -> tuple[LabelAgreement, ...]:
    """One line for each label rule of the spec."""
    return tuple(_compare(cohort, rule) for rule in cohort.spec.label_rules)


def _compare(cohort: Cohort, rule: LabelRule) -> LabelAgreement:
    released = cohort.targets[rule.target]
    labelled = ~np.isnan(released)
    positive = released == 1
    expected = _apply(cohort, rule)
    return LabelAgreement(
        target=rule.target,
        images=int(labelled.sum()),
        agree=int((labelled & (positive == expected)).sum()),
        released_only=int((labelled & positive & ~expected).sum()),
        rule_only=int((labelled & ~positive & expected).sum()),
    )


def _apply(cohort: Cohort, rule: LabelRule) -> npt.NDArray[np.bool_]:
    expected = np.zeros(len(cohort), bool)
    for target in rule.or_targets:
        expected |= cohort.targets[target] == 1
    if rule.any_of:
        male = (cohort.table[cohort.spec.columns.inputs["sex"]].str.strip() == "M").to_numpy()
    for threshold in rule.any_of:
        measured = pd.to_numeric(cohort.table[threshold.column], errors="coerce").to_numpy(np.float64)
        expected |= measured > np.where(male, threshold.male, threshold.female)
    return expected
