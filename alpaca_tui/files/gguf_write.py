"""Writing GGUF, version 3. Layout: see gguf.py."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from alpaca_tui.files.blocks import BlockFormat
from alpaca_tui.files.gguf import MAGIC

VERSION, ALIGNMENT = 3, 32

_HEADER = struct.Struct("<Iqq")
_I32, _U32, _U64 = struct.Struct("<i"), struct.Struct("<I"), struct.Struct("<Q")
_PLACE = struct.Struct("<iQ")
_LIST = struct.Struct("<iiQ")

# Kind of a value -> its number in the file, and its layout.
_KINDS = {"u32": (4, "I"), "i32": (5, "i"), "f32": (6, "f"), "bool": (7, "?"), "str": (8, "")}
_LIST_KIND = 9


@dataclass(frozen=True)
class TensorInfo:
    """A tensor as it goes into the file; `shape` in NumPy's order."""

    name: str
    shape: tuple[int, ...]
    format: BlockFormat
    nbytes: int


def encode_kv(key: str, kind: str, value: Any) -> bytes:
    """A key with its value. `kind` is one of u32, i32, f32, bool and str, or such a name in [] for a list.

    Strings are str or bytes.
    """
    if not kind.startswith("["):
        number, layout = _KINDS[kind]
        body = struct.pack("<" + layout, value) if layout else _string(value)
        return _string(key) + _I32.pack(number) + body
    number, layout = _KINDS[kind[1:-1]]
    body = struct.pack(f"<{len(value)}{layout}", *value) if layout else b"".join(map(_string, value))
    return _string(key) + _LIST.pack(_LIST_KIND, number, len(value)) + body


def head_gguf(metadata: Sequence[bytes], tensors: Sequence[TensorInfo]) -> bytes:
    """All that stands before the data of the first tensor, padding included.

    `metadata`: keys as `encode_kv` makes them. Each tensor follows with `padding(nbytes)` zeros behind it.
    """
    out = bytearray(MAGIC + _HEADER.pack(VERSION, len(tensors), len(metadata)))
    for entry in metadata:
        out += entry
    offset = 0
    for tensor in tensors:
        out += _string(tensor.name) + _U32.pack(len(tensor.shape))
        out += struct.pack(f"<{len(tensor.shape)}Q", *reversed(tensor.shape))
        out += _PLACE.pack(tensor.format.ggml_type, offset)
        offset += tensor.nbytes + padding(tensor.nbytes)
    return bytes(out) + bytes(padding(len(out)))


def padding(size: int) -> int:
    """How many zeros follow `size` bytes."""
    return -size % ALIGNMENT


def order_of_llama_cpp(names: Iterable[str]) -> list[str]:
    """Names as llama.cpp's quantiser orders them: what is in no block first, then by block; then by name."""

    def key(name: str) -> tuple[int, bytes]:
        match = re.match(r"blk\.(\d+)\.", name)
        return int(match[1]) if match else -1, name.encode()

    return sorted(names, key=key)


def _string(text: str | bytes) -> bytes:
    raw = text.encode("utf-8", "replace") if isinstance(text, str) else text
    return _U64.pack(len(raw)) + raw
