"""What the kernels compute, in NumPy and without tricks."""

from __future__ import annotations

import numpy as np

FLOATS = ("f16", "bf16", "f32")


def pack_activations(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x: f32 [T, n] -> i8 quants [T, n], f32 scales [T, n/32], i32 -(sums of 16 and of 32) [T, n/16], x."""
    blocks = x.reshape(len(x), -1, 32)
    amax = np.abs(blocks).max(-1)
    inverse = np.where(amax > 1e-30, np.float32(127) / np.maximum(amax, np.float32(1e-30)), np.float32(0))
    quants = np.rint(blocks * inverse[..., None]).astype(np.int8)
    wide = quants.astype(np.float32)
    squares = (wide * wide).sum(-1)
    scales = (blocks * wide).sum(-1) / np.where(squares > 0, squares, 1)
    sums = quants.reshape(len(x), -1, 2, 16).astype(np.int32).sum(-1).cumsum(-1)
    return quants.reshape(x.shape), scales.astype(np.float32), -sums.reshape(len(x), -1), x


def matmul(name: str, w: np.ndarray, x: np.ndarray) -> np.ndarray:
    """x W^T with the activations rounded as the kernels round them (not at all before float weights)."""
    if name not in FLOATS:
        quants, scales, _, _ = pack_activations(x)
        x = quants * scales.repeat(32, axis=1)
    return (x.astype(np.float64) @ w.astype(np.float64).T).astype(np.float32)


def rms_norm(x: np.ndarray, weight: np.ndarray, eps: float) -> np.ndarray:
    mean = (x.astype(np.float64) ** 2).mean(-1, keepdims=True)
    return (x / np.sqrt(mean + eps) * weight).astype(np.float32)


def silu(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    return x / (1 + np.exp(-x))


def rope(x: np.ndarray, positions: np.ndarray, base: float, n_rot: int) -> np.ndarray:
    """x: [T, heads, head_dim]; pairs (2p, 2p+1) turn by position * base^(-2p / n_rot)."""
    angle = positions[:, None] * base ** (-np.arange(0, n_rot, 2) / n_rot)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    out = x.astype(np.float64).copy()
    even, odd = x[..., 0:n_rot:2], x[..., 1:n_rot:2]
    out[..., 0:n_rot:2], out[..., 1:n_rot:2] = even * cos - odd * sin, even * sin + odd * cos
    return out


def cache_q8_0(x: np.ndarray) -> np.ndarray:
    """x: [..., d] -> f32, rounded to i8 times an f32 scale for each 32 of the last axis: d = amax / 127."""
    blocks = x.astype(np.float32).reshape(*x.shape[:-1], -1, 32)
    d = np.abs(blocks).max(-1, keepdims=True) / np.float32(127)
    factor = np.where(d > 1e-30, np.float32(1) / np.maximum(d, np.float32(1e-30)), np.float32(0))
    return (np.rint(blocks * factor) * d).astype(np.float32).reshape(x.shape)


def attention(q: np.ndarray, k: np.ndarray, v: np.ndarray, first: int) -> np.ndarray:
    """Causal; q: [T, n_head, d] at positions first, ...; k, v: [first + T, n_head_kv, d]."""
    n_rep = q.shape[1] // k.shape[1]
    k, v = k.repeat(n_rep, 1).astype(np.float64), v.repeat(n_rep, 1).astype(np.float64)
    scores = np.einsum("thd,phd->htp", q.astype(np.float64), k) / np.sqrt(q.shape[-1])
    future = np.arange(len(k)) > first + np.arange(len(q))[:, None]
    scores = np.where(future, -np.inf, scores)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("htp,phd->thd", weights, v)


def turn(k: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """k: f32 [..., d]; pairs (2p, 2p+1) turn by angle[p], each operation rounded to f32."""
    cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    out, n_rot = k.copy(), 2 * len(angle)
    even, odd = k[..., 0:n_rot:2], k[..., 1:n_rot:2]
    out[..., 0:n_rot:2], out[..., 1:n_rot:2] = even * cos - odd * sin, even * sin + odd * cos
    return out
