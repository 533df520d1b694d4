"""Tensors of a checkpoint as they lie in a mapped file: nothing is read until it is asked for."""

from __future__ import annotations

import math
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from alpaca_tui.errors import UserError
from alpaca_tui.files.block_math import F32
from alpaca_tui.files.sniff import check_path

# Type of the elements -> how NumPy reads them, little-endian. bf16, which NumPy lacks, is read as its bits.
DTYPES = {
    "f64": "<f8", "f32": "<f4", "f16": "<f2", "bf16": "<u2",
    "i64": "<i8", "i32": "<i4", "i16": "<i2", "i8": "<i1", "u8": "<u1", "bool": "<u1",
}  # fmt: skip
MAX_DIMS = 8


class MappedFile:
    """A read-only memory map of a whole file."""

    def __init__(self, path: Path) -> None:
        """Raises UserError where there is no readable file with contents."""
        self.path, self.size = path, check_path(path)
        try:
            with path.open("rb") as file:
                self.data = mmap.mmap(file.fileno(), self.size, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"{path} cannot be opened: {reason}.") from None

    def release(self, offset: int, size: int) -> None:
        """Tell the system that these pages need not stay in memory; they can be read again."""
        if hasattr(mmap, "MADV_DONTNEED") and size > 0:
            start = offset - offset % mmap.PAGESIZE
            self.data.madvise(mmap.MADV_DONTNEED, start, offset + size - start)

    def close(self) -> None:
        """Unmap. An array that still looks at the map keeps it alive until it goes."""
        try:
            self.data.close()
        except BufferError:
            return


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file: `dtype` is a key of DTYPES, `strides` are in elements, `offset` in bytes.

    Whoever makes one has checked that all of it lies inside the file.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    file: MappedFile
    offset: int
    big_endian: bool = False

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        return np.dtype(DTYPES[self.dtype]).itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize

    @property
    def span(self) -> int:
        """Bytes of the file from the first to the last element."""
        if not self.size:
            return 0
        steps = sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        return (steps + 1) * self.itemsize

    def numpy(self) -> npt.NDArray:
        """The whole tensor: a read-only view of the file, of its own type (bf16 as its bits, u2)."""
        dtype = np.dtype(DTYPES[self.dtype])
        if self.big_endian:
            dtype = dtype.newbyteorder(">")
        strides = tuple(s * dtype.itemsize for s in self.strides)
        if not self.size:
            return np.empty(self.shape, dtype)
        array: npt.NDArray = np.ndarray(self.shape, dtype, self.file.data, self.offset, strides)
        return array

    def rows(self, start: int, stop: int) -> npt.NDArray:
        """Entries start .. stop of the first dimension, a view like `numpy()`."""
        return self.numpy()[start:stop]

    def f32(self, start: int = 0, stop: int | None = None) -> F32:
        """Entries start .. stop of the first dimension as contiguous f32: exact from f16, bf16 and f32."""
        return to_f32(self.dtype, self.numpy()[start:stop])

    def release(self) -> None:
        """Give the mapped pages of this tensor back to the system; it stays readable."""
        self.file.release(self.offset, self.span)


def to_f32(dtype: str, values: npt.NDArray) -> F32:
    """Values of one of DTYPES (bf16 as its bits) as contiguous f32."""
    if dtype == "bf16":
        return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    with np.errstate(over="ignore"):  # an f64 beyond f32's range becomes inf, and is counted as that
        return np.ascontiguousarray(values, np.float32)


class Checkpoint:
    """The tensors of one file, or of several that belong together, in their order."""

    def __init__(self, path: Path, tensors: Mapping[str, StoredTensor], files: list[MappedFile]) -> None:
        self.path, self.tensors, self.files = path, dict(tensors), files

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def paths(self) -> list[Path]:
        """The files that the tensors lie in."""
        return [file.path for file in self.files]

    def close(self) -> None:
        for file in self.files:
            file.close()
