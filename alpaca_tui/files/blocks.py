"""The table of block formats: how weights lie in a file, with NumPy twins that quantise and dequantise them.

Today's formats carry their ggml names; those that only files of 2023 hold end in `_v1` (ggml, ggmf and ggjt
v1) or `_v2` (ggjt v2). The twins are the truth that kernels are tested against; layouts are those of ggml's
`block_*` structs (ggml-common.h; ggml.c of April and May 2023 for the old ones).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from alpaca_tui.files import block_math as m
from alpaca_tui.files.block_math import F32, U8, Fields
from alpaca_tui.files.block_q6_k import pack_q6_k, unpack_q6_k
from alpaca_tui.files.block_q6_k_2023 import pack_q6_k_2023

Pack = Callable[[F32], Fields]
Unpack = Callable[[U8], F32]

_CHUNK = 1 << 18  # elements worked on at once: temporaries stay in the cache


@dataclass(frozen=True)
class BlockFormat:
    """One way to hold weights: `block` consecutive elements of a row in `nbytes` bytes.

    `ggml_type` is its number in files of its era. `quantize`: f32 [rows, cols] -> u8 [rows, row_bytes(cols)];
    `dequantize`: u8 [rows, n * nbytes] -> f32 [rows, n * block]. Both raise ValueError for a width that is no
    whole number of blocks.
    """

    name: str
    block: int
    nbytes: int
    ggml_type: int
    quantize: Callable[[F32], U8]
    dequantize: Callable[[U8], F32]

    def row_bytes(self, cols: int) -> int:
        """Bytes of a row of `cols` elements; ValueError when `cols` is no whole number of blocks."""
        if cols % self.block:
            raise ValueError(f"{cols} columns are no whole number of {self.name} blocks of {self.block}")
        return cols // self.block * self.nbytes

    @property
    def today(self) -> BlockFormat:
        """The format of today with the same levels: itself, or for one of 2023 the one without suffix."""
        return FORMATS[self.name.removesuffix("_v1").removesuffix("_v2")]


def _quantizer(pack: Pack, block: int, nbytes: int) -> Callable[[F32], U8]:
    def quantize(x: F32) -> U8:
        rows, cols = x.shape
        if cols % block:
            raise ValueError(f"{cols} columns are no whole number of blocks of {block}")
        flat = np.ascontiguousarray(x, np.float32).reshape(-1, block)
        out = np.empty((len(flat), nbytes), np.uint8)
        step = _CHUNK // block
        with np.errstate(all="ignore"):  # weights that are not finite give unspecified bytes, as in C
            for i in range(0, len(flat), step):
                at = 0
                for part in map(m.to_bytes, pack(flat[i : i + step])):
                    out[i : i + step, at : at + part.shape[1]] = part
                    at += part.shape[1]
        return out.reshape(rows, cols // block * nbytes)

    return quantize


def _dequantizer(unpack: Unpack, block: int, nbytes: int) -> Callable[[U8], F32]:
    def dequantize(data: U8) -> F32:
        rows, row_bytes = data.shape
        if row_bytes % nbytes:
            raise ValueError(f"{row_bytes} bytes are no whole number of blocks of {nbytes} bytes")
        flat = np.ascontiguousarray(data).reshape(-1, nbytes)
        out = np.empty((len(flat), block), np.float32)
        step = _CHUNK // block
        with np.errstate(all="ignore"):  # a scale may be any f16, also inf or NaN
            for i in range(0, len(flat), step):
                out[i : i + step] = unpack(flat[i : i + step])
        return out.reshape(rows, row_bytes // nbytes * block)

    return dequantize


# --- formats without blocks --------------------------------------------------------------------------------


def _to_bf16(x: F32) -> U8:
    """Upper 16 bits, rounded to nearest even; a NaN stays one, made quiet."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded = (bits + (np.uint32(0x7FFF) + ((bits >> 16) & 1))) >> 16
    is_nan = (bits & 0x7FFFFFFF) > 0x7F800000
    return m.to_bytes(np.where(is_nan, (bits >> 16) | 0x40, rounded).astype(np.uint16))


def _from_bf16(data: U8) -> F32:
    bits = np.ascontiguousarray(data).view("<u2").astype(np.uint32) << 16
    return bits.view(np.float32)


def _to_float(dtype: type[np.floating]) -> Callable[[F32], U8]:
    def quantize(x: F32) -> U8:
        with np.errstate(over="ignore"):  # beyond f16's range is inf
            return m.to_bytes(x.astype(dtype))

    return quantize


def _from_float(dtype: str) -> Callable[[U8], F32]:
    def dequantize(data: U8) -> F32:
        return np.ascontiguousarray(data).view(dtype).astype(np.float32)

    return dequantize


