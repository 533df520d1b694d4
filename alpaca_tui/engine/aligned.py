"""Memory that begins on a cache line."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

ALIGNMENT = 64


def aligned(size: int) -> npt.NDArray[np.uint8]:
    """`size` bytes of zeros that start on a cache line. Above 4 MiB Linux backs them with huge pages."""
    room = np.zeros(size + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + size]


def up(n: int, unit: int) -> int:
    """The least multiple of `unit` that is not below `n`."""
    return -(-n // unit) * unit
