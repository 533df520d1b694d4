"""Models of real size with random weights, for measuring speed: as GGUF, in any block format.

    python -m benchmarks.synthetic 1b q4_0 1b-q4_0.gguf

Blocks are random bytes under a constant scale, so a file of any size takes seconds; what such a model says
is noise, but it costs exactly what a trained one costs.
"""

from __future__ import annotations

import argparse
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

# n_embd, n_layer, n_head, n_head_kv, n_ff
SHAPES = {
    "tiny": (256, 4, 8, 4, 704),
    "110m": (768, 12, 12, 12, 2048),
    "1b": (2048, 22, 32, 4, 5632),
    "3b": (3200, 26, 32, 32, 8640),
    "7b": (4096, 32, 32, 32, 11008),
}
# ggml's number, elements and bytes of a block, file type, and where its f16 scales stand
FORMATS = {
    "f32": (0, 1, 4, 0, ()),
    "f16": (1, 1, 2, 1, ()),
    "q4_0": (2, 32, 18, 2, (0,)),
    "q4_1": (3, 32, 20, 3, (0, 2)),
    "q5_0": (6, 32, 22, 8, (0,)),
    "q5_1": (7, 32, 24, 9, (0, 2)),
    "q8_0": (8, 32, 34, 7, (0,)),
    "q6_K": (14, 256, 210, 18, (208,)),
}
SPREAD = {"q4_0": 4.6, "q4_1": 4.6, "q5_0": 9.2, "q5_1": 9.2, "q8_0": 74.0, "q6_K": 1350.0}
N_VOCAB = 32000
STRING, UINT32, FLOAT32, BOOL, ARRAY, INT32 = 8, 4, 6, 7, 9, 5
CHUNK_ROWS = 1024


