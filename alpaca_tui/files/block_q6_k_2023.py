"""Quantising to q6_K as llama.cpp did from June to August 2023: today's layout, another search.

The rule is k_quants.c's make_qx_quants with rmse_type 1: a first scale from the largest element, up to three
new fits of all levels, then up to five rounds that move single levels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from alpaca_tui.files.block_math import F32, Fields, signed_max
from alpaca_tui.files.block_q6_k import QK_K, lay_levels, ordered_sum

I32 = npt.NDArray[np.int32]

_HALF = 32
_REFITS, _ROUNDS = 3, 5


def nearest(x: F32) -> I32:
    """To the nearest whole number, ties to even, by the bits of x + 1.5 * 2^23 as ggml does it."""
    bits = (x + np.float32(12582912)).view(np.int32)
    return (bits & np.int32(0x007FFFFF)) - np.int32(0x00400000)


def _level(x: F32) -> I32:
    return np.clip(nearest(x), -_HALF, _HALF - 1)


def _fit(x: F32) -> tuple[F32, I32]:
    """Scale [n] and levels -32 .. 31 [n, 16] of groups of 16, x f32 [n, 16]."""
    top = signed_max(x)[:, 0]
    alive = top != 0
    weight = x * x
    weighted = weight * x

    def sums(levels: I32) -> tuple[F32, F32]:
        values = levels.astype(np.float32)
        return ordered_sum(weighted * values), ordered_sum(weight * values * values)

    levels = _level((np.float32(-_HALF) / top)[:, None] * x)
    sum_xl, sum_ll = sums(levels)
    scale = sum_xl / sum_ll
    best = scale * sum_xl
    going = alive
    for _ in range(_REFITS):
        new = _level((np.float32(1) / scale)[:, None] * x)
        xl, ll = sums(new)
        going = going & (new != levels).any(axis=1) & (ll != 0) & ~(xl * xl <= best * ll)
        levels = np.where(going[:, None], new, levels)
        sum_xl, sum_ll = np.where(going, xl, sum_xl), np.where(going, ll, sum_ll)
        scale = np.where(going, xl / ll, scale)
        best = np.where(going, scale * xl, best)
    going = alive
    for _ in range(_ROUNDS):
        moved = np.zeros(len(x), bool)
        for i in range(16):
            value = levels[:, i].astype(np.float32)
            xl = sum_xl - weighted[:, i] * value
            ll = sum_ll - weight[:, i] * value * value
            new = _level(x[:, i] * ll / xl)
            value = new.astype(np.float32)
            better = going & (xl > 0) & (new != levels[:, i])
            xl, ll = xl + weighted[:, i] * value, ll + weight[:, i] * value * value
            better &= (ll > 0) & (xl * xl * sum_ll > sum_xl * sum_xl * ll)
            levels[:, i] = np.where(better, new, levels[:, i])
            sum_xl, sum_ll = np.where(better, xl, sum_xl), np.where(better, ll, sum_ll)
            scale = np.where(better, xl / ll, scale)
            moved |= better
        going = going & moved
    # A group of zeros has level 0 of 0 .. 63, not the middle.
    return np.where(alive, scale, np.float32(0)), np.where(alive[:, None], levels, -_HALF)


def pack_q6_k_2023(x: F32) -> Fields:
    """f32 [n, 256] -> the fields of n blocks."""
    n = len(x)
    flat_scale, flat_levels = _fit(x.reshape(n * 16, 16))
    scale, levels = flat_scale.reshape(n, 16), flat_levels.reshape(n, 16, 16)
    # the weights x^2 of tiny elements vanish; their groups' scales are NaN, and do not compete
    iscale = np.float32(-128) / signed_max(np.where(np.isnan(scale), np.float32(0), scale))
    d = (np.float32(1) / iscale).astype(np.float16)
    scales = np.minimum(nearest(iscale * scale), 127).astype(np.int8)
    step = (d.astype(np.float32) * scales)[:, :, None]
    levels = np.where(step != 0, _level(x.reshape(n, 16, 16) / step), levels)
    q = (levels + _HALF).astype(np.uint8).reshape(n, QK_K)
    return [*lay_levels(q), scales, d]
