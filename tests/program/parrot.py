"""A model whose replies are known: it says the same sentence over and over, until it is stopped.

Attention and feed-forward add nothing (their last matrices are zero), so that what follows a token depends on
that token alone: row `next` of the output matrix points where row `token` of the embedding does.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

from tests.gguf_writer import KV, llama_metadata, quantized, random_weights, small_hparams, write_gguf

SENTENCE = "羊驼说：你好，🦙 alpaca！"  # 🦙 has no token of its own: its four bytes come one by one
WORDS = ["羊", "驼", "说", "：", "你好", "，", " ", "alpaca", "！"]
N_EMBD = 256
BOS, EOS, NEWLINE = 1, 2, 3 + 10  # a prompt in the Alpaca format ends with a newline


def write_parrot(path: Path) -> Path:
    words = [w.replace(" ", "▁") for w in WORDS]
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    kinds = [2, 3, 3, *[6] * 256, *[1] * len(words)]
    scores = [0.0] * 259 + [-float(i) for i in range(len(words))]
    h = small_hparams(n_vocab=len(pieces), n_embd=N_EMBD, n_ff=N_EMBD, n_ctx_train=1 << 20)

    weights = random_weights(h)
    for name, values in weights.items():
        if name.endswith(("attn_output.weight", "ffn_down.weight")):
            values[:] = 0
    embedding = weights["token_embd.weight"]
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    weights["output_norm.weight"][:] = 1
    output = weights["output.weight"]
    output[:] = 0
    spoken = [NEWLINE, *tokens_of_sentence(pieces)]
    for token, following in pairwise([*spoken, spoken[1]]):
        output[following] += 2 * embedding[token]

    metadata = {entry.key: entry for entry in llama_metadata(h)}
    for entry in (
        KV("general.name", "str", "Parrot"),
        KV("tokenizer.ggml.tokens", "[str]", pieces),
        KV("tokenizer.ggml.scores", "[f32]", scores),
        KV("tokenizer.ggml.token_type", "[i32]", kinds),
    ):
        metadata[entry.key] = entry
    tensors = [
        quantized(name, values, "f32" if values.ndim == 1 else "f16") for name, values in weights.items()
    ]
    return write_gguf(path, metadata.values(), tensors)


def tokens_of_sentence(pieces: list[str]) -> list[int]:
    tokens: list[int] = []
    rest = SENTENCE
    while rest:
        word = next((w for w in WORDS if rest.startswith(w)), rest[0])
        if word in WORDS:
            tokens.append(pieces.index(word.replace(" ", "▁")))
        else:
            tokens += [3 + byte for byte in word.encode()]
        rest = rest[len(word) :]
    return tokens
