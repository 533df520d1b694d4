"""RoPE, the KV cache and attention with grouped queries.

Keys of 16 positions lie side by side, so that scores of 16 positions are the 16 lanes of a vector: K is
[n_head_kv][n_ctx / 16][head_dim][16]; V is [n_head_kv][n_ctx][head_dim padded to 16]. Both are per layer;
n_ctx is padded to 64.

They hold f16, or i8 with a scale for each 32 dimensions of a position: q = round(x / d), d = amax / 127 as in
ggml's q8_0. The scales are f32: of K [n_head_kv][n_ctx / 16][head_dim / 32][16], of V
[n_head_kv][n_ctx][head_dim / 32].
"""

from __future__ import annotations

import numpy as np
from numba import njit

from alpaca_tui.kernels import target
from alpaca_tui.kernels.query_tiles import (
    F16,
    Q8_0,
    SCALED,
    QueryTile,
    cache_size,
    is_scaled,
    mix_step,
    mix_vectors,
    scale_scores,
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
    i8_at,
    i64_at,
    load,
    magnitude,
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
K_CACHE, V_CACHE, K_SCALES, V_SCALES = 9, 10, 11, 12
K, V, KV_STRIDE, COS, SIN, N_ROT = 13, 14, 15, 16, 17, 18  # of rope_store
OUT, OUT_STRIDE, SCRATCH, SCRATCH_STRIDE = 13, 14, 15, 16  # of attend

LANES = 16
MAX_ROWS = 8
QUERIES = 64  # bytes of a thread's scratch before its queries
MANY, FOUR, ONE = QueryTile(8, 1, 1), QueryTile(4, 2, 2), QueryTile(1, 4, 4)
if target.path() is target.Path.NEON:  # 16 registers of sums: a vector is four of them
    MANY = FOUR = QueryTile(4, 1, 1)
FOUR_NARROW, ONE_NARROW = QueryTile(4, FOUR.blocks, 1), QueryTile(1, 4, 1)
MANY_ROWS = MANY.rows
MINUS_INFINITY = np.float32(-np.inf)
TINY = np.float32(1e-30)  # a scale below this counts as zero
TO_WHOLE = np.float32(1.5 * 2**23)  # added and taken away again, it rounds to a whole number, ties to even


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


@njit(**OPTIONS)
def put_f16(a, head, position, k, v):
    """A position's key and value (f32) into the cache, as f16."""
    head_dim, value_dim, n_ctx = a[HEAD_DIM], a[VALUE_DIM], a[N_CTX]
    keys, values = u16_at(a[K_CACHE]), u16_at(a[V_CACHE])
    at = (head * n_ctx + position // LANES * LANES) * head_dim + position % LANES
    for i in range(head_dim):
        keys[at + i * LANES] = to_f16(k[i])
    at = (head * n_ctx + position) * value_dim
    for i in range(head_dim):
        values[at + i] = to_f16(v[i])


@njit(**OPTIONS)
def put_i8(x, first, codes, at, step):
    """codes[at + i * step] = round(x[first + i] / d) for a block of 32; d = amax / 127."""
    low, high = load(x, first), load(x, first + LANES)
    d = max_lanes(maximum(magnitude(low), magnitude(high))) / np.float32(127.0)
    factor = np.float32(1.0) / d if d > TINY else np.float32(0.0)
    for i in range(SCALED):
        q = x[first + i] * factor + TO_WHOLE - TO_WHOLE
        codes[at + i * step] = np.int8(q)
    return d


@njit(**OPTIONS)
def put_q8_0(a, head, position, k, v):
    """A position's key and value (f32) into the cache, as i8 with a scale for each 32 dimensions."""
    head_dim, n_ctx = a[HEAD_DIM], a[N_CTX]
    keys, values = i8_at(a[K_CACHE]), i8_at(a[V_CACHE])
    key_scales, value_scales = f32_at(a[K_SCALES]), f32_at(a[V_SCALES])
    lane, row = position % LANES, head * n_ctx + position
    first = row - lane
    for i in range(0, head_dim, SCALED):
        at = first * head_dim + i * LANES + lane
        key_scales[(first * head_dim + i * LANES) // SCALED + lane] = put_i8(k, i, keys, at, LANES)
        value_scales[(row * head_dim + i) // SCALED] = put_i8(v, i, values, row * head_dim + i, 1)


@njit(**OPTIONS)
def rotate_and_put(a, cache):
    """Rotates queries (and scales them by 1/sqrt(head_dim)) and keys; puts keys and values into the cache."""
    batch = i64_at(a[BATCH])
    n_tokens, first = batch[N_TOKENS], batch[POSITION]
    head_dim = a[HEAD_DIM]
    n_head, n_kv = a[N_HEAD], a[N_HEAD_KV]
    n_rep = n_head // n_kv
    cos, sin, n_rot = f32_at(a[COS]), f32_at(a[SIN]), a[N_ROT]
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
        v = f32_at(a[V] + (token * a[KV_STRIDE] + head * head_dim) * 4)
        if is_scaled(cache):
            put_q8_0(a, head, position, k, v)
        else:
            put_f16(a, head, position, k, v)


@kernel
def rope_store_f16(a, thread, n_threads):
    rotate_and_put(a, F16)


@kernel
def rope_store_q8_0(a, thread, n_threads):
    rotate_and_put(a, Q8_0)


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
def score(a, cache, tile, rows, kv, n, queries, scores):
    """scores[r][p] = query r times the key at p, for p < n (and up to the end of the tile)."""
    head_dim, n_ctx = a[HEAD_DIM], a[N_CTX]
    line = LANES * cache_size(cache)  # bytes of 16 positions' numbers of one dimension
    run = SCALED if is_scaled(cache) else head_dim
    for p in range(0, n, score_blocks(tile) * LANES):
        at = (kv * n_ctx + p) * head_dim
        total = zero_scores(tile)
        for first in range(0, head_dim, run):
            acc = zero_scores(tile)
            for i in range(first, first + run):
                key = a[K_CACHE] + at * cache_size(cache) + i * line
                acc = score_step(acc, cache, tile, key, head_dim * line, queries + i * rows * 4)
            scale = a[K_SCALES] + (at + first * LANES) // SCALED * 4
            total = scale_scores(total, acc, cache, tile, scale, head_dim * LANES // SCALED * 4)
        store_scores(total, tile, scores + p * 4, 4 * n_ctx)


@njit(**OPTIONS)
def mix(a, cache, tile, first, last, kv, n, weights, result, factors):
    """result[r][i] = factors[r] * sum of weights[r][p] * value[p][i] over p < n, for first <= i < last."""
    value_dim, n_ctx = a[VALUE_DIM], a[N_CTX]
    for i in range(first, last, mix_vectors(tile) * LANES):
        acc = zero_mix(tile)
        for p in range(n):
            at = (kv * n_ctx + p) * value_dim + i
            value, scale = a[V_CACHE] + at * cache_size(cache), a[V_SCALES] + at // SCALED * 4
            acc = mix_step(acc, cache, tile, value, scale, weights + p * 4, 4 * n_ctx)
        store_mix(acc, tile, result + i * 4, value_dim * 4, factors)


@njit(**OPTIONS)
def attend_tile(a, cache, tile, narrow, rows, kv, first_row, n_rows, scratch):
    """One tile of queries of one key/value head: rows first_row .. of the batch's n_rows.

    Row j is query head kv * n_rep + j % n_rep of token j // n_rep. Rows beyond the last repeat it.
    """
    head_dim, value_dim, n_ctx = a[HEAD_DIM], a[VALUE_DIM], a[N_CTX]
    n_rep = a[N_HEAD] // a[N_HEAD_KV]
    past = i64_at(a[BATCH])[POSITION]
    queries, sums = f32_at(scratch + QUERIES), f32_at(scratch)
    result = scratch + QUERIES + 4 * MAX_ROWS * head_dim
    scores = result + 4 * MAX_ROWS * value_dim
    n = 0
    for r in range(rows):
        row = min(first_row + r, n_rows - 1)
        n = max(n, past + row // n_rep + 1)
        at = (row // n_rep) * a[Q_STRIDE] + (kv * n_rep + row % n_rep) * head_dim
        q = f32_at(a[Q] + at * 4)
        for i in range(head_dim):
            queries[i * rows + r] = q[i]
    score(a, cache, tile, rows, kv, n, scratch + QUERIES, scores)
    for r in range(rows):
        row = min(first_row + r, n_rows - 1)
        sums[r] = softmax(f32_at(scores + r * 4 * n_ctx), past + row // n_rep + 1, n)
    wide = value_dim // (mix_vectors(tile) * LANES) * (mix_vectors(tile) * LANES)
    mix(a, cache, tile, 0, wide, kv, n, scores, result, scratch)
    mix(a, cache, narrow, wide, value_dim, kv, n, scores, result, scratch)
    for r in range(min(rows, n_rows - first_row)):
        row = first_row + r
        at = (row // n_rep) * a[OUT_STRIDE] + (kv * n_rep + row % n_rep) * head_dim
        out, mine = f32_at(a[OUT] + at * 4), f32_at(result + r * value_dim * 4)
        for i in range(head_dim):
            out[i] = mine[i]


@njit(**OPTIONS)
def attend(a, cache, thread):
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
            attend_tile(a, cache, MANY, MANY, rows, kv, first, n_rows, scratch)
        elif rows == 4:
            attend_tile(a, cache, FOUR, FOUR_NARROW, rows, kv, first, n_rows, scratch)
        else:
            attend_tile(a, cache, ONE, ONE_NARROW, rows, kv, first, n_rows, scratch)


@kernel
def attend_f16(a, thread, n_threads):
    attend(a, F16, thread)


@kernel
def attend_q8_0(a, thread, n_threads):
    attend(a, Q8_0, thread)


def scratch_bytes(head_dim: int, value_dim: int, n_ctx: int) -> int:
    """What `attend` needs for each thread: row sums, queries, results, scores."""
    return QUERIES + 4 * MAX_ROWS * (head_dim + value_dim + n_ctx)
