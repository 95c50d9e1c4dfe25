"""Calibration lines of all replicates at once: a compiled Newton iteration over lanes of multiplicities.

Replicates are lanes as in `bench.metrics.kernels.scan`. The exponential is written out (reduction by powers
of two and a polynomial, good to the last bits of float64) so that the compiler runs it over neighbouring
lanes together.
"""

from __future__ import annotations

import numpy as np

from bench.metrics.kernels.compiled import compiled_loop
from bench.metrics.kernels.scan import LANES

LOG2E = 1.4426950408889634
LN2_HIGH = 6.93147180369123816490e-01
LN2_LOW = 1.90821492927058770002e-10
SHIFTER = 6755399441055744.0
"""1.5 · 2**52: adding it rounds to a whole number, which then stands in the low bits."""

STEPS = 60
CLOSE = 1e-6
"""A step this small leaves an error of about its square."""


@compiled_loop(error_model="numpy")
def newton_lines(blocks, patient, x, positive, weight, intercept, slope, joint, open_lanes):  # type: ignore[no-untyped-def]
    """Refine one line per lane until it is the most likely one.

    Args:
        blocks: (k, patients, LANES) multiplicities.
        patient: (n,) patient of every image.
        x: (n,) log odds, best centred and scaled.
        positive: (n,) labels as 0.0 and 1.0.
        weight: (n,) image weights.
        intercept: (k, LANES) start; the solution on return.
        slope: (k, LANES) start; the solution on return.
        joint: Whether the slope is fitted too.
        open_lanes: (k, LANES) lanes to fit; on return those that did not converge.
    """
    eta = np.empty(LANES)
    scale = np.empty(LANES)
    bits = scale.view(np.int64)
    small = np.empty(LANES)
    sums = np.empty((5, LANES))
    for b in range(blocks.shape[0]):
        counts, a, s, active = blocks[b], intercept[b], slope[b], open_lanes[b]
        for _ in range(STEPS):
            if not active.any():
                break
            sums[:] = 0.0
            g0, g1, h00, h01, h11 = sums[0], sums[1], sums[2], sums[3], sums[4]
            for i in range(len(x)):
                row = counts[patient[i]]
                place, label, unit = x[i], positive[i], weight[i]
                for j in range(LANES):
                    eta[j] = a[j] + s[j] * place
                    z = max(-abs(eta[j]), -700.0)
                    scale[j] = z * LOG2E + SHIFTER
                    whole = scale[j] - SHIFTER
                    r = (z - whole * LN2_HIGH) - whole * LN2_LOW
                    q = 1.0 / 479001600.0
                    q = q * r + 1.0 / 39916800.0
                    q = q * r + 1.0 / 3628800.0
                    q = q * r + 1.0 / 362880.0
                    q = q * r + 1.0 / 40320.0
                    q = q * r + 1.0 / 5040.0
                    q = q * r + 1.0 / 720.0
                    q = q * r + 1.0 / 120.0
                    q = q * r + 1.0 / 24.0
                    q = q * r + 1.0 / 6.0
                    q = q * r + 0.5
                    q = q * r + 1.0
                    small[j] = q * r + 1.0
                for j in range(LANES):
                    bits[j] = (bits[j] << 52) + (1023 << 52)
                for j in range(LANES):
                    shrunk = small[j] * scale[j]
                    rest = 1.0 / (1.0 + shrunk)
                    p = rest if eta[j] >= 0 else shrunk * rest
                    times = unit * row[j]
                    influences = times * (label - p)
                    hold = times * shrunk * rest * rest
                    g0[j] += influences
                    g1[j] += influences * place
                    h00[j] += hold
                    h01[j] += hold * place
                    h11[j] += hold * place * place
            for j in range(LANES):
                if active[j]:
                    if joint:
                        area = h00[j] * h11[j] - h01[j] * h01[j]
                        step = (h11[j] * g0[j] - h01[j] * g1[j]) / area
                        turn = (h00[j] * g1[j] - h01[j] * g0[j]) / area
                    else:
                        step = g0[j] / h00[j]
                        turn = 0.0
                    # The likelihood is concave, so short steps lead nobody astray; only far lanes need them.
                    step = min(max(step, -1.0), 1.0)
                    turn = min(max(turn, -1.0), 1.0)
                    a[j] += step
                    s[j] += turn
                    active[j] = not (abs(step) < CLOSE and abs(turn) < CLOSE)
