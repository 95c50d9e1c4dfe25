"""Compiled shading of a synthetic chest X-ray from curves that depend on x alone or on y alone.

Only sums, products, quotients, square roots and comparisons are computed here, each rounded as IEEE 754
says, without reassociation or fused operations: the same curves give the same pixels on every machine.
Sines, powers and exponentials stay in the curves, which `bench.cohort.synthetic.drawing` computes.
"""

from __future__ import annotations

import numpy as np

from bench.cohort.synthetic.anatomy import IMAGE_SIDE
from bench.metrics.kernels.compiled import compiled_loop

SIDE = IMAGE_SIDE
TILE = 32
TILES = SIDE // TILE
F = np.float32

# A curve has a part that depends on x and a part that depends on y. Borders: a smoothstep of the sum of both.
(SHOULDER, FLANK, CHEST_WALL, DIAPHRAGM, HEART_LEFT, HEART_RIGHT, VESSELS_LEFT, VESSELS_RIGHT) = range(8)
# Ellipses, the squared distance from a hilum and the distance from a collar bone: functions of the sum.
STOMACH, BREAST, HILUM, CLAVICLE = range(8, 12)
# Factors: the product of both parts.
(TRUNK, BELOW_RIBS, HEART_TOP, VESSELS_TOP, RIB_REACH, LUNG_BASES, CLAVICLE_ENDS, SPINE, TRACHEA) = range(
    12, 21
)
BACK_COS, BACK_SIN, FRONT_COS, FRONT_SIN = range(21, 25)
CURVES = 25


@compiled_loop()
def _smoothstep(t):  # type: ignore[no-untyped-def]
    """0 below 0, 1 above 1, smooth between."""
    t = min(max(t, F(0)), F(1))
    return t * t * (F(3) - F(2) * t)


@compiled_loop()
def _bowl(t):  # type: ignore[no-untyped-def]
    """0 below 0, 1 above 1, t (2 - t) between."""
    t = min(max(t, F(0)), F(1))
    return t * (F(2) - t)


@compiled_loop()
def shade_chest(x, y, shades, texture, grain):  # type: ignore[no-untyped-def]
    """Shades of everything but hardware, with grain.

    Args:
        x: (CURVES, SIDE) parts of the curves that depend on x.
        y: (CURVES, SIDE) parts that depend on y.
        shades: (5,) of air, breasts, lung vessels, congested lungs, and standard deviation of the grain.
        texture: (SIDE, SIDE) smooth noise of the lung vessels.
        grain: (SIDE, SIDE) noise of unit variance.

    Returns:
        (SIDE, SIDE) 32-bit shades: 0 is air, 1 is dense.
    """
    out = np.empty((SIDE, SIDE), F)
    air, breast, vessels, veil, noise = shades
    for i in range(SIDE):
        for j in range(SIDE):
            body = _smoothstep(x[SHOULDER, j] + y[SHOULDER, i]) * _smoothstep(x[FLANK, j] + y[FLANK, i])
            thorax = _smoothstep(x[CHEST_WALL, j] + y[CHEST_WALL, i])
            above = _smoothstep(x[DIAPHRAGM, j] + y[DIAPHRAGM, i])
            lungs = thorax * above
            heart = _smoothstep(x[HEART_LEFT, j] + y[HEART_LEFT, i]) * y[HEART_TOP, i]
            heart *= _smoothstep(x[HEART_RIGHT, j] + y[HEART_RIGHT, i])
            mediastinum = _smoothstep(x[VESSELS_LEFT, j] + y[VESSELS_LEFT, i]) * y[VESSELS_TOP, i]
            mediastinum *= _smoothstep(x[VESSELS_RIGHT, j] + y[VESSELS_RIGHT, i])
            central = max(heart, mediastinum)

            back = x[BACK_COS, j] * y[BACK_COS, i] - x[BACK_SIN, j] * y[BACK_SIN, i]
            front = x[FRONT_COS, j] * y[FRONT_COS, i] - x[FRONT_SIN, j] * y[FRONT_SIN, i]
            ribs = max(back + F(0.1), F(0)) + x[RIB_REACH, j] * max(front - F(0.1), F(0)) - F(0.35)
            near = F(1.15) - F(1.6) * np.sqrt(x[HILUM, j] + y[HILUM, i])
            near = min(max(near, F(0)), F(1))
            branches = vessels * near * max(texture[i, j], F(0)) + veil * (near * near + y[LUNG_BASES, i])
            clavicle = _smoothstep(F(1.2) - F(25) * abs(x[CLAVICLE, j] + y[CLAVICLE, i]))

            shade = body * y[TRUNK, i]
            shade -= lungs * air
            shade += (F(1) - above) * thorax * (F(0.24) - F(0.10) * _bowl(x[STOMACH, j] + y[STOMACH, i]))
            shade += (F(1) - thorax) * body * y[BELOW_RIBS, i]
            shade += ribs * thorax * (F(0.11) * lungs * (F(1) - F(0.75) * central) + F(0.015))
            shade += branches * lungs * (F(1) - F(0.8) * central)
            shade += breast * _bowl(x[BREAST, j] + y[BREAST, i]) * body
            shade += clavicle * x[CLAVICLE_ENDS, j] * body
            shade += central * (F(0.33) * lungs + F(0.05))
            shade += (x[SPINE, j] * y[SPINE, i] - x[TRACHEA, j] * y[TRACHEA, i]) * body
            out[i, j] = shade + noise * grain[i, j] * (F(0.6) + F(0.6) * shade)
    return out


@compiled_loop()
def equalise(shade, weights, local_contrast):  # type: ignore[no-untyped-def]
    """Remove part of the local mean, in place, then stretch to 0..255.

    Args:
        shade: (SIDE, SIDE) shades; overwritten.
        weights: (SIDE, TILES) interpolation from the middles of tiles to pixels.
        local_contrast: Share of the local mean that is removed.

    Returns:
        (SIDE, SIDE) the same array.
    """
    means = np.zeros((TILES, SIDE), F)
    for i in range(SIDE):
        for j in range(SIDE):
            means[i // TILE, j] += shade[i, j]
    tiles = np.zeros((TILES, TILES), F)
    for j in range(SIDE):
        for k in range(TILES):
            tiles[k, j // TILE] += means[k, j] / F(TILE * TILE)
    across = np.zeros((TILES, SIDE), F)
    for k in range(TILES):
        for tile in range(TILES):
            for j in range(SIDE):
                across[k, j] += weights[j, tile] * tiles[k, tile]
    darkest, brightest = np.full(SIDE, np.inf, F), np.full(SIDE, -np.inf, F)
    local = np.empty(SIDE, F)
    for i in range(SIDE):
        local[:] = 0
        for k in range(TILES):
            for j in range(SIDE):
                local[j] += weights[i, k] * across[k, j]
        for j in range(SIDE):
            shade[i, j] -= local_contrast * local[j]
            darkest[j] = min(darkest[j], shade[i, j])
            brightest[j] = max(brightest[j], shade[i, j])
    low = darkest.min()
    scale = F(255) / (brightest.max() - low)
    for i in range(SIDE):
        for j in range(SIDE):
            shade[i, j] = (shade[i, j] - low) * scale
    return shade