def _string(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


def _entry(key: str, kind: int, value: bytes) -> bytes:
    return _string(key) + struct.pack("<I", kind) + value


def _array(kind: int, n: int, data: bytes) -> bytes:
    return struct.pack("<IQ", kind, n) + data


def _vocabulary() -> list[bytes]:
    """A placeholder: control tokens, bytes, then words of no meaning."""
    tokens = [b"<unk>", b"<s>", b"</s>"] + [b"<0x%02X>" % i for i in range(256)]
    return tokens + [f"\u2581w{i:05d}".encode() for i in range(N_VOCAB - len(tokens))]


def _metadata(shape: str, file_type: int) -> bytes:
    n_embd, n_layer, n_head, n_head_kv, n_ff = SHAPES[shape]
    tokens = _vocabulary()
    kinds = [2, 3, 3] + [6] * 256 + [1] * (N_VOCAB - 259)
    scores = np.concatenate([np.zeros(259), -np.arange(1, N_VOCAB - 258)]).astype("<f4")

    def u32(key: str, value: int) -> bytes:
        return _entry(key, UINT32, struct.pack("<I", value))

    entries = [
        _entry("general.architecture", STRING, _string("llama")),
        _entry("general.name", STRING, _string(f"synthetic {shape}")),
        u32("general.file_type", file_type),
        u32("llama.context_length", 8192),
        u32("llama.embedding_length", n_embd),
        u32("llama.block_count", n_layer),
        u32("llama.feed_forward_length", n_ff),
        u32("llama.attention.head_count", n_head),
        u32("llama.attention.head_count_kv", n_head_kv),
        u32("llama.rope.dimension_count", n_embd // n_head),
        u32("llama.vocab_size", N_VOCAB),
        _entry("llama.attention.layer_norm_rms_epsilon", FLOAT32, struct.pack("<f", 1e-5)),
        _entry("tokenizer.ggml.model", STRING, _string("llama")),
        _entry("tokenizer.ggml.pre", STRING, _string("default")),
        _entry("tokenizer.ggml.tokens", ARRAY, _array(STRING, N_VOCAB, b"".join(map(_string, tokens)))),
        _entry("tokenizer.ggml.scores", ARRAY, _array(FLOAT32, N_VOCAB, scores.tobytes())),
        _entry("tokenizer.ggml.token_type", ARRAY, _array(INT32, N_VOCAB, np.array(kinds, "<i4").tobytes())),
        u32("tokenizer.ggml.bos_token_id", 1),
        u32("tokenizer.ggml.eos_token_id", 2),
        u32("tokenizer.ggml.unknown_token_id", 0),
        _entry("tokenizer.ggml.add_bos_token", BOOL, b"\1"),
    ]
    return struct.pack("<Q", len(entries)) + b"".join(entries)


def tensors(shape: str) -> list[tuple[str, int, int]]:
    """Name, rows (0: a vector), columns of each tensor."""
    n_embd, n_layer, n_head, n_head_kv, n_ff = SHAPES[shape]
    kv = n_embd // n_head * n_head_kv
    result = [("token_embd", N_VOCAB, n_embd), ("output_norm", 0, n_embd), ("output", N_VOCAB, n_embd)]
    for i in range(n_layer):
        result += [
            (f"blk.{i}.attn_norm", 0, n_embd),
            (f"blk.{i}.attn_q", n_embd, n_embd),
            (f"blk.{i}.attn_k", kv, n_embd),
            (f"blk.{i}.attn_v", kv, n_embd),
            (f"blk.{i}.attn_output", n_embd, n_embd),
            (f"blk.{i}.ffn_norm", 0, n_embd),
            (f"blk.{i}.ffn_gate", n_ff, n_embd),
            (f"blk.{i}.ffn_up", n_ff, n_embd),
            (f"blk.{i}.ffn_down", n_embd, n_ff),
        ]
    return [(f"{name}.weight", rows, cols) for name, rows, cols in result]


def _rows(fmt: str, rows: int, cols: int, rng: np.random.Generator) -> bytes:
    """Random weights of standard deviation about 1/sqrt(cols)."""
    spread = cols**-0.5
    if fmt in ("f32", "f16"):
        values = rng.standard_normal((rows, cols), dtype=np.float32) * np.float32(spread)
        return values.astype("<f4" if fmt == "f32" else "<f2").tobytes()
    _, block, nbytes, _, scales = FORMATS[fmt]
    blocks = rng.integers(0, 256, (rows * cols // block, nbytes), dtype=np.uint8)
    d = np.array([spread / SPREAD[fmt]], "<f2")
    middle = {"q4_1": 7.5, "q5_1": 15.5}.get(fmt, 0.0)
    for value, at in zip((d, (-middle * d).astype("<f2")), scales, strict=False):
        blocks[:, at : at + 2] = value.view(np.uint8)
    return blocks.tobytes()


def write(shape: str, fmt: str, path: Path, seed: int = 0) -> None:
    """Writes a GGUF v3 file of that shape; every matrix in that format."""
    number, block, nbytes, file_type, _ = FORMATS[fmt]
    infos, offset = [], 0
    for name, rows, cols in tensors(shape):
        dims = struct.pack("<IQQ", 2, cols, rows) if rows else struct.pack("<IQ", 1, cols)
        kind, size = (number, rows * cols // block * nbytes) if rows else (0, cols * 4)
        infos.append(_string(name) + dims + struct.pack("<IQ", kind, offset))
        offset += -(-size // 32) * 32
    head = b"GGUF" + struct.pack("<IQ", 3, len(infos)) + _metadata(shape, file_type) + b"".join(infos)
    rng = np.random.default_rng(seed)
    with path.open("wb") as file:
        file.write(head)
        _pad(file)
        for _, rows, cols in tensors(shape):
            if rows == 0:
                file.write(np.ones(cols, "<f4").tobytes())
            for first in range(0, rows, CHUNK_ROWS):
                file.write(_rows(fmt, min(CHUNK_ROWS, rows - first), cols, rng))
            _pad(file)


def _pad(file: BinaryIO) -> None:
    file.write(b"\0" * (-file.tell() % 32))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write a model with random weights.")
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("format", choices=FORMATS)
    parser.add_argument("path", type=Path)
    arguments = parser.parse_args()
    write(arguments.shape, arguments.format, arguments.path)
