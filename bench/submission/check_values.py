"""Predicted values: read as numbers, and judged by the labels and measured values of the cohort."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bench.cohort.cohort import Cohort
from bench.cohort.spec import BinaryTarget, ContinuousTarget, Target
from bench.errors import Problem
from bench.metrics.validation import Floats
from bench.submission.read_predictions import RawPredictions, decoded

FEW_DISTINCT = 10
FEWEST_OF_TRUTH = 50
"""Images that it takes to say that predictions are the truth itself."""
TRUTH_SHARE = 0.9
"""Share of predictions equal to the measured values that no model reaches."""
TRUTH_CORRELATION = 0.999
"""Correlation with the measured values, or of the ranks, that no model reaches: two readers of one
echocardiogram differ by more."""
LABEL_SPREAD = 0.1
"""Largest spread of the values of one class, in gaps between the classes, at which values are the labels."""
_UNIT_FACTORS = (1.0, 10.0, 0.1, 100.0, 0.01)

_EMPTY = "Fill in the column; one that is not the headline target may be left out."


def column_values(
    cells: pa.ChunkedArray,
    target: Target,
    lines: npt.NDArray[np.intp],
    raw: RawPredictions,
    scores: str,
    where: str,
    problems: list[Problem],
) -> Floats:
    """(n,) values of one target; what is wrong with them goes to `problems`.

    Args:
        cells: The column of the file.
        target: What it predicts.
        lines: (n,) the file's row of each image, -1 where it has none: NaN then.
        raw: The file, which names its lines.
        scores: ``probability``: values of a binary target lie in [0, 1].
        where: Named in problems.
        problems: Gets them.
    """
    present = lines >= 0
    taken = cells.take(pa.array(lines[present]))
    values, text = _to_float(taken)
    blank = np.isnan(values) & ~text
    infinite = np.isinf(values)
    checks = [
        (text, "predictions-not-a-number", "are not numbers"),
        (blank, "predictions-nan", "are empty or NaN"),
        (infinite, "predictions-infinite", "are infinite or too large"),
    ]
    if isinstance(target, BinaryTarget) and scores == "probability":
        outside = np.isfinite(values) & ((values < 0) | (values > 1))
        checks.append((outside, "predictions-out-of-range", f"lie outside [0, 1], {span(values[outside])}"))
    for wrong, code, what in checks:
        if count := int(wrong.sum()):
            place = raw.first(np.sort(lines[present][wrong]))
            message = f"{count:,} of {len(values):,} values {what}; {place}."
            remedy = _EMPTY if code == "predictions-nan" and count == len(values) else ""
            if code == "predictions-not-a-number":
                form, remedy = _form(taken.filter(pa.array(wrong)).slice(0, 100))
                message = f"{message[:-1]}, {form}." if form else message
            if code == "predictions-out-of-range" and rounding_alone(values[wrong]):
                remedy = ROUNDING_REMEDY
            problems.append(Problem(code, message, where, remedy))
    filled = np.full(len(lines), np.nan)
    filled[present] = values
    return filled


def span(values: Floats) -> str:
    """The range of some values, with as many digits as it takes to see that 1.0000001 is not 1."""
    low, high = (
        f"{float(limit):.10g}" for limit in (values.min(initial=np.inf), values.max(initial=-np.inf))
    )
    return f"from {low} to {high}" if len(values) else ""


ROUNDING_REMEDY = "They lie outside by rounding alone: clip them, `numpy.clip(values, 0, 1)`."


def rounding_alone(values: Floats) -> bool:
    """Return whether values lie outside [0, 1] by rounding of single precision alone."""
    return bool(((values > -1e-6) & (values < 1 + 1e-6)).all())


_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:[.,]\d+)*(?:[eE][-+]?\d+)?")
_WORDS = re.compile(r"[^\W\d_]+")
_KNOWN_WORDS = {"tensor", "torch", "np", "numpy", "float", "double", "array", "list", "device", "cuda", "cpu"}
_KNOWN_WORDS |= {
    "grad",
    "fn",
    "sigmoidbackward",
    "softmaxbackward",
    "dtype",
    "decimal",
    "cm",
    "mm",
    "percent",
}
_CLASSES = {"true", "false", "yes", "no", "positive", "negative", "high", "low", "normal", "abnormal"}
_KNOWN_WORDS |= {*_CLASSES, "tf", "jax", "shape", "none", "b", "e", "d", "j", "div", "value", "ref", "nan"}
_NOT_CLASSES = "Write the probability of the positive class, a number such as 0.125, instead of the class."
_FORM_REMEDIES = (
    ("%", "Divide percentages by 100 and write plain decimal numbers such as 0.125."),
    ("tensor", "Write the number of each tensor: `value.item()`; plain decimal numbers such as 0.125."),
    ("(", "Write the number itself: `float(value)`; plain decimal numbers such as 0.125."),
    ("[", "Write the one element of each list: `values[0]`; plain decimal numbers such as 0.125."),
    ("cm", "Leave out the unit and write plain decimal numbers such as 4.2."),
    ("mm", "Leave out the unit and write plain decimal numbers such as 4.2."),
)


def _form(cells: pa.ChunkedArray) -> tuple[str, str]:
    """The form of values that are not numbers and what to do; empty where they could name a patient.

    Numbers are left out, and a value is only shown where what remains are signs and words of programming.
    """
    kind = cells.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        remedy = (
            _NOT_CLASSES if pa.types.is_boolean(kind) else "Write the predictions as floating-point numbers."
        )
        return f"of type {str(kind)[:60]}", remedy
    for cell in cells.to_pylist():
        text = str(cell).strip()
        form = _NUMBER.sub("…", text)
        words = {word.lower() for word in _WORDS.findall(form)}
        if (form == text and not words) or not words <= _KNOWN_WORDS or len(form) > 80:
            continue
        if form == "…" and "," in text:
            return "with a decimal comma", "Write a decimal point instead of the comma, such as 0.125."
        if not text.isascii() and any(c.isdecimal() and not c.isascii() for c in text):
            return "with digits that are not ASCII", "Write the digits 0 to 9, such as 0.125."
        if form == "… …":
            return f"of the form `{form}`", "Write one number in each cell: that of the positive class."
        if words and words <= _CLASSES:
            return f"of the form `{form}`", _NOT_CLASSES
        remedy = next((advice for sign, advice in _FORM_REMEDIES if sign in form.lower()), "")
        return f"of the form `{form}`", remedy
    return "", ""


def _to_float(cells: pa.ChunkedArray) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Floats as float64 (NaN where empty or not a number), and where they are text that is no number."""
    cells = decoded(cells)
    kind = cells.type
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        return cells.cast(pa.float64(), safe=False).to_numpy(), np.zeros(len(cells), bool)
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
        return np.full(len(cells), np.nan), np.ones(len(cells), bool)
    stripped = pc.utf8_trim_whitespace(cells.cast(pa.string())).fill_null("")
    words = pd.Series(stripped.to_numpy())
    values = pd.to_numeric(words, errors="coerce").to_numpy(dtype=np.float64)
    empty = words.str.lower().isin({"", "nan", "na", "n/a", "null", "none"}).to_numpy()
    return values, np.isnan(values) & ~empty


