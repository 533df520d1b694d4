"""The step that all matrix products consist of: a tile of weights times one block of activations.

Activations come 32 to a block as i8 with one f32 scale, in columns of TOKENS tokens: see `activations`. How
weights lie in memory: see `tile_formats`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from alpaca_tui.kernels import target
from alpaca_tui.kernels.constants import compile_time, number
from alpaca_tui.kernels.emit import F32, F32X16, I8, I16X16, I32, BlockDot, Emitter, vector
from alpaca_tui.kernels.neon import neon_block
from alpaca_tui.kernels.tile_formats import COLUMNS, Block, TileFormat, codes, load_line
from alpaca_tui.kernels.vectors import byte_pointer, pack, unpack, zeros_for

GROUPS = 2  # row groups that go together: 32 rows


@compile_time
@dataclass(frozen=True)
class Tile:
    """Tokens and row groups (of 16 rows) whose sums are made at a time."""

    tokens: int
    groups: int
    ahead: int = 0  # see Block.ahead

    @property
    def column(self) -> int:
        """Tokens whose activations lie side by side in memory."""
        return 1 if self.tokens == 1 else TOKENS


SINGLE = Tile(1, GROUPS, target.prefetch()[0])
BATCH_TILES = tuple(Tile(*shape, target.prefetch()[1]) for shape in target.tiles())  # largest first
TOKENS = max(8, BATCH_TILES[0].tokens)  # activations of a batch lie in columns of this many tokens

zero_sums = zeros_for(lambda tile: tile.tokens * tile.groups)
tile_groups = number(lambda tile: tile.groups)
tile_column = number(lambda tile: tile.column)
code_bytes = number(lambda fmt: fmt.code_bytes)
scale_bytes = number(lambda fmt: fmt.scale_bytes)


def float_block(e: Emitter, fmt: TileFormat, block: Block, accumulators):
    """accumulators[group * tokens + t] += the tile's rows times token t's 32 activations.

    The block has a sum of its own, added at its end: the processor can then work at several blocks at once.
    """
    size = fmt.code_bytes // COLUMNS
    sums = [None] * len(accumulators)
    for c in range(COLUMNS):
        x = [e.load_splat(block.floats, 4 * (c * block.column + t), F32) for t in range(block.tokens)]
        for g, pointer in enumerate(block.code):
            if fmt.name == "f32":
                w = load_line(e, pointer, size * c, F32X16, block.ahead)
            else:
                bits = load_line(e, pointer, size * c, I16X16, block.ahead)
                w = e.f16_to_f32(bits) if fmt.name == "f16" else e.bf16_to_f32(bits)
            for t in range(block.tokens):
                i = g * block.tokens + t
                sums[i] = e.b.fmul(w, x[t]) if sums[i] is None else e.fma(w, x[t], sums[i])
    for i, total in enumerate(sums):
        accumulators[i] = e.b.fadd(accumulators[i], total)


def integer_dots(e: Emitter, fmt: TileFormat, block: Block, code_vectors, steps, minus_sums):
    """i32 sums of (code + offset) * x of every row group and token over some of the 8 steps.

    `minus_sums`: of each token's activations in these steps.
    """
    starts = [BlockDot.start(e, fmt.largest, fmt.offset, s) for s in minus_sums]
    dots = [BlockDot(e, fmt.largest, len(steps), start) for _ in block.code for start in starts]
    for k in steps:
        row_codes = [next(vectors) for vectors in code_vectors]
        for t in range(block.tokens):
            x = BlockDot.prepare(e, e.load_splat(block.quants, 4 * (k * block.column + t), I32))
            for g, code in enumerate(row_codes):
                dots[g * block.tokens + t].step(code, x)
    return [dot.end() for dot in dots]


def quantised_block(e: Emitter, fmt: TileFormat, block: Block, accumulators):
    """As float_block, for codes of up to 8 bits: sum(code * x) in integers, then d * dx once a block."""
    vectors = [codes(e, fmt, pointer, block.ahead) for pointer in block.code]
    run = _two_runs if fmt.name == "q6_K" else _one_run
    run(e, fmt, block, vectors, accumulators)


def _minus_sums(e: Emitter, block: Block, which: int):
    """Splats of each token's sum times -1: of 16 columns (0), of all 32 (1)."""
    return [e.load_splat(block.sums, 4 * (which * block.column + t), I32) for t in range(block.tokens)]


