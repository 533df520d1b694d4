"""A LLaMA in NumPy, as the mathematics: what the kernels are held against, and a model for tests of the rest.

`logits` is the forward pass over a whole sequence. `ReferenceModel` has the interface of
`engine.model.Model` with a key/value cache. Weights are a dict under GGUF names: `token_embd.weight`
[n_vocab, n_embd], `output_norm.weight` [n_embd], `output.weight` [n_vocab, n_embd] (absent: the embedding
serves), `rope_freqs.weight` [n_rot / 2] (optional), and in each layer `blk.N.` + `attn_norm`, `ffn_norm`
[n_embd], `attn_q` [n_embd, n_embd], `attn_k`, `attn_v` [n_head_kv * head_dim, n_embd], `attn_output`
[n_embd, n_embd], `ffn_gate`, `ffn_up` [n_ff, n_embd], `ffn_down` [n_embd, n_ff]. A matrix has a row for
each output: y = x @ W.T.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from alpaca_tui.engine.stopped import Stopped

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass
class Cache:
    """Rotated keys and values of the tokens so far, [n_layer, n_ctx, n_head_kv, head_dim]."""

    k: Array
    v: Array

    @classmethod
    def empty(cls, hparams: Any, n_ctx: int, dtype: Any) -> Cache:
        shape = (hparams.n_layer, n_ctx, hparams.n_head_kv, hparams.n_embd // hparams.n_head)
        return cls(np.zeros(shape, dtype), np.zeros(shape, dtype))


def logits(
    weights: Mapping[str, Array], hparams: Any, tokens: Sequence[int], dtype: Any = np.float64
) -> Array:
    """What the model says after each of `tokens`: [len(tokens), n_vocab], computed in `dtype`.

    `hparams` needs n_embd, n_head, n_head_kv, n_layer, n_rot, norm_eps, rope_freq_base and rope_freq_scale.
    """
    weights = {name: np.asarray(w, dtype) for name, w in weights.items()}
    return forward(weights, hparams, tokens, 0, Cache.empty(hparams, len(tokens), dtype))


def forward(
    weights: Mapping[str, Array],
    hparams: Any,
    tokens: Sequence[int],
    pos: int,
    cache: Cache,
    each_layer: Callable[[], None] = lambda: None,
) -> Array:
    """Evaluates `tokens` at positions pos, pos+1, ..., and leaves their keys and values in the cache."""
    hp = hparams
    n, head_dim = len(tokens), hp.n_embd // hp.n_head
    end = pos + n
    embedding = weights["token_embd.weight"]
    angles = rope_angles(hp, np.arange(pos, end), weights.get("rope_freqs.weight"))
    future = np.arange(end)[None, :] > np.arange(pos, end)[:, None]  # [n, end]: keys a query must not see

    x = embedding[np.asarray(tokens, np.intp)]
    for layer in range(hp.n_layer):
        each_layer()
        w = {name: weights[f"blk.{layer}.{name}.weight"] for name in LAYER}

        h = rms_norm(x, w["attn_norm"], hp.norm_eps)
        q = rope((h @ w["attn_q"].T).reshape(n, hp.n_head, head_dim), angles)
        cache.k[layer, pos:end] = rope((h @ w["attn_k"].T).reshape(n, hp.n_head_kv, head_dim), angles)
        cache.v[layer, pos:end] = (h @ w["attn_v"].T).reshape(n, hp.n_head_kv, head_dim)
        # Each key and value head serves n_head / n_head_kv query heads in a row.
        k = np.repeat(cache.k[layer, :end], hp.n_head // hp.n_head_kv, axis=1)
        v = np.repeat(cache.v[layer, :end], hp.n_head // hp.n_head_kv, axis=1)
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(x.dtype.type(head_dim))
        scores[:, future] = -np.inf
        attended = np.einsum("hqk,khd->qhd", softmax(scores), v).reshape(n, hp.n_embd)
        x = x + attended @ w["attn_output"].T

        h = rms_norm(x, w["ffn_norm"], hp.norm_eps)
        x = x + (silu(h @ w["ffn_gate"].T) * (h @ w["ffn_up"].T)) @ w["ffn_down"].T

    return rms_norm(x, weights["output_norm.weight"], hp.norm_eps) @ weights.get("output.weight", embedding).T


LAYER = (
    "attn_norm",
    "attn_q",
    "attn_k",
    "attn_v",
    "attn_output",
    "ffn_norm",
    "ffn_gate",
    "ffn_up",
    "ffn_down",
)


def rms_norm(x: Array, weight: Array, eps: float) -> Array:
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + x.dtype.type(eps)) * weight


def rope_angles(hparams: Any, positions: Array, freqs: Array | None = None) -> Array:
    """position * freq_scale * base^(-2i / n_rot) / freqs[i] for each pair i: float64 [n, n_rot / 2]."""
    exponents = -np.arange(0, hparams.n_rot, 2) / hparams.n_rot
    theta = hparams.rope_freq_scale * np.power(float(hparams.rope_freq_base), exponents)
    return positions[:, None] * (theta if freqs is None else theta / freqs.astype(np.float64))


def rope(x: Array, angles: Array) -> Array:
    """Turns each pair (x[2i], x[2i+1]) of a head by its angle: [n, heads, head_dim]. The rest stays."""
    n_rot = 2 * angles.shape[1]
    cos, sin = (f(angles)[:, None, :].astype(x.dtype) for f in (np.cos, np.sin))
    even, odd = x[..., 0:n_rot:2], x[..., 1:n_rot:2]
    out = x.copy()
    out[..., 0:n_rot:2] = even * cos - odd * sin
    out[..., 1:n_rot:2] = even * sin + odd * cos
    return out


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


class ReferenceModel:
    """`engine.model.Model` in NumPy: the same interface, the same meaning, none of the speed.

    `calls` is what was evaluated: (tokens, pos, n_logits) each time.
    """

    def __init__(
        self,
        weights: Mapping[str, Array],
        hparams: Any,
        *,
        n_ctx: int,
        n_batch: int = 512,
        dtype: Any = np.float32,
    ) -> None:
        self.n_ctx, self.n_batch = n_ctx, n_batch
        self.n_vocab = weights["token_embd.weight"].shape[0]
        self.n_threads = 1
        self.calls: list[tuple[tuple[int, ...], int, int]] = []
        self._weights = {name: np.asarray(w, dtype) for name, w in weights.items()}
        self._hparams = hparams
        self._cache = Cache.empty(hparams, n_ctx, dtype)
        self._stop = threading.Event()

    @classmethod
    def from_file(
        cls, file: Any, *, n_ctx: int, n_batch: int = 512, dtype: Any = np.float32
    ) -> ReferenceModel:
        """From a `files.model_file.ModelFile`, dequantised whole."""
        weights = {name: file.array(name) for name in file.tensors}
        return cls(weights, file.hparams, n_ctx=n_ctx, n_batch=n_batch, dtype=dtype)

    def eval(self, tokens: Sequence[int], pos: int, n_logits: int) -> Array:
        assert 0 < len(tokens) <= self.n_batch
        assert pos + len(tokens) <= self.n_ctx
        assert 0 <= n_logits <= len(tokens)
        self.calls.append((tuple(tokens), pos, n_logits))
        out = forward(self._weights, self._hparams, tokens, pos, self._cache, self._stop_point)
        return out[len(tokens) - n_logits :].astype(np.float32)

    def _stop_point(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def request_stop(self) -> None:
        self._stop.set()

    def clear_stop(self) -> None:
        self._stop.clear()

    def set_threads(self, n_threads: int) -> None:
        self.n_threads = n_threads

    @property
    def memory(self) -> int:
        return sum(w.nbytes for w in self._weights.values()) + self._cache.k.nbytes + self._cache.v.nbytes

    def close(self) -> None:
        self._weights = {}


@dataclass(frozen=True)
class Shape:
    """Hyper-parameters of a small model, where no file gives any. The names are those of `files` HParams."""

    n_vocab: int = 300
    n_embd: int = 32
    n_head: int = 4
    n_head_kv: int = 2
    n_layer: int = 2
    n_ff: int = 48
    n_rot: int = 8
    norm_eps: float = 1e-5
    rope_freq_base: float = 10000.0
    rope_freq_scale: float = 1.0


def random_weights(hp: Any, seed: int = 0, *, tied: bool = False) -> dict[str, Array]:
    """Weights of a size that keeps activations near 1, float32."""
    rng = np.random.default_rng(seed)
    n_kv = hp.n_embd // hp.n_head * hp.n_head_kv

    def matrix(rows: int, cols: int, scale: float = 1.0) -> Array:
        return (rng.standard_normal((rows, cols)) * scale / np.sqrt(cols)).astype(np.float32)

    def norm() -> Array:
        return rng.uniform(0.5, 1.5, hp.n_embd).astype(np.float32)

    weights = {
        "token_embd.weight": matrix(hp.n_vocab, hp.n_embd, np.sqrt(hp.n_embd)),
        "output_norm.weight": norm(),
    }
    if not tied:
        weights["output.weight"] = matrix(hp.n_vocab, hp.n_embd, 3.0)
    for layer in range(hp.n_layer):
        weights |= {
            f"blk.{layer}.{name}.weight": value
            for name, value in {
                "attn_norm": norm(),
                "attn_q": matrix(hp.n_embd, hp.n_embd, 2.0),
                "attn_k": matrix(n_kv, hp.n_embd, 2.0),
                "attn_v": matrix(n_kv, hp.n_embd),
                "attn_output": matrix(hp.n_embd, hp.n_embd, 0.5),
                "ffn_norm": norm(),
                "ffn_gate": matrix(hp.n_ff, hp.n_embd),
                "ffn_up": matrix(hp.n_ff, hp.n_embd),
                "ffn_down": matrix(hp.n_embd, hp.n_ff, 0.5),
            }.items()
        }
    return weights
