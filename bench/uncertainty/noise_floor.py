"""What a calibration error would be if the model were calibrated: the noise floor.

A binned or smoothed calibration error is never negative, so it is above 0 for a calibrated model too, by an
amount that depends on the number of patients and on the predictions. The residuals of each patient, y - p,
with a random sign for each patient, are residuals of a calibrated model with the same spread and the same
clustering (the wild bootstrap; Liu 1988, "Bootstrap procedures under some non-i.i.d. models"). The mean error
over random signs is stored beside the error; it is no p-value.
"""

from __future__ import annotations

import numpy as np

from bench.metrics.calibration import (
    bin_edges,
    bin_index,
    mesh_shares,
    smooth_errors,
)
from bench.metrics.kernels import scan
from bench.metrics.validation import Floats, Ints
from bench.uncertainty.draws import Blocks
from bench.uncertainty.sample import Sample

SIGNS = 1024
"""Random signs of each patient for the binned error; the mean is then good to about 1%."""

SMOOTH_SIGNS = 256
"""The same for the smooth error."""

SMOOTH_MESH = 400
"""Intervals of the mesh for the smooth error's floor."""


def sign_blocks(patients: int, draws: int, seed: int) -> Blocks:
    """(k, patients, LANES) random bits, 1 for the sign +: the same on any machine.

    Draw b takes its bits from the raw stream of PCG64DXSM, least significant bit first.
    """
    lanes = scan.LANES
    words = -(-patients // 64)
    generator = np.random.PCG64DXSM(np.random.SeedSequence(seed))
    raw = generator.random_raw((draws, words)).astype("<u8")
    bits = np.unpackbits(raw.view(np.uint8), axis=1, bitorder="little")[:, :patients]
    blocks = np.zeros((-(-draws // lanes), patients, lanes), np.uint8)
    for index, block in enumerate(blocks):
        part = bits[index * lanes : (index + 1) * lanes]
        block[:, : len(part)] = part.T
    return blocks


def _signed_sums(blocks: Blocks, patient: Ints, values: Floats, group: Ints, groups: int) -> Floats:
    """(groups, lanes) sums of values over each group with the signs of their patients."""
    patients = blocks.shape[1]
    worth = np.bincount(group * patients + patient, values, minlength=groups * patients)
    held = np.flatnonzero(worth)
    start = np.searchsorted(held, np.arange(groups + 1) * patients)
    positive = scan.group_sums(blocks, start, held % patients, worth[held])
    whole = np.bincount(group, values, minlength=groups)
    return np.asarray(2 * positive - whole[:, None])


def binned_floor(sample: Sample, p: Floats, bins: int, seed: int = 0, draws: int = SIGNS) -> float:
    """Mean calibration error over random signs of the patients: `Σ_b |Σ_i V_i r_ib| / n`.

    Args:
        sample: Labels and patients.
        p: (n,) probabilities of the rows that count.
        bins: Number of equal-width bins.
        seed: Seed of the signs.
        draws: Number of signs of each patient.
    """
    index = bin_index(p, bin_edges(p, bins, "uniform"))
    residual = sample.unit * (sample.positive - p)
    blocks = sign_blocks(sample.blocks.shape[1], draws, seed)
    sums = _signed_sums(blocks, sample.patient, residual, index, bins)[:, :draws]
    return float(np.abs(sums).sum(axis=0).mean() / sample.unit.sum())


def smooth_floor(sample: Sample, p: Floats, seed: int = 0, draws: int = SMOOTH_SIGNS) -> float:
    """Mean smooth calibration error over random signs of the patients; arguments as in `binned_floor`."""
    residual = sample.unit * (sample.positive - p) / sample.unit.sum()
    left, right_share = mesh_shares(p, SMOOTH_MESH)
    blocks = sign_blocks(sample.blocks.shape[1], draws, seed)
    masses = _signed_sums(
        blocks,
        np.concatenate([sample.patient, sample.patient]),
        np.concatenate([residual * (1 - right_share), residual * right_share]),
        np.concatenate([left, left + 1]),
        SMOOTH_MESH + 1,
    )[:, :draws]
    return float(np.mean(smooth_errors(masses.T)))
