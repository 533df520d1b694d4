"""A model of one layer whose sides are multiples of 256, so that q6_K comes into play; weights by formula.

ggjt v1, f16 or f32: n_vocab 512 (placeholder vocabulary), n_embd 256, n_head 4, n_ff 768, n_mult 256, in the
order of convert.py. WIDE has the sha256 of what other programs made of the f16 file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.ggml_writer import record, write_ggml
from tests.model_t import weights
from tests.small_model import placeholder_scores, placeholder_texts

N_VOCAB, N_EMBD, N_FF = 512, 256, 768
# (container, type) -> sha256 of what the quantiser of the container's time made of the f16 file: llama.cpp of
# llama-cpp-python 0.1.27 (437e778's rules), 0.1.50 and 0.1.78, built with -O3 -std=c11; 0.3.36 for GGUF, of
# our GGUF file with the name "wide".
WIDE = {
    ("ggjt-v1", "q4_0"): "ef1b9cce48814f73e74639a2f9de8a0cc25fa478b7bb68a4faf6691e94b6c3be",
    ("ggjt-v1", "q4_1"): "a83fd9fe2b0d2adb30affbd6ab0dbbec1591109e64860ff712dc1b2ace48b834",
    ("ggjt-v2", "q4_0"): "7c2520b1c6c116f97c164f324b05ab0e21cbcee3d921007b544732e70dd3ef55",
    ("ggjt-v2", "q4_1"): "f0eedfb264b2c4c884507e12bd7af96f080a42322dfb182b8d9f512d73f29d39",
    ("ggjt-v2", "q5_0"): "ffb0892a7085bcdd1678cb42fcdcbf09876feb9a1d96372f757188d558865d8f",
    ("ggjt-v2", "q5_1"): "41c2edbf4c7db031cf097264dce1c4046d0b34316199e306e829afebde505703",
    ("ggjt-v2", "q8_0"): "f7bb49a9a6a4d6f50b923d14934dea7f81e6d5113c3cf7e8abf83e3971455f49",
    ("ggjt-v3", "q4_0"): "187552096967c0d65bf788a522e37f9ba51122ad672540cc5e53ccc1874c06da",
    ("ggjt-v3", "q4_1"): "ee1720a3a4ff4b3f1affb4cebebcccef9b3e424c1226d13602d64595a3cb4f1d",
    ("ggjt-v3", "q5_0"): "04e008c64a3b39177a1fe94c5c0b914afc4b50369988452dda8e88960de89292",
    ("ggjt-v3", "q5_1"): "30b9a916353fab2ad8db7487fdc1bd86409e5337f292c01c9559a50bd3f63726",
    ("ggjt-v3", "q8_0"): "5a4ee94753c04b26ac577884318f4cae1e7d0ad85be881d0fd62cf0668c53c76",
    ("ggjt-v3", "q6_K"): "d09984155f27cef76d336304cea90d3b4eed2ebf6770040417a510e4d0574076",
    ("gguf", "q4_0"): "eeb8c9c143fa44ce203779b4d24d4c2e4add97fbf246815a39e6d1721e504d97",
    ("gguf", "q4_1"): "93531c5f0f8dfbaab481a3f01bd4f71d159f0b9391b9b6edc8b469661adbcd1e",
    ("gguf", "q5_0"): "d8de2c55a4944ef39cf732eaf017fa78a8273c41648a8c6ca798e660bddb7288",
    ("gguf", "q5_1"): "bf4f5c76f6bf8b6b12bc2f9707c36efd1084ab86f8e876027ee51bafb62ca538",
    ("gguf", "q8_0"): "17c7d1f1303b1b02fe5e53a89a9c36c51e710b3bb67d36ba5884602f0d8e434b",
    ("gguf", "q6_K"): "868c27b557acbce3d34eb84a5ece7f0f6e7545589569a20eda33af2b7203bf2c",
}


def tensors() -> Iterator[tuple[str, np.ndarray]]:
    """Name of 2023 and values of every tensor, f16 matrices and f32 vectors."""
    norm = np.ones(N_EMBD, np.float32)
    yield "tok_embeddings.weight", weights(1, N_VOCAB, N_EMBD, 1.0)
    yield "norm.weight", norm
    yield "output.weight", weights(2, N_VOCAB, N_EMBD, 0.5)
    for i, name in enumerate(("wq", "wk", "wv", "wo")):
        yield f"layers.0.attention.{name}.weight", weights(3 + i, N_EMBD, N_EMBD, 0.125)
    yield "layers.0.attention_norm.weight", norm
    yield "layers.0.feed_forward.w1.weight", weights(7, N_FF, N_EMBD, 0.125)
    yield "layers.0.feed_forward.w2.weight", weights(8, N_EMBD, N_FF, 0.0625)
    yield "layers.0.feed_forward.w3.weight", weights(9, N_FF, N_EMBD, 0.125)
    yield "layers.0.ffn_norm.weight", norm


def write_wide_model(path: Path, fmt: str = "f16") -> Path:
    """Write it in ggjt v1, its matrices as f16 or f32 (of the same numbers)."""
    records = (
        record(name, data.astype(np.float32), "f32" if data.ndim == 1 else fmt) for name, data in tensors()
    )
    numbers = (N_VOCAB, N_EMBD, 256, 4, 1, 64, {"f32": 0, "f16": 1}[fmt])
    texts, scores = placeholder_texts(N_VOCAB), placeholder_scores(N_VOCAB)
    write_ggml(path, "ggjt", 1, numbers, texts, scores, records)
    return path
