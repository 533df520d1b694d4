"""Calling the quantising kernels on arrays, one call a piece of work, without the GIL."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from alpaca_tui.kernels import quantize as q
from alpaca_tui.kernels import quantize_q6_k, registry

SOURCE_KINDS = {"f32": q.F32, "f16": q.F16, "bf16": q.BF16}
QUANTIZERS = frozenset(
    f"{name}{era}" for name, eras in (
        ("q4_0", ("", "_v1", "_v2")), ("q4_1", ("", "_v1", "_v2")), ("q5_0", ("",)), ("q5_1", ("",)),
        ("q8_0", ("", "_v1")), ("q6_K", ("", "_2023")),
    ) for era in eras
)  # fmt: skip
_KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
assert quantize_q6_k  # importing it registers its kernels

U8 = npt.NDArray[np.uint8]


def quantize_blocks(name: str, source: U8, kind: str, n_blocks: int, target: U8) -> None:
    """Quantise the elements in `source` (`kind`: f32, f16 or bf16; contiguous) to `n_blocks` blocks.

    `name` is one of QUANTIZERS; `target` gets the blocks, u8, contiguous.
    """
    scratch = np.empty(q.SCRATCH_BYTES, np.uint8)
    _run(f"quantize_{name}", source.ctypes.data, SOURCE_KINDS[kind], target, n_blocks, scratch.ctypes.data, 0)


def count_levels(blocks: U8, n_blocks: int, n_level_bytes: int) -> npt.NDArray[np.int64]:
    """How often each byte comes among the last `n_level_bytes` of each block: int64 [256]."""
    counts = np.zeros(256, np.int64)
    nbytes = blocks.size // n_blocks
    _run("count_bytes", nbytes, n_level_bytes, blocks, n_blocks, 0, counts.ctypes.data)
    return counts


def count_fives(blocks: U8, n_blocks: int, paired: bool) -> npt.NDArray[np.int64]:
    """How often each level of 5 bits comes: int64 [32]. `paired`: byte j has levels 2j and 2j + 1."""
    counts = np.zeros(32, np.int64)
    _run("count_fives", blocks.size // n_blocks, int(paired), blocks, n_blocks, 0, counts.ctypes.data)
    return counts


def _run(name: str, source: int, kind: int, target: U8, n_blocks: int, scratch: int, counts: int) -> None:
    arguments = np.array([source, kind, target.ctypes.data, n_blocks, scratch, counts], np.int64)
    _function(name)(arguments.ctypes.data, 0, 1)


@cache
def _function(name: str) -> Callable[[int, int, int], Any]:
    return _KERNEL(registry.address(name))
