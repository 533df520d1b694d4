"""Quantising rows of weights: blocks of 32, the layouts of today and of 2023, bit for bit as ggml's.

One kernel a layout. Each operation is one f32 operation, rounded once, in the order of the NumPy twins
(files/block_math.py), so that the bytes are the same on every processor. Kernels run on one thread each: the
caller cuts the rows into pieces and has each thread take one.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from alpaca_tui.kernels.quantize_vectors import (
    equal_lanes,
    evens,
    fifth_bits,
    load_bf16,
    minimum,
    odds,
    round_away,
    store_nibbles,
)
from alpaca_tui.kernels.registry import OPTIONS, kernel
from alpaca_tui.kernels.vectors import (
    f32_at,
    i64_at,
    load,
    load_f16,
    magnitude,
    max_lanes,
    maximum,
    splat,
    store,
    store_i8,
    to_f16,
    u8_at,
    u16_at,
    zeros,
)

# The arguments. SOURCE, TARGET, SCRATCH, COUNTS: addresses; KIND: of the source's elements.
SOURCE, KIND, TARGET, N_BLOCKS, SCRATCH, COUNTS = 0, 1, 2, 3, 4, 5
F32, F16, BF16 = 0, 1, 2
SCRATCH_BYTES = 4096  # q6_K takes most
N_ARGUMENTS = 6


@njit(**OPTIONS)
def widen(a, first, n, x):
    """Elements first .. first + n of the source as f32 to x; n is a multiple of 16."""
    if a[KIND] == F16:
        halves = u16_at(a[SOURCE])
        for i in range(0, n, 16):
            store(x, i, load_f16(halves, first + i))
    elif a[KIND] == BF16:
        halves = u16_at(a[SOURCE])
        for i in range(0, n, 16):
            store(x, i, load_bf16(halves, first + i))
    else:
        floats = f32_at(a[SOURCE])
        for i in range(0, n, 16):
            store(x, i, load(floats, first + i))


@njit(**OPTIONS)
def inverse(d):
    return np.float32(1.0) / d if d != np.float32(0.0) else np.float32(0.0)


@njit(**OPTIONS)
def largest(low, high):
    """The largest magnitude of 32 elements."""
    return max_lanes(maximum(magnitude(low), magnitude(high)))


@njit(**OPTIONS)
def signed_largest(low, high):
    """The element of the largest magnitude with its sign; the first one of several."""
    amax = largest(low, high)
    if amax == np.float32(0.0):
        return np.float32(0.0)
    positive = np.int64(equal_lanes(low, high, amax))
    negative = np.int64(equal_lanes(low, high, -amax))
    first = positive | negative
    return amax if (first & -first) & positive else -amax


@njit(**OPTIONS)
def smallest(x, low, high):
    """The smallest of 32 elements; of several zeros the first, whose sign counts."""
    zero = zeros(1)
    found = -max_lanes(zero - minimum(low, high))
    if found == np.float32(0.0):
        for i in range(32):
            if x[i] == np.float32(0.0):
                return x[i]
    return found


@njit(**OPTIONS)
def store_fifths(target, low, high):
    """The fifth bits of 32 levels as a u32, written in two halves because of its place."""
    bits = u16_at(target)
    bits[0] = fifth_bits(low)
    bits[1] = fifth_bits(high)


@njit(**OPTIONS)
def store_paired(target, low, high, offset):
    """Levels of 2j and 2j + 1 in byte j."""
    store_nibbles(u8_at(target), 0, evens(low, high), odds(low, high), offset, 15)


# --- q4_0: d, and levels 0 .. 15 for -8 .. 7 ----------------------------------------------------------------


@njit(**OPTIONS)
def symmetric_levels(low, high, half):
    """d, and x / d + half + 0.5, whose whole parts are the levels, up to one too many."""
    d = signed_largest(low, high) / np.float32(-half)
    factor, shift = splat(inverse(d)), splat(np.float32(half + 0.5))
    return d, low * factor + shift, high * factor + shift


@kernel
def quantize_q4_0(a, thread, n_threads):
    x = f32_at(a[SCRATCH])
    for b in range(a[N_BLOCKS]):
        widen(a, b * 32, 32, x)
        d, low, high = symmetric_levels(load(x, 0), load(x, 16), 8)
        target = a[TARGET] + b * 18
        u16_at(target)[0] = to_f16(d)
        store_nibbles(u8_at(target), 2, low, high, 0, 15)


@kernel
def quantize_q4_0_v2(a, thread, n_threads):
    x = f32_at(a[SCRATCH])
    for b in range(a[N_BLOCKS]):
        widen(a, b * 32, 32, x)
        d, low, high = symmetric_levels(load(x, 0), load(x, 16), 8)
        target = a[TARGET] + b * 20
        f32_at(target)[0] = d
        store_nibbles(u8_at(target), 4, low, high, 0, 15)


@kernel
def quantize_q4_0_v1(a, thread, n_threads):
    """The rule until late April 2023: the scale from the magnitude alone, levels 1 .. 15."""
    x = f32_at(a[SCRATCH])
    for b in range(a[N_BLOCKS]):
        widen(a, b * 32, 32, x)
        low, high = load(x, 0), load(x, 16)
        d = largest(low, high) / np.float32(7.0)
        factor = splat(inverse(d))
        target = a[TARGET] + b * 20
        f32_at(target)[0] = d
        store_paired(target + 4, round_away(low * factor), round_away(high * factor), 8)


# --- q4_1: d and minimum, and levels 0 .. 15 ----------------------------------------------------------------


@njit(**OPTIONS)
def affine_levels(x, low, high, top):
    """d, minimum, and (x - minimum) / d, not yet rounded."""
    floor = smallest(x, low, high)
    d = (max_lanes(maximum(low, high)) - floor) / np.float32(top)
    factor, base = splat(inverse(d)), splat(floor)
    return d, floor, (low - base) * factor, (high - base) * factor


@kernel
def quantize_q4_1(a, thread, n_threads):
    x, half = f32_at(a[SCRATCH]), splat(np.float32(0.5))
    for b in range(a[N_BLOCKS]):
        widen(a, b * 32, 32, x)
        d, floor, low, high = affine_levels(x, load(x, 0), load(x, 16), 15)
        target = a[TARGET] + b * 20
        u16_at(target)[0] = to_f16(d)
        u16_at(target)[1] = to_f16(floor)
        store_nibbles(u8_at(target), 4, low + half, high + half, 0, 15)


@kernel
def quantize_q4_1_v2(a, thread, n_threads):
    x, half = f32_at(a[SCRATCH]), splat(np.float32(0.5))
    for b in range(a[N_BLOCKS]):
        widen(a, b * 32, 32, x)
        d, floor, low, high = affine_levels(x, load(x, 0), load(x, 16), 15)
        target = a[TARGET] + b * 24
        f32_at(target)[0] = d
        f32_at(target)[1] = floor
        store_nibbles(u8_at(target), 8, low + half, high + half, 0, 15)


@kernel
def quantize_q4_1_v1(a, thread, n_threads):
    x = f32_at(a[SCRATCH])
    for b in range(a[N_BLOCKS]):
        widen(a, b * 32, 32, x)
        d, floor, low, high = affine_levels(x, load(x, 0), load(x, 16), 15)
        target = a[TARGET] + b * 24
        f32_at(target)[0] = d
        f32_at(target)[1] = floor
        store_paired(target + 8, round_away(low), round_away(high), 0)


# --- q5_0, q5_1: a fifth bit of each level apart ------------------------------------------------------------


@kernel
def quantize_q5_0(a, thread, n_threads):
    x = f32_at(a[SCRATCH])
    for b in range(a[N_BLOCKS]):
        widen(a, b * 32, 32, x)
        d, low, high = symmetric_levels(load(x, 0), load(x, 16), 16)
        target = a[TARGET] + b * 22
        u16_at(target)[0] = to_f16(d)
        store_fifths(target + 2, low, high)
        store_nibbles(u8_at(target), 6, low, high, 0, 31)


@kernel
def quantize_q5_1(a, thread, n_threads):
    x, half = f32_at(a[SCRATCH]), splat(np.float32(0.5))
    for b in range(a[N_BLOCKS]):
        widen(a, b * 32, 32, x)
        d, floor, low, high = affine_levels(x, load(x, 0), load(x, 16), 31)
        low, high = low + half, high + half
        target = a[TARGET] + b * 24
        u16_at(target)[0] = to_f16(d)
        u16_at(target)[1] = to_f16(floor)
        store_fifths(target + 4, low, high)
        store_nibbles(u8_at(target), 8, low, high, 0, 31)


# --- q8_0: levels -127 .. 127 -------------------------------------------------------------------------------


@njit(**OPTIONS)
def quantize_q8(a, b, x, nbytes):
    """Levels of block b behind its scale, which takes nbytes - 32; returns the scale."""
    widen(a, b * 32, 32, x)
    low, high = load(x, 0), load(x, 16)
    d = largest(low, high) / np.float32(127.0)
    factor = splat(inverse(d))
    levels = u8_at(a[TARGET] + b * nbytes + nbytes - 32)
    store_i8(levels, 0, round_away(low * factor))
    store_i8(levels, 16, round_away(high * factor))
    return d


@kernel
def quantize_q8_0(a, thread, n_threads):
    x = f32_at(a[SCRATCH])
    for b in range(a[N_BLOCKS]):
        u16_at(a[TARGET] + b * 34)[0] = to_f16(quantize_q8(a, b, x, 34))


@kernel
def quantize_q8_0_v1(a, thread, n_threads):
    x = f32_at(a[SCRATCH])
    for b in range(a[N_BLOCKS]):
        f32_at(a[TARGET] + b * 36)[0] = quantize_q8(a, b, x, 36)


# --- how the levels are spread ------------------------------------------------------------------------------


@kernel
def count_bytes(a, thread, n_threads):
    """How often each byte comes among the levels of the blocks at TARGET, added to COUNTS (int64 [256]).

    SOURCE: bytes of a block; KIND: how many of them, at its end, are levels.
    """
    counts = i64_at(a[COUNTS])
    for b in range(a[N_BLOCKS]):
        levels = u8_at(a[TARGET] + (b + 1) * a[SOURCE] - a[KIND])
        for i in range(a[KIND]):
            counts[levels[i]] += 1


@kernel
def count_fives(a, thread, n_threads):
    """How often each level of 5 bits comes, added to COUNTS (int64 [32]).

    SOURCE: bytes of a block; KIND: 1 where byte j has levels 2j and 2j + 1, 0 where it has j and j + 16.
    """
    counts = i64_at(a[COUNTS])
    for b in range(a[N_BLOCKS]):
        fifths = u16_at(a[TARGET] + (b + 1) * a[SOURCE] - 20)
        levels = u8_at(a[TARGET] + (b + 1) * a[SOURCE] - 16)
        bits = np.int64(fifths[0]) | np.int64(fifths[1]) << 16
        for j in range(16):
            low, high = (2 * j, 2 * j + 1) if a[KIND] != 0 else (j, j + 16)
            counts[(levels[j] & 15) | (bits >> low & 1) << 4] += 1
            counts[(levels[j] >> 4) | (bits >> high & 1) << 4] += 1
