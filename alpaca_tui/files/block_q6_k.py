"""The q6_K block: 256 elements in 16 groups, each with an 8-bit scale, under one f16 scale.

Layout, 210 bytes: ql u8[128] (low 4 bits), qh u8[64] (high 2 bits), scales i8[16], d f16. Element e of half h
(l = e % 32, k = e // 32 % 4): its low bits are in ql[64h + 32*(k & 1) + l], low nibble for k < 2, high nibble
else; its high bits are in qh[32h + l], bits 2k and 2k + 1. Value: d * scales[e // 16] * (q - 32).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from alpaca_tui.files.block_math import F32, U8, Fields, field, signed_max

QK_K = 256
NBYTES = 210
_EPS = np.float32(1e-15)  # GROUP_MAX_EPS of ggml-quants.c
_HALF = 32  # q is stored as 0 .. 63 for -32 .. 31


def _levels(scaled: F32) -> F32:
    return np.clip(np.rint(scaled), np.float32(-_HALF), np.float32(_HALF - 1))


def ordered_sum(terms: F32) -> F32:
    """Sum over the last axis in f32, one element after the other (np.sum adds pairwise)."""
    total = np.zeros(terms.shape[:-1], np.float32)
    for i in range(terms.shape[-1]):
        total += terms[..., i]
    return total


def _fit(x: F32) -> tuple[F32, F32]:
    """Scale and levels -32 .. 31 of groups of 16, least squares weighted by x².

    x f32 [n, 16] -> scale [n], levels [n, 16]. The rule is ggml's make_qx_quants with rmse_type 1: of 19
    scales around -32/max the one with the least error.
    """
    top = signed_max(x)[:, 0]
    alive = np.abs(top) >= _EPS
    safe_top = np.where(alive, top, np.float32(1))
    weight = x * x
    weighted = weight * x

    def trial(step: int) -> tuple[F32, F32, F32]:
        iscale = np.divide(-(np.float32(_HALF) + np.float32(0.1) * np.float32(step)), safe_top)
        levels = _levels(iscale[:, None] * x)
        return levels, ordered_sum(weighted * levels), ordered_sum((weight * levels) * levels)

    levels, sum_xl, sum_ll = trial(0)
    scale = np.divide(sum_xl, sum_ll, out=np.zeros_like(sum_xl), where=sum_ll != 0)
    best = scale * sum_xl
    for step in (*range(-9, 0), *range(1, 10)):
        new, sum_xl, sum_ll = trial(step)
        better = (sum_ll > 0) & (sum_xl * sum_xl > best * sum_ll)
        new_scale = np.divide(sum_xl, sum_ll, out=np.zeros_like(sum_xl), where=better)
        scale = np.where(better, new_scale, scale)
        best = np.where(better, new_scale * sum_xl, best)
        levels = np.where(better[:, None], new, levels)
    # ggml returns level 0 of 0 .. 63 for a dead group.
    return np.where(alive, scale, np.float32(0)), np.where(alive[:, None], levels, np.float32(-_HALF))


def pack_q6_k(x: F32) -> Fields:
    """f32 [n, 256] -> the fields of n blocks."""
    n = len(x)
    groups = x.reshape(n * 16, 16)
    flat_scale, flat_levels = _fit(groups)
    scale, levels = flat_scale.reshape(n, 16), flat_levels.reshape(n, 16, 16)
    top = signed_max(scale)
    alive = np.abs(top) >= _EPS
    iscale = np.float32(-128) / np.where(alive, top, np.float32(1))
    d = np.where(alive, (np.float32(1) / iscale), np.float32(0)).astype(np.float16)
    scales = np.where(alive, np.minimum(np.rint(iscale * scale), np.float32(127)), np.float32(0))
    step = d.astype(np.float32) * scales
    exact = step != 0  # else the levels of the search stay
    scaled = np.divide(x.reshape(n, 16, 16), np.where(exact, step, np.float32(1))[:, :, None])
    levels = np.where(exact[:, :, None], _levels(scaled), levels)
    q = np.where(alive, (levels + np.float32(_HALF)).reshape(n, QK_K), np.float32(0)).astype(np.uint8)
    return [*lay_levels(q), scales.astype(np.int8), d]


def lay_levels(q: U8) -> Fields:
    """Levels 0 .. 63, u8 [n, 256] -> ql [n, 128] and qh [n, 64]."""
    q = q.reshape(-1, 2, 4, 32)
    ql = (q[:, :, :2] & 15) | ((q[:, :, 2:] & 15) << 4)
    high = q >> 4
    qh = high[:, :, 0] | high[:, :, 1] << 2 | high[:, :, 2] << 4 | high[:, :, 3] << 6
    return [ql.reshape(-1, 128), qh.reshape(-1, 64)]


def unpack_q6_k(b: U8) -> F32:
    """u8 [n, 210] -> f32 [n, 256]."""
    n = len(b)
    ql, qh = b[:, :128].reshape(n, 2, 2, 32), b[:, 128:192].reshape(n, 2, 32)
    q: npt.NDArray[np.uint8] = np.empty((n, 2, 4, 32), np.uint8)
    q[:, :, :2] = ql & 15
    q[:, :, 2:] = ql >> 4
    for k in range(4):
        q[:, :, k] |= ((qh >> (2 * k)) & 3) << 4
    step = field(b, 208, "<f2") * b[:, 192:208].view(np.int8)
    levels = (q.view(np.int8) - np.int8(_HALF)).reshape(n, 16, 16)
    return (levels * step[:, :, None]).reshape(n, QK_K)
