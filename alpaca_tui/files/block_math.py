"""Quantising and dequantising blocks of 32, in NumPy: today's layouts and those of 2023.

Every function works on whole arrays of blocks. `pack_*` takes f32 [n, 32] and returns the fields of the
blocks in file order; `unpack_*` takes u8 [n, nbytes] and returns f32 [n, 32]. All arithmetic is f32 with one
rounding per operation, so the bytes are those that ggml's reference quantisers write (ggml-quants.c,
`quantize_row_*_ref`, and their predecessors in ggml.c of April and May 2023).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]
Fields = list[npt.NDArray]

QK = 32
_FOUR, _LOW = np.uint8(4), np.uint8(15)


def round_away(x: F32) -> F32:
    """C's roundf: to the nearest integer, halves away from zero."""
    whole = np.trunc(x)
    return whole + np.where(np.abs(x - whole) >= 0.5, np.copysign(np.float32(1), x), np.float32(0))


def inverse(d: F32) -> F32:
    """1/d, and 0 where d is 0."""
    return np.divide(np.float32(1), d, out=np.zeros_like(d), where=d != 0)


def signed_max(x: F32) -> F32:
    """The element of each row of [n, k] with the largest magnitude, the first one on a tie: [n, 1].

    Of zeros it is +0.0, whatever their signs.
    """
    top = np.take_along_axis(x, np.argmax(np.abs(x), axis=1)[:, None], axis=1)
    return np.where(top == 0, np.float32(0), top)


def to_bytes(a: npt.NDArray) -> U8:
    """The bytes of each row of [n, k], little-endian: u8 [n, k * itemsize]."""
    a = np.ascontiguousarray(a.astype(a.dtype.newbyteorder("<"), copy=False))
    return a.view(np.uint8).reshape(len(a), -1)


def field(blocks: U8, start: int, dtype: str) -> F32:
    """The number of type `dtype` at byte `start` of every block, widened to f32: [n, 1]."""
    size = np.dtype(dtype).itemsize
    return np.ascontiguousarray(blocks[:, start : start + size]).view(dtype).astype(np.float32)


# --- how the 4-bit halves of a block lie in its 16 bytes ---------------------------------------------------


def nibbles_split(q: U8) -> U8:
    """Byte j holds element j (low) and element j + 16 (high): every layout since May 2023."""
    return (q[:, :16] & _LOW) | ((q[:, 16:] & _LOW) << _FOUR)


def nibbles_paired(q: U8) -> U8:
    """Byte j holds elements 2j (low) and 2j + 1 (high): ggjt v1 and before."""
    return (q[:, 0::2] & _LOW) | ((q[:, 1::2] & _LOW) << _FOUR)


def split_nibbles(qs: U8) -> U8:
    """u8 [n, 16] -> u8 [n, 32], the reverse of `nibbles_split`."""
    return np.concatenate([qs & _LOW, qs >> 4], axis=1)


def paired_nibbles(qs: U8) -> U8:
    """u8 [n, 16] -> u8 [n, 32], the reverse of `nibbles_paired`."""
    return np.stack([qs & _LOW, qs >> 4], axis=2).reshape(len(qs), QK)


def fifth_bits(q: U8) -> U8:
    """Bit k of a little-endian u32 is bit 4 of element k: u8 [n, 4]."""
    return np.packbits(q >> 4, axis=1, bitorder="little")


def bits_fifth(qh: U8) -> U8:
    """u8 [n, 4] -> u8 [n, 32] of 0 or 16, the reverse of `fifth_bits`."""
    return np.unpackbits(qh, axis=1, bitorder="little") << _FOUR


# --- quantising --------------------------------------------------------------------------------------------


def symmetric(x: F32, half: int) -> tuple[F32, U8]:
    """The element of largest magnitude becomes exactly -half: d [n, 1], q [n, 32] in 0 .. 2*half - 1."""
    d = signed_max(x) / np.float32(-half)
    q = (x * inverse(d) + np.float32(half + 0.5)).astype(np.uint8)
    return d, np.minimum(q, 2 * half - 1)


def affine(x: F32, top: int) -> tuple[F32, F32, F32]:
    """d and minimum [n, 1], and (x - minimum) / d [n, 32], not yet rounded."""
    low = np.take_along_axis(x, np.argmin(x, axis=1)[:, None], axis=1)  # of several zeros the first
    d = (x.max(axis=1, keepdims=True) - low) / np.float32(top)
    return d, low, (x - low) * inverse(d)


def f16(x: F32) -> npt.NDArray[np.float16]:
    return x.astype(np.float16)


def pack_q4_0(x: F32) -> Fields:
    d, q = symmetric(x, 8)
    return [f16(d), nibbles_split(q)]


