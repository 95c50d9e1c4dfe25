"""Calibration lines refitted in every replicate."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench.metrics.calibration import logit
from bench.metrics.kernels import scan
from bench.metrics.recalibration_line import expit, fit_line, fit_shift
from bench.metrics.validation import Bools, Floats
from bench.uncertainty.sample import Sample


class Refit:
    """The calibration line refitted in every replicate, (B,) each; nan where undefined."""

    def __init__(self, sample: Sample, p: Floats) -> None:
        self._sample, self._p = sample, p

    @cached_property
    def _lines(self) -> Lines:
        return line_replicates(self._sample, self._p)

    @property
    def calibration_slope(self) -> Floats:
        """Slope of the joint fit."""
        return self._lines.calibration_slope

    @property
    def calibration_intercept(self) -> Floats:
        """Intercept of the joint fit."""
        return self._lines.calibration_intercept

    @property
    def calibration_in_the_large(self) -> Floats:
        """Intercept with the slope fixed at 1."""
        return shift_replicates(self._sample, self._p)


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of all replicates, (B,) each; nan without a finite maximum-likelihood fit."""

    calibration_slope: Floats
    calibration_intercept: Floats


def line_replicates(sample: Sample, p: Floats) -> Lines:
    """Fit y on logit(p) in every replicate, each started from the line of all images."""
    x = logit(p)
    nothing = np.full(sample.replicates, np.nan)
    line = fit_line(sample.positive, x, sample.weight)
    if line is None:
        return Lines(nothing, nothing)
    centre = float(np.average(x, weights=sample.weight))
    width = float(np.sqrt(np.average((x - centre) ** 2, weights=sample.weight)))
    start = line.intercept + line.slope * centre, line.slope * width
    intercept, slope, done = _refined(sample, (x - centre) / width, *start, joint=True)
    slope /= width
    intercept -= slope * centre
    return Lines(np.where(done, slope, np.nan), np.where(done, intercept, np.nan))


def shift_replicates(sample: Sample, p: Floats) -> Floats:
    """(B,) calibration in the large; nan where a replicate holds one class only."""
    x = logit(p)
    shift = fit_shift(sample.positive, x, sample.weight)
    if shift is None:
        return np.full(sample.replicates, np.nan)
    intercept, _, done = _refined(sample, x, shift, 1.0, joint=False)
    return np.where(done, intercept, np.nan)


def _refined(
    sample: Sample, x: Floats, intercept: float, slope: float, *, joint: bool
) -> tuple[Floats, Floats, Bools]:
    """Intercepts, slopes and whether they converged, (B,) each.

    The first step needs no exponentials: at the common start gradient and information are sums over patients.
    """
    from bench.metrics.kernels.newton import newton_lines

    guess = expit(intercept + slope * x)
    influences, hold = sample.positive - guess, guess * (1 - guess)
    g0, g1, h00, h01, h11 = sample.totals([influences, influences * x, hold, hold * x, hold * x**2])
    with np.errstate(invalid="ignore", divide="ignore"):
        area = h00 * h11 - h01**2
        step = (h11 * g0 - h01 * g1) / area if joint else g0 / h00
        turn = (h00 * g1 - h01 * g0) / area if joint else np.zeros_like(g0)
    lanes = np.zeros((3, len(sample.blocks) * scan.LANES))
    lanes[0, : sample.replicates] = intercept + _short(step)
    lanes[1, : sample.replicates] = slope + _short(turn)
    lanes[2, : sample.replicates] = sample.defined
    starts, slopes, still_open = lanes.reshape(3, -1, scan.LANES)
    running = still_open > 0
    newton_lines(
        sample.blocks, sample.patient, x, sample.positive.astype(np.float64), sample.unit,
        starts, slopes, joint, running,
    )  # fmt: skip
    done = sample.defined & ~running.reshape(-1)[: sample.replicates]
    return sample.trimmed(starts), sample.trimmed(slopes), done


def _short(step: Floats) -> Floats:
    """Steps that are finite and at most 1."""
    return np.clip(np.nan_to_num(step, nan=0.0), -1, 1)
