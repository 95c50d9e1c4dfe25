"""Checks of a cohort's table: patients in several parts, unusable labels, subgroups and ages."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.cohort.cohort import Cohort
from bench.cohort.load import (
    OLDEST,
    age_columns,
    list_words,
    patient_column,
    patient_texts,
)
from bench.cohort.parts import MOST_WORDS, straddling_problems
from bench.cohort.patient_ids import is_blank, is_date, is_rounded, prefixed_ids, similar_ids
from bench.cohort.spec import BinaryTarget, Contains, ContinuousTarget, ValueSubgroups
from bench.cohort.split import straddling_patients
from bench.errors import Problem, nearest

SEPARATORS = "|;,/&+\t\n"


def audit_patients(cohort: Cohort) -> list[Problem]:
    """Report patients in two parts of the split, and similar ids that may belong to one person.

    Similar ids are an error if their images are in different parts, or in different folds of a cohort with
    training images: a model would be tested on people it was trained on. Otherwise they are a warning, since
    the confidence intervals count one person as two.
    """
    return [
        *_straddling(cohort),
        *_published_split(cohort),
        *_similar(cohort),
        *_several_forms(cohort),
        *_rounded(cohort),
        *_prefixed(cohort),
        *_dates(cohort),
        *_many_images(cohort),
        *_one_image_each(cohort),
    ]


def audit_split(cohort: Cohort) -> list[Problem]:
    """Report patients in two parts of the split, and a split without test images."""
    return [*cohort.notices, *audit_patients(cohort), *_no_test(cohort)]


def _where(cohort: Cohort) -> str:
    return f"column {patient_column(cohort.spec)}"


def _straddling(cohort: Cohort) -> list[Problem]:
    return straddling_problems(cohort.patients, cohort.split.parts, f"split {cohort.spec.split.rule}")


def _published_split(cohort: Cohort) -> list[Problem]:
    column = cohort.spec.compare_split_column
    if not column or column not in cohort.table:
        return []
    parts = cohort.table[column].str.strip().to_numpy(dtype=str)
    count = straddling_patients(cohort.patients, parts, "train", "test")
    message = f"The published split in column {column} has {count} patients both in train and in test."
    problem = Problem("published-split-straddles", message, f"column {column}", severity="warning")
    return [problem] if count else []


def _similar(cohort: Cohort) -> list[Problem]:
    if cohort.spec.columns.similar_patients == "distinct":
        return []
    similar = similar_ids(cohort.patients)
    if not similar.groups:
        return []
    parts = _places(cohort, cohort.split.parts)
    folds = _places(cohort, cohort.split.folds)
    in_parts = sum(len(set().union(*(parts[p] for p in group))) > 1 for group in similar.groups)
    in_folds = sum(len(set().union(*(folds[p] for p in group))) > 1 for group in similar.groups)
    trains = bool((cohort.split.parts == "train").any())
    ids = sum(map(len, similar.groups))
    message = (
        f"{ids:,} patient ids are {len(similar.groups):,} when compared without {similar.differences()}. "
    )
    if in_parts or (trains and in_folds):
        message += (
            f"If ids of a group are one person, {in_parts:,} people have images in more than one part of the "
            f"split and {in_folds:,} in more than one fold, so that models are tested on people they were "
            "trained on."
        )
        return [Problem("patient-ids-similar", message, _where(cohort))]
    message += (
        "All ids of a group are in one part of the split, so that no image leaks; but the intervals count "
        "one person as several."
    )
    return [Problem("patient-ids-similar", message, _where(cohort), severity="warning")]


def _places(cohort: Cohort, place: npt.NDArray[np.generic]) -> dict[str, set[object]]:
    """Patient → parts or folds of the images."""
    places: dict[str, set[object]] = defaultdict(set)
    for patient, value in zip(cohort.patients.tolist(), place.tolist(), strict=True):
        places[patient].add(value)
    return places


def _several_forms(cohort: Cohort) -> list[Problem]:
    """Warn of patients whose id is written in more than one way, which all have one canonical text."""
    texts = patient_texts(cohort.spec, cohort.table[patient_column(cohort.spec)])
    forms: dict[str, set[str]] = defaultdict(set)
    for patient, text in set(zip(cohort.patients.tolist(), texts, strict=True)):
        forms[patient].add(text or "")
    several = [patient for patient, written in forms.items() if len(written) > 1]
    if not several:
        return []
    message = (
        f"The ids of {len(several):,} of {len(forms):,} patients are written in more than one way (blanks at "
        "the ends, 7 and 7.0, Unicode forms). Each is taken as one patient, so that no image leaks."
    )
    return [Problem("patient-ids-forms", message, _where(cohort), severity="warning")]


def _rounded(cohort: Cohort) -> list[Problem]:
    texts = Counter(patient_texts(cohort.spec, cohort.table[patient_column(cohort.spec)]))
    if not (rounded := sum(count for text, count in texts.items() if is_rounded(text or ""))):
        return []
    message = (
        f"{rounded:,} of {texts.total():,} patient ids are numbers that lost digits (scientific notation, or "
        "beyond 2^53 in a floating-point column). Different people may have one id, and one person two."
    )
    return [Problem("patient-ids-rounded", message, _where(cohort))]


def _prefixed(cohort: Cohort) -> list[Problem]:
    if cohort.spec.columns.similar_patients == "distinct" or not (count := prefixed_ids(cohort.patients)):
        return []
    numbers = "1 number is" if count == 1 else f"{count:,} numbers are"
    message = (
        f"{numbers} a patient id alone and another id with letters before or behind, such as 7 and PT7. If "
        "these are one person, models are tested on people they were trained on."
    )
    return [Problem("patient-ids-prefix", message, _where(cohort), severity="warning")]


def _dates(cohort: Cohort) -> list[Problem]:
    patients = set(cohort.patients.tolist())
    dates = sum(map(is_date, patients))
    if dates < max(len(patients) / 2, 1):
        return []
    message = (
        f"{dates:,} of {len(patients):,} patient ids are dates: people with one date are one patient, and a "
        "person with images of several dates is several."
    )
    return [Problem("patient-ids-dates", message, _where(cohort), severity="warning")]


MANY_IMAGES, MANY_SHARE, MANY_TIMES = 20, 0.05, 5
"""A patient has suspiciously many images with at least so many, this share of the cohort, and so many times
the number of the patient with the next most."""


def _many_images(cohort: Cohort) -> list[Problem]:
    counts = Counter(cohort.patients.tolist()).most_common(2)
    if len(counts) < 2:
        return []
    most, following = (count for _, count in counts)
    if most < max(MANY_IMAGES, MANY_SHARE * len(cohort), MANY_TIMES * following):
        return []
    message = (
        f"One patient id has {most:,} of {len(cohort):,} images, the next {following:,}: it may stand for "
        "many people whose id is not known."
    )
    return [Problem("patient-many-images", message, _where(cohort), severity="warning")]


def _one_image_each(cohort: Cohort) -> list[Problem]:
    patients = len(set(cohort.patients))
    if patients == 1 < len(cohort):
        message = (
            f"All {len(cohort):,} images are of one patient: the whole cohort is in one part of the split."
        )
        return [Problem("patients-one", message, _where(cohort))]
    if patients < len(cohort) or patients == 1:
        return []
    message = f"Each of the {len(cohort):,} images has a patient of its own ({patients:,} patients). "
    message += (
        "If some people have several images, the split cannot keep them together, and the intervals are too "
        "narrow."
    )
    return [Problem("patients-one-image", message, _where(cohort), severity="warning")]


def audit_labels(cohort: Cohort) -> list[Problem]:
    """Report a split without test images, and unusable targets, subgroups, ages and sexes."""
    problems = _no_test(cohort)
    for target in cohort.spec.binary_targets:
        problems += _one_class(cohort, target)
        if isinstance(target.source, Contains):
            problems += _near_words(cohort, target, target.source)
    problems += [p for target in cohort.spec.continuous_targets for p in _nothing_plausible(cohort, target)]
    problems += _ages(cohort) + _sexes(cohort)
    return problems + _subgroups(cohort)


def _no_test(cohort: Cohort) -> list[Problem]:
    if (cohort.split.parts == "test").any():
        return []
    counts = ", ".join(
        f"{count:,} {part}" for part, count in sorted(Counter(cohort.split.parts.tolist()).items())
    )
    message = f"The split has no test image: {counts}."
    return [Problem("split-empty", message, f"split {cohort.spec.split.rule}")]


def _column(target: BinaryTarget | ContinuousTarget) -> str:
    return target.source.column if isinstance(target.source, Contains) else target.source


def _one_class(cohort: Cohort, target: BinaryTarget) -> list[Problem]:
    """Report a target with positive or with negative images alone, in the cohort or in the test images."""
    headline = target.name == cohort.spec.headline
    where = f"target {target.name}, column {_column(target)}"
    for rows, place in ((slice(None), "the cohort"), (cohort.rows("test"), "the test images")):
        labels = cohort.targets[target.name][rows]
        labelled = int((~np.isnan(labels)).sum())
        positives = int((labels == 1).sum())
        if not len(labels) or 0 < positives < labelled:
            continue
        absent = "labelled" if not labelled else "positive" if not positives else "negative"
        message = f"No image of {place} is {absent} for {target.name} ({labelled:,} labelled). "
        remedy = ""
        if not positives and place == "the cohort" and isinstance(target.source, Contains):
            message += f"No list holds the word {target.source.word!r}. "
            remedy = _word_remedy(cohort, target.source)
        message += "No AUROC can be computed."
        severe = headline and place == "the cohort"
        return [Problem("target-one-class", message, where, remedy, "error" if severe else "warning")]
    return []


def _lists(cohort: Cohort, source: Contains) -> Counter[str]:
    """Count the rows of each distinct list in a column, without blank cells."""
    counts = cohort.table[source.column].value_counts()
    return Counter(
        {
            text: int(count)
            for text, count in zip(counts.index.tolist(), counts.tolist(), strict=True)
            if not is_blank(text)
        }
    )


def _word_remedy(cohort: Cohort, source: Contains) -> str:
    """Suggest the words most similar to a target's word, or another separator."""
    lists = _lists(cohort, source)
    words = Counter[str]()
    for text, count in lists.items():
        for word in _split_by_any(text):
            words[word] += count
    near = [source.word] if source.word in words else nearest(source.word, words)
    listed = {word for text in lists if source.separator in text for word in list_words(text, source)}
    phrases = sorted(word for word in listed if _holds(word, source.word) and word not in near)
    if phrases:
        named = " or ".join(repr(phrase[:40]) for phrase in phrases[:2])
        return f"Did you mean {named}? Write the word as the lists do, all of it."
    separators = _separators(lists, near[0]) if near else ""
    behind = near and not any(near[0] in list_words(text, source) for text in lists)
    remedy = "" if source.word in near else f"Did you mean {' or '.join(map(repr, near))}? "
    if behind:
        return (
            f"{remedy}The lists have another separator than {source.separator!r}: set `separator` of the "
            f"target to one of {separators}."
        )
    if near:
        return f"{remedy}Write the word as the lists do."
    most_frequent = ", ".join(repr(word[:40]) for word, _ in words.most_common(MOST_WORDS))
    return f"Write the word as the lists do. Their most frequent words are {most_frequent or 'none'}."


