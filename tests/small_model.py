"""What the models of tests are made of: hyper-parameters, random weights, a stand-in for the vocabulary."""

from __future__ import annotations

from typing import Any

import numpy as np

from alpaca_tui.files.hparams import HParams
from alpaca_tui.files.tensors import expected_shapes


def small_hparams(**changes: Any) -> HParams:
    """A tiny model with grouped queries; any field can be set."""
    values: dict[str, Any] = {
        "arch": "llama", "n_vocab": 320, "n_embd": 64, "n_head": 4, "n_head_kv": 2, "n_layer": 2, "n_ff": 96,
        "n_ctx_train": 128, "norm_eps": 1e-5,
    } | changes  # fmt: skip
    values.setdefault("n_rot", values["n_embd"] // values["n_head"])
    return HParams(**values)


def random_weights(h: HParams, seed: int = 0) -> dict[str, np.ndarray]:
    """f32 values for every tensor, of a size that keeps activations near 1."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in expected_shapes(h).items():
        values = rng.standard_normal(shape, np.float32)
        if len(shape) == 1:
            values = 1 + values / 10
        elif name != "token_embd.weight":
            values /= np.sqrt(shape[1])
        weights[name] = values.astype(np.float32)
    return weights


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
