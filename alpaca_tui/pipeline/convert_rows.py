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
from alpaca_tui.files.blocks import BlockFormat
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
    """A pool of threads that converts tensors piece by piece. A context manager."""

    def __init__(self, n_threads: int) -> None:
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
            waiting.append(self._pool.submit(_convert, source, job, start, stop))
            if len(waiting) > 2 * self.n_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _convert(source: Source, job: Job, start: int, stop: int) -> tuple[U8, Counts]:
    old, new = job.tensor.format, job.format
    data = source.rows(job.name, start, stop)
    counts = Counts()
    counts.n_nan, counts.n_inf = count_non_finite(data, old)
    if job.copies:
        return data, counts
    if job.keeps_levels:
        return repack(data, old, new), counts
    out = new.quantize(old.dequantize(data))
    if new.name in _BITS:
        counts.n_overflow = count_non_finite(out, new)[1] - counts.n_inf
    counts.histogram = histogram(out, new)
    return out, counts


def count_non_finite(data: U8, fmt: BlockFormat) -> tuple[int, int]:
    """How many of the elements are NaN, and how many are infinite. (0, 0) for formats of blocks."""
    if fmt.name not in _BITS:
        return 0, 0
    dtype, mask, limit = _BITS[fmt.name]
    bits = np.ascontiguousarray(data).view(dtype) & np.array(mask, dtype)
    if not bits.size or bits.max() < limit:
        return 0, 0
    return int(np.count_nonzero(bits > limit)), int(np.count_nonzero(bits == limit))


def histogram(data: U8, fmt: BlockFormat) -> npt.NDArray[np.int64]:
    """How the levels are spread over 16 bins, as llama.cpp's quantize of 2023 counted; zeros for no levels.

    Bins: of 4 bits the level, of 5 bits half of it, of q8_0 level / 16 + 8 (rounded towards zero).
    """
    kind = fmt.today.name
    blocks = data.reshape(-1, fmt.nbytes)
    if kind == "q8_0":
        counts = np.bincount(blocks[:, -32:].reshape(-1), minlength=256)
        bins = np.trunc(np.arange(256).astype(np.uint8).view(np.int8) / 16).astype(np.int64) + 8
        return np.bincount(bins, counts, 16).astype(np.int64)
    if kind not in ("q4_0", "q4_1", "q5_0", "q5_1"):
        return np.zeros(16, np.int64)
    levels = blocks[:, -16:]
    if kind.startswith("q4"):
        counts = np.bincount(levels.reshape(-1), minlength=256).reshape(16, 16)
        return counts.sum(axis=0) + counts.sum(axis=1)
    fifth = np.unpackbits(blocks[:, -20:-16], axis=1, bitorder="little") << np.uint8(3)
    paired = fmt.name.endswith("_v1")
    low, high = levels & np.uint8(15), levels >> np.uint8(4)
    nibbles = np.stack([low, high], 2).reshape(-1, 32) if paired else np.concatenate([low, high], 1)
    return np.bincount(((nibbles >> np.uint8(1)) | fifth).reshape(-1), minlength=16)
