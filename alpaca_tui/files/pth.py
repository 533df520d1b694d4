"""Torch checkpoints (`consolidated.00.pth`, `pytorch_model.bin`, `adapter_model.bin`) without torch.

Two layouts: since torch 1.6 a zip archive whose members are stored (a pickle that describes the tensors,
and one member a storage); before, pickles one after the other and then the storages (torch/serialization.py).
Tensors are views of the mapped file, whatever their size.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from alpaca_tui.errors import UserError
from alpaca_tui.files.cursor import Cursor, damaged
from alpaca_tui.files.stored import DTYPES, Checkpoint, MappedFile, StoredTensor
from alpaca_tui.files.unpickle import MAX_PICKLE, STORAGES, Rebuilt, Storage, Unpickler
from alpaca_tui.files.zip_members import Member, read_members

_LEGACY_MAGIC, _LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_I64 = struct.Struct("<q")


def open_pth(path: Path | str) -> Checkpoint:
    """The tensors of a file that torch.save wrote, in the order of its state dict.

    Raises UserError for what is no such file, is damaged, or asks for anything but tensors.
    """
    path = Path(path)
    file = MappedFile(path)
    try:
        head = bytes(file.data[:4])
        if head == b"PK\3\4":
            return Checkpoint(path, _read_zip(file), [file])
        if head[:1] == b"\x80":
            return Checkpoint(path, _read_legacy(file), [file])
    except BaseException:
        file.close()
        raise
    file.close()
    raise UserError(f"{path} is no PyTorch checkpoint; give a file that torch.save wrote (.pth, .bin).")


# --- the zip layout ----------------------------------------------------------------------------------------


def _read_zip(file: MappedFile) -> dict[str, StoredTensor]:
    members = read_members(file)
    pickles = [member for name, member in members.items() if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise UserError(
            f"{file.path} is a zip archive but no PyTorch checkpoint (it has {len(pickles)} data.pkl in it); "
            "give a file that torch.save wrote."
        )
    (pickle,) = pickles
    folder = pickle.name.removesuffix("data.pkl")
    if pickle.size > MAX_PICKLE:
        raise damaged(file.path, f"its list of tensors has {pickle.size:,} bytes")
    cursor = Cursor(file.path, file.data, pickle.offset + pickle.size, pickle.offset)
    cursor.inside = "its list of tensors"
    storages = _Storages(file.path, 5)
    top = Unpickler(cursor, storages.persistent).load()
    for storage in storages.by_key.values():
        member = members.get(f"{folder}data/{storage.key}")
        if member is None:
            raise damaged(file.path, f"its storage {storage.key!r} is missing")
        storage.offset, storage.nbytes = member.offset, member.size
    return _tensors(file, top, _big_endian(file, members.get(folder + "byteorder")))


def _big_endian(file: MappedFile, member: Member | None) -> bool:
    if member is None:
        return False
    return bytes(file.data[member.offset : member.offset + min(member.size, 8)]) == b"big"


# --- the layout before torch 1.6 ---------------------------------------------------------------------------


def _read_legacy(file: MappedFile) -> dict[str, StoredTensor]:
    cursor = Cursor(file.path, file.data, file.size)
    cursor.inside = "its list of tensors"
    storages = _Storages(file.path, 6)
    if _one(cursor) != _LEGACY_MAGIC or _one(cursor) != _LEGACY_PROTOCOL:
        raise UserError(
            f"{file.path} is a Python pickle but no PyTorch checkpoint; give a file that torch.save wrote."
        )
    system = _one(cursor)
    top = Unpickler(cursor, storages.persistent).load()
    keys = _one(cursor)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise damaged(file.path, "its list of storages is broken")
    cursor.inside = "its weights"
    for key in keys:
        storage = storages.by_key.get(key)
        if storage is None:
            raise damaged(file.path, f"nothing uses its storage {key!r}")
        (numel,) = cursor.unpack(_I64)
        storage.offset = cursor.pos
        storage.nbytes = numel * np.dtype(DTYPES[storage.dtype]).itemsize
        if numel < 0:
            raise damaged(file.path, f"its storage {key!r} has {numel} elements")
        cursor.skip(storage.nbytes)
    little = system.get("little_endian", True) if isinstance(system, dict) else True
    return _tensors(file, top, little is False)


def _one(cursor: Cursor) -> Any:
    def none(key: Any) -> Any:
        raise damaged(cursor.path, "its head refers to tensors")

    return Unpickler(cursor, none).load()


# --- both --------------------------------------------------------------------------------------------------


class _Storages:
    """The storages that a pickle refers to: ('storage', class, key, location, number of elements[, view])."""

    def __init__(self, path: Path, length: int) -> None:
        self.path, self.length = path, length
        self.by_key: dict[str, Storage] = {}

    def persistent(self, pid: Any) -> Storage:
        if not isinstance(pid, tuple) or len(pid) != self.length or pid[0] != "storage":
            raise damaged(self.path, "its list of tensors refers to what is no storage")
        kind, key, numel = getattr(pid[1], "name", None), str(pid[2])[:64], pid[4]
        if kind not in STORAGES or type(numel) is not int or numel < 0:
            raise damaged(self.path, f"its storage {key!r} is described wrongly")
        if self.length == 6 and pid[5] is not None:
            raise UserError(
                f"{self.path} was saved by an early PyTorch with views of storages, which this program does "
                "not read; load and save it with a newer one."
            )
        storage = Storage(key, STORAGES[kind], numel)
        known = self.by_key.setdefault(key, storage)
        if (known.dtype, known.numel) != (storage.dtype, storage.numel):
            raise damaged(self.path, f"its storage {key!r} is described twice, differently")
        return known


def _tensors(file: MappedFile, top: Any, big_endian: bool) -> dict[str, StoredTensor]:
    for name in ("model", "state_dict", "module"):  # what training scripts wrap around a state dict
        if isinstance(top, dict) and isinstance(top.get(name), dict):
            top = top[name]
    if not isinstance(top, dict):
        raise UserError(f"{file.path} holds no tensors by name; give a checkpoint of a model.")
    found = {
        name: _tensor(file, name, tensor, big_endian)
        for name, tensor in top.items()
        if isinstance(tensor, Rebuilt) and isinstance(name, str)
    }
    if not found:
        raise UserError(f"{file.path} holds no tensors by name; give a checkpoint of a model.")
    return found


def _tensor(file: MappedFile, name: str, tensor: Rebuilt, big_endian: bool) -> StoredTensor:
    storage = tensor.storage
    itemsize = np.dtype(DTYPES[storage.dtype]).itemsize
    if storage.numel * itemsize > storage.nbytes:
        missing = storage.numel * itemsize - storage.nbytes
        raise damaged(file.path, f"the weights of its tensor {name!r} lack {missing:,} bytes")
    stored = StoredTensor(
        name,
        storage.dtype,
        tensor.shape,
        tensor.strides,
        file,
        storage.offset + tensor.offset * itemsize,
        big_endian,
    )
    if stored.size > storage.numel or tensor.offset * itemsize + stored.span > storage.numel * itemsize:
        raise damaged(
            file.path, f"its tensor {name!r} of the shape {tensor.shape} is larger than its weights"
        )
    return stored
