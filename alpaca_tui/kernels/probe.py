"""What the computer can do at best, to hold the engine's speed against: reading memory, and dot products.

Each does what a matrix product does and nothing else: `stream_read` reads memory through once, `dot_peak` and
`fma_peak` sum products of weights and activations that lie in registers and the nearest cache.
"""

from __future__ import annotations

from numba import types
from numba.extending import intrinsic

from alpaca_tui.kernels import target
from alpaca_tui.kernels.emit import F32, F32X16, I8, I32, I32X16, U8X64, BlockDot
from alpaca_tui.kernels.registry import kernel
from alpaca_tui.kernels.team import COUNTER, fetch_add
from alpaca_tui.kernels.vectors import VectorType, emitter, pack, unpack, zeros

# the arguments, after COUNTER and BATCH
RESULT, N_ITEMS = 2, 3  # RESULT: 64-byte vectors, so many a thread as a kernel has accumulators
SOURCE, AHEAD = 4, 5  # of stream_read: bytes that are read, and how far ahead they are asked for
CODES, ACTIVATIONS, N_BLOCKS = 4, 5, 6  # of dot_peak and fma_peak

LINE, LINES = 64, 8
CHUNK = 1 << 20  # bytes that a thread draws at a time

LARGEST = 15  # codes of 4 bits
STEPS = 8  # of a block: 64 codes each, 4 columns of 16 rows
CODE_BLOCKS = 8  # in turn, 4 KiB: products of the same codes would be computed once only
TOKENS = 12 if target.path() is target.Path.VNNI else 4  # as many sums as registers hold
PRODUCTS = TOKENS * STEPS * LINE  # of a block
FLOATS = LINE // 4
FLOAT_PRODUCTS = TOKENS * STEPS * FLOATS


@intrinsic
def add_lines(typingctx, acc, address, ahead):
    """acc plus the LINES cache lines from `address` on, one to each vector; those `ahead` are asked for."""

    def codegen(context, builder, signature, args):
        e = emitter(builder)
        start = builder.inttoptr(args[1], I8.as_pointer())
        later = e.at(start, args[2])
        sums = []
        for i, total in enumerate(unpack(builder, args[0], LINES)):
            e.prefetch(later, LINE * i)
            sums.append(builder.fadd(total, e.load(start, LINE * i, F32X16)))
        return pack(builder, sums)

    return VectorType(LINES)(acc, types.int64, types.int64), codegen


@intrinsic
def dot_block(typingctx, acc, codes, activations):
    """acc (i32 lanes) plus a block's products: u8 codes [STEPS][64] times i8 activations [TOKENS][4]."""

    def codegen(context, builder, signature, args):
        e = emitter(builder)
        code_pointer, x_pointer = (builder.inttoptr(a, I8.as_pointer()) for a in args[1:])
        x = [BlockDot.prepare(e, e.load_splat(x_pointer, 4 * t, I32)) for t in range(TOKENS)]
        dots = [BlockDot(e, LARGEST, STEPS) for _ in range(TOKENS)]
        for dot, total in zip(dots, unpack(builder, args[0], TOKENS), strict=True):
            dot.total = builder.bitcast(total, I32X16)
        for k in range(STEPS):
            code = e.load(code_pointer, LINE * k, U8X64)
            for dot, activation in zip(dots, x, strict=True):
                dot.step(code, activation)
        return pack(builder, [builder.bitcast(dot.end(), F32X16) for dot in dots])

    return VectorType(TOKENS)(acc, types.int64, types.int64), codegen


@intrinsic
def fma_block(typingctx, acc, weights, activations):
    """acc (f32 lanes) plus a block's products: f32 weights [STEPS][FLOATS] times f32 activations [TOKENS]."""

    def codegen(context, builder, signature, args):
        e = emitter(builder)
        weight_pointer, x_pointer = (builder.inttoptr(a, I8.as_pointer()) for a in args[1:])
        x = [e.load_splat(x_pointer, 4 * t, F32, TOKENS) for t in range(TOKENS)]
        sums = unpack(builder, args[0], TOKENS)
        for k in range(STEPS):
            weight = e.load(weight_pointer, LINE * k, F32X16)
            sums = [e.fma(weight, value, total) for value, total in zip(x, sums, strict=True)]
        return pack(builder, sums)

    return VectorType(TOKENS)(acc, types.int64, types.int64), codegen


@intrinsic
def store_all(typingctx, acc, address):
    """The vectors of acc, one after the other."""

    def codegen(context, builder, signature, args):
        e = emitter(builder)
        start = builder.inttoptr(args[1], I8.as_pointer())
        for i, value in enumerate(unpack(builder, args[0], acc.n)):
            e.store(value, start, LINE * i)
        return context.get_dummy_value()

    return types.void(acc, types.int64), codegen


@kernel
def stream_read(a, thread, n_threads):
    """Sums f32s, N_ITEMS chunks of CHUNK bytes, to read each byte once."""
    acc = zeros(LINES)
    while True:
        chunk = fetch_add(a, COUNTER, 1)
        if chunk >= a[N_ITEMS]:
            break
        start = a[SOURCE] + chunk * CHUNK
        for at in range(0, CHUNK, LINE * LINES):
            acc = add_lines(acc, start + at, a[AHEAD])
    store_all(acc, a[RESULT] + thread * (LINE * LINES))


@kernel
def dot_peak(a, thread, n_threads):
    """N_ITEMS times N_BLOCKS blocks of PRODUCTS products; CODES: u8 [CODE_BLOCKS][STEPS][64]."""
    acc = zeros(TOKENS)
    while True:
        item = fetch_add(a, COUNTER, 1)
        if item >= a[N_ITEMS]:
            break
        for b in range(a[N_BLOCKS]):
            acc = dot_block(acc, a[CODES] + (b % CODE_BLOCKS) * (STEPS * LINE), a[ACTIVATIONS])
    store_all(acc, a[RESULT] + thread * (LINE * TOKENS))


@kernel
def fma_peak(a, thread, n_threads):
    """N_ITEMS times N_BLOCKS blocks of FLOAT_PRODUCTS products; CODES: f32 [CODE_BLOCKS][STEPS][FLOATS]."""
    acc = zeros(TOKENS)
    while True:
        item = fetch_add(a, COUNTER, 1)
        if item >= a[N_ITEMS]:
            break
        for b in range(a[N_BLOCKS]):
            acc = fma_block(acc, a[CODES] + (b % CODE_BLOCKS) * (STEPS * LINE), a[ACTIVATIONS])
    store_all(acc, a[RESULT] + thread * (LINE * TOKENS))