def _holds(phrase: str, word: str) -> bool:
    """Return whether a phrase of several words has the word among them, in any case."""
    words = re.findall(r"\w+", phrase.casefold())
    return len(words) > 1 and word.casefold() in words and words[0] not in {"no", "not", "without"}


def _split_by_any(text: str) -> set[str]:
    """Split a list at every usual separator and at blanks, without brackets and quotes."""
    listed = re.split(f"[{re.escape(SEPARATORS)}]", text)
    parts = {*listed, *(word for part in listed for word in part.split())}
    return {word.strip("[]{} '\"") for word in parts} - {""}


def _separators(lists: Counter[str], word: str) -> str:
    separators = {
        c
        for text in lists
        for c in (*SEPARATORS, " ")
        if c in text.strip() and word in {part.strip("[]{} '\"") for part in text.split(c)}
    }
    return " ".join(map(repr, sorted(separators)))


def _near_words(cohort: Cohort, target: BinaryTarget, source: Contains) -> list[Problem]:
    """Warn of lists that hold the word in another case or behind another separator, and count as negative."""
    if not (cohort.targets[target.name] == 1).any():
        return []  # reported by `_one_class`
    in_case = separated = 0
    folded = source.word.casefold()
    for text, count in _lists(cohort, source).items():
        words = list_words(text, source)
        if source.word in words:
            continue
        if folded in {word.casefold() for word in words}:
            in_case += count
        elif source.word in {part.strip() for part in re.split(f"[{re.escape(SEPARATORS)}]", text)}:
            separated += count
    if not in_case + separated:
        return []
    kinds = {
        "in another case": in_case,
        f"with another separator than {source.separator!r}": separated,
    }
    named = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count)
    message = f"{in_case + separated:,} lists hold {source.word!r} ({named}); they count as negative."
    where = f"target {target.name}, column {source.column}"
    return [Problem("target-word", message, where, severity="warning")]


