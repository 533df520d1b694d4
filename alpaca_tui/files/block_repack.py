"""From one layout of the same levels to another: what files of 2023 hold, in today's blocks, and back.

The levels stay as they are; only the scale (and minimum) is rounded where the new layout has f16 for it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from alpaca_tui.files import block_math as m
from alpaca_tui.files.block_math import F32, U8
from alpaca_tui.files.blocks import BlockFormat

_STEP = 1 << 14  # blocks at a time: temporaries stay in the cache

# Layout -> (levels with a minimum, type of scale and minimum, levels have a fifth bit, nibbles lie in pairs)
_LAYOUTS = {
    "q4_0": (False, "<f2", False, False),
    "q4_0_v2": (False, "<f4", False, False),
    "q4_0_v1": (False, "<f4", False, True),
    "q4_1": (True, "<f2", False, False),
    "q4_1_v2": (True, "<f4", False, False),
    "q4_1_v1": (True, "<f4", False, True),
    "q5_0": (False, "<f2", True, False),
    "q5_0_v1": (False, "<f2", True, True),
    "q5_1": (True, "<f2", True, False),
    "q5_1_v1": (True, "<f2", True, True),
    "q8_0": (False, "<f2", False, False),
    "q8_0_v1": (False, "<f4", False, False),
}


def can_repack(old: BlockFormat, new: BlockFormat) -> bool:
    """Whether both hold the same levels: q4_0_v1 and q4_0, but not q4_0 and q4_1."""
    return old.today is new.today and old.name in _LAYOUTS


def repack(data: U8, old: BlockFormat, new: BlockFormat) -> U8:
    """u8 [rows, n * old.nbytes] -> u8 [rows, n * new.nbytes]. ValueError where levels would change."""
    if not can_repack(old, new):
        raise ValueError(f"{old.name} and {new.name} hold different levels")
    blocks = np.ascontiguousarray(data).reshape(-1, old.nbytes)
    out = np.empty((len(blocks), new.nbytes), np.uint8)
    with np.errstate(over="ignore"):  # a scale beyond f16's range becomes inf
        for i in range(0, len(blocks), _STEP):
            scales, fifth, levels = _take_apart(blocks[i : i + _STEP], old)
            parts = [*(s.astype(_LAYOUTS[new.name][1]) for s in scales), *fifth, _lay(levels, old, new)]
            at = 0
            for part in map(m.to_bytes, parts):
                out[i : i + _STEP, at : at + part.shape[1]] = part
                at += part.shape[1]
    return out.reshape(len(data), -1)


def _take_apart(blocks: U8, fmt: BlockFormat) -> tuple[list[F32], list[U8], U8]:
    """Scale and minimum, the bytes of the fifth bits (the same in every layout), and the bytes of levels."""
    has_minimum, dtype, has_fifth, _ = _LAYOUTS[fmt.name]
    size = np.dtype(dtype).itemsize
    scales = [m.field(blocks, i * size, dtype) for i in range(2 if has_minimum else 1)]
    at = size * len(scales)
    fifth = [blocks[:, at : at + 4]] if has_fifth else []
    return scales, fifth, blocks[:, at + 4 * has_fifth :]


def _lay(levels: U8, old: BlockFormat, new: BlockFormat) -> U8:
    was_paired, is_paired = _LAYOUTS[old.name][3], _LAYOUTS[new.name][3]
    if was_paired == is_paired:
        return levels
    take: Callable[[U8], U8] = m.paired_nibbles if was_paired else m.split_nibbles
    lay: Callable[[U8], U8] = m.nibbles_paired if is_paired else m.nibbles_split
    return lay(take(levels))
