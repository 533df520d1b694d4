"""Tensors of a LLaMA model as they lie in a file: names, shapes, places, and what must be there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alpaca_tui.errors import UserError
from alpaca_tui.files.blocks import BlockFormat
from alpaca_tui.files.cursor import damaged
from alpaca_tui.files.hparams import HParams


@dataclass(frozen=True)
class Part:
    """Where a tensor, or one part of it, lies: index of the file, offset in bytes, shape (rows, cols)."""

    file: int
    offset: int
    rows: int
    cols: int


@dataclass(frozen=True)
class Tensor:
    """One tensor. `shape` is in NumPy's order: (rows, cols), or (n,).

    Models of 2023 may be split over files; then there are several `parts`, to be joined along `axis` (0: one
    under the other, 1: side by side).
    """

    name: str
    shape: tuple[int, ...]
    format: BlockFormat
    parts: tuple[Part, ...]
    axis: int = 0

    @property
    def rows(self) -> int:
        return self.shape[0] if len(self.shape) == 2 else 1

    @property
    def cols(self) -> int:
        return self.shape[-1]

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.rows * self.cols

    @property
    def row_bytes(self) -> int:
        return self.format.row_bytes(self.cols)

    @property
    def nbytes(self) -> int:
        return self.rows * self.row_bytes


@dataclass(frozen=True)
class Head2023:
    """The head of a ggml, ggmf or ggjt file as it stands there, for those who write it again.

    `numbers`: n_vocab, n_embd, n_mult, n_head, n_layer, n_rot, ftype; `scores` is None in unversioned ggml.
    """

    numbers: tuple[int, ...]
    texts: list[bytes]
    scores: list[float] | None


@dataclass
class Contents:
    """What the head of a model file says, whatever the container."""

    container: str
    version: int
    metadata: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)  # of GGUF's keys: bytes start .. stop
    head: Head2023 | None = None


# --- names -------------------------------------------------------------------------------------------------

_TOP_2023 = {
    "tok_embeddings.weight": "token_embd.weight",
    "norm.weight": "output_norm.weight",
    "output.weight": "output.weight",
}
_LAYER_2023 = {
    "attention.wq.weight": "attn_q.weight",
    "attention.wk.weight": "attn_k.weight",
    "attention.wv.weight": "attn_v.weight",
    "attention.wo.weight": "attn_output.weight",
    "attention_norm.weight": "attn_norm.weight",
    "feed_forward.w1.weight": "ffn_gate.weight",
    "feed_forward.w2.weight": "ffn_down.weight",
    "feed_forward.w3.weight": "ffn_up.weight",
    "ffn_norm.weight": "ffn_norm.weight",
}
_TODAY = {today: old for old, today in _TOP_2023.items()}
_LAYER_TODAY = {today: old for old, today in _LAYER_2023.items()}
_BLOCK = re.compile(r"blk\.(0|[1-9]\d{0,3})\.(.+)")
_LAYER = re.compile(r"layers\.(0|[1-9]\d{0,3})\.(.+)")

# Tensors whose shards lie side by side; all other matrices are split by rows (Meta's model parallelism).
_SIDE_BY_SIDE = ("token_embd.weight", "attn_output.weight", "ffn_down.weight")


def gguf_name(name: str) -> str | None:
    """The GGUF name of a tensor of a 2023 file; None for one that LLaMA does not have."""
    if name in _TOP_2023:
        return _TOP_2023[name]
    match = _LAYER.fullmatch(name)
    if match and match[2] in _LAYER_2023:
        return f"blk.{match[1]}.{_LAYER_2023[match[2]]}"
    return None


def name_2023(name: str) -> str | None:
    """The name in a 2023 file of the tensor with this GGUF name; None for one that LLaMA does not have."""
    if name in _TODAY:
        return _TODAY[name]
    match = _BLOCK.fullmatch(name)
    return f"layers.{match[1]}.{_LAYER_TODAY[match[2]]}" if match and match[2] in _LAYER_TODAY else None


def join_axis(name: str) -> int:
    """Along which axis the parts of the tensor with this GGUF name are joined."""
    return 1 if name.endswith(_SIDE_BY_SIDE) else 0


# --- what must be there ------------------------------------------------------------------------------------


def expected_shapes(h: HParams) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of the model. `output.weight` may be absent in GGUF (tied embedding)."""
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (h.n_vocab, h.n_embd),
        "output_norm.weight": (h.n_embd,),
        "output.weight": (h.n_vocab, h.n_embd),
    }
    layer = {
        "attn_norm.weight": (h.n_embd,),
        "attn_q.weight": (h.n_embd, h.n_embd),
        "attn_k.weight": (h.n_embd_kv, h.n_embd),
        "attn_v.weight": (h.n_embd_kv, h.n_embd),
        "attn_output.weight": (h.n_embd, h.n_embd),
        "ffn_norm.weight": (h.n_embd,),
        "ffn_gate.weight": (h.n_ff, h.n_embd),
        "ffn_up.weight": (h.n_ff, h.n_embd),
        "ffn_down.weight": (h.n_embd, h.n_ff),
    }
    for i in range(h.n_layer):
        shapes |= {f"blk.{i}.{name}": shape for name, shape in layer.items()}
    return shapes


# Extra tensors: divisors of the RoPE frequencies (LLaMA 3.1), and tables that old converters left behind.
ROPE_FREQS = "rope_freqs.weight"
_IGNORED = re.compile(r"blk\.\d+\.(attn_rot_embd|attn_rot_freqs)(\.weight)?|rope\.freqs")


def check_tensors(path: Path, tensors: Mapping[str, Tensor], h: HParams, tied: bool) -> dict[str, Tensor]:
    """The tensors that the model uses, in its order. UserError for what is missing, unknown or misshapen.

    `tied`: `output.weight` may be absent, and the embedding serves in its place.
    """
    expected = expected_shapes(h)
    used: dict[str, Tensor] = {}
    for name, shape in expected.items():
        tensor = tensors.get(name)
        if tensor is None:
            if tied and name == "output.weight":
                continue
            raise damaged(path, f"its tensor {name} is missing")
        if tensor.shape != shape:
            raise damaged(path, f"its tensor {name} has the shape {tensor.shape}, and {shape} is expected")
        used[name] = tensor
    for name, tensor in tensors.items():
        if name in expected or _IGNORED.fullmatch(name):
            continue
        if name != ROPE_FREQS:
            raise UserError(
                f"{path} has a tensor {name!r} that this program's LLaMA does not know; use another model."
            )
        if tensor.shape != (h.head_dim // 2,):
            raise damaged(path, f"its tensor {name} has the shape {tensor.shape}")
        used[name] = tensor
    return used
