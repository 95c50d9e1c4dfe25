"""Noise floor of calibration errors: their expected value for a calibrated model.

A binned or smoothed calibration error is never negative, so it is above 0 for a calibrated model too, by an
amount that depends on the number of patients and on the predictions. The residuals of each patient, y - p,
with a random sign for each patient, are residuals of a calibrated model with the same spread and the same
clustering (the wild bootstrap; Liu 1988, "Bootstrap procedures under some non-i.i.d. models"). The mean error
over random signs is stored beside the error; it is no p-value.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bench.metrics.calibration import (
    bin_edges,
    bin_index,
    mesh_shares,
    smooth_errors,
)
from bench.metrics.influence import row_units
from bench.metrics.kernels import scan
from bench.metrics.validation import Bools, Floats, Ints

SIGNS = 512
"""Random signs of each patient for the binned error; the mean is then good to about 1%."""

SMOOTH_SIGNS = 64
"""The same for the smooth error; good to about 4%."""

SMOOTH_MESH = 256
"""Intervals of the mesh for the smooth error's floor."""


@lru_cache(maxsize=4)  # all entries and targets of a board share their patients
def sign_blocks(patients: int, draws: int, seed: int) -> NDArray[np.uint8]:
    """(k, patients, lanes) random bits, 1 for the sign +: the same on any machine.

    There are as many lanes as draws, at most `scan.LANES`; further draws are in further blocks.
    Draw b takes its bits from the raw stream of PCG64DXSM, least significant bit first.
    """
    lanes = min(draws, scan.LANES)
    words = -(-patients // 64)
    generator = np.random.PCG64DXSM(np.random.SeedSequence(seed))
    raw = generator.random_raw((draws, words)).astype("<u8")
    bits = np.unpackbits(raw.view(np.uint8), axis=1, bitorder="little")[:, :patients]
    blocks = np.zeros((-(-draws // lanes), patients, lanes), np.uint8)
    for index, block in enumerate(blocks):
        part = bits[index * lanes : (index + 1) * lanes]
        block[:, : len(part)] = part.T
    return blocks


def _signed_sums(
    blocks: NDArray[np.uint8], patient: Ints, values: Floats, group: Ints, groups: int
) -> Floats:
    """(groups, lanes) sums of values over each group with the signs of their patients."""
    order = np.argsort(group * blocks.shape[1] + patient)
    start = np.searchsorted(group[order], np.arange(groups + 1))
    positive = scan.group_sums(blocks, start, patient[order], values[order])
    whole = np.bincount(group, values, minlength=groups)
    return np.asarray(2 * positive - whole[:, None])


def binned_floor(
    positive: Bools,
    p: Floats,
    weight: Floats | None,
    patient: Ints,
    bins: int,
    seed: int = 0,
    draws: int = SIGNS,
) -> float:
    """Mean calibration error over random signs of the patients: `Σ_b |Σ_i V_i r_ib| / n`.

    Args:
        positive: (n,) labels.
        p: (n,) probabilities.
        weight: (n,) row weights, or None.
        patient: (n,) whole numbers from 0, the same for images of the same patient.
        bins: Number of equal-width bins.
        seed: Seed of the signs.
        draws: Number of signs of each patient.
    """
    unit = row_units(positive, weight)
    index = bin_index(p, bin_edges(p, bins, "uniform"))
    blocks = sign_blocks(int(patient.max()) + 1, draws, seed)
    sums = _signed_sums(blocks, patient, unit * (positive - p), index, bins)[:, :draws]
    return float(np.abs(sums).sum(axis=0).mean() / unit.sum())


def smooth_floor(
    positive: Bools,
    p: Floats,
    weight: Floats | None,
    patient: Ints,
    seed: int = 0,
    draws: int = SMOOTH_SIGNS,
) -> float:
    """Mean smooth calibration error over random signs of the patients; arguments as in `binned_floor`."""
    unit = row_units(positive, weight)
    residual = unit * (positive - p) / unit.sum()
    left, right_share = mesh_shares(p, SMOOTH_MESH)
    blocks = sign_blocks(int(patient.max()) + 1, draws, seed)
    masses = _signed_sums(
        blocks,
        np.concatenate([patient, patient]),
        np.concatenate([residual * (1 - right_share), residual * right_share]),
        np.concatenate([left, left + 1]),
        SMOOTH_MESH + 1,
    )[:, :draws]
    return float(np.mean(smooth_errors(masses.T)))
