"""The SIMD vocabulary: what a kernel's inner loop is written in, one method an idea.

Everything here works on LLVM vectors of 16 lanes (a lane is a row of the weight matrix) and emits LLVM IR;
LLVM splits them into what the target has (one zmm, two ymm, four xmm or q registers). Only the integer dot
product has a spelling of its own for each instruction set, in `BlockDot`.
"""

from __future__ import annotations

from llvmlite import binding, ir
from numba.core import cgutils

from alpaca_tui.kernels.target import Path

LANES = 16
I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
F16, F32 = ir.HalfType(), ir.FloatType()


def vector(element, lanes):
    return ir.VectorType(element, lanes)


U8X64, I16X32, I16X16, I32X16, F32X16 = (
    vector(I8, 64),
    vector(I16, 32),
    vector(I16, 16),
    vector(I32, 16),
    vector(F32, 16),
)


def constant(vt, value):
    """A vector with the same value in each lane."""
    return ir.Constant(vt, [ir.Constant(vt.element, value)] * vt.count)


class Emitter:
    """Emits vector operations at a builder's place. Pointers are `i8*`; offsets are bytes."""

    def __init__(self, builder, path: Path):
        self.b = builder
        self.path = path

    # --- memory -------------------------------------------------------------------------------------------

    def at(self, pointer, offset):
        """`pointer + offset` bytes; the offset is an int or an i64 value."""
        return self.b.gep(pointer, [I64(offset) if isinstance(offset, int) else offset])

    def load(self, pointer, offset, vt):
        address = self.b.bitcast(self.at(pointer, offset), vt.as_pointer())
        return self.b.load(address, align=1)

    def store(self, value, pointer, offset):
        address = self.b.bitcast(self.at(pointer, offset), value.type.as_pointer())
        self.b.store(value, address, align=1)

    def prefetch(self, pointer, offset):
        """Ask for the cache line at `pointer + offset`; an address outside the array is harmless."""
        signature = ir.FunctionType(ir.VoidType(), [I8.as_pointer(), I32, I32, I32])
        function = cgutils.get_or_insert_function(self.b.module, signature, "llvm.prefetch.p0")
        self.b.call(function, [self.at(pointer, offset), I32(0), I32(3), I32(1)])

    def in_turn(self, values, pointers):
        """The same values and pointers, but what is read through these is read after those are computed.

        On NEON only, and without an instruction: an empty piece of assembly takes both and returns both. LLVM
        would load early and keep what is used again, until registers do not suffice and go to the stack.
        """
        if self.path is not Path.NEON:
            return values, pointers
        parts = [self.part(v, i, 4) for v in values for i in range(0, v.type.count, 4)]
        both = [*parts, *pointers]
        kinds = [v.type for v in both]
        results = ["=w"] * len(parts) + ["=r"] * len(pointers)
        constraint = ",".join(results + [str(i) for i in range(len(both))])
        function = ir.FunctionType(ir.LiteralStructType(kinds), kinds)
        result = self.b.asm(function, "", constraint, both, side_effect=False)
        after = [self.b.extract_value(result, i) for i in range(len(both))]
        joined, i = [], 0
        for v in values:
            n = v.type.count // 4
            joined.append(self.join(after[i : i + n]))
            i += n
        return joined, after[i:]

    def splat(self, scalar, lanes=LANES):
        vt = vector(scalar.type, lanes)
        undefined = ir.Constant(vt, ir.Undefined)
        first = self.b.insert_element(undefined, scalar, I32(0))
        return self.b.shuffle_vector(first, undefined, ir.Constant(vector(I32, lanes), None))

    def load_scalar(self, pointer, offset, kind):
        return self.b.load(self.b.bitcast(self.at(pointer, offset), kind.as_pointer()), align=1)

    def load_splat(self, pointer, offset, kind, readable=0, lanes=LANES):
        """A 4-byte number in all lanes. `readable`: how many numbers lie from `pointer` on, if that is known.

        NEON multiplies by a lane of a register as easily as by a whole one, so there it is loaded together
        with its neighbours, where it has some.
        """
        first = offset // 16 * 16 if isinstance(offset, int) else 0
        if self.path is not Path.NEON or first + 16 > 4 * readable:
            return self.splat(self.load_scalar(pointer, offset, kind), lanes)
        together = self.load(pointer, first, vector(kind, 4))
        return self.pick(together, [(offset - first) // 4] * lanes)

    def pick(self, v, lanes):
        """These lanes of a vector, in this order."""
        undefined = ir.Constant(v.type, ir.Undefined)
        mask = ir.Constant(vector(I32, len(lanes)), [I32(i) for i in lanes])
        return self.b.shuffle_vector(v, undefined, mask)

    def part(self, v, start, count):
        """Lanes start .. start + count - 1 of a vector."""
        return v if count == v.type.count else self.pick(v, range(start, start + count))

    def join(self, parts):
        """Vectors one after the other as a single one; as many as a power of two."""
        while len(parts) > 1:
            lanes = 2 * parts[0].type.count
            both = ir.Constant(vector(I32, lanes), [I32(i) for i in range(lanes)])
            parts = [
                self.b.shuffle_vector(low, high, both)
                for low, high in zip(parts[::2], parts[1::2], strict=True)
            ]
        return parts[0]

    # --- arithmetic ---------------------------------------------------------------------------------------

    def fma(self, a, b, c):
        """a*b + c, rounded once where the target can; the plain path rounds twice (no libm call)."""
        if self.path is Path.PLAIN:
            return self.b.fadd(self.b.fmul(a, b), c)
        signature = ir.FunctionType(a.type, [a.type] * 3)
        name = f"llvm.fma.v{a.type.count}f32"
        return self.b.call(cgutils.get_or_insert_function(self.b.module, signature, name), [a, b, c])

    def to_f32(self, integers):
        return self.b.sitofp(integers, vector(F32, integers.type.count))

    def f16_to_f32(self, bits):
        """f32 of f16 given as i16 lanes. Without F16C: exact for every finite value, by integer work."""
        lanes = bits.type.count
        if self.path is not Path.PLAIN:
            return self.b.fpext(self.b.bitcast(bits, vector(F16, lanes)), vector(F32, lanes))
        wide = vector(I32, lanes)
        word = self.b.zext(bits, wide)
        sign = self.b.shl(self.b.and_(word, constant(wide, 0x8000)), constant(wide, 16))
        magnitude = self.b.shl(self.b.and_(word, constant(wide, 0x7FFF)), constant(wide, 13))
        # the exponent's bias differs by 112: multiplying by 2^112 also brings subnormals into place
        scaled = self.b.fmul(
            self.b.bitcast(magnitude, vector(F32, lanes)), constant(vector(F32, lanes), 2.0**112)
        )
        return self.b.bitcast(self.b.or_(self.b.bitcast(scaled, wide), sign), vector(F32, lanes))

    def bf16_to_f32(self, bits):
        wide = vector(I32, bits.type.count)
        word = self.b.shl(self.b.zext(bits, wide), constant(wide, 16))
        return self.b.bitcast(word, vector(F32, bits.type.count))

    # --- bytes and nibbles --------------------------------------------------------------------------------

    def shift_bytes(self, v, left):
        """Each byte moved by `left` bits (right if negative). Bits cross bytes: mask afterwards."""
        if left == 0:
            return v
        # x86 has no shifts of bytes
        kind = v.type if self.path is Path.NEON else vector(I32, v.type.count // 4)
        words, by = self.b.bitcast(v, kind), constant(kind, abs(left))
        return self.b.bitcast(self.b.shl(words, by) if left > 0 else self.b.lshr(words, by), v.type)

    def and_bytes(self, v, mask):
        return self.b.and_(v, constant(v.type, mask))

    def low_nibbles(self, v):
        return self.and_bytes(v, 15)

    def high_nibbles(self, v):
        return self.and_bytes(self.shift_bytes(v, -4), 15)


class BlockDot:
    """Sums of u8 codes times s8 activations over a block, for 16 rows at a time; exact in any order.

    A step takes 64 code bytes (lane r: four consecutive columns of row r) and the four activations of
    these columns, splat as one i32. `largest` bounds the codes: it says how many steps fit into i16 sums
    where the target sums in i16. Codes of 8 bits are signed values + 128 (`biased`), which `start` undoes on
    the path that multiplies unsigned bytes. NEON takes fewer rows just as well: 4 * lanes code bytes.
    """

    def __init__(self, emitter: Emitter, largest: int, steps: int, total=None):
        self.e = emitter
        self.biased = largest > 127
        bound = 2 * 127 * (128 if self.biased else largest)
        self.steps_per_flush = min(steps, 32767 // bound)
        self.count = 0
        self.total = total  # i32 lanes: where the sums begin
        self.partial = None  # i16x32, sums not yet widened

    @property
    def vnni(self) -> bool:
        return self.e.path is Path.VNNI

    def step(self, codes, activations):
        """`activations`: what `prepare` made of the splat of four bytes."""
        if self.vnni:
            self.total = self._vpdpbusd(self.total or ir.Constant(I32X16, None), codes, activations[0])
            return
        if self.e.path is Path.NEON:
            self.total = self._sdot(codes, activations[0])
            return
        multiply = self._maddubs if self.e.path is Path.AVX2 else self._multiply_i16
        product = multiply(codes, activations)
        self.partial = product if self.partial is None else self.e.b.add(self.partial, product)
        self.count += 1
        if self.count == self.steps_per_flush:
            self._flush()

    @staticmethod
    def prepare(emitter: Emitter, splat):
        """What `step` wants of an activation splat, computed once for all rows."""
        b = emitter.b
        if emitter.path is not Path.PLAIN:
            return (splat,)
        words = b.bitcast(splat, I16X32)
        eight = constant(I16X32, 8)
        return b.ashr(b.shl(words, eight), eight), b.ashr(words, eight)  # columns 0, 2 and 1, 3

    @staticmethod
    def start(emitter: Emitter, largest: int, offset: int, minus_sum):
        """Where sums of (code + offset) * activation begin, for codes of which only the product is summed.

        `minus_sum`: i32 lanes, the activations' sum times -1. None where sums begin at zero.
        """
        if largest > 127 and emitter.path is Path.VNNI:
            offset -= 128
        if offset == 0:
            return None
        assert offset < 0 and -offset & (-offset - 1) == 0
        return emitter.b.shl(minus_sum, constant(minus_sum.type, (-offset).bit_length() - 1))

    def end(self):
        """i32 lanes: the sums."""
        if self.count:
            self._flush()
        return self.total

    # --- one spelling per instruction set -----------------------------------------------------------------

    def _vpdpbusd(self, total, codes, activations):
        b = self.e.b
        # LLVM 22 wants bytes where older versions want dwords
        operand = U8X64 if binding.llvm_version_info[0] >= 22 else I32X16
        signature = ir.FunctionType(I32X16, [I32X16, operand, operand])
        function = cgutils.get_or_insert_function(b.module, signature, "llvm.x86.avx512.vpdpbusd.512")
        return b.call(function, [total, b.bitcast(codes, operand), b.bitcast(activations, operand)])

    def _sdot(self, codes, activations):
        """Signed times signed, 16 bytes an instruction; codes of up to 7 bits are signed as they are."""
        e = self.e
        if self.biased:
            codes = e.b.xor(codes, constant(codes.type, 0x80))
        quarter, sums = vector(I8, 16), vector(I32, 4)
        signature = ir.FunctionType(sums, [sums, quarter, quarter])
        name = "llvm.aarch64.neon.sdot.v4i32.v16i8"
        function = cgutils.get_or_insert_function(e.b.module, signature, name)
        activations = e.b.bitcast(activations, codes.type)
        totals = []
        for start in range(0, codes.type.count, 16):
            total = e.part(self.total, start // 4, 4) if self.total else ir.Constant(sums, None)
            totals.append(
                e.b.call(function, [total, e.part(codes, start, 16), e.part(activations, start, 16)])
            )
        return e.join(totals)

    def _call_halves(self, name, x, y, result, width):
        """An AVX2 instruction on both halves of 64-byte vectors."""
        b = self.e.b
        half = vector(x.type.element, width)
        other = vector(y.type.element, width)
        function = cgutils.get_or_insert_function(b.module, ir.FunctionType(result, [half, other]), name)
        e = self.e
        return e.join([b.call(function, [e.part(v, start, width) for v in (x, y)]) for start in (0, width)])

    def _maddubs(self, codes, activations):
        s = self.e.b.bitcast(activations[0], U8X64)
        if self.biased:  # signed times signed: move the code's sign to the activation
            codes = self.e.b.xor(codes, constant(U8X64, 0x80))
            s = self._call_halves("llvm.x86.avx2.psign.b", s, codes, vector(I8, 32), 32)
            zero = ir.Constant(U8X64, None)
            negative = self.e.b.icmp_signed("<", codes, zero)
            codes = self.e.b.select(negative, self.e.b.sub(zero, codes), codes)
        return self._call_halves("llvm.x86.avx2.pmadd.ub.sw", codes, s, vector(I16, 16), 32)

    def _multiply_i16(self, codes, activations):
        b = self.e.b
        even, odd = activations
        if self.biased:
            codes = b.xor(codes, constant(U8X64, 0x80))
        words = b.bitcast(codes, I16X32)
        eight = constant(I16X32, 8)
        if self.biased:
            low, high = b.ashr(b.shl(words, eight), eight), b.ashr(words, eight)
        else:
            low, high = b.and_(words, constant(I16X32, 0xFF)), b.lshr(words, eight)
        return b.add(b.mul(low, even), b.mul(high, odd))

    def _flush(self):
        b = self.e.b
        if self.e.path is Path.AVX2:
            wide = self._call_halves(
                "llvm.x86.avx2.pmadd.wd", self.partial, constant(I16X32, 1), vector(I32, 8), 16
            )
        else:
            words = b.bitcast(self.partial, I32X16)
            sixteen = constant(I32X16, 16)
            wide = b.add(b.ashr(b.shl(words, sixteen), sixteen), b.ashr(words, sixteen))
        self.total = wide if self.total is None else b.add(self.total, wide)
        self.partial = None
        self.count = 0
