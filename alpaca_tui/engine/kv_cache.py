"""The KV cache: keys and values of all positions of a context, for each layer.

Why they lie in this order: see `kernels/attention.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from alpaca_tui.engine.aligned import ALIGNMENT, aligned, up
from alpaca_tui.errors import UserError
from alpaca_tui.kernels.attention import LANES
from alpaca_tui.kernels.query_tiles import CACHE_TYPES, SCALED

POSITIONS = 64  # a cache has a multiple of so many: attention scores 64 at a time


class Addresses(NamedTuple):
    """Of a layer's parts; those of scales mean nothing where the cache has none."""

    k: int
    v: int
    k_scales: int
    v_scales: int


class Parts(NamedTuple):
    """A layer's parts as arrays: u16 (the bits of f16), or i8 with f32 scales; scales are empty without."""

    k: npt.NDArray[Any]  # [n_head_kv, n_ctx / 16, head_dim, 16]
    v: npt.NDArray[Any]  # [n_head_kv, n_ctx, value_dim]
    k_scales: npt.NDArray[np.float32]  # [n_head_kv, n_ctx / 16, head_dim / 32, 16]
    v_scales: npt.NDArray[np.float32]  # [n_head_kv, n_ctx, head_dim / 32]


class KvCache:
    """Keys and values of `n_layer` layers and `n_ctx` positions (a multiple of POSITIONS).

    `type` is "f16" or "q8_0". Raises UserError where heads cannot be held in this type.
    """

    def __init__(self, n_layer: int, n_head_kv: int, head_dim: int, n_ctx: int, type: str = "f16"):
        kind = CACHE_TYPES[type]
        if kind.scaled and head_dim % SCALED:
            raise UserError(
                f"A q8_0 cache needs heads of a multiple of {SCALED} dimensions, and this model's have "
                f"{head_dim}; leave --cache-type q8_0 out."
            )
        self.type, self.n_layer, self.n_ctx = type, n_layer, n_ctx
        self.value_dim = up(head_dim, LANES)
        groups, runs = n_ctx // LANES, head_dim // SCALED if kind.scaled else 0
        self._shapes = (
            (n_head_kv, groups, head_dim, LANES),
            (n_head_kv, n_ctx, self.value_dim),
            (n_head_kv, groups, runs, LANES),
            (n_head_kv, n_ctx, runs),
        )
        number = np.int8 if kind.scaled else np.uint16
        self._dtypes = [np.dtype(dtype) for dtype in (number, number, np.float32, np.float32)]
        sizes = (int(np.prod(s)) * d.itemsize for s, d in zip(self._shapes, self._dtypes, strict=True))
        self._offsets = [0]
        for size in sizes:
            self._offsets.append(self._offsets[-1] + up(size, ALIGNMENT))
        self._data = aligned(n_layer * self._offsets[-1])

    @property
    def nbytes(self) -> int:
        return self._data.nbytes

    def addresses(self, layer: int) -> Addresses:
        start = self._data.ctypes.data + layer * self._offsets[-1]
        return Addresses(*(start + offset for offset in self._offsets[:-1]))

    def sizes(self, n: int) -> list[int]:
        """Bytes of each of the pieces that hold the first n positions; the same for a cache of any n_ctx."""
        one = [
            rows * int(np.prod(shape[2:])) * dtype.itemsize
            for rows, shape, dtype in zip((-(-n // LANES), n) * 2, self._shapes, self._dtypes, strict=True)
        ]
        return [size for size in one if size for _ in range(self._shapes[0][0])] * self.n_layer

    def pieces(self, n: int) -> Iterator[npt.NDArray[np.uint8]]:
        """Views of the bytes that hold the first n positions: by layer, part and head. Writable."""
        for layer in range(self.n_layer):
            for part, rows in zip(self.parts(layer), (-(-n // LANES), n) * 2, strict=True):
                for head in part:
                    if head[:rows].size:
                        yield head[:rows].reshape(-1).view(np.uint8)

    def parts(self, layer: int) -> Parts:
        """Views of a layer's parts."""
        start = layer * self._offsets[-1]
        views = []
        for shape, dtype, offset in zip(self._shapes, self._dtypes, self._offsets, strict=False):
            size = int(np.prod(shape)) * dtype.itemsize
            views.append(self._data[start + offset : start + offset + size].view(dtype).reshape(shape))
        return Parts(*views)
