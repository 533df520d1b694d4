"""Zip archives as PyTorch writes them: members stored, each beginning at a multiple of 64 bytes.

The layout is that of caffe2/serialize/inline_container.cc over third_party/miniz-2.1.0, which leaves choices
that no reader minds and every checksum sees: no time stamps, checksum and sizes after the data (bit 3 of the
flags), a padding field "FB" full of "Z", ZIP64 records at the end whatever the size, and for members beyond
4 GiB a ZIP64 field also before the data, where the compressed size is still 0.
"""

from __future__ import annotations

import struct
import zlib
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
    """Writes an archive whose members all lie in `folder`, from the first byte of `sink` to its last.

    A member at a time: `begin`, `write` as often as it takes, `end`; or `add`, which does all three.
    """

    def __init__(self, sink: Sink, folder: str) -> None:
        self._sink, self._folder = sink, folder
        self._pos = 0
        self._count = 0
        self._directory = bytearray()
        self._name, self._expected, self._crc = "", 0, 0
        self._start = self._data = 0

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._pos

    def begin(self, name: str, size: int) -> None:
        """Starts a member of `size` bytes."""
        self._name, self._expected, self._crc = name, size, 0
        self._head()

    def write(self, chunk: bytes | memoryview) -> None:
        """The next bytes of the member."""
        self._crc = zlib.crc32(chunk, self._crc)
        self._put(chunk)

    def end(self) -> None:
        """Ends the member. ValueError where it has more or fewer bytes than announced."""
        size = self._pos - self._data
        if size != self._expected:
            raise ValueError(f"{self._name} has {size} bytes instead of {self._expected}")
        self._tail()

    def add(self, name: str, data: bytes | memoryview) -> None:
        """A whole member."""
        self.begin(name, data.nbytes if isinstance(data, memoryview) else len(data))
        self.write(data)
        self.end()

    def skip(self, name: str, size: int) -> None:
        """Counts a member without writing it: to find out how large an archive will be."""
        self.begin(name, size)
        self._pos += size
        self._tail()

    def finish(self) -> None:
        """The directory of the members, which ends the archive."""
        start, size, n = self._pos, len(self._directory), self._count
        self._put(bytes(self._directory))
        end = self._pos
        self._put(_END64.pack(b"PK\6\6", _END64.size - 12, 0x031E, 0x002D, 0, 0, n, n, size, start))
        self._put(_LOCATOR64.pack(b"PK\6\7", 0, end, 1))
        few = min(n, 0xFFFF)
        self._put(_END.pack(b"PK\5\6", 0, 0, few, few, min(size, _BIG), min(start, _BIG), 0))

    def _put(self, data: bytes | memoryview) -> None:
        self._sink.write(data)
        self._pos += len(data) if isinstance(data, bytes) else data.nbytes

    def _head(self) -> None:
        """Everything before the data."""
        self._start, size = self._pos, self._expected
        raw = f"{self._folder}/{self._name}".encode()
        extra = self._zip64(0)
        begin = self._pos + _LOCAL.size + len(raw) + len(extra) + 4
        padding = -begin % ALIGNMENT
        extra += struct.pack("<2sH", b"FB", padding) + b"Z" * padding
        flags = _FLAGS if size else _NO_DATA_FLAGS
        self._put(_LOCAL.pack(b"PK\3\4", 0, flags, 0, 0, 0, 0, 0, 0, len(raw), len(extra)) + raw + extra)
        self._data = self._pos

    def _tail(self) -> None:
        """Everything after the data, and the entry in the directory."""
        size, crc = self._expected, self._crc
        extra = self._zip64(size)
        if size:
            self._put(struct.pack("<4sI2Q" if extra else "<4sI2I", b"PK\7\10", crc, size, size))
        raw = f"{self._folder}/{self._name}".encode()
        short, place = min(size, _BIG), min(self._start, _BIG)
        flags = _FLAGS if size else _NO_DATA_FLAGS
        self._directory += _CENTRAL.pack(
            *(b"PK\1\2", 0, 0, flags, 0, 0, 0, crc, short, short, len(raw), len(extra), 0, 0, 0, 0, place)
        )
        self._directory += raw + extra
        self._count += 1

    def _zip64(self, compressed: int) -> bytes:
        """The member's ZIP64 field: only what does not fit in 32 bits."""
        numbers = []
        if self._expected >= _BIG:
            numbers += [self._expected, compressed]
        if self._start >= _BIG:
            numbers.append(self._start)
        return struct.pack(f"<2H{len(numbers)}Q", 1, 8 * len(numbers), *numbers) if numbers else b""
