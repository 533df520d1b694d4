"""Reading ggla, the LoRA files that convert-lora-to-ggml.py of llama.cpp wrote from April to December 2023.

Layout: "algg", i32 version 1, i32 r, i32 alpha, then records until the end: i32 n_dims, i32 name length, i32
type (0 f32, 1 f16), i32 dims (columns first), name, padding to 32, data. A record is one factor of the change
of a matrix: layers.N.attention.wq.weight.loraA, stored as [in, r], or .loraB, [out, r].

The script left the rows of B as transformers orders them for queries and keys, and llama.cpp of 2023 added
them to matrices in ggml's order all the same. Here they are put in order, which gives what merging gives.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

from alpaca_tui.errors import UserError
from alpaca_tui.files import tensors
from alpaca_tui.files.cursor import Cursor, damaged
from alpaca_tui.files.peft import Lora, Pair
from alpaca_tui.files.stored import Checkpoint, MappedFile, StoredTensor

MAGIC = b"algg"
_HEADER, _RECORD = struct.Struct("<4s3i"), struct.Struct("<3i")
_TYPES = {0: "f32", 1: "f16"}
_NAME = re.compile(r"(.+\.weight)\.lora([AB])")
_BLOCK = re.compile(r"blk\.(0|[1-9]\d{0,3})\.(attn_[qkv]|attn_output|ffn_(gate|up|down))\.weight")
ALIGNMENT, MAX_NAME, MAX_RECORDS = 32, 256, 1 << 16


def open_ggla(path: Path) -> Lora:
    """Open a ggla file. Raises UserError for what is damaged or no LoRA of a LLaMA model."""
    file = MappedFile(path)
    try:
        return _read(file)
    except BaseException:
        file.close()
        raise


def _read(file: MappedFile) -> Lora:
    path = file.path
    cursor = Cursor(path, file.data, file.size)
    _, version, r, alpha = cursor.unpack(_HEADER)
    if version != 1:
        raise UserError(f"{path} is ggla version {version}, and there is only version 1; get it again.")
    if not 0 < r < 1 << 16 or alpha <= 0:
        raise damaged(path, f"its header says r = {r} and alpha = {alpha}, which is impossible")
    factors: dict[str, dict[str, StoredTensor]] = {}
    count = 0
    while cursor.left > 0:
        if (count := count + 1) > MAX_RECORDS:
            raise damaged(path, f"it has more than {MAX_RECORDS:,} tensors")
        name, factor, tensor = _record(cursor, file, r)
        if factor in factors.setdefault(name, {}):
            raise damaged(path, f"it has two tensors {tensor.name!r}")
        factors[name][factor] = tensor
    if not factors:
        raise damaged(path, "it has no tensors")
    lora = Lora(path.parent, Checkpoint(path, {}, [file]), alpha / r, fan_in_fan_out=False)
    for name, both in factors.items():
        if len(both) != 2:
            raise damaged(path, f"of the two factors for {name} it has only one")
        lora.pairs[name] = Pair(both["A"], both["B"])
    return lora


def _record(cursor: Cursor, file: MappedFile, r: int) -> tuple[str, str, StoredTensor]:
    """The matrix that the next record is about, under its GGUF name, which factor it is, and the factor."""
    cursor.inside = "its weights"
    n_dims, name_length, kind = cursor.unpack(_RECORD)
    if n_dims != 2 or not 0 < name_length <= MAX_NAME or kind not in _TYPES:
        raise cursor.damaged(
            f"a tensor in it announces {n_dims} dimensions, a name of {name_length} bytes and the type {kind}"
        )
    cols, rows = cursor.unpack(struct.Struct("<2i"))
    name = cursor.take(name_length).decode("utf-8", "replace")
    match = _NAME.fullmatch(name)
    ours = _gguf_name(match[1]) if match else None
    if match is None or ours is None:
        raise UserError(
            f"{cursor.path} has a tensor {name!r}, which is no LoRA of a matrix of LLaMA; use another LoRA."
        )
    if cols != r or rows <= 0:
        raise cursor.damaged(f"its tensor {name!r} has the shape {(rows, cols)}, and its rank is {r}")
    cursor.inside = f"its tensor {name!r}"
    cursor.align(ALIGNMENT)
    shape, strides = ((r, rows), (1, r)) if match[2] == "A" else ((rows, r), (r, 1))
    tensor = StoredTensor(name, _TYPES[kind], shape, strides, file, cursor.pos)
    cursor.skip(tensor.nbytes)
    return ours, match[2], tensor


def _gguf_name(name: str) -> str | None:
    """Scripts from August 2023 on wrote today's names."""
    return name if _BLOCK.fullmatch(name) else tensors.gguf_name(name)
