"""Reading the containers of 2023: ggml (unversioned), ggmf, and ggjt versions 1 to 3.

Layout: magic u32, (except in ggml) version u32, seven i32 (n_vocab, n_embd, n_mult, n_head, n_layer, n_rot,
ftype), the vocabulary (i32 length, text, and except in ggml an f32 score), then tensor records until the end:
i32 n_dims, i32 name length, i32 type, i32 dims (columns first), name, in ggjt padding to 32, data. From
llama.cpp's llama.cpp and convert.py of March to August 2023.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alpaca_tui.errors import UserError
from alpaca_tui.files.blocks import BlockFormat, by_ggml_type, type_name
from alpaca_tui.files.cursor import Cursor, damaged
from alpaca_tui.files.hparams import N_CTX_2023, NORM_EPS_2023, HParams, check_number
from alpaca_tui.files.tensors import Contents, Head2023, Part, Tensor, gguf_name, join_axis
from alpaca_tui.files.vocab import Vocab, from_2023

MAGICS = {b"lmgg": "ggml", b"fmgg": "ggmf", b"tjgg": "ggjt"}
_VERSIONS = {"ggmf": (1,), "ggjt": (1, 2, 3)}

_U32, _I32, _F32 = struct.Struct("<I"), struct.Struct("<i"), struct.Struct("<f")
_HPARAMS, _RECORD = struct.Struct("<7i"), struct.Struct("<3i")
ALIGNMENT = 32
_GPTQ_FTYPE = 4  # convert-gptq-to-ggml.py wrote ggmf with ggjt's padding
_MAX_TEXT, _MAX_NAME = 1 << 16, 256

_EMBEDDING = b"tok_embeddings.weight"


@dataclass
class _Shard:
    """One file of a model."""

    path: Path
    container: str
    version: int
    numbers: tuple[int, ...]
    texts: list[bytes] = field(default_factory=list)
    scores: list[float] | None = None
    records: dict[str, tuple[BlockFormat, Part, int]] = field(default_factory=dict)


@dataclass
class Legacy:
    """A model of 2023: its contents under today's names, its shape, and its vocabulary."""

    contents: Contents
    hparams: HParams
    vocab: Vocab


def read_ggml(path: Path, open_part: Callable[[Path], tuple[Any, int]], whole: bool = True) -> Legacy:
    """Parse a model of 2023, with its further parts path.1, path.2, ... where it has some.

    `open_part` gives the contents and the size of a file and is called once a part, in order. Unless `whole`,
    tensors may be missing. Raises UserError for what is damaged, missing or not supported.
    """
    first_part = path.with_suffix("")
    if path.suffix[1:].isdigit() and first_part.is_file():
        raise UserError(f"{path} is a further part of a model; give its first part, {first_part}.")
    shards = [_read_shard(path, 0, *open_part(path))]
    for i in range(1, _n_parts(shards[0])):
        part = path.with_name(f"{path.name}.{i}")
        if not part.is_file():
            raise UserError(
                f"{path} is the first of {_n_parts(shards[0])} parts, and {part.name} is missing beside it; "
                "copy all parts into one folder."
            )
        shards.append(_read_shard(part, i, *open_part(part)))
        if (shards[i].container, shards[i].numbers) != (shards[0].container, shards[0].numbers):
            raise UserError(
                f"{part} is no part of {path}: their headers differ; copy all parts from the same place."
            )
    first = shards[0]
    tensors = {name: _join(shards, name) for name in first.records}
    contents = Contents(first.container, first.version, {"ftype": first.numbers[6]}, tensors)
    contents.head = Head2023(first.numbers, first.texts, first.scores)
    return Legacy(contents, _hparams(path, first, tensors, whole), from_2023(first.texts, first.scores))


def _read_shard(path: Path, number: int, data: Any, size: int) -> _Shard:
    cursor = Cursor(path, data, size)
    container = MAGICS.get(cursor.take(4))
    if container is None:
        raise UserError(
            f"{path} is no ggml, ggmf or ggjt file; copy all parts of the model from the same place."
        )
    version = 0
    if container in _VERSIONS:
        (version,) = cursor.unpack(_U32)
        if version not in _VERSIONS[container]:
            raise UserError(
                f"{path} is {container} version {version}, which this program does not read; convert the "
                "model again."
            )
    shard = _Shard(path, container, version, cursor.unpack(_HPARAMS))
    for name, value in zip(("n_vocab", "n_embd", "", "n_head", "n_layer"), shard.numbers, strict=False):
        if name:
            check_number(path, name, value)
    _read_vocab(cursor, shard)
    padded = container == "ggjt" or (container == "ggmf" and shard.numbers[6] == _GPTQ_FTYPE)
    while cursor.left > 0:
        _read_record(cursor, shard, number, ALIGNMENT if padded else 1)
    if not shard.records:
        raise UserError(f"{path} holds a vocabulary only, no weights; give the model file.")
    return shard