def _one_run(e: Emitter, fmt: TileFormat, block: Block, vectors, accumulators):
    minus = _minus_sums(e, block, 1)
    dots = integer_dots(e, fmt, block, vectors, range(8), minus)
    d = [e.f16_to_f32(e.load(p, 0, I16X16)) for p in block.scale]
    m = [e.f16_to_f32(e.load(p, 32, I16X16)) for p in block.scale] if fmt.minimum else []
    for t in range(block.tokens):
        dx = e.load_splat(block.scales, 4 * t, F32)
        for g in range(len(block.code)):
            i = g * block.tokens + t
            accumulators[i] = e.fma(e.to_f32(dots[i]), e.b.fmul(d[g], dx), accumulators[i])
            if fmt.minimum:
                minus_sx = e.b.fmul(dx, e.to_f32(minus[t]))
                accumulators[i] = e.fma(e.b.fneg(m[g]), minus_sx, accumulators[i])


def _two_runs(e: Emitter, fmt: TileFormat, block: Block, vectors, accumulators):
    """q6_K: two runs of 16 columns, each with an i8 scale of its own, under one d."""
    first, both = _minus_sums(e, block, 0), _minus_sums(e, block, 1)
    second = [e.b.sub(b, f) for b, f in zip(both, first, strict=True)]
    d = [e.f16_to_f32(e.load(p, 32, I16X16)) for p in block.scale]
    totals = [None] * len(accumulators)
    for half, minus in enumerate((first, second)):
        dots = integer_dots(e, fmt, block, vectors, range(4 * half, 4 * half + 4), minus)
        scales = [
            e.b.fmul(e.to_f32(e.load(p, 16 * half, vector(I8, 16))), x)
            for p, x in zip(block.scale, d, strict=True)
        ]
        for g, scale in enumerate(scales):
            for i in range(g * block.tokens, (g + 1) * block.tokens):
                x = e.to_f32(dots[i])
                totals[i] = e.b.fmul(x, scale) if totals[i] is None else e.fma(x, scale, totals[i])
    for t in range(block.tokens):
        dx = e.load_splat(block.scales, 4 * t, F32)
        for i in range(t, len(accumulators), block.tokens):
            accumulators[i] = e.fma(totals[i], dx, accumulators[i])


@intrinsic
def block_step(typingctx, acc, fmt, tile, code, scale, quants, scales, sums, floats):
    """acc plus one block's products.

    acc: `zero_sums(tile)` to begin with; code, scale: addresses of the first row group's weights, the next
    groups' behind them; quants, scales, sums, floats: addresses of the block's activations.
    """
    shape, form = tile.value, fmt.value
    address = types.int64
    signature = acc(acc, fmt, tile, address, address, address, address, address, address)

    def codegen(context, builder, signature, args):
        e = Emitter(builder, target.path())
        code_, scale_, *activations = (builder.inttoptr(a, I8.as_pointer()) for a in args[3:])
        block = Block(
            [e.at(code_, g * form.code_bytes) for g in range(shape.groups)],
            [e.at(scale_, g * form.scale_bytes) for g in range(shape.groups)],
            *activations,
            tokens=shape.tokens,
            column=shape.column,
            ahead=shape.ahead,
        )
        accumulators = unpack(builder, args[0], acc.n)
        step = float_block if form.is_float else quantised_block
        if target.path() is target.Path.NEON:
            neon_block(e, form, block, accumulators)
        elif block.alone:  # one row group after the other: weights are read in the order in which they lie
            for g in range(shape.groups):
                mine = slice(g * shape.tokens, (g + 1) * shape.tokens)
                sums = accumulators[mine]
                step(e, form, replace(block, code=[block.code[g]], scale=[block.scale[g]]), sums)
                accumulators[mine] = sums
        else:
            step(e, form, block, accumulators)
        return pack(builder, accumulators)

    return signature, codegen


@intrinsic
def store_tile(typingctx, acc, tile, y, stride, n_valid, residual):
    """y[t * stride + 16 * group + lane] = (or += where residual is not 0) acc, for t < n_valid; y: f32*."""
    tokens, groups = tile.value.tokens, range(tile.value.groups)
    signature = types.void(acc, tile, y, types.int64, types.int64, types.int64)

    def codegen(context, builder, signature, args):
        e = Emitter(builder, target.path())
        vectors = unpack(builder, args[0], acc.n)
        i64 = ir.IntType(64)
        add = builder.icmp_signed("!=", args[5], i64(0))
        for t in range(tokens):
            with builder.if_then(builder.icmp_signed(">", args[4], i64(t))):
                row = byte_pointer(context, builder, args[2], builder.mul(args[3], i64(t)), 4)
                with builder.if_else(add) as (then, otherwise):
                    with then:
                        for g in groups:
                            v = vectors[g * tokens + t]
                            e.store(builder.fadd(v, e.load(row, 64 * g, F32X16)), row, 64 * g)
                    with otherwise:
                        for g in groups:
                            e.store(vectors[g * tokens + t], row, 64 * g)
        return context.get_dummy_value()

    return signature, codegen
