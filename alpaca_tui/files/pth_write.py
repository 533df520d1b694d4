"""Writing torch checkpoints without torch, byte for byte as torch.save of early 2023 (1.13 and 2.0) does.

A zip archive (zip_write.py): `data.pkl`, which describes the tensors, then a member for each tensor's values,
in the order of their numbers as strings (0, 1, 10, 100, 101, ...), then `version`. The description is what
Python's own pickler makes of a dictionary of tensors in protocol 2 (torch/serialization.py,
torch/_tensor.py), with every string, tuple and tensor noted for reuse in the order in which it appears.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from alpaca_tui.files.zip_write import Sink, ZipWriter

_STORAGES = {"f16": ("HalfStorage", 2), "bf16": ("BFloat16Storage", 2), "f32": ("FloatStorage", 4)}
_BATCH = 1000  # items that the pickler puts under one mark
_VERSION = b"3\n"


@dataclass(frozen=True)
class Entry:
    """A tensor to be written: `dtype` is f16, bf16 or f32; its values are contiguous, little-endian."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * _STORAGES[self.dtype][1]


class PthWriter:
    """A state dict, written a tensor at a time: for each index in `order` `begin`, `write` and `end`.

    After the last one comes `finish`. `stem` is the file's name without its last suffix, which is what torch
    calls the folder in the archive.
    """

    def __init__(self, sink: Sink, stem: str, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._zip = ZipWriter(sink, stem)
        self.order = sorted(range(len(entries)), key=str)
        self._zip.add("data.pkl", pickle_entries(entries))

    def begin(self, index: int) -> None:
        """Starts the values of one entry."""
        self._zip.begin(f"data/{index}", self._entries[index].nbytes)

    def write(self, chunk: bytes | memoryview) -> None:
        """The next bytes of its values."""
        self._zip.write(chunk)

    def end(self) -> None:
        """Ends the values. ValueError where they have another size than the entry."""
        self._zip.end()

    def skip(self, index: int) -> None:
        """Counts an entry without writing it."""
        self._zip.skip(f"data/{index}", self._entries[index].nbytes)

    def finish(self) -> int:
        """Ends the file; returns its size."""
        self._zip.add("version", _VERSION)
        self._zip.finish()
        return self._zip.size


class _Nowhere:
    def write(self, data: bytes | memoryview, /) -> None:
        pass


def pth_size(stem: str, entries: Sequence[Entry]) -> int:
    """How many bytes the file will have."""
    writer = PthWriter(_Nowhere(), stem, entries)
    for index in writer.order:
        writer.skip(index)
    return writer.finish()


# --- the description ---------------------------------------------------------------------------------------


class _Pickle:
    """The opcodes that pickle protocol 2 has for what a state dict needs."""

    def __init__(self) -> None:
        self.out = bytearray(b"\x80\x02")
        self.memo: dict[object, int] = {}
        self.noted = 0

    def note(self, key: object = None) -> None:
        """Numbers what was just made; under `key` it is used again."""
        self.out += (
            struct.pack("<cB", b"q", self.noted) if self.noted < 256 else struct.pack("<cI", b"r", self.noted)
        )
        if key is not None:
            self.memo[key] = self.noted
        self.noted += 1

    def again(self, key: object) -> bool:
        number = self.memo.get(key)
        if number is None:
            return False
        self.out += struct.pack("<cB", b"h", number) if number < 256 else struct.pack("<cI", b"j", number)
        return True

    def string(self, text: str, shared: bool = False) -> None:
        if shared and self.again(text):
            return
        raw = text.encode()
        self.out += struct.pack("<cI", b"X", len(raw)) + raw
        self.note(text if shared else None)

    def named(self, module: str, name: str) -> None:
        if not self.again((module, name)):
            self.out += f"c{module}\n{name}\n".encode()
            self.note((module, name))

    def number(self, n: int) -> None:
        if n < 256:
            self.out += struct.pack("<cB", b"K", n)
        elif n < 65536:
            self.out += struct.pack("<cH", b"M", n)
        elif n < 1 << 31:
            self.out += struct.pack("<ci", b"J", n)
        else:
            raw = n.to_bytes(n.bit_length() // 8 + 1, "little")
            self.out += struct.pack("<cB", b"\x8a", len(raw)) + raw

    def numbers(self, values: Sequence[int]) -> None:
        """A tuple of at most three or of more numbers; the empty one is not noted."""
        if not values:
            self.out += b")"
            return
        if len(values) > 3:
            self.out += b"("
        for n in values:
            self.number(n)
        self.out += {1: b"\x85", 2: b"\x86", 3: b"\x87"}.get(len(values), b"t")
        self.note()


def pickle_entries(entries: Sequence[Entry]) -> bytes:
    """What `data.pkl` says: a dict from each name to its tensor, whose storage is the entry's own number."""
    p = _Pickle()
    p.out += b"}"
    p.note()
    if len(entries) == 1:
        p.string(entries[0].name)
        _tensor(p, 0, entries[0])
        p.out += b"s"
    else:  # after a full batch another follows, even an empty one
        for at in range(0, len(entries) + 1, _BATCH):
            p.out += b"("
            for index, entry in enumerate(entries[at : at + _BATCH], at):
                p.string(entry.name)
                _tensor(p, index, entry)
            p.out += b"u"
    return bytes(p.out) + b"."


def _tensor(p: _Pickle, index: int, entry: Entry) -> None:
    """_rebuild_tensor_v2(storage, offset 0, shape, strides, requires_grad False, no hooks)."""
    p.named("torch._utils", "_rebuild_tensor_v2")
    p.out += b"(("
    p.string("storage", shared=True)
    p.named("torch", _STORAGES[entry.dtype][0])
    p.string(str(index))
    p.string("cpu", shared=True)
    p.number(entry.size)
    p.out += b"t"
    p.note()
    p.out += b"Q"
    p.number(0)
    p.numbers(entry.shape)
    p.numbers(_strides(entry.shape))
    p.out += b"\x89"
    p.named("collections", "OrderedDict")
    p.out += b")R"
    p.note()
    p.out += b"t"
    p.note()
    p.out += b"R"
    p.note()


def _strides(shape: Sequence[int]) -> list[int]:
    return [math.prod(shape[i + 1 :]) for i in range(len(shape))]
