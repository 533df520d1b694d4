"""How each block format lies in memory for the kernels, and the step that multiplies one block.

Weights are repacked once at load. A tile is 16 rows by 32 columns; lanes of a vector are rows, so nothing is
ever summed across lanes. Of a tensor, first come the codes of all tiles, then their scales: pair of row
groups by pair, block by block, the pair's two tiles side by side, so that a product reads straight on.

- codes: 8 groups of 4 consecutive columns; of a group, 64 bytes, row r's four columns in bytes 4r..4r+3.
  4 bits: byte k*64+i holds group k in its low and group k+4 in its high half (256 bytes a tile).
  5th bits: 64 bytes before them; bit k of byte i belongs to group k. 6 bits: 128 bytes of 2-bit pairs before
  them; byte i of the first 64 holds groups 0..3 in bits 0-1, 2-3, 4-5, 6-7, of the second 64 groups 4..7.
  8 bits: 512 bytes, value + 128. Floats: 32 columns of 16 rows each.
- scales: f16 d of 16 rows; then f16 m where the format has one; q6_K: 2 x 16 i8 scales, then 16 f16 d.

Activations come 32 to a block as i8 with one f32 scale, in columns of TOKENS tokens: see `activations`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from llvmlite import ir
from numba import types
from numba.core.imputils import lower_constant
from numba.extending import intrinsic, models, register_model, typeof_impl

from alpaca_tui.kernels import target
from alpaca_tui.kernels.emit import (
    F32,
    F32X16,
    I8,
    I16X16,
    I32,
    U8X64,
    BlockDot,
    Emitter,
    vector,
)
from alpaca_tui.kernels.vectors import VectorType, byte_pointer, pack, unpack

ROWS, COLUMNS = 16, 32
TOKENS = max(8, target.tile()[0])  # activations of a batch lie in columns of this many tokens
GROUPS = 2  # row groups that go together: 32 rows
PREFETCH = target.prefetch()


@dataclass(frozen=True)
class TileFormat:
    """A block format as the kernels see it. `code_bytes` and `scale_bytes` are of a tile of 16 x 32."""

    name: str
    code_bytes: int
    scale_bytes: int
    largest: int  # of the unsigned codes; 255: signed + 128; 0: floats
    offset: int = 0  # what is added to a code to get its value
    minimum: bool = False  # the format has a minimum m beside its scale d

    @property
    def is_float(self) -> bool:
        return self.largest == 0


TILE_FORMATS = {
    f.name: f
    for f in (
        TileFormat("q4_0", 256, 32, 15, offset=-8),
        TileFormat("q4_1", 256, 64, 15, minimum=True),
        TileFormat("q5_0", 320, 32, 31, offset=-16),
        TileFormat("q5_1", 320, 64, 31, minimum=True),
        TileFormat("q8_0", 512, 32, 255),
        TileFormat("q6_K", 384, 64, 63, offset=-32),
        TileFormat("f16", 1024, 0, 0),
        TileFormat("bf16", 1024, 0, 0),
        TileFormat("f32", 2048, 0, 0),
    )
}


class TileFormatType(types.Type):
    """A TileFormat as a Numba type: kernels are compiled for it, nothing is passed."""

    def __init__(self, tile_format: TileFormat):
        self.format = tile_format
        super().__init__(name=f"TileFormat({tile_format.name})")


register_model(TileFormatType)(models.OpaqueModel)


@typeof_impl.register(TileFormat)
def _typeof(value, context):
    return TileFormatType(value)


@lower_constant(TileFormatType)
def _constant(context, builder, type_, value):
    return context.get_dummy_value()


def load_line(e: Emitter, pointer, offset, vt, ahead: bool):
    """A load of codes; `ahead` also asks for what a stream reads PREFETCH bytes later."""
    if ahead and PREFETCH and offset % 64 == 0:
        e.prefetch(pointer, PREFETCH + offset)
    return e.load(pointer, offset, vt)


def codes(e: Emitter, fmt: TileFormat, pointer, ahead: bool):
    """Yields the 8 code vectors of a tile, u8x64 each, in order of their columns."""
    if fmt.largest == 255:
        for k in range(8):
            yield load_line(e, pointer, 64 * k, U8X64, ahead)
        return
    first = fmt.code_bytes - 256  # of the nibbles; what they lack stands before them
    high = [load_line(e, pointer, offset, U8X64, ahead) for offset in range(0, first, 64)]
    for k in range(8):
        nibbles = load_line(e, pointer, first + 64 * (k % 4), U8X64, ahead and k < 4)
        code = e.low_nibbles(nibbles) if k < 4 else e.high_nibbles(nibbles)
        if fmt.largest == 31:
            code = e.b.or_(code, e.and_bytes(e.shift_bytes(high[0], 4 - k), 16))
        elif fmt.largest == 63:
            code = e.b.or_(code, e.and_bytes(e.shift_bytes(high[k // 4], 4 - 2 * (k % 4)), 48))
        yield code


@dataclass
class Block:
    """Where one block's inputs are: `i8*` of each row group, of the activations, and their token stride."""

    code: list[ir.Value]
    scale: list[ir.Value]
    quants: ir.Value  # i8 activations of the block
    scales: ir.Value  # f32
    sums: ir.Value  # i32, two a block: of columns 0..15 and 16..31
    floats: ir.Value  # f32 activations
    tokens: int  # computed here
    column: int  # tokens that lie side by side in memory

    @property
    def alone(self) -> bool:
        """A single token: weights are read once, straight from memory."""
        return self.tokens == 1


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
                w = load_line(e, pointer, size * c, F32X16, block.alone)
            else:
                bits = load_line(e, pointer, size * c, I16X16, block.alone)
                w = e.f16_to_f32(bits) if fmt.name == "f16" else e.bf16_to_f32(bits)
            for t in range(block.tokens):
                i = g * block.tokens + t
                sums[i] = e.b.fmul(w, x[t]) if sums[i] is None else e.fma(w, x[t], sums[i])
    for i, total in enumerate(sums):
        accumulators[i] = e.b.fadd(accumulators[i], total)


