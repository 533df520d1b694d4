"""Files as torch.save writes them, put together by hand: whole ones, and such as no torch would write."""

from __future__ import annotations

import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

CLASSES = {
    "float64": "DoubleStorage", "float32": "FloatStorage", "float16": "HalfStorage",
    "uint16": "BFloat16Storage", "int64": "LongStorage", "int8": "CharStorage",
}  # fmt: skip
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value) if -(2**31) <= value < 2**31 else _long(value)


def _long(value: int) -> bytes:
    raw = value.to_bytes(12, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def name(module: str, what: str) -> bytes:
    return b"c" + f"{module}\n{what}\n".encode()


def numbers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(kind: str, key: str, numel: int, legacy: bool = False) -> bytes:
    inside = text("storage") + name("torch", kind) + text(key) + text("cpu") + number(numel)
    return b"(" + inside + (b"N" if legacy else b"") + b"tQ"


def tensor(
    stored: bytes, shape: tuple[int, ...], strides: tuple[int, ...] | None = None, offset: int = 0
) -> bytes:
    """A call of _rebuild_tensor_v2."""
    if strides is None:
        strides = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
    hooks = name("collections", "OrderedDict") + b")R"
    inside = stored + number(offset) + numbers(shape) + numbers(strides) + b"\x89" + hooks
    return name("torch._utils", "_rebuild_tensor_v2") + b"(" + inside + b"tR"


def mapping(entries: dict[str, bytes]) -> bytes:
    return b"\x80\x02}(" + b"".join(text(key) + value for key, value in entries.items()) + b"u."


def describe(arrays: dict[str, np.ndarray], legacy: bool = False) -> bytes:
    """The pickle of a state dict: a storage a tensor, with keys 0, 1, 2, ..."""
    return mapping(
        {
            key: tensor(storage(CLASSES[str(a.dtype)], str(i), a.size, legacy), a.shape)
            for i, (key, a) in enumerate(arrays.items())
        }
    )


def save_zip(
    path: Path, data_pkl: bytes, storages: dict[str, bytes], top: str = "archive", **more: Any
) -> Path:
    """The zip layout; `more` are keywords of ZipFile."""
    with zipfile.ZipFile(path, "w", **more) as archive:
        archive.writestr(f"{top}/data.pkl", data_pkl)
        for key, data in storages.items():
            archive.writestr(f"{top}/data/{key}", data)
        archive.writestr(f"{top}/version", b"3\n")
    return path


def save(path: Path, arrays: dict[str, np.ndarray], **more: Any) -> Path:
    """A state dict in the zip layout; uint16 stands for bf16."""
    storages = {str(i): np.ascontiguousarray(a).tobytes() for i, a in enumerate(arrays.values())}
    return save_zip(path, describe(arrays), storages, **more)


def save_legacy(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    """A state dict in the layout before torch 1.6."""
    head = [MAGIC, PROTOCOL, {"little_endian": True, "protocol_version": PROTOCOL, "type_sizes": {}}]
    out = b"".join(pickle.dumps(value, 2) for value in head) + describe(arrays, legacy=True)
    out += pickle.dumps([str(i) for i in range(len(arrays))], 2)
    for a in arrays.values():
        out += struct.pack("<q", a.size) + np.ascontiguousarray(a).tobytes()
    path.write_bytes(out)
    return path


class Evil:
    """What an attacker puts into a checkpoint: calls `function` with `args` when it is unpickled."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call
