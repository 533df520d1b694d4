"""Reading GGUF, versions 2 and 3: metadata and the places of the tensors.

Layout (ggml's docs/gguf.md): "GGUF", u32 version, i64 n_tensors, i64 n_kv, the key/value pairs, the tensor
infos, padding to general.alignment, then the data; a tensor's offset counts from the start of the data.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alpaca_tui.errors import UserError
from alpaca_tui.files.blocks import by_ggml_type, type_name
from alpaca_tui.files.cursor import Cursor, CutShortError
from alpaca_tui.files.tensors import Contents, Part, Tensor

MAGIC = b"GGUF"

_HEADER = struct.Struct("<Iqq")
_I32, _U32, _U64 = struct.Struct("<i"), struct.Struct("<I"), struct.Struct("<Q")
_PLACE = struct.Struct("<iQ")

_NUMBERS = {
    0: "<u1", 1: "<i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 10: "<u8", 11: "<i8", 12: "<f8",
}  # fmt: skip
_BOOL, _STRING, _ARRAY = 7, 8, 9

# What no real model exceeds. The file's size bounds everything as well, but a file may be very large.
_MAX_KV, _MAX_TENSORS, _MAX_ARRAY, _MAX_STRING, _MAX_DIM = 1 << 14, 1 << 16, 1 << 22, 1 << 26, 1 << 40

# Kept as bytes: pieces of a vocabulary need not be UTF-8.
_RAW_STRINGS = ("tokenizer.ggml.tokens", "tokenizer.ggml.merges")


def read_gguf(path: Path, data: Any, size: int) -> Contents:
    """Parse the head of a GGUF file held in `data`. Raises UserError for what is damaged or not supported."""
    cursor = Cursor(path, data, size)
    cursor.skip(len(MAGIC))
    version = _version(cursor)
    cursor.pos -= _U32.size
    _, n_tensors, n_kv = cursor.unpack(_HEADER)
    if not 0 <= n_kv <= _MAX_KV or not 0 <= n_tensors <= _MAX_TENSORS:
        raise cursor.damaged(f"it announces {n_tensors} tensors and {n_kv} keys")
    contents = Contents("gguf", version)
    _read_metadata(cursor, n_kv, contents)
    metadata = contents.metadata
    _refuse_split(path, metadata)
    infos = [_tensor_info(cursor) for _ in range(n_tensors)]
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 8 <= alignment <= 1 << 20 or alignment & (alignment - 1):
        raise cursor.damaged(f"its alignment is {alignment!r}")
    cursor.align(alignment)
    for info in infos:
        if info.name in contents.tensors:
            raise cursor.damaged(f"it has two tensors {info.name!r}")
        if info.offset % alignment:
            raise cursor.damaged(f"the offset of its tensor {info.name!r} is not aligned")
        contents.tensors[info.name] = _tensor(path, info, cursor.pos)
    _check_size(path, contents.tensors, size)
    return contents


def _version(cursor: Cursor) -> int:
    (version,) = cursor.unpack(_U32)
    if version in (2, 3):
        return version
    if version == 1:
        raise UserError(
            f"{cursor.path} is GGUF version 1 of August 2023, which no program reads any more; convert the "
            "model again."
        )
    swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
    if swapped in (1, 2, 3):
        raise UserError(f"{cursor.path} is a big-endian GGUF file; get the little-endian one of this model.")
    raise UserError(
        f"{cursor.path} is GGUF version {version}, and this program reads versions 2 and 3; look for a newer "
        "program or another file of this model."
    )


def _refuse_split(path: Path, metadata: dict[str, Any]) -> None:
    count = metadata.get("split.count", 0)
    if isinstance(count, int) and count > 1:
        number = metadata.get("split.no", 0)
        part = number + 1 if isinstance(number, int) else "one"
        raise UserError(
            f"{path} is part {part} of a model split into {count} files; join them with "
            f"`llama-gguf-split --merge FIRST-PART OUTPUT` and open the result."
        )


# --- metadata ----------------------------------------------------------------------------------------------


def _read_metadata(cursor: Cursor, n_kv: int, contents: Contents) -> None:
    cursor.inside = "its metadata"
    for _ in range(n_kv):
        start = cursor.pos
        raw = _string(cursor, 65535)
        key = raw.decode("utf-8", "replace")
        if not key or key in contents.metadata:
            raise cursor.damaged(f"its metadata key {key!r} is empty or comes twice")
        (kind,) = cursor.unpack(_I32)
        contents.metadata[key] = _value(cursor, kind, key)
        contents.places[key] = (start, cursor.pos)


def _value(cursor: Cursor, kind: int, key: str) -> Any:
    if kind == _STRING:
        return _string(cursor, _MAX_STRING).decode("utf-8", "replace")
    if kind == _BOOL:
        return cursor.take(1) != b"\0"
    if kind in _NUMBERS:
        dtype = np.dtype(_NUMBERS[kind])
        return np.frombuffer(cursor.take(dtype.itemsize), dtype)[0].item()
    if kind != _ARRAY:
        raise cursor.damaged(f"its metadata key {key!r} has the type {kind}, which does not exist")
    (element,) = cursor.unpack(_I32)
    (count,) = cursor.unpack(_U64)
    if count > _MAX_ARRAY:
        raise cursor.damaged(f"its metadata key {key!r} announces {count:,} entries")
    if element == _STRING:
        cursor.need(count * _U64.size)
        return _strings(cursor, count, key)
    if element == _BOOL:
        return [byte != 0 for byte in cursor.take(count)]
    if element not in _NUMBERS:
        raise cursor.damaged(
            f"its metadata key {key!r} is a list of the type {element}, which does not exist"
        )
    dtype = np.dtype(_NUMBERS[element])
    return np.frombuffer(cursor.take(count * dtype.itemsize), dtype).tolist()


def _string(cursor: Cursor, limit: int) -> bytes:
    (length,) = cursor.unpack(_U64)
    if length > limit:
        raise cursor.damaged(f"a string in it announces {length:,} bytes")
    return cursor.take(length)


def _strings(cursor: Cursor, count: int, key: str) -> list[Any]:
    raw = [_string(cursor, _MAX_STRING) for _ in range(count)]
    return raw if key in _RAW_STRINGS else [text.decode("utf-8", "replace") for text in raw]


# --- tensors -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Info:
    name: str
    shape: tuple[int, ...]  # NumPy's order
    ggml_type: int
    offset: int


def _tensor_info(cursor: Cursor) -> _Info:
    cursor.inside = "its list of tensors"
    name = _string(cursor, 1024).decode("utf-8", "replace")
    (n_dims,) = cursor.unpack(_U32)
    if not 1 <= n_dims <= 4:
        raise cursor.damaged(f"its tensor {name!r} has {n_dims} dimensions")
    dims = cursor.unpack(struct.Struct(f"<{n_dims}Q"))
    if not all(0 < dim <= _MAX_DIM for dim in dims):
        raise cursor.damaged(f"its tensor {name!r} has the dimensions {dims}")
    while len(dims) > 1 and dims[-1] == 1:
        dims = dims[:-1]
    ggml_type, offset = cursor.unpack(_PLACE)
    return _Info(name, tuple(reversed(dims)), ggml_type, offset)


def _tensor(path: Path, info: _Info, data_start: int) -> Tensor:
    fmt = by_ggml_type(info.ggml_type)
    if fmt is None:
        raise UserError(
            f"{path} has its tensor {info.name!r} in the block format {type_name(info.ggml_type)}, which "
            "this program does not read; use a file in f16, q8_0, q6_K, q5_1, q5_0, q4_1 or q4_0."
        )
    if len(info.shape) > 2:
        raise UserError(
            f"{path} has a tensor {info.name!r} of {len(info.shape)} dimensions, which no LLaMA model has; "
            "use another model."
        )
    cols = info.shape[-1]
    if cols % fmt.block:
        raise UserError(
            f"{path} is damaged: the rows of its tensor {info.name!r} ({cols}) are no whole number of "
            f"{fmt.name} blocks; download or copy it again."
        )
    rows = info.shape[0] if len(info.shape) == 2 else 1
    return Tensor(info.name, info.shape, fmt, (Part(0, data_start + info.offset, rows, cols),))


def _check_size(path: Path, tensors: dict[str, Tensor], size: int) -> None:
    last = max(tensors.values(), key=lambda t: t.parts[0].offset + t.nbytes, default=None)
    if last is not None:
        end = last.parts[0].offset + last.nbytes
        if end > size:
            raise CutShortError(path, f"its weights (tensor {last.name!r})", end - size, at_least=False)
