"""Comparison of a timed session's predictions with the stored ones, and the kind of difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from bench.metrics.discrimination import auroc
from bench.metrics.validation import Floats
from bench.timing.record import Parity

# Precision → largest |Δp| and |ΔAUROC|; int8 has none, it is scored from its own predictions.
GATES: Final[dict[str, tuple[float, float]]] = {
    "fp32": (1e-4, 1e-3),
    "tf32": (2e-3, 1e-3),
    "fp16": (5e-3, 1e-3),
    "bf16": (2e-2, 3e-3),
}


def not_checked(reason: str) -> Parity:
    """The verdict where nothing was compared."""
    return Parity(status="not_checked", message=reason)


def check_parity(
    measured: Mapping[str, Floats],
    stored: Mapping[str, Floats],
    precision: str,
    *,
    labels: Mapping[str, Floats] | None = None,
    spans: Mapping[str, float] | None = None,
) -> Parity:
    """Compare the outputs of a timed session with the stored predictions of the same images.

    Args:
        measured: Target → (n,) what the session gave.
        stored: Target → (n,) what was scored.
        precision: Decides the gates.
        labels: Target → (n,) 0/1, NaN where unlabelled; without them AUROC is not compared.
        spans: Target → by what its differences are divided, for scores that are no probabilities.
    """
    if missing := sorted(set(measured) ^ set(stored)):
        return Parity(status="failed", message=f"Only one side has a value for {', '.join(missing)}.")
    gate, auroc_gate = GATES.get(precision, (None, None))
    scale = {target: (spans or {}).get(target, 1.0) for target in stored}
    images = len(next(iter(stored.values())))
    differences = {t: np.abs(measured[t] - stored[t]) / scale[t] for t in stored}
    undefined = {t: int((~np.isfinite(d)).sum()) for t, d in differences.items()}
    if total := sum(undefined.values()):
        worst = max(undefined, key=lambda t: undefined[t])
        message = f"{total} of {images * len(stored)} values are NaN or infinite, most in {worst}."
        return Parity(status="failed", images=images, max_difference_gate=gate, target=worst, message=message)
    target = max(differences, key=lambda t: float(differences[t].max(initial=0.0)))
    largest = float(differences[target].max(initial=0.0))
    shift = _auroc_difference(measured, stored, labels or {})
    faults = []
    if gate is not None and largest > gate:
        faults.append(_what_differs(target, measured, stored, differences, scale, gate))
    if auroc_gate is not None and shift is not None and shift > auroc_gate:
        faults.append(f"AUROC differs by more than the gate of {auroc_gate:g}.")
    if gate is None:
        faults.append(f"{precision} has no gate: its AUROC in this record is of its own predictions.")
    return Parity(
        status="not_checked" if gate is None else "failed" if faults else "passed",
        images=images,
        max_difference=largest,
        max_difference_gate=gate,
        target=target,
        auroc_difference=shift,
        auroc_difference_gate=auroc_gate,
        message=" ".join(faults),
    )


def _auroc_difference(
    measured: Mapping[str, Floats], stored: Mapping[str, Floats], labels: Mapping[str, Floats]
) -> float | None:
    """Largest |ΔAUROC| over the targets for which both are defined."""
    shifts = []
    for target, label in labels.items():
        if target not in stored:
            continue
        known = ~np.isnan(label)
        now, before = (auroc(label[known], side[target][known]) for side in (measured, stored))
        if now is not None and before is not None:
            shifts.append(abs(now - before))
    return max(shifts, default=None)


def _what_differs(
    target: str,
    measured: Mapping[str, Floats],
    stored: Mapping[str, Floats],
    differences: Mapping[str, Floats],
    scale: Mapping[str, float],
    gate: float,
) -> str:
    """The fault in words: outputs in another order, or how far off and for how many images."""
    swapped = [
        f"{name} is what is stored for {other}"
        for name in measured
        for other in stored
        if name != other
        and differences[name].max() > gate
        and np.abs(measured[name] - stored[other]).max() <= gate * scale[other]
    ]
    if swapped:
        return f"The outputs are permuted: {', '.join(swapped)}."
    over = int((differences[target] > gate).sum())
    text = (
        f"{over} of {len(differences[target])} images differ by more than {gate:g} in {target}, "
        f"at most by {differences[target].max():.2g}"
    )
    if _ordered_alike(measured[target], stored[target]):
        return f"{text}; their order is the same, so that a scale or an activation differs."
    return f"{text}; their order differs too, so that the input or the weights differ."


def _ordered_alike(a: Floats, b: Floats) -> bool:
    return len(a) > 2 and float(np.corrcoef(_ranks(a), _ranks(b))[0, 1]) > 0.999


def _ranks(values: Floats) -> Floats:
    return np.argsort(np.argsort(values)).astype(np.float64)