def pack_q4_0_v2(x: F32) -> Fields:
    d, q = symmetric(x, 8)
    return [d, nibbles_split(q)]


def pack_q4_0_v1(x: F32) -> Fields:
    """The rule until late April 2023: the scale comes from the magnitude alone, q = -8 is never used."""
    d = np.abs(x).max(axis=1, keepdims=True) / np.float32(7)
    q = (round_away(x * inverse(d)).astype(np.int8) + np.int8(8)).astype(np.uint8)
    return [d, nibbles_paired(q)]


def pack_q4_1(x: F32) -> Fields:
    d, low, q = affine(x, 15)
    return [f16(d), f16(low), nibbles_split(np.minimum((q + np.float32(0.5)).astype(np.uint8), 15))]


def pack_q4_1_v2(x: F32) -> Fields:
    d, low, q = affine(x, 15)
    return [d, low, nibbles_split(np.minimum((q + np.float32(0.5)).astype(np.uint8), 15))]


def pack_q4_1_v1(x: F32) -> Fields:
    d, low, q = affine(x, 15)
    return [d, low, nibbles_paired(round_away(q).astype(np.uint8))]


def pack_q5_0(x: F32) -> Fields:
    d, q = symmetric(x, 16)
    return [f16(d), fifth_bits(q), nibbles_split(q)]


def pack_q5_0_v1(x: F32) -> Fields:
    d, q = symmetric(x, 16)
    return [f16(d), fifth_bits(q), nibbles_paired(q)]


def _q5_1(x: F32, nibbles: Callable[[U8], U8]) -> Fields:
    d, low, scaled = affine(x, 31)
    q = (scaled + np.float32(0.5)).astype(np.uint8)
    return [f16(d), f16(low), fifth_bits(q), nibbles(q)]


def pack_q5_1(x: F32) -> Fields:
    return _q5_1(x, nibbles_split)


def pack_q5_1_v1(x: F32) -> Fields:
    return _q5_1(x, nibbles_paired)


def _q8_0(x: F32) -> tuple[F32, npt.NDArray[np.int8]]:
    d = np.abs(x).max(axis=1, keepdims=True) / np.float32(127)
    return d, round_away(x * inverse(d)).astype(np.int8)


def pack_q8_0(x: F32) -> Fields:
    d, q = _q8_0(x)
    return [f16(d), q]


def pack_q8_0_v1(x: F32) -> Fields:
    d, q = _q8_0(x)
    return [d, q]


# --- dequantising ------------------------------------------------------------------------------------------


def unpack_q4_0(b: U8) -> F32:
    return (split_nibbles(b[:, 2:]).view(np.int8) - np.int8(8)) * field(b, 0, "<f2")


def unpack_q4_0_v2(b: U8) -> F32:
    return (split_nibbles(b[:, 4:]).view(np.int8) - np.int8(8)) * field(b, 0, "<f4")


def unpack_q4_0_v1(b: U8) -> F32:
    return (paired_nibbles(b[:, 4:]).view(np.int8) - np.int8(8)) * field(b, 0, "<f4")


def unpack_q4_1(b: U8) -> F32:
    return split_nibbles(b[:, 4:]) * field(b, 0, "<f2") + field(b, 2, "<f2")


def unpack_q4_1_v2(b: U8) -> F32:
    return split_nibbles(b[:, 8:]) * field(b, 0, "<f4") + field(b, 4, "<f4")


def unpack_q4_1_v1(b: U8) -> F32:
    return paired_nibbles(b[:, 8:]) * field(b, 0, "<f4") + field(b, 4, "<f4")


def unpack_q5_0(b: U8) -> F32:
    q = split_nibbles(b[:, 6:]) | bits_fifth(b[:, 2:6])
    return (q.view(np.int8) - np.int8(16)) * field(b, 0, "<f2")


def unpack_q5_0_v1(b: U8) -> F32:
    q = paired_nibbles(b[:, 6:]) | bits_fifth(b[:, 2:6])
    return (q.view(np.int8) - np.int8(16)) * field(b, 0, "<f2")


def unpack_q5_1(b: U8) -> F32:
    q = split_nibbles(b[:, 8:]) | bits_fifth(b[:, 4:8])
    return q * field(b, 0, "<f2") + field(b, 2, "<f2")


def unpack_q5_1_v1(b: U8) -> F32:
    q = paired_nibbles(b[:, 8:]) | bits_fifth(b[:, 4:8])
    return q * field(b, 0, "<f2") + field(b, 2, "<f2")


def unpack_q8_0(b: U8) -> F32:
    return b[:, 2:].view(np.int8) * field(b, 0, "<f2")


def unpack_q8_0_v1(b: U8) -> F32:
    return b[:, 4:].view(np.int8) * field(b, 0, "<f4")
