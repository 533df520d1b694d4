"""The inner steps of attention: several queries against the same keys, the same values for several queries.

Queries that share a key/value head go together in a tile of `rows`, so that a key is read and widened from
f16 once for all of them. A sum always runs in the same order, whatever the tile: over the dimensions of a
key, over the positions of the values.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from alpaca_tui.kernels import target
from alpaca_tui.kernels.constants import compile_time, number
from alpaca_tui.kernels.emit import F32, I8, I16X16, Emitter
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


def _pointer(builder, address):
    return builder.inttoptr(address, I8.as_pointer())


@intrinsic
def score_step(typingctx, acc, tile, key, block_stride, query):
    """acc[b * rows + r] += key(block b) * query[r], for one dimension.

    key: address of 16 positions' f16 of this dimension, the next block a stride further; query: address of
    the rows' f32 of this dimension, side by side.
    """
    rows, blocks = tile.value.rows, tile.value.blocks

    def codegen(context, builder, signature, args):
        e = Emitter(builder, target.path())
        vectors = unpack(builder, args[0], acc.n)
        keys, queries = _pointer(builder, args[2]), _pointer(builder, args[4])
        for b in range(blocks):
            offset = builder.mul(args[3], ir.IntType(64)(b))
            k = e.f16_to_f32(e.load(keys, offset, I16X16))
            for r in range(rows):
                i = b * rows + r
                vectors[i] = e.fma(k, e.load_splat(queries, 4 * r, F32, rows), vectors[i])
        return pack(builder, vectors)

    return VectorType(acc.n)(acc, tile, types.int64, types.int64, types.int64), codegen


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
def mix_step(typingctx, acc, tile, value, weight, row_stride):
    """acc[v * rows + r] += value(vector v) * weight[r], for one position.

    value: address of the position's f16; weight: address of row 0's f32, the next row a stride further.
    """
    rows, n_vectors = tile.value.rows, tile.value.vectors

    def codegen(context, builder, signature, args):
        e = Emitter(builder, target.path())
        vectors = unpack(builder, args[0], acc.n)
        values, weights = _pointer(builder, args[2]), _pointer(builder, args[3])
        splats = [e.load_splat(weights, builder.mul(args[4], ir.IntType(64)(r)), F32) for r in range(rows)]
        for v in range(n_vectors):
            x = e.f16_to_f32(e.load(values, 32 * v, I16X16))
            for r in range(rows):
                i = v * rows + r
                vectors[i] = e.fma(x, splats[r], vectors[i])
        return pack(builder, vectors)

    return VectorType(acc.n)(acc, tile, types.int64, types.int64, types.int64), codegen


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