# --- the table ---------------------------------------------------------------------------------------------


def _blocks(
    name: str,
    block: int,
    nbytes: int,
    ggml_type: int,
    pack: Callable[[F32], Fields],
    unpack: Callable[[U8], F32],
) -> BlockFormat:
    return BlockFormat(
        name, block, nbytes, ggml_type, _quantizer(pack, block, nbytes), _dequantizer(unpack, block, nbytes)
    )


FORMATS: dict[str, BlockFormat] = {
    fmt.name: fmt
    for fmt in (
        BlockFormat("f32", 1, 4, 0, _to_float(np.float32), _from_float("<f4")),
        BlockFormat("f16", 1, 2, 1, _to_float(np.float16), _from_float("<f2")),
        BlockFormat("bf16", 1, 2, 30, _to_bf16, _from_bf16),
        _blocks("q4_0", 32, 18, 2, m.pack_q4_0, m.unpack_q4_0),
        _blocks("q4_1", 32, 20, 3, m.pack_q4_1, m.unpack_q4_1),
        _blocks("q5_0", 32, 22, 6, m.pack_q5_0, m.unpack_q5_0),
        _blocks("q5_1", 32, 24, 7, m.pack_q5_1, m.unpack_q5_1),
        _blocks("q8_0", 32, 34, 8, m.pack_q8_0, m.unpack_q8_0),
        _blocks("q6_K", 256, 210, 14, pack_q6_k, unpack_q6_k),
        _blocks("q4_0_v1", 32, 20, 2, m.pack_q4_0_v1, m.unpack_q4_0_v1),
        _blocks("q4_1_v1", 32, 24, 3, m.pack_q4_1_v1, m.unpack_q4_1_v1),
        _blocks("q5_0_v1", 32, 22, 6, m.pack_q5_0_v1, m.unpack_q5_0_v1),
        _blocks("q5_1_v1", 32, 24, 7, m.pack_q5_1_v1, m.unpack_q5_1_v1),
        _blocks("q8_0_v1", 32, 36, 8, m.pack_q8_0_v1, m.unpack_q8_0_v1),
        _blocks("q4_0_v2", 32, 20, 2, m.pack_q4_0_v2, m.unpack_q4_0_v2),
        _blocks("q4_1_v2", 32, 24, 3, m.pack_q4_1_v2, m.unpack_q4_1_v2),
    )
}

# How a format is quantised, by name; q6_K has two rules, that of June to August 2023 being "q6_K_2023".
QUANTIZERS: dict[str, Callable[[F32], U8]] = {
    **{name: fmt.quantize for name, fmt in FORMATS.items()},
    "q6_K_2023": _quantizer(pack_q6_k_2023, 256, 210),
}

# Which formats a type number means, by era: 1 is ggml, ggmf and ggjt v1; 2 is ggjt v2; 3 is ggjt v3 and GGUF.
_ERAS: dict[int, dict[int, BlockFormat]] = {
    era: {FORMATS[name].ggml_type: FORMATS[name] for name in names.split()}
    for era, names in (
        (1, "f32 f16 q4_0_v1 q4_1_v1 q5_0_v1 q5_1_v1 q8_0_v1"),
        (2, "f32 f16 q4_0_v2 q4_1_v2 q5_0 q5_1 q8_0_v1"),
        (3, "f32 f16 bf16 q4_0 q4_1 q5_0 q5_1 q8_0 q6_K"),
    )
}

# Names of all ggml types (ggml.h), for messages about those that are not in the table.
_TYPE_NAMES = dict(
    enumerate(
        (
            *("f32", "f16", "q4_0", "q4_1", "q4_2", "q4_3", "q5_0", "q5_1", "q8_0", "q8_1", "q2_K", "q3_K"),
            *("q4_K", "q5_K", "q6_K", "q8_K", "iq2_xxs", "iq2_xs", "iq3_xxs", "iq1_s", "iq4_nl", "iq3_s"),
            *("iq2_s", "iq4_xs", "i8", "i16", "i32", "i64", "f64", "iq1_m", "bf16"),
        )
    )
) | {34: "tq1_0", 35: "tq2_0", 39: "mxfp4", 40: "nvfp4", 41: "q1_0", 42: "q2_0"}


def by_ggml_type(number: int, era: int = 3) -> BlockFormat | None:
    """The format that a file's type number means; None where this program does not know it."""
    return _ERAS[era].get(number)


def type_name(number: int) -> str:
    """ggml's name of a type number, for messages: "q4_K", or "type 99" where it has none."""
    return _TYPE_NAMES.get(number, f"type {number}")
