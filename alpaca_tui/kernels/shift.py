"""Moving a part of the KV cache to earlier positions: nothing is evaluated again.

A key that moves by d positions turns by -d times the frequency of each pair, since RoPE has turned it by its
position; a value moves as it is. Both were computed in the presence of what has left, so that they are not
those of an evaluation without it. Keys in q8_0 are turned in f32 and rounded anew.
"""

from __future__ import annotations

from numba import njit

from alpaca_tui.kernels.attention import (
    HEAD_DIM,
    K_CACHE,
    K_SCALES,
    LANES,
    N_CTX,
    N_HEAD_KV,
    V_CACHE,
    V_SCALES,
    VALUE_DIM,
    put_i8,
)
from alpaca_tui.kernels.query_tiles import SCALED
from alpaca_tui.kernels.registry import OPTIONS, kernel
from alpaca_tui.kernels.team import COUNTER, fetch_add
from alpaca_tui.kernels.vectors import (
    f32_at,
    i8_at,
    load,
    load_f16,
    splat,
    store,
    to_f16,
    u8_at,
    u16_at,
)

# the arguments, beside those of attention: COUNT positions from FROM on go to TO, before it. COS, SIN: of the
# angle by which each of N_ROT / 2 pairs turns. A thread's scratch: see `scratch_bytes`.
TO, FROM, COUNT, COS, SIN, N_ROT, SCRATCH, SCRATCH_STRIDE = 13, 14, 15, 16, 17, 18, 19, 20

TWO = 2 * LANES
WIDE = 64  # bytes that are moved at a time


@njit(**OPTIONS)
def move(source, target, n):
    """n bytes to a lower address."""
    wide_source, wide_target = f32_at(source), f32_at(target)
    for i in range(0, n - WIDE + 1, WIDE):
        store(wide_target, i // 4, load(wide_source, i // 4))
    first, last = u8_at(source), u8_at(target)
    for i in range(n // WIDE * WIDE, n):
        last[i] = first[i]


@njit(**OPTIONS)
def turn(a, x, lane, y):
    """y[i][0..16] = the 16 keys from `lane` on of x[i][0..32], turned; rows are dimensions."""
    cos, sin, n_rot, head_dim = f32_at(a[COS]), f32_at(a[SIN]), a[N_ROT], a[HEAD_DIM]
    for p in range(n_rot // 2):
        c, s = splat(cos[p]), splat(sin[p])
        even, odd = load(x, 2 * p * TWO + lane), load(x, (2 * p + 1) * TWO + lane)
        store(y, 2 * p * LANES, even * c - odd * s)
        store(y, (2 * p + 1) * LANES, even * s + odd * c)
    for i in range(n_rot, head_dim):
        store(y, i * LANES, load(x, i * TWO + lane))


@njit(**OPTIONS)
def widen_f16(a, head, group, x, at):
    """Dimension i of the group's 16 keys as f32 to x[i * 32 + at ...]."""
    head_dim = a[HEAD_DIM]
    keys, first = u16_at(a[K_CACHE]), (head * a[N_CTX] + group * LANES) * head_dim
    for i in range(head_dim):
        store(x, i * TWO + at, load_f16(keys, first + i * LANES))


@njit(**OPTIONS)
def widen_q8_0(a, head, group, x, at):
    """The same of a cache in q8_0."""
    head_dim = a[HEAD_DIM]
    keys, scales = i8_at(a[K_CACHE]), f32_at(a[K_SCALES])
    first = (head * a[N_CTX] + group * LANES) * head_dim
    for i in range(head_dim):
        row = (first + i // SCALED * SCALED * LANES) // SCALED
        for j in range(LANES):
            x[i * TWO + at + j] = keys[first + i * LANES + j] * scales[row + j]


@njit(**OPTIONS)
def put_keys_f16(a, head, group, y, first, last):
    """Lanes first .. last of y[head_dim][16] into the group."""
    head_dim = a[HEAD_DIM]
    keys, at = u16_at(a[K_CACHE]), (head * a[N_CTX] + group * LANES) * head_dim
    for i in range(head_dim):
        for j in range(first, last):
            keys[at + i * LANES + j] = to_f16(y[i * LANES + j])


@njit(**OPTIONS)
def put_keys_q8_0(a, head, group, y, first, last, x):
    """The same into a cache in q8_0; x: room for the dimensions of one key."""
    head_dim = a[HEAD_DIM]
    keys, scales = i8_at(a[K_CACHE]), f32_at(a[K_SCALES])
    at = (head * a[N_CTX] + group * LANES) * head_dim
    for j in range(first, last):
        for i in range(head_dim):
            x[i] = y[i * LANES + j]
        for i in range(0, head_dim, SCALED):
            scales[(at + i * LANES) // SCALED + j] = put_i8(x, i, keys, at + i * LANES + j, LANES)


@kernel
def shift_f16(a, thread, n_threads):
    """COUNT positions from FROM on go to TO, before it; heads are the pieces of work."""
    n_ctx, count = a[N_CTX], a[COUNT]
    x, y = scratch_of(a, thread)
    row = a[VALUE_DIM] * 2
    while True:
        head = fetch_add(a, COUNTER, 1)
        if head >= a[N_HEAD_KV]:
            break
        for group in range(a[TO] // LANES, (a[TO] + count + LANES - 1) // LANES):
            source = group * LANES + a[FROM] - a[TO]
            widen_f16(a, head, source // LANES, x, 0)
            if source // LANES + 1 < n_ctx // LANES:
                widen_f16(a, head, source // LANES + 1, x, LANES)
            turn(a, x, source % LANES, y)
            first, last = max(a[TO] - group * LANES, 0), min(a[TO] + count - group * LANES, LANES)
            put_keys_f16(a, head, group, y, first, last)
        values = a[V_CACHE] + head * n_ctx * row
        move(values + a[FROM] * row, values + a[TO] * row, count * row)


@kernel
def shift_q8_0(a, thread, n_threads):
    """`shift_f16` of a cache in q8_0."""
    n_ctx, count = a[N_CTX], a[COUNT]
    x, y = scratch_of(a, thread)
    row, scales = a[VALUE_DIM], a[HEAD_DIM] // SCALED * 4
    while True:
        head = fetch_add(a, COUNTER, 1)
        if head >= a[N_HEAD_KV]:
            break
        for group in range(a[TO] // LANES, (a[TO] + count + LANES - 1) // LANES):
            source = group * LANES + a[FROM] - a[TO]
            widen_q8_0(a, head, source // LANES, x, 0)
            if source // LANES + 1 < n_ctx // LANES:
                widen_q8_0(a, head, source // LANES + 1, x, LANES)
            turn(a, x, source % LANES, y)
            first, last = max(a[TO] - group * LANES, 0), min(a[TO] + count - group * LANES, LANES)
            put_keys_q8_0(a, head, group, y, first, last, x)
        values = a[V_CACHE] + head * n_ctx * row
        move(values + a[FROM] * row, values + a[TO] * row, count * row)
        values = a[V_SCALES] + head * n_ctx * scales
        move(values + a[FROM] * scales, values + a[TO] * scales, count * scales)


@njit(**OPTIONS)
def scratch_of(a, thread):
    """Room for two groups of keys and for one, in f32."""
    start = a[SCRATCH] + thread * a[SCRATCH_STRIDE]
    return f32_at(start), f32_at(start + 4 * TWO * a[HEAD_DIM])


def scratch_bytes(head_dim: int) -> int:
    """What the kernels need for each thread."""
    return 4 * (TWO + LANES) * head_dim
