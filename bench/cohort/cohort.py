"""A cohort in memory: its images in canonical order with patient, labels, subgroups and split."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from bench.cohort.spec import CohortSpec
from bench.cohort.split import Part, Split, Strings
from bench.errors import Problem

SEXES = {"m": 1.0, "male": 1.0, "f": 0.0, "female": 0.0}
"""Words of the input ``sex``, in lower case: male is 1, female 0."""


@dataclass(frozen=True, slots=True)
class Subgroups:
    """Subgroups of images by one attribute.

    Attributes:
        name: Key, such as ``sex``.
        label: Name shown.
        levels: Names of the subgroups.
        codes: (n,) index into `levels`, -1 for an image in none.
    """

    name: str
    label: str
    levels: tuple[str, ...]
    codes: npt.NDArray[np.int8]


@dataclass(frozen=True)
class Cohort:
    """A cohort in memory; every array is in canonical order (ascending image id).

    Attributes:
        spec: Description of the cohort.
        folder: Folder of its files.
        synthetic: Whether its patients are synthetic.
        images: (n,) image ids.
        patients: (n,) patient ids, as text.
        time: (n,) time offset within a patient (days or follow-up number), NaN where the spec has none.
        targets: Target → (n,) float64 label or measurement; NaN if excluded from scoring.
        subgroups: Subgroups of the spec.
        split: Part and fold of each image.
        table: The table as text, rows in canonical order; DICOM ages are converted to years.
        notices: Warnings from reading the table.
        studies: (n,) study ids; None where every image is scored by itself.
    """

    spec: CohortSpec
    folder: Path
    synthetic: bool
    images: Strings
    patients: Strings
    time: npt.NDArray[np.float64]
    targets: dict[str, npt.NDArray[np.float64]]
    subgroups: tuple[Subgroups, ...]
    split: Split
    table: pd.DataFrame
    notices: tuple[Problem, ...] = ()
    studies: Strings | None = None

    def __len__(self) -> int:
        return len(self.images)

    def rows(self, part: Part) -> npt.NDArray[np.intp]:
        """Return the indices of a part's images, in canonical order."""
        return self.split.rows(part)

    @cached_property
    def male(self) -> npt.NDArray[np.float64]:
        """Sex (n,): 1 male, 0 female, NaN for other words; all NaN if the spec has no input ``sex``."""
        if "sex" not in self.spec.columns.inputs:
            return np.full(len(self), np.nan)
        words = self.table[self.spec.columns.inputs["sex"]].str.strip().str.lower()
        return np.asarray(words.map(SEXES), np.float64)

    def input(self, name: str) -> npt.NDArray[Any]:
        """Return a model input of every image (n,).

        Args:
            name: A key of the spec's ``columns.inputs``.

        Returns:
            float64 for ``age`` (years) and ``sex`` (male 1, female 0), NaN where blank or of another form;
            the text of the table for other inputs.
        """
        if name == "sex":
            return self.male
        words = self.table[self.spec.columns.inputs[name]].to_numpy(dtype=object)
        return np.array([_finite_number(word) for word in words]) if name == "age" else words

    @cached_property
    def image_ids(self) -> pa.StringArray:
        """Image ids as an Arrow array, cached for joining many files."""
        return pa.array(self.images, pa.string())

    @cached_property
    def first_images(self) -> npt.NDArray[np.bool_]:
        """Mask (n,) of each patient's first image: smallest time, ties broken by image id."""
        order = np.lexsort((np.arange(len(self)), self.time, self.patients.astype(str)))
        _, first = np.unique(self.patients[order].astype(str), return_index=True)
        mask = np.zeros(len(self), bool)
        mask[order[first]] = True
        return mask


def _finite_number(word: str) -> float:
    """Return the number that a text states, NaN where it is none or infinite."""
    try:
        number = float(word)
    except ValueError:
        return np.nan
    return number if np.isfinite(number) else np.nan
