"""RoPE, the KV cache and attention with grouped queries.

The cache holds f16. Keys of 16 positions lie side by side, so that scores of 16 positions are the 16 lanes
of a vector: K is [n_head_kv][n_ctx / 16][head_dim][16]; V is [n_head_kv][n_ctx][head_dim padded to 16].
Both are per layer; n_ctx is padded to 64.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from alpaca_tui.kernels.registry import OPTIONS, kernel
from alpaca_tui.kernels.team import BATCH, COUNTER, N_TOKENS, POSITION, STOP, fetch_add
from alpaca_tui.kernels.vectors import (
    exp,
    f32_at,
    fma,
    i64_at,
    load,
    load_f16,
    max_lanes,
    maximum,
    splat,
    store,
    sum_lanes,
    to_f16,
    u16_at,
    zeros,
)

# the arguments of both kernels, after COUNTER and BATCH
Q, Q_STRIDE, N_HEAD, N_HEAD_KV, HEAD_DIM, VALUE_DIM, N_CTX = 2, 3, 4, 5, 6, 7, 8
K_CACHE, V_CACHE = 9, 10
K, V, KV_STRIDE, COS, SIN, N_ROT = 11, 12, 13, 14, 15, 16  # of rope_store
OUT, OUT_STRIDE, SCRATCH, SCRATCH_STRIDE = 11, 12, 13, 14  # of attend

LANES = 16
FOUR = 4
MINUS_INFINITY = np.float32(-np.inf)


@njit(**OPTIONS)
def rotate(x, cos, sin, position, n_rot, scale, head_dim):
    """RoPE on interleaved pairs in place: (a, b) -> (a cos - b sin, a sin + b cos), then times scale."""
    half = n_rot // 2
    for p in range(half):
        c, s = cos[position * half + p], sin[position * half + p]
        even, odd = x[2 * p], x[2 * p + 1]
        x[2 * p] = (even * c - odd * s) * scale
        x[2 * p + 1] = (even * s + odd * c) * scale
    for i in range(n_rot, head_dim):
        x[i] *= scale


@kernel
def rope_store(a, thread, n_threads):
    """Rotates queries (and scales them by 1/sqrt(head_dim)) and keys; puts keys and values into the cache."""
    batch = i64_at(a[BATCH])
    n_tokens, first = batch[N_TOKENS], batch[POSITION]
    head_dim, value_dim = a[HEAD_DIM], a[VALUE_DIM]
    n_head, n_kv, n_ctx = a[N_HEAD], a[N_HEAD_KV], a[N_CTX]
    n_rep = n_head // n_kv
    cos, sin, n_rot = f32_at(a[COS]), f32_at(a[SIN]), a[N_ROT]
    k_cache, v_cache = u16_at(a[K_CACHE]), u16_at(a[V_CACHE])
    scale = np.float32(1.0 / np.sqrt(np.float64(head_dim)))
    while batch[STOP] == 0:
        item = fetch_add(a, COUNTER, 1)
        if item >= n_tokens * n_kv:
            break
        token, head = item // n_kv, item % n_kv
        position = first + token
        for r in range(n_rep):
            q = f32_at(a[Q] + (token * a[Q_STRIDE] + (head * n_rep + r) * head_dim) * 4)
            rotate(q, cos, sin, position, n_rot, scale, head_dim)
        k = f32_at(a[K] + (token * a[KV_STRIDE] + head * head_dim) * 4)
        rotate(k, cos, sin, position, n_rot, np.float32(1.0), head_dim)
        at = ((head * n_ctx + position // LANES * LANES) * head_dim) + position % LANES
        for i in range(head_dim):
            k_cache[at + i * LANES] = to_f16(k[i])
        v = f32_at(a[V] + (token * a[KV_STRIDE] + head * head_dim) * 4)
        at = (head * n_ctx + position) * value_dim
        for i in range(head_dim):
            v_cache[at + i] = to_f16(v[i])


@njit(**OPTIONS)
def score(k_cache, at, q, head_dim, scores, n):
    """scores[p] = k[p] . q for p < n, rounded up to 64 positions."""
    step = head_dim * LANES
    for p in range(0, n, 4 * LANES):
        s0, s1, s2, s3 = zeros(1), zeros(1), zeros(1), zeros(1)
        base = at + p * head_dim
        for i in range(head_dim):
            x = splat(q[i])
            k = base + i * LANES
            s0 = fma(load_f16(k_cache, k), x, s0)
            s1 = fma(load_f16(k_cache, k + step), x, s1)
            s2 = fma(load_f16(k_cache, k + 2 * step), x, s2)
            s3 = fma(load_f16(k_cache, k + 3 * step), x, s3)
        store(scores, p, s0)
        store(scores, p + LANES, s1)
        store(scores, p + 2 * LANES, s2)
        store(scores, p + 3 * LANES, s3)


@njit(**OPTIONS)
def softmax(scores, n):
    """scores[p] = e^(scores[p] - max) for p < n, zero up to the next multiple of 16; 1 / their sum."""
    end = (n + LANES - 1) // LANES * LANES
    for p in range(n, end):
        scores[p] = MINUS_INFINITY
    top = load(scores, 0)
    for p in range(LANES, end, LANES):
        top = maximum(top, load(scores, p))
    shift = splat(max_lanes(top))
    total = zeros(1)
    for p in range(0, end, LANES):
        e = exp(load(scores, p) - shift)
        store(scores, p, e)
        total = total + e
    return np.float32(1.0) / sum_lanes(total)


@njit(**OPTIONS)
def mix(v_cache, at, weights, value_dim, n, scale, out):
    """out[i] = scale * sum of weights[p] * v[p][i] over p < n."""
    factor = splat(scale)
    i = 0
    while i + 4 * LANES <= value_dim:
        o0, o1, o2, o3 = zeros(1), zeros(1), zeros(1), zeros(1)
        for p in range(n):
            w = splat(weights[p])
            v = at + p * value_dim + i
            o0 = fma(load_f16(v_cache, v), w, o0)
            o1 = fma(load_f16(v_cache, v + LANES), w, o1)
            o2 = fma(load_f16(v_cache, v + 2 * LANES), w, o2)
            o3 = fma(load_f16(v_cache, v + 3 * LANES), w, o3)
        store(out, i, o0 * factor)
        store(out, i + LANES, o1 * factor)
        store(out, i + 2 * LANES, o2 * factor)
        store(out, i + 3 * LANES, o3 * factor)
        i += 4 * LANES
    while i < value_dim:
        o0 = zeros(1)
        for p in range(n):
            o0 = fma(load_f16(v_cache, at + p * value_dim + i), splat(weights[p]), o0)
        store(out, i, o0 * factor)
        i += LANES


@kernel
def attend(a, thread, n_threads):
    """out = softmax(q K^T) V for each query head and token; a token sees what came before it and itself.

    Scratch of a thread: value_dim f32 for one head's result, then n_ctx f32 for its scores.
    """
    batch = i64_at(a[BATCH])
    n_tokens, first = batch[N_TOKENS], batch[POSITION]
    head_dim, value_dim, n_ctx = a[HEAD_DIM], a[VALUE_DIM], a[N_CTX]
    n_head = a[N_HEAD]
    n_rep = n_head // a[N_HEAD_KV]
    k_cache, v_cache = u16_at(a[K_CACHE]), u16_at(a[V_CACHE])
    result = f32_at(a[SCRATCH] + thread * a[SCRATCH_STRIDE])
    scores = f32_at(a[SCRATCH] + thread * a[SCRATCH_STRIDE] + value_dim * 4)
    while batch[STOP] == 0:
        item = fetch_add(a, COUNTER, 1)
        if item >= n_tokens * n_head:
            break
        token, head = item // n_head, item % n_head
        n = first + token + 1
        kv = head // n_rep
        q = f32_at(a[Q] + (token * a[Q_STRIDE] + head * head_dim) * 4)
        score(k_cache, kv * n_ctx * head_dim, q, head_dim, scores, n)
        scale = softmax(scores, n)
        mix(v_cache, kv * n_ctx * value_dim, scores, value_dim, n, scale, result)
        out = f32_at(a[OUT] + (token * a[OUT_STRIDE] + head * head_dim) * 4)
        for i in range(head_dim):
            out[i] = result[i]
