"""Writes the containers of 2023 for tests: ggml, ggmf and ggjt, whole or as one part of several."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from alpaca_tui.files.blocks import FORMATS
from alpaca_tui.files.hparams import HParams
from tests.small_model import placeholder_scores, placeholder_texts, random_weights, small_hparams

MAGIC = {"ggml": 0x67676D6C, "ggmf": 0x67676D66, "ggjt": 0x67676A74}

# (name, f32 / f16 / u8 array, type number): u8 [rows, row_bytes] is quantised data with `cols` given
Record = tuple[str, np.ndarray, int, tuple[int, ...]]


def header(container: str, version: int, hparams: Sequence[int]) -> bytes:
    """`hparams`: n_vocab, n_embd, n_mult, n_head, n_layer, n_rot, ftype."""
    head = struct.pack("<I", MAGIC[container])
    if container != "ggml":
        head += struct.pack("<I", version)
    return head + struct.pack("<7i", *hparams)


def vocab_bytes(texts: Iterable[bytes], scores: Iterable[float] | None) -> bytes:
    out = bytearray()
    texts = list(texts)
    for text, score in zip(texts, scores if scores is not None else [None] * len(texts), strict=True):
        out += struct.pack("<i", len(text)) + text
        if score is not None:
            out += struct.pack("<f", score)
    return bytes(out)


def write_tensor(
    file: BinaryIO, name: str, data: np.ndarray, kind: int, shape: tuple[int, ...], pad: bool
) -> None:
    """One record; `shape` in NumPy's order."""
    raw = name.encode()
    file.write(struct.pack("<3i", len(shape), len(raw), kind))
    file.write(struct.pack(f"<{len(shape)}i", *reversed(shape)) + raw)
    if pad:
        file.write(bytes(-file.tell() % 32))
    file.write(np.ascontiguousarray(data).tobytes())


def write_ggml(
    path: Path,
    container: str,
    version: int,
    hparams: Sequence[int],
    texts: Iterable[bytes],
    scores: Iterable[float] | None,
    records: Iterable[Record],
) -> None:
    with path.open("wb") as file:
        file.write(header(container, version, hparams))
        file.write(vocab_bytes(texts, scores))
        for name, data, kind, shape in records:
            write_tensor(file, name, data, kind, shape, container == "ggjt")


_OLD_NAMES = {
    "token_embd.weight": "tok_embeddings.weight",
    "output_norm.weight": "norm.weight",
    "output.weight": "output.weight",
    "attn_q": "attention.wq",
    "attn_k": "attention.wk",
    "attn_v": "attention.wv",
    "attn_output": "attention.wo",
    "attn_norm": "attention_norm",
    "ffn_gate": "feed_forward.w1",
    "ffn_down": "feed_forward.w2",
    "ffn_up": "feed_forward.w3",
    "ffn_norm": "ffn_norm",
}


def old_name(name: str) -> str:
    """The name of 2023 for a tensor's GGUF name."""
    if name in _OLD_NAMES:
        return _OLD_NAMES[name]
    _, layer, kind, weight = name.split(".")
    return f"layers.{layer}.{_OLD_NAMES[kind]}.{weight}"


def numbers(h: HParams, ftype: int) -> tuple[int, ...]:
    """The seven numbers of a header of 2023; n_mult is any that divides n_ff."""
    return (h.n_vocab, h.n_embd, 32, h.n_head, h.n_layer, h.n_rot, ftype)


def write_small(
    path: Path,
    container: str = "ggjt",
    version: int = 1,
    fmt: str = "f16",
    h: HParams | None = None,
    seed: int = 0,
) -> Path:
    """A random model with the placeholder vocabulary; `fmt` names a block format of the container's era."""
    h = h or small_hparams(n_head_kv=4)
    records = [
        record(old_name(name), values, "f32" if values.ndim == 1 else fmt)
        for name, values in random_weights(h, seed).items()
    ]
    scores = None if container == "ggml" else placeholder_scores(h.n_vocab)
    ftype = FORMATS[fmt].ggml_type
    write_ggml(path, container, version, numbers(h, ftype), placeholder_texts(h.n_vocab), scores, records)
    return path


def record(name: str, values: np.ndarray, fmt: str) -> Record:
    rows = values.reshape(1, -1) if values.ndim == 1 else values
    return name, FORMATS[fmt].quantize(rows), FORMATS[fmt].ggml_type, values.shape
