"""Writes the containers of 2023 for tests: ggml, ggmf and ggjt, whole or as one part of several."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

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


def placeholder_texts(n_vocab: int) -> list[bytes]:
    """A vocabulary that stands in for LLaMA's: unknown, BOS, EOS, the bytes, ASCII's letters, then words."""
    texts = [" \u2047 ".encode(), b"", b"", *(bytes([i]) for i in range(256))]
    letters = [c.encode() for c in " etaoinshrdlucmfwypvbgkjqxzETAOINSHRDLUCMFWYPVBGKJQXZ.,:!?#\n"]
    texts += letters[: max(0, n_vocab - len(texts))]
    texts += [b" w%d" % i for i in range(len(texts), n_vocab)]
    return texts[:n_vocab]


def placeholder_scores(n_vocab: int) -> list[float]:
    """LLaMA's pattern: one less for each token after the bytes."""
    return [0.0 if i < 259 else 258.0 - i for i in range(n_vocab)]
