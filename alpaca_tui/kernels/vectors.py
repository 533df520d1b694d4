"""Numba types over LLVM vectors, and the operations that kernels call on them.

`F32x16` is one vector; `Accumulators(n)` is n of them in registers, so that a tile of any size is one
value. Pointers are Numba's `CPointer`s, made from addresses; indexing them never wraps around.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

from alpaca_tui.kernels import target
from alpaca_tui.kernels.emit import F32, F32X16, I16, I16X16, I32, I32X16, Emitter, constant, vector


class VectorType(types.Type):
    """`n` vectors of 16 f32."""

    def __init__(self, n):
        self.n = n
        super().__init__(name=f"F32x16[{n}]")


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, vectors_ir(fe_type.n))


def vectors_ir(n):
    return F32X16 if n == 1 else ir.LiteralStructType([F32X16] * n)


f32x16 = VectorType(1)


def unpack(builder, value, n):
    """The n LLVM vectors in a value of VectorType(n)."""
    return [value] if n == 1 else [builder.extract_value(value, i) for i in range(n)]


def pack(builder, vectors):
    """The value of VectorType(len(vectors)) made of them."""
    if len(vectors) == 1:
        return vectors[0]
    value = ir.Constant(vectors_ir(len(vectors)), ir.Undefined)
    for i, v in enumerate(vectors):
        value = builder.insert_value(value, v, i)
    return value


def emitter(builder):
    return Emitter(builder, target.path())


# --- addresses and pointers ---------------------------------------------------------------------------------


def _pointer_to(kind):
    """An address (int64) as a pointer to elements of `kind`."""

    @intrinsic
    def pointer(typingctx, address):
        def codegen(context, builder, signature, args):
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(types.int64), codegen

    return pointer


u8_at = _pointer_to(types.uint8)
i8_at = _pointer_to(types.int8)
u16_at = _pointer_to(types.uint16)
u32_at = _pointer_to(types.uint32)
i32_at = _pointer_to(types.int32)
i64_at = _pointer_to(types.int64)
f32_at = _pointer_to(types.float32)


def byte_pointer(context, builder, pointer, index=None, size=1):
    """`i8*` to element `index` (an i64 value) of a CPointer whose elements take `size` bytes."""
    p = builder.bitcast(pointer, ir.IntType(8).as_pointer())
    if index is None:
        return p
    offset = index if size == 1 else builder.mul(index, ir.IntType(64)(size))
    return builder.gep(p, [offset])


# --- vectors of f32 -----------------------------------------------------------------------------------------


@intrinsic
def splat(typingctx, x):
    """16 times the same f32."""

    def codegen(context, builder, signature, args):
        return emitter(builder).splat(args[0])

    return f32x16(types.float32), codegen


@intrinsic(prefer_literal=True)
def zeros(typingctx, n):
    """n zero vectors; n is a literal."""
    if not isinstance(n, types.IntegerLiteral):
        return None

    def codegen(context, builder, signature, args):
        return ir.Constant(vectors_ir(signature.return_type.n), None)

    return VectorType(n.literal_value)(n), codegen


def zeros_for(count):
    """An intrinsic `(constant)` that gives `count(value)` zero vectors: see `constants`."""

    @intrinsic
    def zero(typingctx, constant):
        n = count(constant.value)

        def codegen(context, builder, signature, args):
            return ir.Constant(vectors_ir(n), None)

        return VectorType(n)(constant), codegen

    return zero


@intrinsic
def load(typingctx, pointer, index):
    """pointer[index : index + 16] of f32."""

    def codegen(context, builder, signature, args):
        return emitter(builder).load(byte_pointer(context, builder, args[0], args[1], 4), 0, F32X16)

    return f32x16(pointer, types.int64), codegen


@intrinsic
def load_f16(typingctx, pointer, index):
    """pointer[index : index + 16] of f16, held as u16."""

    def codegen(context, builder, signature, args):
        e = emitter(builder)
        return e.f16_to_f32(e.load(byte_pointer(context, builder, args[0], args[1], 2), 0, I16X16))

    return f32x16(pointer, types.int64), codegen


@intrinsic
def store(typingctx, pointer, index, value):
    """pointer[index : index + 16] = value."""

    def codegen(context, builder, signature, args):
        emitter(builder).store(args[2], byte_pointer(context, builder, args[0], args[1], 4), 0)
        return context.get_dummy_value()

    return types.void(pointer, types.int64, f32x16), codegen


@intrinsic
def fma(typingctx, a, b, c):
    """a*b + c in each lane."""

    def codegen(context, builder, signature, args):
        return emitter(builder).fma(*args)

    return f32x16(f32x16, f32x16, f32x16), codegen


def _binary(function, emit):
    @intrinsic
    def operation(typingctx, a, b):
        def codegen(context, builder, signature, args):
            return emit(builder, *args)

        return f32x16(f32x16, f32x16), codegen

    @overload(function)
    def typed(a, b):
        if a == f32x16 and b == f32x16:
            return lambda a, b: operation(a, b)

    return operation


add = _binary(operator.add, lambda builder, a, b: builder.fadd(a, b))
subtract = _binary(operator.sub, lambda builder, a, b: builder.fsub(a, b))
multiply = _binary(operator.mul, lambda builder, a, b: builder.fmul(a, b))
divide = _binary(operator.truediv, lambda builder, a, b: builder.fdiv(a, b))


def _select(builder, comparison, a, b):
    return builder.select(builder.fcmp_ordered(comparison, a, b), a, b)


@intrinsic
def maximum(typingctx, a, b):
    """The larger of each lane."""

    def codegen(context, builder, signature, args):
        return _select(builder, ">", *args)

    return f32x16(f32x16, f32x16), codegen


@intrinsic
def magnitude(typingctx, a):
    """|a| of each lane."""

    def codegen(context, builder, signature, args):
        word = builder.bitcast(args[0], I32X16)
        return builder.bitcast(builder.and_(word, constant(I32X16, 0x7FFFFFFF)), F32X16)

    return f32x16(f32x16), codegen


def _reduce(combine):
    """A reduction in halves: lane i with lane i+8, then i+4, and so on; the same order everywhere."""

    @intrinsic
    def reduction(typingctx, a):
        def codegen(context, builder, signature, args):
            v, width = args[0], 16
            while width > 1:
                width //= 2
                undefined = ir.Constant(v.type, ir.Undefined)
                low, high = (
                    builder.shuffle_vector(
                        v,
                        undefined,
                        ir.Constant(vector(I32, width), [I32(first + i) for i in range(width)]),
                    )
                    for first in (0, width)
                )
                v = combine(builder, low, high)
            return builder.extract_element(v, I32(0))

        return types.float32(f32x16), codegen

    return reduction


sum_lanes = _reduce(lambda builder, a, b: builder.fadd(a, b))
max_lanes = _reduce(lambda builder, a, b: _select(builder, ">", a, b))


@intrinsic
def exp(typingctx, x):
    """e^x of each lane, within 2 ulp; 0 below -87.3, and x is taken as 88 above that.

    x = n ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor polynomial of degree 7 (error 1e-9 at the ends).
    """
    coefficients = (1 / 5040, 1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0)

    def codegen(context, builder, signature, args):
        e = emitter(builder)

        def number(value):
            return constant(F32X16, value)

        clamped = _select(builder, "<", args[0], number(88.0))
        x = _select(builder, ">", clamped, number(-87.3))
        magic = number(12582912.0)  # 1.5 * 2^23: adding it rounds to a whole number
        shifted = builder.fadd(builder.fmul(x, number(1.4426950408889634)), magic)
        n = builder.fsub(shifted, magic)
        r = e.fma(n, number(-0.693145751953125), x)  # ln 2 in two parts: the first has few bits
        r = e.fma(n, number(-1.428606765330187e-06), r)
        p = number(coefficients[0])
        for c in coefficients[1:]:
            p = e.fma(p, r, number(c))
        power = builder.shl(
            builder.add(builder.fptosi(n, I32X16), constant(I32X16, 127)), constant(I32X16, 23)
        )
        result = builder.fmul(p, builder.bitcast(power, F32X16))
        small = builder.fcmp_ordered("<", args[0], number(-87.3))
        return builder.select(small, number(0.0), result)

    return f32x16(f32x16), codegen


@intrinsic
def round_even(typingctx, a):
    """Each lane rounded to the nearest whole number, ties to even; |a| must stay below 2^22."""

    def codegen(context, builder, signature, args):
        magic = constant(F32X16, 12582912.0)  # 1.5 * 2^23
        return builder.fsub(builder.fadd(args[0], magic), magic)

    return f32x16(f32x16), codegen


@intrinsic
def store_i8(typingctx, pointer, index, value):
    """pointer[index : index + 16] = value, whole numbers within -128..127; returns their sum as i32."""

    def codegen(context, builder, signature, args):
        e = emitter(builder)
        integers = builder.fptosi(args[2], I32X16)
        small = builder.trunc(integers, vector(ir.IntType(8), 16))
        e.store(small, byte_pointer(context, builder, args[0], args[1]), 0)
        reduction = ir.FunctionType(I32, [I32X16])
        total = cgutils.get_or_insert_function(builder.module, reduction, "llvm.vector.reduce.add.v16i32")
        return builder.call(total, [integers])

    return types.int32(pointer, types.int64, f32x16), codegen


@intrinsic
def to_f16(typingctx, x):
    """The bits of x as f16, rounded to nearest even (overflow gives infinity)."""

    def codegen(context, builder, signature, args):
        if target.path() is not target.Path.PLAIN:
            return builder.bitcast(builder.fptrunc(args[0], ir.HalfType()), I16)
        return _f16_bits(builder, args[0])

    return types.uint16(types.float32), codegen


def _f16_bits(builder, x):
    """Rounds by integer work: half of what is cut off, less one, plus the last bit that stays."""
    word = builder.bitcast(x, I32)
    sign = builder.lshr(builder.and_(word, I32(0x80000000)), I32(16))
    size = builder.and_(word, I32(0x7FFFFFFF))
    rebased = builder.sub(size, I32(112 << 23))  # from f32's exponent bias to f16's
    odd = builder.and_(builder.lshr(rebased, I32(13)), I32(1))
    normal = builder.lshr(builder.add(builder.add(rebased, I32(0xFFF)), odd), I32(13))
    too_large = builder.icmp_unsigned(">", size, I32(0x477FEFFF))
    normal = builder.select(too_large, I32(0x7C00), normal)
    # below 2^-14 f16 counts in steps of 2^-24, which is the last bit of an f32 near 0.5
    half = F32(0.5)
    near_half = builder.bitcast(builder.fadd(builder.bitcast(size, F32), half), I32)
    subnormal = builder.sub(near_half, builder.bitcast(half, I32))
    bits = builder.select(builder.icmp_unsigned("<", size, I32(0x38800000)), subnormal, normal)
    return builder.trunc(builder.or_(bits, sign), I16)