def integer_dots(e: Emitter, fmt: TileFormat, block: Block, code_vectors, groups_of_columns):
    """BlockDots of every row group and token over some of the 8 column groups."""
    n = len(block.code) * block.tokens
    dots = [BlockDot(e, fmt.largest, len(groups_of_columns)) for _ in range(n)]
    for k in groups_of_columns:
        row_codes = [next(vectors) for vectors in code_vectors]
        for t in range(block.tokens):
            x = BlockDot.prepare(e, e.load_splat(block.quants, 4 * (k * block.column + t), I32))
            for g, code in enumerate(row_codes):
                dots[g * block.tokens + t].step(code, x)
    return dots


def quantised_block(e: Emitter, fmt: TileFormat, block: Block, accumulators):
    """As float_block, for codes of up to 8 bits: sum(code * x) in integers, then d * dx once a block."""
    vectors = [codes(e, fmt, pointer, block.alone) for pointer in block.code]
    if fmt.name == "q6_K":
        return _q6_block(e, fmt, block, vectors, accumulators)
    dots = integer_dots(e, fmt, block, vectors, range(8))
    d = [e.f16_to_f32(e.load(p, 0, I16X16)) for p in block.scale]
    m = [e.f16_to_f32(e.load(p, 32, I16X16)) for p in block.scale] if fmt.minimum else []
    for t in range(block.tokens):
        dx = e.load_scalar(block.scales, 4 * t, F32)
        low, high = (e.load_scalar(block.sums, 4 * (h * block.column + t), I32) for h in range(2))
        total = e.b.add(low, high)
        dx_splat, total_splat = e.splat(dx), e.splat(total)
        for g in range(len(block.code)):
            i = g * block.tokens + t
            isum = dots[i].end(total_splat, fmt.offset)
            accumulators[i] = e.fma(e.to_f32(isum), e.b.fmul(d[g], dx_splat), accumulators[i])
            if fmt.minimum:
                sx = e.splat(e.b.fmul(dx, e.b.sitofp(total, F32)))
                accumulators[i] = e.fma(m[g], sx, accumulators[i])


