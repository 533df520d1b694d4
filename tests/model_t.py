"""Model T: a LLaMA of 32 layers whose weights come out of a formula, so that whole runs have known results.

ggjt v1 in f16: n_vocab 32000, n_embd 128, n_head 4, n_layer 32, n_ff 384. With LLaMA's own vocabulary the
file has a known sha256; with the placeholder vocabulary the weights, and so the logits, are the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from alpaca_tui.files.blocks import FORMATS
from alpaca_tui.files.vocab import from_tokenizer_model, text_of
from tests.ggml_writer import record, write_ggml
from tests.small_model import placeholder_scores, placeholder_texts

N_VOCAB, N_EMBD, N_MULT, N_HEAD, N_LAYER, N_FF = 32000, 128, 64, 4, 32, 384
# Of the f16 file, and of what the quantize of llama.cpp 437e778 (2023-04-03) makes of it.
SHA256 = {
    "f16": "25b0fe7749b03b23cbd2cbc715ce5449590af5a7aac27fdf504ebf36e8e24e26",
    "q4_0_v1": "d5bbfa77bb2dff2d3fd0dee68fe4d9677832b89394a04d2d97d5b586e2aad035",
    "q4_1_v1": "86be37a5012df0b9f1e62f11aad56a7fe474273c50e2b20cf9a1b0ac7102856e",
}


def weights(number: int, rows: int, cols: int, scale: float) -> np.ndarray:
    """Tensor `number` of the random ones, f16 [rows, cols]: splitmix64 of the element's index."""
    z = np.arange(1, rows * cols + 1, dtype=np.uint64) + np.uint64(number << 40)
    z *= np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    unit = ((z >> np.uint64(40)).astype(np.int64) - 2**23) / 2**23
    return (unit.astype(np.float32) * np.float32(scale)).astype(np.float16).reshape(rows, cols)


def tensors() -> Iterator[tuple[str, np.ndarray]]:
    """Name of 2023 and values of every tensor, in the file's order."""
    narrow, wide = math.sqrt(N_EMBD), math.sqrt(N_FF)
    norm = np.ones(N_EMBD, np.float32)
    yield "tok_embeddings.weight", weights(1, N_VOCAB, N_EMBD, 1.0)
    yield "norm.weight", norm
    yield "output.weight", weights(2, N_VOCAB, N_EMBD, 0.5)
    for i in range(N_LAYER):
        first, prefix = 3 + 7 * i, f"layers.{i}."
        yield prefix + "attention.wq.weight", weights(first, N_EMBD, N_EMBD, 3 / narrow)
        yield prefix + "attention.wk.weight", weights(first + 1, N_EMBD, N_EMBD, 3 / narrow)
        yield prefix + "attention.wv.weight", weights(first + 2, N_EMBD, N_EMBD, 1.5 / narrow)
        yield prefix + "attention.wo.weight", weights(first + 3, N_EMBD, N_EMBD, 1.5 / narrow / 8)
        yield prefix + "attention_norm.weight", norm
        yield prefix + "feed_forward.w1.weight", weights(first + 4, N_FF, N_EMBD, 1.5 / narrow)
        yield prefix + "feed_forward.w2.weight", weights(first + 5, N_EMBD, N_FF, 1.5 / wide / 8)
        yield prefix + "feed_forward.w3.weight", weights(first + 6, N_FF, N_EMBD, 1.5 / narrow)
        yield prefix + "ffn_norm.weight", norm


def write_model_t(path: Path, tokenizer: Path | None = None, fmt: str = "f16") -> Path:
    """Write model T in ggjt v1, its matrices in `fmt` (f16, or q4_0_v1, q4_1_v1: what `quantize` made of it).

    `tokenizer` is LLaMA's tokenizer.model; without it the vocabulary is a placeholder.
    """
    if tokenizer is None:
        texts, scores = placeholder_texts(N_VOCAB), placeholder_scores(N_VOCAB)
    else:
        vocab = from_tokenizer_model(tokenizer)
        texts = [text_of(piece, kind) for piece, kind in zip(vocab.pieces, vocab.types, strict=True)]
        scores = vocab.scores or []
    records = (
        record(name, data.astype(np.float32), "f32" if data.ndim == 1 else fmt) for name, data in tensors()
    )
    hparams = (N_VOCAB, N_EMBD, N_MULT, N_HEAD, N_LAYER, N_EMBD // N_HEAD, FORMATS[fmt].ggml_type)
    write_ggml(path, "ggjt", 1, hparams, texts, scores, records)
    return path
