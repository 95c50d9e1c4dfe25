"""From pixels and table to a model's inputs, as its manifest declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bench.errors import BenchError, Problem, raise_errors

if TYPE_CHECKING:
    from bench.cohort.cohort import Cohort
    from bench.submission.manifest import ImageInput, ModelInputs

Float32s = npt.NDArray[np.float32]


def image_tensor(pixels: npt.NDArray[np.uint8], declared: ImageInput) -> Float32s:
    """(N, channels, height, width) float32: pixels / scale, minus mean, divided by std.

    Args:
        pixels: (N, height, width) 8-bit grey values, already of the declared size.
        declared: The manifest's ``[model.image]``.
    """
    per_channel = (1, -1, 1, 1)
    mean = np.broadcast_to(np.array(declared.mean, np.float32), declared.channels).reshape(per_channel)
    std = np.broadcast_to(np.array(declared.std, np.float32), declared.channels).reshape(per_channel)
    scaled = pixels[:, None].astype(np.float32) / np.float32(declared.scale)
    return np.ascontiguousarray((scaled - mean) / std)


def table_inputs(cohort: Cohort, rows: npt.NDArray[np.intp], model: ModelInputs) -> dict[str, Float32s]:
    """Name of the input → (n, 1) float32: age in years, sex with male 1 and female 0.

    Args:
        cohort: Its spec names the columns of age and sex.
        rows: (n,) rows of the cohort.
        model: The manifest's ``[model]``.

    Raises:
        BenchError: The cohort does not have the column (``model-manifest``), or values are blank or of
            another form (``model-input-value``); all are listed.
    """
    problems: list[Problem] = []
    inputs = {}
    for field, name in (("age", model.age), ("sex", model.sex)):
        if name is None:
            continue
        if field not in cohort.spec.columns.inputs:
            message = f"The model takes {field}, which cohort {cohort.spec.id} does not have."
            raise BenchError(Problem("model-manifest", message, f"submission.toml, model.{field}"))
        column = cohort.spec.columns.inputs[field]
        values = cohort.input(field)[rows].astype(np.float32)
        if bad := int(np.isnan(values).sum()):
            wanted = "ages in years" if field == "age" else "M or F"
            message = f"{bad:,} of {len(values):,} values are not {wanted}."
            problems.append(Problem("model-input-value", message, f"column {column}"))
        inputs[name] = values[:, None]
    raise_errors(problems)
    return inputs
