"""Rows of a tensor from one block format to another, by several threads, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from alpaca_tui.files.block_math import U8
from alpaca_tui.files.block_repack import repack
from alpaca_tui.files.blocks import FORMATS, BlockFormat
from alpaca_tui.pipeline.containers import FLOATS
from alpaca_tui.pipeline.jobs import Job
from alpaca_tui.pipeline.sources import Source

_CHUNK = 1 << 20  # elements of a piece of work

# Format -> its elements as integers, what of them is not the sign, and where numbers end (inf, then NaN).
_BITS: dict[str, tuple[str, int, int]] = {
    "f32": ("<u4", 0x7FFFFFFF, 0x7F800000),
    "f16": ("<u2", 0x7FFF, 0x7C00),
    "bf16": ("<u2", 0x7FFF, 0x7F80),
}


@dataclass
class Counts:
    """What came by: values that are no numbers, and of the 16 bins of levels how many fell in each."""

    n_nan: int = 0
    n_inf: int = 0
    n_overflow: int = 0  # numbers that the new format has only as inf
    histogram: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(16, np.int64))

    def add(self, other: Counts) -> None:
        self.n_nan += other.n_nan
        self.n_inf += other.n_inf
        self.n_overflow += other.n_overflow
        self.histogram += other.histogram


class RowConverter:
    """A pool of threads that converts tensors piece by piece. A context manager.

    `histograms`: whether the levels are counted, which takes a little time.
    """

    def __init__(self, n_threads: int, histograms: bool = False) -> None:
        self._histograms = histograms
        self.n_threads = max(1, n_threads)
        self._pool = ThreadPoolExecutor(self.n_threads, thread_name_prefix="convert")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def run(self, source: Source, job: Job) -> Iterator[tuple[U8, Counts]]:
        """The tensor in its new format, u8 [rows, row_bytes] after u8 [rows, row_bytes], in order."""
        step = max(1, _CHUNK // job.tensor.cols)
        waiting: deque[Future[tuple[U8, Counts]]] = deque()
        for start in range(0, job.tensor.rows, step):
            stop = min(start + step, job.tensor.rows)
            waiting.append(self._pool.submit(self._convert, source, job, start, stop))
            if len(waiting) > 2 * self.n_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _convert(self, source: Source, job: Job, start: int, stop: int) -> tuple[U8, Counts]:
        old, new = job.tensor.format, job.format
        data = source.rows(job.name, start, stop)
        counts = Counts()
        counts.n_nan, counts.n_inf = count_non_finite(data, old)
        if job.copies:
            return data, counts
        if job.keeps_levels:
            return repack(data, old, new), counts
        if new.name in FLOATS:
            out = new.quantize(old.dequantize(data))
            counts.n_overflow = count_non_finite(out, new)[1] - counts.n_inf
            return out, counts
        if old.name not in FLOATS:
            data, old = old.dequantize(data).view(np.uint8), FORMATS["f32"]
        out, n_blocks = _quantize(job, data, old.name)
        if self._histograms:
            counts.histogram = histogram(out, new, n_blocks)
        return out, counts


def _quantize(job: Job, data: U8, kind: str) -> tuple[U8, int]:
    """The blocks, u8 [rows, row_bytes], and how many they are."""
    from alpaca_tui.kernels.quantize_run import quantize_blocks  # only now: it brings Numba

    out = np.empty((len(data), job.format.row_bytes(job.tensor.cols)), np.uint8)
    n_blocks = out.size // job.format.nbytes
    quantize_blocks(job.quantizer, np.ascontiguousarray(data), kind, n_blocks, out)
    return out, n_blocks


def count_non_finite(data: U8, fmt: BlockFormat) -> tuple[int, int]:
    """How many of the elements are NaN, and how many are infinite. (0, 0) for formats of blocks."""
    if fmt.name not in _BITS:
        return 0, 0
    dtype, mask, limit = _BITS[fmt.name]
    bits = np.ascontiguousarray(data).view(dtype) & np.array(mask, dtype)
    if not bits.size or bits.max() < limit:
        return 0, 0
    return int(np.count_nonzero(bits > limit)), int(np.count_nonzero(bits == limit))


def histogram(blocks: U8, fmt: BlockFormat, n_blocks: int) -> npt.NDArray[np.int64]:
    """How the levels are spread over 16 bins, as llama.cpp's quantize of 2023 counted; zeros for q6_K.

    Bins: of 4 bits the level, of 5 bits half of it, of q8_0 level / 16 + 8 (rounded towards zero).
    """
    from alpaca_tui.kernels.quantize_run import count_fives, count_levels

    kind = fmt.today.name
    if kind == "q8_0":
        bins = np.trunc(np.arange(256).astype(np.uint8).view(np.int8) / 16).astype(np.int64) + 8
        return np.bincount(bins, count_levels(blocks, n_blocks, 32), 16).astype(np.int64)
    if kind in ("q4_0", "q4_1"):
        both = count_levels(blocks, n_blocks, 16).reshape(16, 16)
        return both.sum(axis=0) + both.sum(axis=1)
    if kind in ("q5_0", "q5_1"):
        return count_fives(blocks, n_blocks, fmt.name.endswith("_v1")).reshape(16, 2).sum(axis=1)
    return np.zeros(16, np.int64)
