"""Writes GGUF files for tests: random LLaMA models in any block format, with a small vocabulary."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alpaca_tui.files.blocks import FORMATS
from alpaca_tui.files.hparams import HParams
from alpaca_tui.files.vocab import from_2023
from tests.small_model import placeholder_scores, placeholder_texts, random_weights, small_hparams

__all__ = ["KV", "RawTensor", "quantized", "random_weights", "small_hparams", "write_gguf", "write_llama"]

_PACK = {"u8": (0, "B"), "i8": (1, "b"), "u16": (2, "H"), "i16": (3, "h"), "u32": (4, "I"), "i32": (5, "i"),
         "f32": (6, "f"), "bool": (7, "?"), "u64": (10, "Q"), "i64": (11, "q"), "f64": (12, "d")}  # fmt: skip


@dataclass(frozen=True)
class KV:
    """One metadata entry; `kind` is a name such as "u32", "str", "bool", and "[str]" for a list."""

    key: str
    kind: str
    value: Any

    def encode(self) -> bytes:
        key = string(self.key)
        if not self.kind.startswith("["):
            return key + struct.pack("<i", type_number(self.kind)) + scalar(self.kind, self.value)
        kind = self.kind[1:-1]
        head = key + struct.pack("<iiQ", 9, type_number(kind), len(self.value))
        if kind in _PACK:
            return head + struct.pack(f"<{len(self.value)}{_PACK[kind][1]}", *self.value)
        return head + b"".join(string(item) for item in self.value)


def type_number(kind: str) -> int:
    return 8 if kind == "str" else _PACK[kind][0]


def scalar(kind: str, value: Any) -> bytes:
    return string(value) if kind == "str" else struct.pack("<" + _PACK[kind][1], value)


def string(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


@dataclass(frozen=True)
class RawTensor:
    """A tensor as it goes into the file; `shape` in NumPy's order."""

    name: str
    shape: tuple[int, ...]
    ggml_type: int
    data: np.ndarray


def quantized(name: str, values: np.ndarray, fmt: str) -> RawTensor:
    """f32 values as a tensor in the block format `fmt`."""
    rows = values.reshape(1, -1) if values.ndim == 1 else values
    return RawTensor(name, values.shape, FORMATS[fmt].ggml_type, FORMATS[fmt].quantize(rows))


def write_gguf(
    path: Path, metadata: Iterable[KV], tensors: Iterable[RawTensor], version: int = 3, alignment: int = 32
) -> Path:
    """Write a GGUF file as llama.cpp does: every tensor padded to `alignment`, in the order given."""
    metadata, tensors = list(metadata), list(tensors)
    head = bytearray(b"GGUF" + struct.pack("<Iqq", version, len(tensors), len(metadata)))
    for entry in metadata:
        head += entry.encode()
    offset = 0
    for tensor in tensors:
        head += string(tensor.name) + struct.pack("<I", len(tensor.shape))
        head += struct.pack(f"<{len(tensor.shape)}Q", *reversed(tensor.shape))
        head += struct.pack("<iQ", tensor.ggml_type, offset)
        offset += tensor.data.nbytes + -tensor.data.nbytes % alignment
    with path.open("wb") as file:
        file.write(head)
        file.write(bytes(-len(head) % alignment))
        for tensor in tensors:
            file.write(tensor.data.tobytes())
            file.write(bytes(-tensor.data.nbytes % alignment))
    return path


def llama_metadata(h: HParams) -> list[KV]:
    """Metadata of a LLaMA model with the placeholder vocabulary."""
    vocab = from_2023(placeholder_texts(h.n_vocab), placeholder_scores(h.n_vocab))
    return [
        KV("general.architecture", "str", "llama"),
        KV("llama.context_length", "u32", h.n_ctx_train),
        KV("llama.embedding_length", "u32", h.n_embd),
        KV("llama.block_count", "u32", h.n_layer),
        KV("llama.feed_forward_length", "u32", h.n_ff),
        KV("llama.rope.dimension_count", "u32", h.n_rot),
        KV("llama.attention.head_count", "u32", h.n_head),
        KV("llama.attention.head_count_kv", "u32", h.n_head_kv),
        KV("llama.attention.layer_norm_rms_epsilon", "f32", h.norm_eps),
        KV("llama.rope.freq_base", "f32", h.rope_freq_base),
        KV("tokenizer.ggml.model", "str", "llama"),
        KV("tokenizer.ggml.tokens", "[str]", vocab.pieces),
        KV("tokenizer.ggml.scores", "[f32]", vocab.scores),
        KV("tokenizer.ggml.token_type", "[i32]", vocab.types),
        KV("tokenizer.ggml.bos_token_id", "u32", 1),
        KV("tokenizer.ggml.eos_token_id", "u32", 2),
        KV("tokenizer.ggml.unknown_token_id", "u32", 0),
    ]


def write_llama(
    path: Path,
    fmt: str = "q4_0",
    h: HParams | None = None,
    *,
    seed: int = 0,
    formats: dict[str, str] | None = None,
    tied: bool = False,
    extra: Iterable[KV] = (),
    version: int = 3,
) -> Path:
    """A random LLaMA model. Matrices are in `fmt`, or as `formats` says for single ones (by name).

    `tied` leaves `output.weight` out. `extra` metadata comes last, and replaces entries of the same key.
    """
    h = h or small_hparams()
    formats = formats or {}
    tensors = [
        quantized(name, values, formats.get(name, "f32" if values.ndim == 1 else fmt))
        for name, values in random_weights(h, seed).items()
        if not (tied and name == "output.weight")
    ]
    extra = list(extra)
    replaced = {entry.key for entry in extra}
    metadata = [entry for entry in llama_metadata(h) if entry.key not in replaced] + extra
    return write_gguf(path, metadata, tensors, version)
