"""Part of each image by the split rule of a spec: hash, column, lists, tables, or all test."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.cohort.image_ids import id_hint
from bench.cohort.spec import AllTest, CohortSpec, ColumnSplit, HashSplit, ListSplit, TableSplit
from bench.cohort.split import Split, Strings, hash_parts, make_split, patient_uniform, straddling_patients
from bench.cohort.tables import meanings_of_cells
from bench.documents import text_of
from bench.errors import BenchError, Problem, did_you_mean, raise_errors

MOST_WORDS = 5
"""Number of distinct words of a column that a message may name."""

Parts = npt.NDArray[np.str_]


def assign_parts(
    spec: CohortSpec,
    table: pd.DataFrame,
    folder: Path,
    images: Strings,
    patients: Strings,
    *,
    by_table: Parts,
    left_out: Collection[str],
    notices: list[Problem],
) -> Split:
    """Assign every image to a part by the spec's rule.

    Args:
        spec: The cohort's spec.
        table: Table with the columns of the spec, in canonical order.
        folder: Folder with the lists of images.
        images: (n,) image ids, sorted.
        patients: (n,) patient ids.
        by_table: (n,) part whose table names the image; read by the rule ``tables`` alone.
        left_out: Image ids of the table that the spec's row filters leave out: a list may name them.
        notices: Notices are appended.

    Raises:
        BenchError: Images in several lists or in none, entries that are no image (``cohort-split-list``),
            rows of no part (``cohort-split-column``), or patients in several official parts
            (``patients-straddle``).
    """
    rule = spec.split
    salt = rule.salt if isinstance(rule, HashSplit) else f"{spec.id}-folds"
    if isinstance(rule, HashSplit):
        parts = hash_parts(rule, patient_uniform(rule.salt, patients))
    elif isinstance(rule, AllTest):
        parts = np.full(len(images), "test")
    elif isinstance(rule, ColumnSplit):
        parts = _column_parts(rule, table)
    elif isinstance(rule, TableSplit):
        parts = by_table
        raise_errors(straddling_problems(patients, parts, ", ".join(sum(rule.tables.values(), ()))))
    else:
        salt = rule.otherwise.salt
        parts = _list_parts(rule, folder, images, patients, left_out, notices)
    return make_split(f"{spec.id} {spec.version}", images, patients, parts, salt)


def straddling_problems(patients: Strings, parts: Parts, where: str) -> list[Problem]:
    """Report the patients with images in two parts, one problem for each pair of parts."""
    problems = []
    for a, b in (("train", "test"), ("val", "test"), ("train", "val")):
        if count := straddling_patients(patients, parts, a, b):
            message = f"{count:,} patients have images in {a} and in {b}."
            problems.append(Problem("patients-straddle", message, where))
    return problems


def _column_parts(rule: ColumnSplit, table: pd.DataFrame) -> Parts:
    words = {rule.train: "train", rule.test: "test"} | ({rule.val: "val"} if rule.val else {})
    parts = np.array(meanings_of_cells(table[rule.column], words, ""), dtype="U5")
    if unassigned := int((parts == "").sum()):
        frequent = Counter(table[rule.column][parts == ""].str.strip()).most_common(MOST_WORDS + 1)
        named = ", ".join(f"{word!r} ({count:,})" for word, count in frequent)
        others = f"; they hold {named}" if len(frequent) <= MOST_WORDS else ""
        message = f"{unassigned} of {len(parts)} rows are in none of {', '.join(words)}{others}."
        raise BenchError(Problem("cohort-split-column", message, where=f"column {rule.column}"))
    return parts


def _list_parts(
    rule: ListSplit,
    folder: Path,
    images: Strings,
    patients: Strings,
    left_out: Collection[str],
    notices: list[Problem],
) -> Parts:
    u = patient_uniform(rule.otherwise.salt, patients)
    files = rule.files
    absent = [name for name in files.values() if not (folder / name).is_file()]
    if len(absent) == len(files):
        message = f"{' and '.join(files.values())} not in the folder: the split is the hash rule of the spec."
        notices.append(Problem("cohort-split-list", message, str(folder), severity="notice"))
        return hash_parts(rule.otherwise, u)
    if absent:
        message = f"{' and '.join(absent)} not in the folder, though another list of the split is."
        alike = {path.name for path in folder.iterdir() if path.suffix == Path(absent[0]).suffix}
        message += did_you_mean(absent[0], alike - set(files.values()))
        raise BenchError(Problem("cohort-split-list", message, str(folder)))
    problems: list[Problem] = []
    listed = {
        part: _listed(folder / name, part, images, patients, left_out, problems)
        for part, name in files.items()
    }
    count = np.sum(list(listed.values()), axis=0)
    if several := int((count > 1).sum()):
        message = f"{several:,} of {len(images):,} images are in two lists."
        problems.append(Problem("cohort-split-list", message, ", ".join(files.values())))
    if len(files) > 1 and (none := int((count == 0).sum())):
        message = f"{none:,} of {len(images):,} images are in no list."
        problems.append(Problem("cohort-split-list", message, ", ".join(files.values())))
    raise_errors(problems)
    val = u < rule.otherwise.val / (1 - rule.otherwise.test)
    parts = np.where(val & ("val" not in listed) & ("train" not in listed), "val", "train")
    for part, inside in listed.items():
        if part != "train or val":
            parts[inside] = part
    raise_errors(straddling_problems(patients, parts, ", ".join(files.values())))
    return parts


def _listed(
    path: Path,
    part: str,
    images: Strings,
    patients: Strings,
    left_out: Collection[str],
    problems: list[Problem],
) -> npt.NDArray[np.bool_]:
    """Return the mask (n,) of the images that a list names; entries that are no image add a problem."""
    text = text_of(path.read_bytes(), "cohort-split-list", str(path))
    names = {line.strip() for line in text.splitlines() if line.strip()}
    inside = np.array([image in names for image in images], dtype=bool)
    if absent := len(names) - int(inside.sum()) - sum(image in names for image in left_out):
        message = f"{absent:,} of {len(names):,} listed {part} images are not in the table."
        strange = sorted(names - set(images) - set(left_out))[:500]
        remedy = id_hint(strange, images, patients) or _list_remedy(strange, images, bool(inside.any()))
        problems.append(Problem("cohort-split-list", message, str(path), remedy))
    return inside


def _list_remedy(strange: list[str], images: Strings, others_known: bool) -> str:
    """What to do about entries of a list that are no image id in any form; empty if nothing is known."""
    known = frozenset(images)
    if all(re.split(r"[,;\s]+", line)[0] in known for line in strange):
        return "Write the id of one image alone on each line."
    if len(strange) == 1 and others_known:
        return "One line is no image: remove it if it is a heading or a comment."
    return ""
