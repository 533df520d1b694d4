"""Zip archives as PyTorch writes them: members stored, each beginning at a multiple of 64 bytes.

The layout is that of caffe2/serialize/inline_container.cc over third_party/miniz-2.1.0, which leaves choices
that no reader minds and every checksum sees: no time stamps, checksum and sizes after the data (bit 3 of the
flags), a padding field "FB" full of "Z", ZIP64 records at the end whatever the size, and for members beyond
4 GiB a ZIP64 field also before the data, where the compressed size is still 0.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import Protocol

ALIGNMENT = 64
_BIG = 0xFFFFFFFF
_FLAGS, _NO_DATA_FLAGS = 0x0808, 0x0800  # UTF-8 names; sizes follow the data
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR64 = struct.Struct("<4sIQI")
_END = struct.Struct("<4s4H2IH")


class Sink(Protocol):
    def write(self, data: bytes | memoryview, /) -> object: ...


class ZipWriter:
    """Writes an archive whose members all lie in `folder`, from the first byte of `sink` to its last."""

    def __init__(self, sink: Sink, folder: str) -> None:
        self._sink, self._folder = sink, folder
        self._pos = 0
        self._count = 0
        self._directory = bytearray()

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._pos

    def add(self, name: str, size: int, chunks: Iterable[bytes | memoryview]) -> None:
        """A member of `size` bytes, which come in `chunks`; ValueError where they are more or fewer."""
        written, crc = self._begin(name, size), 0
        for chunk in chunks:
            crc = zlib.crc32(chunk, crc)
            self._write(chunk)
        if self._pos - written != size:
            raise ValueError(f"{name} has {self._pos - written} bytes instead of {size}")
        self._end(name, size, crc)

    def skip(self, name: str, size: int) -> None:
        """Counts a member without writing it: to find out how large an archive will be."""
        self._begin(name, size)
        self._pos += size
        self._end(name, size, 0)

    def finish(self) -> None:
        """The directory of the members, which ends the archive."""
        start, size, n = self._pos, len(self._directory), self._count
        self._write(bytes(self._directory))
        end = self._pos
        self._write(_END64.pack(b"PK\6\6", _END64.size - 12, 0x031E, 0x002D, 0, 0, n, n, size, start))
        self._write(_LOCATOR64.pack(b"PK\6\7", 0, end, 1))
        few = min(n, 0xFFFF)
        self._write(_END.pack(b"PK\5\6", 0, 0, few, few, min(size, _BIG), min(start, _BIG), 0))

    def _write(self, data: bytes | memoryview) -> None:
        self._sink.write(data)
        self._pos += len(data) if isinstance(data, bytes) else data.nbytes

    def _begin(self, name: str, size: int) -> int:
        """Everything before the data; returns where they begin."""
        self._start = self._pos
        raw = f"{self._folder}/{name}".encode()
        extra = self._zip64(size, 0)
        begin = self._pos + _LOCAL.size + len(raw) + len(extra) + 4
        padding = -begin % ALIGNMENT
        extra += struct.pack("<2sH", b"FB", padding) + b"Z" * padding
        flags = _FLAGS if size else _NO_DATA_FLAGS
        self._write(_LOCAL.pack(b"PK\3\4", 0, flags, 0, 0, 0, 0, 0, 0, len(raw), len(extra)) + raw + extra)
        return self._pos

    def _end(self, name: str, size: int, crc: int) -> None:
        """Everything after the data, and the entry in the directory."""
        extra = self._zip64(size, size)
        if size:
            self._write(struct.pack("<4sI2Q" if extra else "<4sI2I", b"PK\7\10", crc, size, size))
        raw = f"{self._folder}/{name}".encode()
        short, place = min(size, _BIG), min(self._start, _BIG)
        flags = _FLAGS if size else _NO_DATA_FLAGS
        self._directory += _CENTRAL.pack(
            *(b"PK\1\2", 0, 0, flags, 0, 0, 0, crc, short, short, len(raw), len(extra), 0, 0, 0, 0, place)
        )
        self._directory += raw + extra
        self._count += 1

    def _zip64(self, size: int, compressed: int) -> bytes:
        """The ZIP64 field of the member that begins at `_start`: only what does not fit in 32 bits."""
        numbers = []
        if size >= _BIG:
            numbers += [size, compressed]
        if self._start >= _BIG:
            numbers.append(self._start)
        return struct.pack(f"<2H{len(numbers)}Q", 1, 8 * len(numbers), *numbers) if numbers else b""
