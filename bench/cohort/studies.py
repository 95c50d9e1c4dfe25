"""Evaluation by study: the views of a study share one label, and their predictions are combined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.cohort.cohort import Cohort, Subgroups
from bench.cohort.split import Split, Strings
from bench.errors import Problem
from bench.metrics.validation import Floats


def study_problems(
    studies: Strings,
    patients: Strings,
    parts: npt.NDArray[np.str_],
    targets: Mapping[str, Floats],
    where: str,
) -> list[Problem]:
    """Report studies that are no unit: of several patients or parts, or with differing labels.

    Args:
        studies: (n,) study id of each image.
        patients: (n,) patient ids.
        parts: (n,) part of each image.
        targets: Target → (n,) label or measurement; NaN where excluded.
        where: File and column, for the messages.
    """
    codes, distinct = pd.factorize(studies)
    problems = []
    for name, values in (("patients", patients), ("parts of the split", parts)):
        if several := int(_differing(codes, values, len(distinct)).sum()):
            message = f"{several:,} of {len(distinct):,} studies have images of several {name}."
            problems.append(Problem("cohort-study", message, where))
    for target, labels in targets.items():
        if differing := int(_differing(codes, labels, len(distinct)).sum()):
            message = f"The views of {differing:,} of {len(distinct):,} studies differ in their {target}."
            problems.append(Problem("cohort-study-labels", message, where))
    return problems


def _differing(
    codes: npt.NDArray[np.intp], values: npt.NDArray[np.generic], count: int
) -> npt.NDArray[np.bool_]:
    """Return the mask (count,) of the groups that hold more than one value; NaN is one value."""
    value_codes, _ = pd.factorize(values, use_na_sentinel=False)
    low = np.full(count, len(values))
    high = np.full(count, -1)
    np.minimum.at(low, codes, value_codes)
    np.maximum.at(high, codes, value_codes)
    return np.asarray(low != high)


def unit_cohort(cohort: Cohort) -> Cohort:
    """Return the cohort with one row for each unit of evaluation: its studies, or its images as they are.

    Row i is the i-th study by ascending id. A study is in a subgroup if all its views are; its time is
    that of its earliest view.
    """
    if cohort.studies is None:
        return cohort
    ids, first, codes = np.unique(cohort.studies.astype(str), return_index=True, return_inverse=True)
    time = np.full(len(ids), np.inf)
    np.fmin.at(time, codes, cohort.time)
    return replace(
        cohort,
        images=ids.astype(object),
        patients=cohort.patients[first],
        studies=None,
        time=np.where(np.isinf(time), np.nan, time),
        targets={name: values[first] for name, values in cohort.targets.items()},
        subgroups=tuple(_study_subgroups(s, codes, first) for s in cohort.subgroups),
        split=Split(cohort.split.parts[first], cohort.split.folds[first], cohort.split.fingerprint),
        table=cohort.table.iloc[first].reset_index(drop=True),
    )


def _study_subgroups(
    subgroups: Subgroups, codes: npt.NDArray[np.intp], first: npt.NDArray[np.intp]
) -> Subgroups:
    mixed = _differing(codes, subgroups.codes, len(first))
    return replace(subgroups, codes=np.where(mixed, -1, subgroups.codes[first]).astype(np.int8))


def combine_views(
    cohort: Cohort, rows: npt.NDArray[np.intp], values: Mapping[str, Floats]
) -> dict[str, Floats]:
    """Combine the predictions of each study's views by the spec's rule; by image they stay as they are.

    Args:
        cohort: The cohort, with its images.
        rows: (n,) rows of the predicted images, ascending.
        values: Target → (n,) predictions.

    Returns:
        Target → (studies,) predictions, in the order of `unit_cohort`'s rows of the same part.
    """
    if cohort.studies is None or cohort.spec.study is None:
        return dict(values)
    _, codes, counts = np.unique(cohort.studies[rows].astype(str), return_inverse=True, return_counts=True)
    combined = {}
    for target, predicted in values.items():
        if cohort.spec.study.views == "mean":
            combined[target] = np.bincount(codes, weights=predicted) / counts
        else:
            combined[target] = np.full(len(counts), -np.inf)
            np.maximum.at(combined[target], codes, predicted)
    return combined