def _q6_block(e: Emitter, fmt: TileFormat, block: Block, vectors, accumulators):
    """q6_K: two runs of 16 columns, each with an i8 scale of its own, under one d."""
    i32x16 = vector(I32, 16)
    totals = [None] * len(accumulators)
    for half in range(2):
        dots = integer_dots(e, fmt, block, vectors, range(4 * half, 4 * half + 4))
        row_scales = [e.b.sext(e.load(p, 16 * half, vector(I8, 16)), i32x16) for p in block.scale]
        for t in range(block.tokens):
            sums = e.load_splat(block.sums, 4 * (half * block.column + t), I32)
            for g in range(len(block.code)):
                i = g * block.tokens + t
                scaled = e.b.mul(dots[i].end(sums, fmt.offset), row_scales[g])
                totals[i] = scaled if totals[i] is None else e.b.add(totals[i], scaled)
    d = [e.f16_to_f32(e.load(p, 32, I16X16)) for p in block.scale]
    for t in range(block.tokens):
        dx = e.load_splat(block.scales, 4 * t, F32)
        for g in range(len(block.code)):
            i = g * block.tokens + t
            accumulators[i] = e.fma(e.to_f32(totals[i]), e.b.fmul(d[g], dx), accumulators[i])


@intrinsic(prefer_literal=True)
def block_step(
    typingctx, acc, fmt, code, code_stride, scale, scale_stride, quants, scales, sums, floats, groups, column
):
    """acc plus one block's products.

    acc: VectorType(groups * tokens); code, scale: addresses of the first row group's tile, the next groups
    a stride further; quants, scales, sums, floats: addresses of the block's activations; groups: literal
    number of row groups; column: literal number of tokens side by side in memory.
    """
    if not isinstance(groups, types.IntegerLiteral) or not isinstance(column, types.IntegerLiteral):
        return None
    n_groups, n_column = groups.literal_value, column.literal_value
    tokens = acc.n // n_groups
    address = types.int64
    signature = VectorType(acc.n)(
        acc, fmt, address, address, address, address, address, address, address, address, groups, column
    )

    def codegen(context, builder, signature, args):
        e = Emitter(builder, target.path())
        byte = I8.as_pointer()
        acc_, _, code_, code_stride_, scale_, scale_stride_, quants_, scales_, sums_, floats_ = args[:10]

        def rows(base, stride):
            first = builder.inttoptr(base, byte)
            pointers = [first]
            for _ in range(n_groups - 1):
                pointers.append(builder.gep(pointers[-1], [stride]))
            return pointers

        block = Block(
            rows(code_, code_stride_),
            rows(scale_, scale_stride_),
            *(builder.inttoptr(a, byte) for a in (quants_, scales_, sums_, floats_)),
            tokens,
            n_column,
        )
        accumulators = unpack(builder, acc_, acc.n)
        step = float_block if fmt.format.is_float else quantised_block
        if block.alone:  # one row group after the other: weights are read in the order in which they lie
            for g in range(n_groups):
                one = [accumulators[g]]
                step(e, fmt.format, replace(block, code=[block.code[g]], scale=[block.scale[g]]), one)
                accumulators[g] = one[0]
        else:
            step(e, fmt.format, block, accumulators)
        return pack(builder, accumulators)

    return signature, codegen


@intrinsic(prefer_literal=True)
def store_tile(typingctx, acc, groups, y, stride, n_valid, residual):
    """y[t * stride + 16 * group + lane] = (or += where residual is not 0) acc, for t < n_valid; y: f32*."""
    if not isinstance(groups, types.IntegerLiteral):
        return None
    n_groups = groups.literal_value
    tokens = acc.n // n_groups
    signature = types.void(acc, groups, y, types.int64, types.int64, types.int64)

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
                        for g in range(n_groups):
                            v = vectors[g * tokens + t]
                            e.store(builder.fadd(v, e.load(row, 64 * g, F32X16)), row, 64 * g)
                    with otherwise:
                        for g in range(n_groups):
                            e.store(vectors[g * tokens + t], row, 64 * g)
        return context.get_dummy_value()

    return signature, codegen
