"""A LLaMA in NumPy, as the mathematics: what the kernels are held against, and a model for tests of the rest.

`logits` is the forward pass over a whole sequence; `ReferenceModel` has the interface of `engine.model.Model`
and a key/value cache. Weights are a dict under GGUF names, as `weights_of` takes them out of a file. A matrix
has one row for each output: y = x @ W.T.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from alpaca_tui.engine.stopped import Stopped
from alpaca_tui.files.hparams import HParams
from alpaca_tui.files.model_file import ModelFile

Array = np.ndarray[Any, np.dtype[Any]]
Weights = Mapping[str, Array]


def weights_of(file: ModelFile) -> dict[str, Array]:
    """All tensors of a file, dequantised: f32, each in its shape."""
    return {name: file.array(name) for name in file.tensors}


def logits(weights: Weights, hparams: HParams, tokens: Sequence[int], dtype: Any = np.float64) -> Array:
    """What the model says after each of `tokens`: [len(tokens), n_vocab], computed in `dtype`."""
    weights = {name: np.asarray(w, dtype) for name, w in weights.items()}
    return forward(weights, hparams, tokens, 0, Cache.empty(hparams, len(tokens), dtype))


@dataclass
class Cache:
    """Rotated keys, and values, of the tokens so far: [n_layer, n_ctx, n_head_kv, head_dim]."""

    k: Array
    v: Array

    @classmethod
    def empty(cls, hp: HParams, n_ctx: int, dtype: Any) -> Cache:
        shape = (hp.n_layer, n_ctx, hp.n_head_kv, hp.head_dim)
        return cls(np.zeros(shape, dtype), np.zeros(shape, dtype))


def forward(
    weights: Weights,
    hp: HParams,
    tokens: Sequence[int],
    pos: int,
    cache: Cache,
    each_layer: Callable[[], None] = lambda: None,
) -> Array:
    """Evaluates `tokens` at positions pos, pos+1, ..., and leaves their keys and values in the cache."""
    n, end = len(tokens), pos + len(tokens)
    embedding = weights["token_embd.weight"]
    angles = rope_angles(hp, np.arange(pos, end), weights.get("rope_freqs.weight"))
    future = np.arange(end) > np.arange(pos, end)[:, None]  # [query, key]: what a query must not see

    x = embedding[np.asarray(tokens, np.intp)]
    for layer in range(hp.n_layer):
        each_layer()

        def w(name: str, layer: int = layer) -> Array:
            return weights[f"blk.{layer}.{name}.weight"]

        h = rms_norm(x, w("attn_norm"), hp.norm_eps)
        q = rope((h @ w("attn_q").T).reshape(n, hp.n_head, hp.head_dim), angles)
        cache.k[layer, pos:end] = rope((h @ w("attn_k").T).reshape(n, hp.n_head_kv, hp.head_dim), angles)
        cache.v[layer, pos:end] = (h @ w("attn_v").T).reshape(n, hp.n_head_kv, hp.head_dim)
        # Each key and value head serves n_head / n_head_kv query heads in a row.
        k = np.repeat(cache.k[layer, :end], hp.n_head // hp.n_head_kv, axis=1)
        v = np.repeat(cache.v[layer, :end], hp.n_head // hp.n_head_kv, axis=1)
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(x.dtype.type(hp.head_dim))
        scores[:, future] = -np.inf
        attended = np.einsum("hqk,khd->qhd", softmax(scores), v).reshape(n, -1)
        x = x + attended @ w("attn_output").T

        h = rms_norm(x, w("ffn_norm"), hp.norm_eps)
        x = x + (silu(h @ w("ffn_gate").T) * (h @ w("ffn_up").T)) @ w("ffn_down").T

    output = weights.get("output.weight", embedding)  # absent: tied to the embedding
    return rms_norm(x, weights["output_norm.weight"], hp.norm_eps) @ output.T


def rms_norm(x: Array, weight: Array, eps: float) -> Array:
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + x.dtype.type(eps)) * weight


def rope_angles(hp: HParams, positions: Array, factors: Array | None = None) -> Array:
    """position * freq_scale * base^(-2i / n_rot) / factors[i] for each pair i: f64 [n, n_rot / 2]."""
    theta = hp.rope_freq_scale * float(hp.rope_freq_base) ** (-np.arange(0, hp.n_rot, 2) / hp.n_rot)
    return positions[:, None] * (theta if factors is None else theta / factors.astype(np.float64))


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
        self, weights: Weights, hp: HParams, *, n_ctx: int, n_batch: int = 512, dtype: Any = np.float32
    ) -> None:
        self.n_ctx, self.n_batch, self.n_vocab = n_ctx, n_batch, hp.n_vocab
        self.n_threads = 1
        self.calls: list[tuple[tuple[int, ...], int, int]] = []
        self._weights = {name: np.asarray(w, dtype) for name, w in weights.items()}
        self._hparams = hp
        self._cache = Cache.empty(hp, n_ctx, dtype)
        self._stop = threading.Event()

    @classmethod
    def from_file(
        cls, file: ModelFile, *, n_ctx: int, n_batch: int = 512, dtype: Any = np.float32
    ) -> ReferenceModel:
        return cls(weights_of(file), file.hparams, n_ctx=n_ctx, n_batch=n_batch, dtype=dtype)

    def eval(self, tokens: Sequence[int], pos: int, n_logits: int) -> Array:
        assert 0 < len(tokens) <= self.n_batch
        assert pos + len(tokens) <= self.n_ctx
        assert 0 <= n_logits <= len(tokens)
        self.calls.append((tuple(tokens), pos, n_logits))
        self._check_stop()
        out = forward(self._weights, self._hparams, tokens, pos, self._cache, self._check_stop)
        return out[len(tokens) - n_logits :].astype(np.float32)

    def shift(self, start: int, stop: int, end: int) -> None:
        """Keys turn back by as much as they move."""
        k, v = self._cache.k, self._cache.v
        angles = rope_angles(
            self._hparams, np.full(end - stop, start - stop), self._weights.get("rope_freqs.weight")
        )
        for layer in range(len(k)):
            k[layer, start : start + end - stop] = rope(k[layer, stop:end], angles)
        v[:, start : start + end - stop] = v[:, stop:end].copy()

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def request_stop(self) -> None:
        self._stop.set()

    def clear_stop(self) -> None:
        self._stop.clear()

    def set_threads(self, n_threads: int) -> None:
        self.n_threads = n_threads

    def set_batch(self, n_batch: int) -> None:
        self.n_batch = n_batch

    @property
    def progress(self) -> float:
        return 0.0

    @property
    def memory(self) -> int:
        return sum(w.nbytes for w in self._weights.values()) + self._cache.k.nbytes + self._cache.v.nbytes

    def close(self) -> None:
        self._weights = {}
