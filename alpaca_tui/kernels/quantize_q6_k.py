"""Quantising to q6_K, 256 elements a block: the search of today, and that of June to August 2023.

The NumPy twins are in files/block_q6_k.py. Today's search tries 19 scales for each of the 16 groups of a
block; groups are lanes here, so that each group's sums run in the order in which ggml adds.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from alpaca_tui.kernels.quantize import N_BLOCKS, SCRATCH, TARGET, widen
from alpaca_tui.kernels.quantize_vectors import minimum, nearest, store_u8, where_equal, where_greater
from alpaca_tui.kernels.registry import OPTIONS, kernel
from alpaca_tui.kernels.vectors import (
    f32_at,
    i8_at,
    load,
    load_f16,
    magnitude,
    maximum,
    round_even,
    splat,
    store,
    to_f16,
    u8_at,
    u16_at,
    zeros,
)

NBYTES, QL, QH, SCALES, D = 210, 0, 128, 192, 208  # of a block
HALF = 32  # levels 0 .. 63 stand for -32 .. 31
EPS = np.float32(1e-15)

# In the scratch: the elements, the same with groups side by side, scales, and levels (by group, or in order).
X, ACROSS, GROUP_SCALES, D_LANES, LEVELS = 0, 1024, 2048, 2112, 2176


@njit(**OPTIONS)
def clamped(x):
    """Levels of -32 .. 31."""
    low, high = splat(np.float32(-HALF)), splat(np.float32(HALF - 1))
    return minimum(maximum(round_even(x), low), high)


@njit(**OPTIONS)
def sums(across, iscale):
    """Per group: sum of x^2 (x l) and of x^2 (l l), for the levels l of a scale."""
    sum_xl, sum_ll = zeros(1), zeros(1)
    for i in range(16):
        x = load(across, 16 * i)
        level, weight = clamped(iscale * x), x * x
        sum_xl = sum_xl + weight * x * level
        sum_ll = sum_ll + weight * level * level
    return sum_xl, sum_ll


@njit(**OPTIONS)
def fit(across, scales):
    """The best scale of each group goes to scales; returns what its levels were computed with, and x max."""
    zero, one = zeros(1), splat(np.float32(1.0))
    amax, top = zeros(1), zeros(1)
    for i in range(16):
        x = load(across, 16 * i)
        top = where_greater(magnitude(x), amax, x, top)
        amax = maximum(magnitude(x), amax)
    dead = splat(EPS)
    safe = where_greater(dead, amax, one, top)
    chosen = splat(np.float32(-HALF)) / safe
    sum_xl, sum_ll = sums(across, chosen)
    scale = where_equal(sum_ll, zero, zero, sum_xl / sum_ll)
    best = scale * sum_xl
    for step in range(-9, 10):
        if step == 0:
            continue
        iscale = splat(-(np.float32(HALF) + np.float32(0.1) * np.float32(step))) / safe
        sum_xl, sum_ll = sums(across, iscale)
        gain = where_greater(sum_ll, zero, sum_xl * sum_xl, splat(np.float32(-1.0)))
        limit, other = best * sum_ll, sum_xl / sum_ll
        best = where_greater(gain, limit, other * sum_xl, best)
        scale = where_greater(gain, limit, other, scale)
        chosen = where_greater(gain, limit, iscale, chosen)
    store(scales, 0, where_greater(dead, amax, zero, scale))
    return chosen, amax


@njit(**OPTIONS)
def pack_levels(target, levels):
    """The 256 levels of a block, in order, to ql and qh."""
    ql, qh = u8_at(target + QL), u8_at(target + QH)
    for h in range(2):
        for i in range(32):
            e = 128 * h + i
            a, b, c, d = levels[e], levels[e + 32], levels[e + 64], levels[e + 96]
            ql[64 * h + i] = (a & 15) | (c & 15) << 4
            ql[64 * h + 32 + i] = (b & 15) | (d & 15) << 4
            qh[32 * h + i] = a >> 4 | (b >> 4) << 2 | (c >> 4) << 4 | (d >> 4) << 6


@njit(**OPTIONS)
def store_scales(target, scales, max_scale):
    """d and the 16 scales of a block from those of its groups."""
    iscale = np.float32(-128.0) / max_scale
    u16_at(target + D)[0] = to_f16(np.float32(1.0) / iscale)
    stored = i8_at(target + SCALES)
    for g in range(16):
        stored[g] = min(127, nearest(iscale * scales[g]))


@njit(**OPTIONS)
def largest_scale(scales):
    """The scale of the largest magnitude, the first of several; 0 where all are."""
    top = np.float32(0.0)
    for g in range(16):
        if abs(scales[g]) > abs(top):
            top = scales[g]
    return top


@kernel
def quantize_q6_K(a, thread, n_threads):  # noqa: N802 (the format's name)
    x, across = f32_at(a[SCRATCH] + X), f32_at(a[SCRATCH] + ACROSS)
    scales, d_lanes = f32_at(a[SCRATCH] + GROUP_SCALES), u16_at(a[SCRATCH] + D_LANES)
    by_group, levels = u8_at(a[SCRATCH] + X), u8_at(a[SCRATCH] + LEVELS)
    zero, half = zeros(1), splat(np.float32(HALF))
    for b in range(a[N_BLOCKS]):
        target = a[TARGET] + b * NBYTES
        widen(a, b * 256, 256, x)
        for g in range(16):
            for i in range(16):
                across[16 * i + g] = x[16 * g + i]
        chosen, amax = fit(across, scales)
        max_scale = largest_scale(scales)
        if abs(max_scale) < EPS:
            for i in range(NBYTES):
                u8_at(target)[i] = 0
            continue
        store_scales(target, scales, max_scale)
        for g in range(16):
            d_lanes[g] = u16_at(target + D)[0]
            scales[g] = np.float32(i8_at(target + SCALES)[g])
        step = load_f16(d_lanes, 0) * load(scales, 0)
        dead = splat(EPS)
        for i in range(16):
            v = load(across, 16 * i)
            kept = where_greater(dead, amax, zero, clamped(chosen * v) + half)
            store_u8(by_group, 16 * i, where_equal(step, zero, kept, clamped(v / step) + half))
        for g in range(16):
            for i in range(16):
                levels[16 * g + i] = by_group[16 * i + g]
        pack_levels(target, levels)


# --- June to August 2023 ------------------------------------------------------------------------------------


@njit(**OPTIONS)
def level_of(x):
    return max(-HALF, min(HALF - 1, nearest(x)))


@njit(**OPTIONS)
def refit(x, levels, scale, sum_xl, sum_ll):
    """Up to three times: new levels for the scale that the last ones led to, while that lessens the error."""
    best = scale * sum_xl
    for _ in range(3):
        iscale = np.float32(1.0) / scale
        xl, ll = np.float32(0.0), np.float32(0.0)
        changed = False
        for i in range(16):
            level = level_of(iscale * x[i])
            changed = changed or level + HALF != levels[i]
            weight, value = x[i] * x[i], np.float32(level)
            xl += weight * x[i] * value
            ll += weight * value * value
        if not changed or ll == np.float32(0.0) or xl * xl <= best * ll:
            break
        for i in range(16):
            levels[i] = level_of(iscale * x[i]) + HALF
        sum_xl, sum_ll = xl, ll
        scale = xl / ll
        best = scale * xl
    return scale, sum_xl, sum_ll


@njit(**OPTIONS)
def fit_2023(x, levels):
    """Scale and levels (0 .. 63) of 16 elements."""
    amax, top = np.float32(0.0), np.float32(0.0)
    for i in range(16):
        if abs(x[i]) > amax:
            amax, top = abs(x[i]), x[i]
    if amax == np.float32(0.0):
        for i in range(16):
            levels[i] = 0
        return np.float32(0.0)
    iscale = np.float32(-HALF) / top
    sum_xl, sum_ll = np.float32(0.0), np.float32(0.0)
    for i in range(16):
        level = level_of(iscale * x[i])
        levels[i] = level + HALF
        weight, value = x[i] * x[i], np.float32(level)
        sum_xl += weight * x[i] * value
        sum_ll += weight * value * value
    scale, sum_xl, sum_ll = refit(x, levels, sum_xl / sum_ll, sum_xl, sum_ll)
    for _ in range(5):
        n_changed = 0
        for i in range(16):
            weight, level = x[i] * x[i], np.int64(levels[i]) - HALF
            value = np.float32(level)
            xl = sum_xl - weight * x[i] * value
            if not xl > np.float32(0.0):
                continue
            ll = sum_ll - weight * value * value
            new = level_of(x[i] * ll / xl)
            if new == level:
                continue
            value = np.float32(new)
            xl += weight * x[i] * value
            ll += weight * value * value
            if ll > np.float32(0.0) and xl * xl * sum_ll > sum_xl * sum_xl * ll:
                levels[i] = new + HALF
                sum_xl, sum_ll = xl, ll
                scale = xl / ll
                n_changed += 1
        if n_changed == 0:
            break
    return scale


@kernel
def quantize_q6_K_2023(a, thread, n_threads):  # noqa: N802
    scales, levels = f32_at(a[SCRATCH] + GROUP_SCALES), u8_at(a[SCRATCH] + LEVELS)
    d_lanes, wide = u16_at(a[SCRATCH] + D_LANES), f32_at(a[SCRATCH] + ACROSS)
    for b in range(a[N_BLOCKS]):
        target = a[TARGET] + b * NBYTES
        widen(a, b * 256, 256, f32_at(a[SCRATCH] + X))
        for g in range(16):
            scales[g] = fit_2023(f32_at(a[SCRATCH] + X + 64 * g), u8_at(a[SCRATCH] + LEVELS + 16 * g))
        store_scales(target, scales, largest_scale(scales))
        d_lanes[0] = u16_at(target + D)[0]
        store(wide, 0, load_f16(d_lanes, 0))
        for g in range(16):
            x = f32_at(a[SCRATCH] + X + 64 * g)
            step = wide[0] * np.float32(i8_at(target + SCALES)[g])
            if step != np.float32(0.0):
                for i in range(16):
                    levels[16 * g + i] = level_of(x[i] / step) + HALF
        pack_levels(target, levels)
