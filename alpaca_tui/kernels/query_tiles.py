"""The inner steps of attention: several queries against the same keys, the same values for several queries.

Queries that share a key/value head go together in a tile of `rows`, so that a key is read and widened to f32
once for all of them. A sum always runs in the same order, whatever the tile: over the dimensions of a key,
over the positions of the values.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from alpaca_tui.kernels import target
from alpaca_tui.kernels.constants import compile_time, number
from alpaca_tui.kernels.emit import F32, F32X16, I8, I16X16, I32X16, LANES, Emitter, vector
from alpaca_tui.kernels.vectors import VectorType, pack, unpack, zeros_for


@compile_time
@dataclass(frozen=True)
class QueryTile:
    """`rows` queries at a time, over `blocks` of 16 positions, or over `vectors` of 16 dimensions."""

    rows: int
    blocks: int
    vectors: int


zero_scores = zeros_for(lambda tile: tile.rows * tile.blocks)
zero_mix = zeros_for(lambda tile: tile.rows * tile.vectors)


score_blocks = number(lambda tile: tile.blocks)
mix_vectors = number(lambda tile: tile.vectors)


@compile_time
@dataclass(frozen=True)
class CacheType:
    """How the cache holds a number: `size` bytes; with one f32 scale for each 32 dimensions, or with none."""

    name: str
    size: int
    scaled: bool

    def widen(self, e: Emitter, pointer, offset):
        """f32x16 of 16 numbers, without their scale."""
        if self.scaled:
            return e.to_f32(e.b.sext(e.load(pointer, offset, I8X16), I32X16))
        return e.f16_to_f32(e.load(pointer, offset, I16X16))


F16, Q8_0 = CacheType("f16", 2, False), CacheType("q8_0", 1, True)
CACHE_TYPES = {cache.name: cache for cache in (F16, Q8_0)}
SCALED = 32  # dimensions that share a scale
I8X16 = vector(I8, 16)

cache_size = number(lambda cache: cache.size)
is_scaled = number(lambda cache: int(cache.scaled))


def _pointer(builder, address):
    return builder.inttoptr(address, I8.as_pointer())


@intrinsic
def score_step(typingctx, acc, cache, tile, key, block_stride, query):
    """acc[b * rows + r] += key(block b) * query[r], for one dimension; scales are left out.

    key: address of 16 positions' numbers of this dimension, the next block a stride further; query: address
    of the rows' f32 of this dimension, side by side.
    """
    rows, blocks = tile.value.rows, tile.value.blocks

    def codegen(context, builder, signature, args):
        e = Emitter(builder, target.path())
        vectors = unpack(builder, args[0], acc.n)
        keys, queries = _pointer(builder, args[3]), _pointer(builder, args[5])
        for b in range(blocks):
            k = cache.value.widen(e, keys, builder.mul(args[4], ir.IntType(64)(b)))
            for r in range(rows):
                i = b * rows + r
                vectors[i] = e.fma(k, e.load_splat(queries, 4 * r, F32, rows), vectors[i])
        return pack(builder, vectors)

    return VectorType(acc.n)(acc, cache, tile, types.int64, types.int64, types.int64), codegen


@intrinsic
def scale_scores(typingctx, total, acc, cache, tile, scale, block_stride):
    """total + acc * scale of the position; acc itself where the cache has no scales.

    scale: address of 16 positions' f32, the next block a stride further.
    """
    rows, blocks = tile.value.rows, tile.value.blocks

    def codegen(context, builder, signature, args):
        if not cache.value.scaled:
            return args[1]
        e = Emitter(builder, target.path())
        totals, sums = (unpack(builder, v, acc.n) for v in args[:2])
        for b in range(blocks):
            d = e.load(_pointer(builder, args[4]), builder.mul(args[5], ir.IntType(64)(b)), F32X16)
            for i in range(b * rows, b * rows + rows):
                totals[i] = e.fma(sums[i], d, totals[i])
        return pack(builder, totals)

    return VectorType(acc.n)(total, acc, cache, tile, types.int64, types.int64), codegen


@intrinsic
def store_scores(typingctx, acc, tile, scores, row_stride):
    """scores[r][16 * b + lane] = acc; scores: address of f32, rows `row_stride` bytes apart."""
    rows, blocks = tile.value.rows, tile.value.blocks

    def codegen(context, builder, signature, args):
        e = Emitter(builder, target.path())
        vectors = unpack(builder, args[0], acc.n)
        for r in range(rows):
            row = e.at(_pointer(builder, args[2]), builder.mul(args[3], ir.IntType(64)(r)))
            for b in range(blocks):
                e.store(vectors[b * rows + r], row, 64 * b)
        return context.get_dummy_value()

    return types.void(acc, tile, types.int64, types.int64), codegen


@intrinsic
def mix_step(typingctx, acc, cache, tile, value, scale, weight, row_stride):
    """acc[v * rows + r] += value(vector v) * weight[r], for one position.

    value: address of the position's numbers; scale: of the f32 that scales the first of them, where the cache
    has scales (a tile of several vectors begins at a new one); weight: of row 0's f32, the next row a stride
    further.
    """
    rows, n_vectors = tile.value.rows, tile.value.vectors

    def codegen(context, builder, signature, args):
        e = Emitter(builder, target.path())
        vectors = unpack(builder, args[0], acc.n)
        values, scales, weights = (_pointer(builder, args[i]) for i in (3, 4, 5))
        splats = [e.load_splat(weights, builder.mul(args[6], ir.IntType(64)(r)), F32) for r in range(rows)]
        for v in range(n_vectors):
            x = cache.value.widen(e, values, LANES * cache.value.size * v)
            if cache.value.scaled:  # not the weights: what is tiny already would become subnormal, and slow
                x = builder.fmul(x, e.load_splat(scales, v * LANES // SCALED * 4, F32))
            for r in range(rows):
                i = v * rows + r
                vectors[i] = e.fma(x, splats[r], vectors[i])
        return pack(builder, vectors)

    signature = VectorType(acc.n)(acc, cache, tile, *[types.int64] * 4)
    return signature, codegen


@intrinsic
def store_mix(typingctx, acc, tile, out, row_stride, scales):
    """out[r][16 * v + lane] = acc * scales[r]; out and scales: addresses of f32."""
    rows, n_vectors = tile.value.rows, tile.value.vectors

    def codegen(context, builder, signature, args):
        e = Emitter(builder, target.path())
        vectors = unpack(builder, args[0], acc.n)
        for r in range(rows):
            row = e.at(_pointer(builder, args[2]), builder.mul(args[3], ir.IntType(64)(r)))
            scale = e.load_splat(_pointer(builder, args[4]), 4 * r, F32)
            for v in range(n_vectors):
                e.store(builder.fmul(vectors[v * rows + r], scale), row, 64 * v)
        return context.get_dummy_value()

    return types.void(acc, tile, types.int64, types.int64, types.int64), codegen
