"""Tables of a cohort's images for training code: ids, paths, split, fold, targets and inputs."""

from __future__ import annotations

from math import ceil

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.cohort.cohort import Cohort
from bench.cohort.images import ImageFolders, has_images
from bench.cohort.split import patient_uniform
from bench.errors import BenchError, Problem

Rows = npt.NDArray[np.intp]
FEW_SHOT_SALT = "few-shot"


def cohort_frame(
    cohort: Cohort, rows: Rows, *, labelled: npt.NDArray[np.bool_] | None = None
) -> pd.DataFrame:
    """Return a table of images: ``image_id``, ``patient_id``, ``path``, ``split``, ``fold``, targets, inputs.

    Args:
        cohort: The cohort.
        rows: (n,) rows of the cohort, in the order of the table.
        labelled: (n,) whether an image's targets may be shown; others are NaN. None leaves the columns of
            targets out.

    Returns:
        n rows with index 0 to n - 1. ``path`` is the image file, None where no folder of the cohort holds it.
        Targets are float, NaN where an image is excluded from scoring. Inputs are float where they have a
        fixed meaning (``age`` in years, ``sex`` with male 1), text otherwise. A target's name wins over an
        input of the same name.
    """
    columns: dict[str, object] = {
        "image_id": cohort.images[rows],
        "patient_id": cohort.patients[rows],
        "path": image_paths(cohort, rows),
        "split": cohort.split.parts[rows].astype(object),
        "fold": cohort.split.folds[rows].astype(np.int64),
    }
    if labelled is not None:
        for name, values in cohort.targets.items():
            columns[name] = np.where(labelled, values[rows], np.nan)
    for name in cohort.spec.columns.inputs:
        if name not in cohort.targets:
            columns[name] = cohort.input(name)[rows]
    return pd.DataFrame(columns)


def split_table(cohort: Cohort) -> pd.DataFrame:
    """Return what training code in any language reads: all images, with ids named as in the cohort's table.

    The columns are the image id and the patient id under their names in the table, ``path``, ``split``,
    ``fold``, and the targets, blank for test images. A name that is one of ours already keeps ours:
    ``image_id``, ``patient_id``; so does a patient id that is part of a column's text.
    """
    labelled = cohort.split.parts != "test"
    frame = cohort_frame(cohort, np.arange(len(cohort)), labelled=labelled)
    frame = frame[["image_id", "patient_id", "path", "split", "fold", *cohort.targets]]
    patient = cohort.spec.columns.patient
    names = {"image_id": cohort.spec.columns.image}
    if isinstance(patient, str):
        names["patient_id"] = patient
    return frame.rename(columns={ours: name for ours, name in names.items() if name not in frame})


def image_paths(cohort: Cohort, rows: Rows) -> list[str | None]:
    """Return the file of each image, None where no folder of the cohort holds it."""
    if not has_images(cohort):
        return [None] * len(rows)
    files = ImageFolders(cohort).listed()
    return [str(files[image]) if image in files else None for image in cohort.images[rows]]


def few_shot_rows(
    cohort: Cohort, rows: Rows, *, patients: int | None = None, fraction: float | None = None, seed: int = 0
) -> Rows:
    """Choose the images of some patients by a hash rule; smaller choices are part of larger ones.

    Patients are taken in ascending order of the hash `patient_uniform` with salt
    ``few-shot/<seed>/<cohort id>``: the same on every machine, whatever the order of the table.

    Args:
        cohort: The cohort.
        rows: (n,) rows to choose from.
        patients: Number of patients.
        fraction: Share of the patients of `rows` instead, above 0 and at most 1; rounded up.
        seed: Draw; other draws choose other patients.

    Returns:
        The chosen rows, in the order of `rows`.

    Raises:
        BenchError: More patients than there are, or none (``few-shot-size``).
        ValueError: Not exactly one of `patients` and `fraction` is given.
    """
    if (patients is None) == (fraction is None):
        raise ValueError("give either patients or fraction")
    ids = cohort.patients[rows]
    distinct = np.unique(ids.astype(str)).astype(object)
    if fraction is not None and not 0 < fraction <= 1:
        raise _wrong_size(f"The fraction {fraction:g} is not above 0 and at most 1.", cohort)
    # 12 digits, since 0.07 * 100 is 7.000000000000001
    wanted = patients if patients is not None else ceil(round(float(fraction or 0) * len(distinct), 12))
    if not 0 < wanted <= len(distinct):
        raise _wrong_size(f"{wanted:,} patients were requested; there are {len(distinct):,}.", cohort)
    u = patient_uniform(f"{FEW_SHOT_SALT}/{seed}/{cohort.spec.id}", distinct)
    chosen = distinct[np.lexsort((distinct.astype(str), u))[:wanted]]
    return rows[np.isin(ids.astype(str), chosen.astype(str))]


def _wrong_size(message: str, cohort: Cohort) -> BenchError:
    return BenchError(Problem("few-shot-size", message, where=f"cohort {cohort.spec.id}"))
