"""What stands between matrix products: norm, SiLU, and packing rows for the next product.

A row of activations is packed for the kernels of `tiles`: per block of 32 columns as i8 with one f32 scale,
and with the sums of its first 16 and of all 32, both times -1, as what codes lack is subtracted; and, where a
float matrix follows, as f32 too. q = round(127 x / amax), and the scale is the one of least squares for
these q, sum(x q) / sum(q q): less error than amax / 127, at no cost later. Tokens of a batch lie side by side
in columns of TOKENS; a single token lies alone.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from alpaca_tui.kernels.registry import OPTIONS, kernel
from alpaca_tui.kernels.team import BATCH, COUNTER, N_OUT, N_TOKENS, STOP, fetch_add
from alpaca_tui.kernels.tiles import TOKENS
from alpaca_tui.kernels.vectors import (
    exp,
    f32_at,
    fma,
    i8_at,
    i32_at,
    i64_at,
    load,
    magnitude,
    max_lanes,
    maximum,
    round_even,
    splat,
    store,
    store_i8,
    sum_lanes,
    zeros,
)

# the arguments, after COUNTER and BATCH: where the packed rows go, and which forms are wanted
QUANTS, X_SCALES, X_SUMS, X_FLOATS = 2, 3, 4, 5
N_COLUMNS, WANT_QUANTS, WANT_FLOATS = 6, 7, 8
SOURCE, SOURCE_STRIDE, SECOND, EPS, LAST_ONLY = 9, 10, 11, 12, 13
SCRATCH, SCRATCH_STRIDE = 14, 15  # bytes: a row of f32 for each thread

STAGE = 64  # bytes of a thread's scratch before its row

BLOCKS_A_TURN = 16  # of one token's row, where rows are cut into pieces
TINY = np.float32(1e-30)  # a block whose largest value is below this counts as zero


@njit(**OPTIONS)
def pack_blocks(a, stage, row, n_tokens, token, first, last):
    """Packs blocks first..last-1 of a token's row. row: address of block `first`; stage: 32 free bytes."""
    column = 1 if n_tokens == 1 else TOKENS
    n_blocks = a[N_COLUMNS] // 32
    lane = token % column
    base = token // column * n_blocks
    quants, scales = i32_at(a[QUANTS]), f32_at(a[X_SCALES])
    sums, floats = i32_at(a[X_SUMS]), f32_at(a[X_FLOATS])
    x = f32_at(row)
    staged8, staged32 = i8_at(stage), i32_at(stage)
    for b in range(first, last):
        offset = (b - first) * 32
        at = base + b
        if a[WANT_QUANTS] != 0:
            low, high = load(x, offset), load(x, offset + 16)
            amax = max_lanes(maximum(magnitude(low), magnitude(high)))
            factor = splat(np.float32(127.0) / amax if amax > TINY else np.float32(0.0))
            low_q, high_q = round_even(low * factor), round_even(high * factor)
            squares = sum_lanes(fma(low_q, low_q, high_q * high_q))
            products = sum_lanes(fma(low, low_q, high * high_q))
            scales[at * column + lane] = products / squares if amax > TINY else np.float32(0.0)
            minus_sum = -store_i8(staged8, 0, low_q)
            sums[at * 2 * column + lane] = minus_sum
            sums[(at * 2 + 1) * column + lane] = minus_sum - store_i8(staged8, 16, high_q)
            for k in range(8):
                quants[(at * 8 + k) * column + lane] = staged32[k]
        if a[WANT_FLOATS] != 0:
            for i in range(32):
                floats[(at * 32 + i) * column + lane] = x[offset + i]


@njit(**OPTIONS)
def pieces(n_blocks):
    """Into how many pieces a row is cut for the team."""
    return (n_blocks + BLOCKS_A_TURN - 1) // BLOCKS_A_TURN


@kernel
def norm_pack(a, thread, n_threads):
    """RMS norm of a row, times the weight, then packed: x / sqrt(mean(x^2) + eps) * w.

    SOURCE: f32 rows; SECOND: the weight; EPS: address of eps (f32). LAST_ONLY: only the tokens
    whose logits are wanted, packed as tokens 0, 1, ...
    """
    batch = i64_at(a[BATCH])
    n_out = batch[N_OUT] if a[LAST_ONLY] != 0 else batch[N_TOKENS]
    skip = batch[N_TOKENS] - n_out
    n = a[N_COLUMNS]
    stage = a[SCRATCH] + thread * a[SCRATCH_STRIDE]
    row = f32_at(stage + STAGE)
    weight, eps = f32_at(a[SECOND]), f32_at(a[EPS])[0]
    while batch[STOP] == 0:
        token = fetch_add(a, COUNTER, 1)
        if token >= n_out:
            break
        x = f32_at(a[SOURCE] + (skip + token) * a[SOURCE_STRIDE] * 4)
        total = zeros(1)
        for i in range(0, n, 16):
            v = load(x, i)
            total = fma(v, v, total)
        mean = sum_lanes(total) / np.float32(n)
        scale = splat(np.float32(1.0) / np.sqrt(mean + eps))
        for i in range(0, n, 16):
            store(row, i, load(x, i) * scale * load(weight, i))
        pack_blocks(a, stage, stage + STAGE, n_out, token, 0, n // 32)


@kernel
def pack(a, thread, n_threads):
    """Rows packed as they are. SOURCE: f32 rows."""
    batch = i64_at(a[BATCH])
    n_tokens, n_blocks = batch[N_TOKENS], a[N_COLUMNS] // 32
    stage = a[SCRATCH] + thread * a[SCRATCH_STRIDE]
    per_row = pieces(n_blocks)
    while batch[STOP] == 0:
        item = fetch_add(a, COUNTER, 1)
        if item >= n_tokens * per_row:
            break
        token, first = item // per_row, item % per_row * BLOCKS_A_TURN
        row = a[SOURCE] + (token * a[SOURCE_STRIDE] + first * 32) * 4
        pack_blocks(a, stage, row, n_tokens, token, first, min(first + BLOCKS_A_TURN, n_blocks))


@kernel
def silu_pack(a, thread, n_threads):
    """silu(gate) * up, packed; silu(x) = x / (1 + e^-x). SOURCE: gate rows; SECOND: up rows."""
    batch = i64_at(a[BATCH])
    n_tokens, n_blocks = batch[N_TOKENS], a[N_COLUMNS] // 32
    stage = a[SCRATCH] + thread * a[SCRATCH_STRIDE]
    row = f32_at(stage + STAGE)
    one, zero = splat(np.float32(1.0)), zeros(1)
    per_row = pieces(n_blocks)
    while batch[STOP] == 0:
        item = fetch_add(a, COUNTER, 1)
        if item >= n_tokens * per_row:
            break
        token, first = item // per_row, item % per_row * BLOCKS_A_TURN
        last = min(first + BLOCKS_A_TURN, n_blocks)
        offset = (token * a[SOURCE_STRIDE] + first * 32) * 4
        gate, up = f32_at(a[SOURCE] + offset), f32_at(a[SECOND] + offset)
        for i in range(0, (last - first) * 32, 16):
            g = load(gate, i)
            store(row, i, g / (one + exp(zero - g)) * load(up, i))
        pack_blocks(a, stage, stage + STAGE, n_tokens, token, first, last)
