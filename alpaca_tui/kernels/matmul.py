"""Matrix products: y = W x for one token, Y = W X for a batch, one kernel a block format.

Rows are handed out in pairs of row groups (32 rows) through the step's counter. Every sum runs over the
blocks of a row in order, so a token's result does not depend on its batch, nor on the number of threads.
"""

from __future__ import annotations

from numba import njit

from alpaca_tui.kernels.registry import OPTIONS, kernel
from alpaca_tui.kernels.team import BATCH, COUNTER, STOP, fetch_add
from alpaca_tui.kernels.tile_formats import COLUMNS, ROWS, TILE_FORMATS
from alpaca_tui.kernels.tiles import (
    BATCH_TILES,
    GROUPS,
    SINGLE,
    block_step,
    code_bytes,
    scale_bytes,
    store_tile,
    tile_column,
    tile_groups,
    zero_sums,
)
from alpaca_tui.kernels.vectors import f32_at, i64_at

# the arguments, after COUNTER and BATCH
CODES, SCALES, N_PAIRS, N_BLOCKS = 2, 3, 4, 5
QUANTS, X_SCALES, X_SUMS, X_FLOATS = 6, 7, 8, 9  # the activations: see tiles.Block
Y, Y_STRIDE, RESIDUAL, COUNT = 10, 11, 12, 13  # COUNT: where the batch says how many tokens

LARGE, MIDDLE, SMALL = BATCH_TILES
LARGE_TOKENS, MIDDLE_TOKENS, SMALL_TOKENS = (tile.tokens for tile in BATCH_TILES)
SPAN = 96  # tokens: a multiple of every tile's and of TOKENS

Q4_0, Q4_1, Q5_0, Q5_1 = (TILE_FORMATS[name] for name in ("q4_0", "q4_1", "q5_0", "q5_1"))
Q8_0, Q6_K = TILE_FORMATS["q8_0"], TILE_FORMATS["q6_K"]
F16, BF16, F32 = (TILE_FORMATS[name] for name in ("f16", "bf16", "f32"))


@njit(**OPTIONS)
def pair_times_tile(a, fmt, tile, pair, first, n_valid):
    """32 rows times the tokens of a tile from `first` on, of which `n_valid` are there."""
    n_blocks, stride, column = a[N_BLOCKS], a[Y_STRIDE], tile_column(tile)
    at = first // column * n_blocks
    lane = first % column * 4
    for group in range(0, GROUPS, tile_groups(tile)):
        code = a[CODES] + (pair * n_blocks * GROUPS + group) * code_bytes(fmt)
        scale = a[SCALES] + (pair * n_blocks * GROUPS + group) * scale_bytes(fmt)
        acc = zero_sums(tile)
        for b in range(n_blocks):
            acc = block_step(
                acc,
                fmt,
                tile,
                code + b * GROUPS * code_bytes(fmt),
                scale + b * GROUPS * scale_bytes(fmt),
                a[QUANTS] + (at + b) * (32 * column) + lane,
                a[X_SCALES] + (at + b) * (4 * column) + lane,
                a[X_SUMS] + (at + b) * (8 * column) + lane,
                a[X_FLOATS] + (at + b) * (128 * column) + lane,
            )
        y = f32_at(a[Y] + (first * stride + (pair * GROUPS + group) * 16) * 4)
        store_tile(acc, tile, y, stride, n_valid, a[RESIDUAL])


@njit(**OPTIONS)
def pair_times_batch(a, fmt, pair, first, end):
    """32 rows times tokens first .. end-1 of a batch: large tiles, then the smallest that takes the rest."""
    while first < end:
        left = end - first
        if SMALL_TOKENS < LARGE_TOKENS and left <= SMALL_TOKENS:
            pair_times_tile(a, fmt, SMALL, pair, first, left)
            first += SMALL_TOKENS
        elif MIDDLE_TOKENS < LARGE_TOKENS and left <= MIDDLE_TOKENS:
            pair_times_tile(a, fmt, MIDDLE, pair, first, left)
            first += MIDDLE_TOKENS
        else:
            pair_times_tile(a, fmt, LARGE, pair, first, left)
            first += LARGE_TOKENS


@njit(**OPTIONS)
def multiply(a, n_threads, fmt):
    """The whole step: draws pairs of row groups until none are left, or a stop is asked for.

    A long batch goes through in spans of SPAN tokens, whose activations stay in the cache.
    """
    batch = i64_at(a[BATCH])
    n_tokens = batch[a[COUNT]]
    n_pairs = a[N_PAIRS]
    n_spans = (n_tokens + SPAN - 1) // SPAN
    chunk = max(1, n_pairs // (n_threads * 16)) if n_tokens == 1 else 1
    while batch[STOP] == 0:
        start = fetch_add(a, COUNTER, chunk)
        if start >= n_pairs * n_spans:
            break
        if n_tokens > 1:
            first = start // n_pairs * SPAN
            pair_times_batch(a, fmt, start % n_pairs, first, min(first + SPAN, n_tokens))
        else:
            for pair in range(start, min(start + chunk, n_pairs)):
                pair_times_tile(a, fmt, SINGLE, pair, 0, 1)


@kernel
def matmul_q4_0(a, thread, n_threads):
    multiply(a, n_threads, Q4_0)


@kernel
def matmul_q4_1(a, thread, n_threads):
    multiply(a, n_threads, Q4_1)


@kernel
def matmul_q5_0(a, thread, n_threads):
    multiply(a, n_threads, Q5_0)


@kernel
def matmul_q5_1(a, thread, n_threads):
    multiply(a, n_threads, Q5_1)


@kernel
def matmul_q8_0(a, thread, n_threads):
    multiply(a, n_threads, Q8_0)


@kernel
def matmul_q6_K(a, thread, n_threads):  # noqa: N802 - the format's name
    multiply(a, n_threads, Q6_K)


@kernel
def matmul_f16(a, thread, n_threads):
    multiply(a, n_threads, F16)


@kernel
def matmul_bf16(a, thread, n_threads):
    multiply(a, n_threads, BF16)


@kernel
def matmul_f32(a, thread, n_threads):
    multiply(a, n_threads, F32)


def padded_rows(rows: int) -> int:
    """Rows as the kernels hold them: a multiple of two row groups."""
    unit = ROWS * GROUPS
    return -(-rows // unit) * unit


def packed_bytes(format_name: str, rows: int, cols: int) -> tuple[int, int]:
    """Bytes of a repacked matrix: codes, scales."""
    fmt = TILE_FORMATS[format_name]
    n_tiles = padded_rows(rows) // ROWS * -(-cols // COLUMNS)
    return n_tiles * fmt.code_bytes, n_tiles * fmt.scale_bytes