def _nothing_plausible(cohort: Cohort, target: ContinuousTarget) -> list[Problem]:
    if not len(cohort) or not np.isnan(cohort.targets[target.name]).all():
        return []
    low, high = target.plausible
    message = f"No value of {target.name} is from {low:g} to {high:g} {target.unit}: none is scored."
    where = f"target {target.name}, column {target.source}"
    remedy = "Check the unit: `plausible` and the column must be in the unit of the spec."
    return [Problem("target-one-class", message, where, remedy, "warning")]


def _ages(cohort: Cohort) -> list[Problem]:
    problems = []
    for column in age_columns(cohort.spec):
        ages = pd.to_numeric(cohort.table[column], errors="coerce")
        if count := int(((ages < 0) | (ages > OLDEST)).sum()):
            message = (
                f"{count:,} of {len(ages):,} ages are outside 0 to {OLDEST} years; they are in no subgroup."
            )
            problems.append(Problem("age-implausible", message, f"column {column}", severity="warning"))
    return problems


def _sexes(cohort: Cohort) -> list[Problem]:
    column = cohort.spec.columns.inputs.get("sex")
    if column is None:
        return []
    words = cohort.table[column][np.isnan(cohort.male)].tolist()
    others = [word for word in words if not is_blank(word)]
    if not (count := len(others)):
        return []
    message = (
        f"{count:,} of {len(cohort):,} values of the input sex are not M, F, Male or Female: label rules "
        "leave these rows out, and models that take the sex cannot use them."
    )
    return [Problem("sex-values", message, f"column {column}", severity="warning")]