def judge_values(
    values: Mapping[str, Floats], cohort: Cohort, rows: npt.NDArray[np.intp], where: str
) -> list[Problem]:
    """Problems of columns of valid numbers, which the cohort's labels and measured values tell.

    Args:
        values: Target → (n,) predictions.
        cohort: The cohort.
        rows: (n,) rows of the cohort that are predicted.
        where: Named in problems.
    """
    problems = []
    for label in cohort.spec.binary_targets:
        if label.name in values:
            problems += judge(label, values[label.name], cohort.targets[label.name][rows], where)
    for measure in cohort.spec.continuous_targets:
        if measure.name in values:
            problems += _judge_units(measure, values[measure.name], where)
    for target in cohort.spec.targets:
        if target.name in values:
            problems += _judge_truth(target, values[target.name], cohort, rows, where)
    return problems


def judge(target: BinaryTarget, values: Floats, labels: Floats, where: str) -> list[Problem]:
    """Problems of a column of valid numbers: constant, coarse, inverted, or the labels themselves."""
    from bench.metrics.discrimination import auroc

    labelled = ~np.isnan(labels)
    where = f"{where}, target {target.name}"
    middle = np.partition(values, len(values) // 2)[len(values) // 2]
    alike = int((values == middle).sum())  # a value that most rows share is their median
    y = labels[labelled]
    if len(values) >= FEWEST_OF_TRUTH and 0 < y.sum() < len(y) and _are_labels(values[labelled], y):
        return [Problem("predictions-are-labels", f"All {len(y):,} values equal the labels.", where)]
    if alike == len(values):
        message = f"All {len(values):,} values are {middle:g}."
        return [Problem("predictions-constant", message, where, severity="warning")]
    if len(values) >= 10 and alike > 0.99 * len(values):
        message = f"{alike:,} of {len(values):,} values are {middle:g}."
        return [Problem("predictions-constant", message, where, severity="warning")]
    notices = []
    few = len(np.unique(values[:1000])) < FEW_DISTINCT  # spares sorting all rows in the usual case
    distinct = len(np.unique(values)) if few else FEW_DISTINCT
    if distinct < FEW_DISTINCT <= len(values) / 5:
        message = f"Only {distinct} distinct values in {len(values):,} rows."
        notices.append(Problem("predictions-few-distinct", message, where, severity="warning"))
    area = auroc(y, values[labelled])
    if area is not None and area < 0.5 - chance_margin(y):
        # Only `bench score`, which counts attempts, shows the value itself.
        message = "The AUROC is below 0.5 by more than chance."
        notices.append(Problem("predictions-inverted", message, where, severity="warning"))
    return notices


def chance_margin(labels: Floats) -> float:
    """Half the width of the 95% interval around 0.5 of the AUROC of scores without information.

    The standard error of the Mann-Whitney statistic without ties (Mann and Whitney 1947), every image counted
    as independent.

    Args:
        labels: (n,) 0 or 1, both present.
    """
    positives = float(labels.sum())
    negatives = len(labels) - positives
    return 1.96 * float(((len(labels) + 1) / (12 * positives * negatives)) ** 0.5)


def _are_labels(values: Floats, labels: Floats) -> bool:
    """Return whether values are the labels, or two numbers in their place, with a little noise or without.

    The values of each class then lie together, in a span of at most `LABEL_SPREAD` of the gap between the
    classes; 1 − label is found too.
    """
    positive, negative = values[labels == 1], values[labels == 0]
    gap = max(positive.min() - negative.max(), negative.min() - positive.max())
    return bool(gap > 0 and max(np.ptp(positive), np.ptp(negative)) <= LABEL_SPREAD * gap)


def _judge_truth(
    target: Target, values: Floats, cohort: Cohort, rows: npt.NDArray[np.intp], where: str
) -> list[Problem]:
    """Refuse true values of any target that are submitted as predictions of this one.

    The labels of a binary target itself are left to `judge`.

    Args:
        target: The target that is predicted.
        values: (n,) its predictions.
        cohort: The cohort.
        rows: (n,) rows of the cohort that are predicted.
        where: Named in the problem.
    """
    inputs = set(cohort.spec.columns.inputs.values())
    for other in sorted(cohort.spec.targets, key=lambda t: t.name != target.name):
        own = other.name == target.name
        column = other.source if isinstance(other.source, str) else other.source.column
        if own and isinstance(target, BinaryTarget):
            continue
        if not own and column in inputs:
            continue  # what a model may see
        truth = cohort.targets[other.name][rows]
        known = np.isfinite(truth)
        y, v = truth[known], values[known]
        if len(y) < FEWEST_OF_TRUTH or np.ptp(v) == 0 or np.ptp(y) == 0:
            continue
        evidence = _labels_found(v, y) if isinstance(other, BinaryTarget) else _measurements_found(v, y)
        if evidence:
            of_other = "" if own else f" of {other.name}"
            message = f"{evidence}{of_other}."
            return [Problem("predictions-are-labels", message, f"{where}, target {target.name}")]
    return []


def _labels_found(values: Floats, labels: Floats) -> str:
    return f"All {len(labels):,} values equal the labels" if _are_labels(values, labels) else ""


def _measurements_found(values: Floats, measured: Floats) -> str:
    """Say how many values equal measured ones, in any unit and however rounded, or follow closely."""
    correlation = abs(float(np.corrcoef(measured, values)[0, 1]))
    if correlation >= 0.9:
        equal = max(_equal_in_unit(values, measured * factor) for factor in _UNIT_FACTORS)
        if equal >= TRUTH_SHARE * len(measured):
            return f"{equal:,} of {len(measured):,} values equal the measured ones"
    ranks = abs(float(np.corrcoef(pd.Series(measured).rank(), pd.Series(values).rank())[0, 1]))
    if max(correlation, ranks) < TRUTH_CORRELATION:
        return ""
    return (
        f"{len(measured):,} values have a correlation of {max(correlation, ranks):.4f} with the measured ones"
    )


def _equal_in_unit(values: Floats, measured: Floats) -> int:
    """Count values equal to measured ones, which may be rounded to 0 to 4 digits."""
    equal = 0
    for truth in (measured, *(np.round(measured, digits) for digits in range(5))):
        if len(np.unique(truth[:1000])) >= FEW_DISTINCT:  # few values are hit by chance
            equal = max(equal, int(np.isclose(values, truth, rtol=1e-6, atol=1e-9).sum()))
    return equal


def _judge_units(target: ContinuousTarget, values: Floats, where: str) -> list[Problem]:
    low, high = target.plausible
    outside = int(((values < low) | (values > high)).sum())
    if outside <= len(values) / 2:
        return []
    message = (
        f"{outside:,} of {len(values):,} values lie outside {low:g} to {high:g} {target.unit}, "
        f"median {np.median(values):g}."
    )
    where = f"{where}, target {target.name}"
    return [Problem("predictions-unit", message, where, severity="warning")]
