"""RoPE, the KV cache and attention with grouped queries.

The cache holds f16. Keys of 16 positions lie side by side, so that scores of 16 positions are the 16 lanes
of a vector: K is [n_head_kv][n_ctx / 16][head_dim][16]; V is [n_head_kv][n_ctx][head_dim padded to 16].
Both are per layer; n_ctx is padded to 64.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from alpaca_tui.kernels import target
from alpaca_tui.kernels.query_tiles import (
    QueryTile,
    mix_step,
    mix_vectors,
    score_blocks,
    score_step,
    store_mix,
    store_scores,
    zero_mix,
    zero_scores,
)
from alpaca_tui.kernels.registry import OPTIONS, kernel
from alpaca_tui.kernels.team import BATCH, COUNTER, N_TOKENS, POSITION, STOP, fetch_add
from alpaca_tui.kernels.vectors import (
    exp,
    f32_at,
    i64_at,
    load,
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
MAX_ROWS = 8
QUERIES = 64  # bytes of a thread's scratch before its queries
MANY, FOUR, ONE = QueryTile(8, 1, 1), QueryTile(4, 2, 2), QueryTile(1, 4, 4)
if target.path() is target.Path.NEON:  # 16 registers of sums: a vector is four of them
    MANY = FOUR = QueryTile(4, 1, 1)
FOUR_NARROW, ONE_NARROW = QueryTile(4, FOUR.blocks, 1), QueryTile(1, 4, 1)
MANY_ROWS = MANY.rows
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
def softmax(scores, n, n_all):
    """scores[p] = e^(scores[p] - max) for p < n, zero for the others below n_all; 1 / their sum."""
    end = (n_all + LANES - 1) // LANES * LANES
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
def mix(tile, values, value_dim, first, last, weights, stride, n, result, scales):
    """result[r][i] = scales[r] * sum of weights[r][p] * value[p][i] over p < n, for first <= i < last."""
    for i in range(first, last, mix_vectors(tile) * LANES):
        acc = zero_mix(tile)
        for p in range(n):
            acc = mix_step(acc, tile, values + (p * value_dim + i) * 2, weights + p * 4, stride)
        store_mix(acc, tile, result + i * 4, value_dim * 4, scales)


@njit(**OPTIONS)
def attend_tile(a, tile, narrow, rows, kv, first_row, n_rows, scratch):
    """One tile of queries of one key/value head: rows first_row .. of the batch's n_rows.

    Row j is query head kv * n_rep + j % n_rep of token j // n_rep. Rows beyond the last repeat it.
    """
    head_dim, value_dim, n_ctx = a[HEAD_DIM], a[VALUE_DIM], a[N_CTX]
    n_rep = a[N_HEAD] // a[N_HEAD_KV]
    past = i64_at(a[BATCH])[POSITION]
    queries, sums = f32_at(scratch + QUERIES), f32_at(scratch)
    result = scratch + QUERIES + 4 * MAX_ROWS * head_dim
    scores = result + 4 * MAX_ROWS * value_dim
    stride = 4 * n_ctx
    n = 0
    for r in range(rows):
        row = min(first_row + r, n_rows - 1)
        n = max(n, past + row // n_rep + 1)
        at = (row // n_rep) * a[Q_STRIDE] + (kv * n_rep + row % n_rep) * head_dim
        q = f32_at(a[Q] + at * 4)
        for i in range(head_dim):
            queries[i * rows + r] = q[i]
    keys = a[K_CACHE] + kv * n_ctx * head_dim * 2
    block = head_dim * LANES * 2
    step = score_blocks(tile)
    for p in range(0, n, step * LANES):
        acc = zero_scores(tile)
        for i in range(head_dim):
            key = keys + p * head_dim * 2 + i * LANES * 2
            acc = score_step(acc, tile, key, block, scratch + QUERIES + i * rows * 4)
        store_scores(acc, tile, scores + p * 4, stride)
    for r in range(rows):
        row = min(first_row + r, n_rows - 1)
        sums[r] = softmax(f32_at(scores + r * stride), past + row // n_rep + 1, n)
    values = a[V_CACHE] + kv * n_ctx * value_dim * 2
    wide = value_dim // (mix_vectors(tile) * LANES) * (mix_vectors(tile) * LANES)
    mix(tile, values, value_dim, 0, wide, scores, stride, n, result, scratch)
    mix(narrow, values, value_dim, wide, value_dim, scores, stride, n, result, scratch)
    for r in range(min(rows, n_rows - first_row)):
        row = first_row + r
        at = (row // n_rep) * a[OUT_STRIDE] + (kv * n_rep + row % n_rep) * head_dim
        out, mine = f32_at(a[OUT] + at * 4), f32_at(result + r * value_dim * 4)
        for i in range(head_dim):
            out[i] = mine[i]


@kernel
def attend(a, thread, n_threads):
    """out = softmax(q K^T) V for each query head and token; a token sees what came before it and itself.

    Scratch of a thread: see `scratch_bytes`.
    """
    batch = i64_at(a[BATCH])
    n_kv = a[N_HEAD_KV]
    n_rows = batch[N_TOKENS] * (a[N_HEAD] // n_kv)
    scratch = a[SCRATCH] + thread * a[SCRATCH_STRIDE]
    rows = MANY_ROWS if n_rows >= MANY_ROWS else 4 if n_rows >= 3 else 1
    per_head = (n_rows + rows - 1) // rows
    while batch[STOP] == 0:
        item = fetch_add(a, COUNTER, 1)
        if item >= per_head * n_kv:
            break
        # the last rows see the most: they are begun first
        kv, first = item % n_kv, (per_head - 1 - item // n_kv) * rows
        if rows == MANY_ROWS:
            attend_tile(a, MANY, MANY, rows, kv, first, n_rows, scratch)
        elif rows == 4:
            attend_tile(a, FOUR, FOUR_NARROW, rows, kv, first, n_rows, scratch)
        else:
            attend_tile(a, ONE, ONE_NARROW, rows, kv, first, n_rows, scratch)


def scratch_bytes(head_dim: int, value_dim: int, n_ctx: int) -> int:
    """What `attend` needs for each thread: row sums, queries, results, scores."""
    return QUERIES + 4 * MAX_ROWS * (head_dim + value_dim + n_ctx)