def _subgroups(cohort: Cohort) -> list[Problem]:
    problems = []
    for spec, subgroups in zip(cohort.spec.subgroups, cohort.subgroups, strict=True):
        where = f"subgroups {spec.name}, column {spec.column}"
        outside = subgroups.codes < 0
        texts = cohort.table[spec.column]
        others = Counter(word for word in texts[outside].str.strip().tolist() if not is_blank(word))
        if not others and outside.all():
            message = f"All {len(texts):,} cells are blank: every subgroup of {spec.name} is empty."
            problems.append(Problem("subgroup-empty", message, where, severity="warning"))
            continue
        empty = sorted(set(range(len(subgroups.levels))) - set(subgroups.codes.tolist()))
        if not others or not empty or (not isinstance(spec, ValueSubgroups) and (~outside).any()):
            continue
        if not isinstance(spec, ValueSubgroups):
            message = (
                f"None of {others.total():,} values is in a band of {spec.name}: every subgroup is empty."
            )
            remedy = "Check the unit of the column, and `bands` of the spec, which are lower limits."
            problems.append(Problem("subgroup-empty", message, where, remedy, "warning"))
            continue
        keys = list(spec.values)
        absent = ", ".join(repr(keys[k]) for k in empty)
        named = ", ".join(f"{word[:40]!r} ({count:,})" for word, count in others.most_common(MOST_WORDS))
        few = len(others) <= MOST_WORDS  # many distinct values may be text about people
        message = (
            f"No row has the value {absent}, so that {len(empty)} of {len(keys)} subgroups are empty; "
            f"{others.total():,} rows have "
            f"{f'other values: {named}' if few else f'{len(others):,} other values'}."
        )
        remedy = "Write the keys of `values` in the spec as the column writes them."
        problems.append(Problem("subgroup-empty", message, where, remedy, "warning"))
    return problems
