"""Safetensors files: a JSON header that says where each tensor lies, and then the tensors.

Layout (the format's own README): u64 length of the header, the header {name: {"dtype", "shape",
"data_offsets": [begin, end]}, "__metadata__": {...}}, then the data, which the offsets count from.
"""

from __future__ import annotations

import json
import math
import struct
from itertools import accumulate
from operator import mul
from pathlib import Path
from typing import Any

import numpy as np

from alpaca_tui.errors import UserError
from alpaca_tui.files.cursor import CutShortError, damaged
from alpaca_tui.files.stored import DTYPES, MAX_DIMS, Checkpoint, MappedFile, StoredTensor

_LENGTH = struct.Struct("<Q")
_MAX_HEADER = 100 << 20  # the format's own limit
_MAX_TENSORS = 1 << 16
_NAMES = {name.upper(): name for name in DTYPES}


def open_safetensors(path: Path | str) -> Checkpoint:
    """The tensors of a safetensors file, in the header's order. Raises UserError for what is none."""
    path = Path(path)
    file = MappedFile(path)
    try:
        return Checkpoint(path, _read(file), [file])
    except BaseException:
        file.close()
        raise


def _read(file: MappedFile) -> dict[str, StoredTensor]:
    path = file.path
    (length,) = _LENGTH.unpack_from(file.data) if file.size >= _LENGTH.size else (0,)
    start = _LENGTH.size + length
    if not 2 <= length <= _MAX_HEADER or bytes(file.data[8:9]) != b"{":
        raise UserError(f"{path} is no safetensors file; give the model's own .safetensors file.")
    if start > file.size:
        raise CutShortError(path, "its header", start - file.size)
    try:
        header = json.loads(file.data[_LENGTH.size : start])
    except (ValueError, RecursionError):
        raise damaged(path, "its header is no JSON") from None
    header.pop("__metadata__", None)
    if not header or len(header) > _MAX_TENSORS:
        raise damaged(path, f"its header announces {len(header):,} tensors")
    return {name: _tensor(file, name, entry, start) for name, entry in header.items()}


def _tensor(file: MappedFile, name: str, entry: Any, start: int) -> StoredTensor:
    path = file.path
    values = entry if isinstance(entry, dict) else {}
    shape, offsets = _counts(values.get("shape")), _counts(values.get("data_offsets"))
    if shape is None or len(shape) > MAX_DIMS or offsets is None or len(offsets) != 2:
        raise damaged(path, f"its tensor {name!r} is described wrongly")
    dtype = _NAMES.get(str(values.get("dtype")))
    if dtype is None:
        raise UserError(
            f"{path} has its tensor {name!r} in the type {values.get('dtype')!r}, which this program does "
            "not read; use a checkpoint in F16, BF16 or F32."
        )
    begin, end = offsets
    if math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize != end - begin:
        raise damaged(path, f"its tensor {name!r} of the shape {shape} has {end - begin:,} bytes")
    if start + end > file.size:
        raise CutShortError(path, f"its tensor {name!r}", start + end - file.size, at_least=False)
    strides = tuple(accumulate(shape[:0:-1], mul, initial=1))[::-1] if shape else ()
    return StoredTensor(name, dtype, shape, strides, file, start + begin)


def _counts(values: Any) -> tuple[int, ...] | None:
    """A list of counts or places; None for anything else."""
    good = isinstance(values, list) and all(type(n) is int and 0 <= n < 1 << 48 for n in values)
    return tuple(values) if good else None
