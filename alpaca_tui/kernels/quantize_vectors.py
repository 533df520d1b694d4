"""Operations on vectors of 16 f32 that only quantising needs. See `vectors` for the rest."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from alpaca_tui.kernels.emit import F32, F32X16, I16, I16X16, I32, I32X16, constant, vector
from alpaca_tui.kernels.vectors import byte_pointer, emitter, f32x16

_U8X16 = vector(ir.IntType(8), 16)


@intrinsic
def load_bf16(typingctx, pointer, index):
    """pointer[index : index + 16] of bf16, held as u16."""

    def codegen(context, builder, signature, args):
        e = emitter(builder)
        return e.bf16_to_f32(e.load(byte_pointer(context, builder, args[0], args[1], 2), 0, I16X16))

    return f32x16(pointer, types.int64), codegen


def _compared(operator):
    """Lane by lane one of two vectors, as two others compare."""

    @intrinsic
    def chosen(typingctx, a, b, yes, no):
        def codegen(context, builder, signature, args):
            return builder.select(builder.fcmp_ordered(operator, args[0], args[1]), args[2], args[3])

        return f32x16(f32x16, f32x16, f32x16, f32x16), codegen

    return chosen


where_greater = _compared(">")  # a > b ? yes : no, in each lane
where_equal = _compared("==")


@intrinsic
def minimum(typingctx, a, b):
    """The smaller of each lane."""

    def codegen(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered("<", *args), *args)

    return f32x16(f32x16, f32x16), codegen


@intrinsic
def round_away(typingctx, a):
    """Each lane rounded to the nearest whole number, halves away from zero (C's roundf); |a| < 2^31."""

    def codegen(context, builder, signature, args):
        whole = builder.sitofp(builder.fptosi(args[0], I32X16), F32X16)
        rest = builder.fsub(args[0], whole)  # exact
        zero, one, half = (constant(F32X16, value) for value in (0.0, 1.0, 0.5))
        up = builder.select(builder.fcmp_ordered(">=", rest, half), one, zero)
        down = builder.select(builder.fcmp_ordered("<=", rest, constant(F32X16, -0.5)), one, zero)
        return builder.fadd(whole, builder.fsub(up, down))

    return f32x16(f32x16), codegen


@intrinsic
def equal_lanes(typingctx, low, high, value):
    """Bit i is set where lane i of 32 is `value`: u32."""

    def codegen(context, builder, signature, args):
        number = emitter(builder).splat(args[2])
        bits = [
            builder.zext(builder.bitcast(builder.fcmp_ordered("==", v, number), I16), I32) for v in args[:2]
        ]
        return builder.or_(bits[0], builder.shl(bits[1], I32(16)))

    return types.uint32(f32x16, f32x16, types.float32), codegen


@intrinsic
def nearest(typingctx, x):
    """x rounded to the nearest whole number, ties to even; |x| < 2^22. What other numbers give is ggml's."""

    def codegen(context, builder, signature, args):
        shifted = builder.bitcast(builder.fadd(args[0], F32(12582912.0)), I32)
        return builder.sub(builder.and_(shifted, I32(0x007FFFFF)), I32(0x00400000))

    return types.int32(types.float32), codegen


def _lanes_of_both(first):
    """Every second of 32 lanes, from lane `first` on."""

    @intrinsic
    def lanes(typingctx, low, high):
        def codegen(context, builder, signature, args):
            mask = ir.Constant(vector(I32, 16), [I32(first + 2 * i) for i in range(16)])
            return builder.shuffle_vector(args[0], args[1], mask)

        return f32x16(f32x16, f32x16), codegen

    return lanes


evens, odds = _lanes_of_both(0), _lanes_of_both(1)


@intrinsic
def store_nibbles(typingctx, pointer, index, low, high, offset, top):
    """pointer[index : index + 16] of bytes: the levels of `low` in their low 4 bits, those of `high` above.

    Levels are the numbers cut off towards zero, plus `offset`, at most `top`; of them the low 4 bits.
    """

    def codegen(context, builder, signature, args):
        e = emitter(builder)
        offset, top = (e.splat(builder.trunc(value, I32)) for value in args[4:])

        def level(numbers):
            shifted = builder.add(builder.fptosi(numbers, I32X16), offset)
            at_most = builder.select(builder.icmp_signed("<", shifted, top), shifted, top)
            return builder.and_(at_most, constant(I32X16, 15))

        levels = [level(numbers) for numbers in args[2:4]]
        both = builder.or_(levels[0], builder.shl(levels[1], constant(I32X16, 4)))
        e.store(builder.trunc(both, _U8X16), byte_pointer(context, builder, args[0], args[1]), 0)
        return context.get_dummy_value()

    return types.void(pointer, types.int64, f32x16, f32x16, types.int64, types.int64), codegen


@intrinsic
def fifth_bits(typingctx, a):
    """Bit i is bit 4 of lane i, cut off towards zero and at most 31: u16."""

    def codegen(context, builder, signature, args):
        levels, top = builder.fptosi(args[0], I32X16), constant(I32X16, 31)
        at_most = builder.select(builder.icmp_signed("<", levels, top), levels, top)
        bits = builder.and_(at_most, constant(I32X16, 16))
        set_bits = builder.icmp_unsigned("!=", bits, constant(I32X16, 0))
        return builder.bitcast(set_bits, I16)

    return types.uint16(f32x16), codegen


@intrinsic
def store_u8(typingctx, pointer, index, value):
    """pointer[index : index + 16] of bytes = value, cut off towards zero."""

    def codegen(context, builder, signature, args):
        e = emitter(builder)
        small = builder.trunc(builder.fptosi(args[2], I32X16), _U8X16)
        e.store(small, byte_pointer(context, builder, args[0], args[1]), 0)
        return context.get_dummy_value()

    return types.void(pointer, types.int64, f32x16), codegen