def _read_vocab(cursor: Cursor, shard: _Shard) -> None:
    cursor.inside = "its vocabulary"
    n_vocab = shard.numbers[0]
    shard.scores = None if shard.container == "ggml" else []
    for i in range(n_vocab):
        if i == n_vocab - 1 and _weights_begin(cursor):
            # GPT4All's files announce the <pad> that its embedding has, and leave it out of the vocabulary.
            shard.texts.append(b"")
            if shard.scores is not None:
                shard.scores.append(0.0)
            return
        (length,) = cursor.unpack(_I32)
        if not 0 <= length <= _MAX_TEXT:
            raise cursor.damaged(f"token {i} of its vocabulary announces {length:,} bytes")
        shard.texts.append(cursor.take(length))
        if shard.scores is not None:
            (score,) = cursor.unpack(_F32)
            if not math.isfinite(score):
                raise cursor.damaged(f"the score of token {i} of its vocabulary is {score}")
            shard.scores.append(score)


def _weights_begin(cursor: Cursor) -> bool:
    """Whether the record of the embedding (12 bytes, two dims, name) is next, where a token should be."""
    start = cursor.pos + _RECORD.size + 8
    return bytes(cursor.data[start : start + len(_EMBEDDING)]) == _EMBEDDING


def _read_record(cursor: Cursor, shard: _Shard, number: int, alignment: int) -> None:
    cursor.inside = "its weights"
    n_dims, name_length, kind = cursor.unpack(_RECORD)
    if n_dims not in (1, 2) or not 0 < name_length <= _MAX_NAME:
        raise cursor.damaged(
            f"a tensor in it announces {n_dims} dimensions and a name of {name_length} bytes"
        )
    dims = cursor.unpack(struct.Struct(f"<{n_dims}i"))
    name = cursor.take(name_length).decode("utf-8", "replace")
    if not all(dim > 0 for dim in dims):
        raise cursor.damaged(f"its tensor {name!r} has the dimensions {dims}")
    era = 1 if shard.container != "ggjt" else shard.version
    fmt = by_ggml_type(kind, era)
    if fmt is None:
        raise UserError(
            f"{shard.path} has its tensor {name!r} in the block format {type_name(kind)}, which this program "
            "does not read; use a file in f16, q8_0, q5_1, q5_0, q4_1 or q4_0."
        )
    cols, rows = dims[0], dims[1] if n_dims == 2 else 1
    if cols % fmt.block:
        raise cursor.damaged(
            f"the rows of its tensor {name!r} ({cols}) are no whole number of {fmt.name} blocks"
        )
    ours = gguf_name(name)
    if ours is None:
        raise UserError(
            f"{shard.path} has a tensor {name!r} that LLaMA does not have: it is a model of another kind, "
            "which this program does not run; use a LLaMA model."
        )
    if ours in shard.records:
        raise cursor.damaged(f"it has two tensors {name!r}")
    cursor.inside = f"its tensor {name!r}"
    cursor.align(alignment)
    shard.records[ours] = (fmt, Part(number, cursor.pos, rows, cols), n_dims)
    cursor.skip(rows * fmt.row_bytes(cols))


# --- several parts -----------------------------------------------------------------------------------------


def _n_parts(shard: _Shard) -> int:
    """Into how many files the model was split: the embedding is split by columns. ggjt never is."""
    n_embd = shard.numbers[1]
    if shard.container == "ggjt" or "token_embd.weight" not in shard.records:
        return 1
    cols = shard.records["token_embd.weight"][1].cols
    if cols > n_embd or n_embd % cols or n_embd // cols > 64:
        raise damaged(
            shard.path, f"its embedding has {cols} columns, which does not go with n_embd = {n_embd}"
        )
    return n_embd // cols


def _join(shards: Sequence[_Shard], name: str) -> Tensor:
    fmt, part, n_dims = shards[0].records[name]
    if n_dims == 1:  # the same in all parts
        return Tensor(name, (part.cols,), fmt, (part,))
    axis = join_axis(name)
    parts = []
    for shard in shards:
        if name not in shard.records or shard.records[name][2] != 2:
            raise damaged(shard.path, f"its tensor {name} is missing")
        other_format, other, _ = shard.records[name]
        fits = other.rows == part.rows if axis else other.cols == part.cols
        if other_format is not fmt or not fits:
            raise damaged(shard.path, f"its tensor {name} does not go with that of {shards[0].path.name}")
        parts.append(other)
    rows = part.rows if axis else sum(p.rows for p in parts)
    cols = sum(p.cols for p in parts) if axis else part.cols
    return Tensor(name, (rows, cols), fmt, tuple(parts), axis)


def _hparams(path: Path, shard: _Shard, tensors: dict[str, Tensor], whole: bool) -> HParams:
    """What the header says, and n_ff and n_head_kv, which it does not, from the first layer's shapes."""
    n_vocab, n_embd, _, n_head, n_layer, _, _ = shard.numbers
    gate, key = tensors.get("blk.0.ffn_gate.weight"), tensors.get("blk.0.attn_k.weight")
    if whole and (gate is None or key is None):
        missing = "blk.0.ffn_gate.weight" if gate is None else "blk.0.attn_k.weight"
        raise damaged(path, f"its tensor {missing} is missing")
    head_dim = n_embd // n_head
    if head_dim == 0:
        raise damaged(path, f"its n_embd = {n_embd} does not go with n_head = {n_head}")
    return HParams(
        arch="llama",
        n_vocab=n_vocab,
        n_embd=n_embd,
        n_head=n_head,
        n_head_kv=key.rows // head_dim if key else n_head,
        n_layer=n_layer,
        n_ff=gate.rows if gate else 1,
        n_rot=head_dim,
        n_ctx_train=N_CTX_2023,
        norm_eps=NORM_EPS_2023,
    )
