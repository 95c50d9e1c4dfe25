"""From a model's raw outputs to one column of predictions per target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bench.metrics.recalibration_line import expit
from bench.metrics.validation import Floats
from bench.onnx.outputs import output_column

if TYPE_CHECKING:
    from bench.cohort.spec import CohortSpec
    from bench.submission.manifest import ModelInputs


@dataclass(frozen=True, slots=True)
class OutputSelector:
    """Output, column and activation from which a target is read.

    Attributes:
        target: Name of the target.
        reference: ``output`` or ``output:column``.
        sigmoid: Whether the output is a logit.
    """

    target: str
    reference: str
    sigmoid: bool

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def picks_of(model: ModelInputs, spec: CohortSpec) -> tuple[OutputSelector, ...]:
    """Return what is read from a model's outputs; the activation belongs to binary targets alone."""
    binary = {target.name for target in spec.binary_targets}
    logits = model.activation == "sigmoid"
    return tuple(
        OutputSelector(t, reference, logits and t in binary) for t, reference in model.outputs.items()
    )


def select(
    outputs: Mapping[str, npt.NDArray[Any]], picks: Sequence[OutputSelector], rows: int
) -> dict[str, Floats]:
    """Target → (rows,) float64.

    Raises:
        ValueError: An output is missing or of another shape than (rows,) or (rows, columns).
    """
    return {pick.target: _column(outputs, pick, rows) for pick in picks}


def _column(outputs: Mapping[str, npt.NDArray[Any]], pick: OutputSelector, rows: int) -> Floats:
    try:
        place = output_column(pick.reference, list(outputs))
    except KeyError:
        raise ValueError(f"the model gave no output {pick.reference!r} for {pick.target}") from None
    output = np.asarray(outputs[place.name])
    table = output[:, None] if output.ndim == 1 else output
    column = place.column or 0
    if table.ndim != 2 or len(table) != rows or column >= table.shape[1]:
        raise ValueError(f"output {place.name!r} has shape {output.shape} for {rows} images")
    if place.column is None and table.shape[1] != 1:
        raise ValueError(f"output {place.name!r} has {table.shape[1]} columns and the manifest names none")
    values = table[:, column].astype(np.float64)
    return expit(values) if pick.sigmoid else values
