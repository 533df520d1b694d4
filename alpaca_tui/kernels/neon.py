"""The block step on ARM: what `tiles` does, in the order that 32 registers of 16 bytes need.

The sums of 16 rows and 4 tokens take half of the registers. Integer sums of all rows would not fit beside
them; so the rows of a tile are taken in four quarters, a register each, one after the other. Products are by
one lane of a register: the activations of 4 tokens come in one load, and so do their scales.
"""

from __future__ import annotations

from dataclasses import replace

from alpaca_tui.kernels.emit import F32, F32X16, I8, I16, I16X16, I32, BlockDot, Emitter, vector
from alpaca_tui.kernels.tile_formats import COLUMNS, ROWS, Block, TileFormat, codes, load_line

QUARTER = 4  # rows, and tokens
# which steps of a block, four columns each, go together: both nibbles of a byte; of q6_K columns of one scale
PAIRS, HALVES = ((0, 4, 1, 5), (2, 6, 3, 7)), ((0, 1, 2, 3), (4, 5, 6, 7))
I8X4, I16X4, I32X4 = (vector(kind, QUARTER) for kind in (I8, I16, I32))


def neon_block(e: Emitter, fmt: TileFormat, block: Block, accumulators):
    """accumulators[group * tokens + t] += the tile's rows times token t's 32 activations; 1 or 4 tokens."""
    n = block.tokens
    assert n in (1, QUARTER)
    if fmt.is_float:
        return _float_block(e, fmt, block, accumulators)
    for g, (code, scale) in enumerate(zip(block.code, block.scale, strict=True)):
        group = replace(block, code=[code], scale=[scale])
        mine = slice(g * n, g * n + n)
        accumulators[mine], group = _integer_block(e, fmt, group, accumulators[mine])
        block = replace(group, code=block.code, scale=block.scale)


def _float_block(e: Emitter, fmt: TileFormat, block: Block, accumulators):
    size = fmt.code_bytes // COLUMNS
    for c in range(COLUMNS):
        for g in range(len(block.code)):
            if fmt.name == "f32":
                w = load_line(e, block.code[g], size * c, F32X16, block.ahead)
            else:
                bits = load_line(e, block.code[g], size * c, I16X16, block.ahead)
                w = e.f16_to_f32(bits) if fmt.name == "f16" else e.bf16_to_f32(bits)
            for t in range(block.tokens):
                i = g * block.tokens + t
                x = _lane(e, block.floats, c * block.column + t, F32, ROWS)
                accumulators[i] = e.fma(w, x, accumulators[i])
        if c % 4 == 3:
            accumulators[:], block = block.after(e, accumulators)


def _integer_block(e: Emitter, fmt: TileFormat, block: Block, accumulators):
    """Of one row group: sum(code * x) in integers, then d * dx once a block; the block from there on."""
    step = _two_runs if fmt.name == "q6_K" else _one_run
    quarters = []
    for first in range(0, ROWS, QUARTER):
        sums, block = step(e, fmt, block, first, [e.part(v, first, QUARTER) for v in accumulators])
        quarters.append(sums)
    return [e.join(list(parts)) for parts in zip(*quarters, strict=True)], block


def _lane(e: Emitter, pointer, index: int, kind, lanes: int = QUARTER):
    """Number `index` of a row of them in all lanes, loaded together with three others."""
    return e.pick(e.load(pointer, index // 4 * 16, vector(kind, 4)), [index % 4] * lanes)


def _of_tokens(e: Emitter, block: Block, pointer, offset: int, kind):
    """A number of each token in its lane; of a single token, in all lanes."""
    if block.alone:
        return e.load_splat(pointer, offset, kind, lanes=QUARTER)
    return e.load(pointer, offset, vector(kind, QUARTER))


def _add_dots(e: Emitter, fmt: TileFormat, block: Block, first: int, steps, totals):
    """totals[t] plus sum(code * x) of rows first .. first + 3 over some steps; the block from there on."""
    code = e.at(block.code[0], QUARTER * first)
    dots = [BlockDot(e, fmt.largest, len(steps), total) for total in totals]
    for k, code_vector in zip(steps, codes(e, fmt, code, block.ahead, QUARTER, steps), strict=True):
        for t, dot in enumerate(dots):
            x = _lane(e, block.quants, k * block.column + t, I32)
            dot.step(code_vector, BlockDot.prepare(e, x))
    return block.after(e, [dot.end() for dot in dots])


def _spread(e: Emitter, block: Block, of_tokens):
    """Of a vector of tokens' numbers, one vector for each token."""
    return [e.pick(of_tokens, [t] * QUARTER) for t in range(block.tokens)]


def _starts(e: Emitter, fmt: TileFormat, block: Block, minus_sums):
    """Where each token's sums begin."""
    start = BlockDot.start(e, fmt.largest, fmt.offset, minus_sums)
    return [None] * block.tokens if start is None else _spread(e, block, start)


def _add_scaled(e: Emitter, sums, dots, scale, token_scales):
    """sums + dot * scale of the row * scale of the token."""
    return [
        e.fma(e.to_f32(dot), e.b.fmul(scale, dx), v)
        for v, dot, dx in zip(sums, dots, token_scales, strict=True)
    ]


def _one_run(e: Emitter, fmt: TileFormat, block: Block, first: int, sums):
    """Rows first .. first + 3 added to their sums, for formats with one scale for 32 columns."""
    minus_sums = _of_tokens(e, block, block.sums, 4 * block.column, I32)
    dots = _starts(e, fmt, block, minus_sums)
    for steps in PAIRS:
        dots, block = _add_dots(e, fmt, block, first, steps, dots)
    d = e.f16_to_f32(e.load(block.scale[0], 2 * first, I16X4))
    dx = _of_tokens(e, block, block.scales, 0, F32)
    sums = _add_scaled(e, sums, dots, d, _spread(e, block, dx))
    if fmt.minimum:
        m = e.f16_to_f32(e.load(block.scale[0], 2 * (ROWS + first), I16X4))
        minima = _spread(e, block, e.b.fmul(dx, e.to_f32(minus_sums)))
        sums = [e.fma(e.b.fneg(m), minimum, v) for minimum, v in zip(minima, sums, strict=True)]
    return block.after(e, sums)


def _two_runs(e: Emitter, fmt: TileFormat, block: Block, first: int, sums):
    """As _one_run, for q6_K: two runs of 16 columns, each with an i8 scale of its own, under one d."""
    totals: list = []
    for half, steps in enumerate(HALVES):
        minus_sums = _of_tokens(e, block, block.sums, 4 * half * block.column, I32)
        if half:
            minus_sums = e.b.sub(minus_sums, _of_tokens(e, block, block.sums, 0, I32))
        starts = _starts(e, fmt, block, minus_sums)
        dots, block = _add_dots(e, fmt, block, first, steps, starts)
        d = e.f16_to_f32(e.load(block.scale[0], 2 * (ROWS + first), I16X4))
        scale = e.b.fmul(e.to_f32(e.load(block.scale[0], ROWS * half + first, I8X4)), d)
        values = [e.to_f32(dot) for dot in dots]
        if totals:
            totals = [e.fma(x, scale, v) for x, v in zip(values, totals, strict=True)]
        else:
            totals = [e.b.fmul(x, scale) for x in values]
        totals, block = block.after(e, totals)
    dx = _spread(e, block, _of_tokens(e, block, block.scales, 0, F32))
    return block.after(e, [e.fma(v, x, total) for v, x, total in zip(totals, dx, sums, strict=True)])
