"""Norm, SiLU, RoPE and attention against their NumPy twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from alpaca_tui.engine.kv_cache import POSITIONS, KvCache
from alpaca_tui.kernels import activations as act
from alpaca_tui.kernels import attention as att
from alpaca_tui.kernels import team
from tests.kernels import twins
from tests.kernels.harness import Packed, run, step


def random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(("n_tokens", "n_out"), [(1, 1), (5, 5), (9, 2)])
def test_norm(n_tokens: int, n_out: int) -> None:
    n, eps = 192, np.array([1e-5], np.float32)
    x, weight = random(1, n_tokens, n) * 3, random(2, n)
    packed = Packed(n_out, n)
    arguments = packed.arguments() | {
        act.SOURCE: x.ctypes.data,
        act.SOURCE_STRIDE: n,
        act.SECOND: weight.ctypes.data,
        act.EPS: eps.ctypes.data,
        act.LAST_ONLY: 1,
    }
    run(step("norm_pack", arguments), 2, n_tokens=n_tokens, n_out=n_out)
    expected = twins.rms_norm(x[-n_out:], weight, float(eps[0]))
    quants, scales, _, floats = packed.unpacked()
    np.testing.assert_allclose(floats, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(quants * scales.repeat(32, 1), expected, atol=np.abs(expected).max() / 200)


@pytest.mark.parametrize("n_tokens", [1, 10])
def test_silu(n_tokens: int) -> None:
    n = 1120  # more than one piece, and not a whole number of them
    gate, up = random(3, n_tokens, n) * 4, random(4, n_tokens, n)
    gate[0, :4] = (-200, 200, -88, 0)
    packed = Packed(n_tokens, n)
    arguments = packed.arguments() | {
        act.SOURCE: gate.ctypes.data,
        act.SECOND: up.ctypes.data,
        act.SOURCE_STRIDE: n,
    }
    run(step("silu_pack", arguments), 2, n_tokens=n_tokens)
    np.testing.assert_allclose(packed.unpacked()[3], twins.silu(gate) * up, rtol=1e-5, atol=1e-6)


class Heads:
    """One layer's cache and its two kernels."""

    def __init__(self, n_head: int, n_kv: int, head_dim: int, n_rot: int, cache_type: str = "f16"):
        self.n_head, self.n_kv, self.head_dim, self.n_rot = n_head, n_kv, head_dim, n_rot
        self.n_ctx = 2 * POSITIONS
        self.cache = KvCache(2, n_kv, head_dim, self.n_ctx, cache_type)
        self.value_dim = self.cache.value_dim
        angle = np.arange(self.n_ctx)[:, None] * 10000.0 ** (-np.arange(0, n_rot, 2) / n_rot)
        self.cos, self.sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)

    def __call__(self, q: np.ndarray, k: np.ndarray, v: np.ndarray, first: int, threads: int) -> np.ndarray:
        """q: [T, n_head, d], k and v: [T, n_kv, d] -> [T, n_head, d]."""
        q, k, v = q.copy(), k.copy(), v.copy()
        out = np.full_like(q, np.nan)
        size = att.scratch_bytes(self.head_dim, self.value_dim, self.n_ctx)
        scratch = np.zeros((threads, size), np.uint8)
        common = {
            att.Q: q.ctypes.data,
            att.Q_STRIDE: self.n_head * self.head_dim,
            att.N_HEAD: self.n_head,
            att.N_HEAD_KV: self.n_kv,
            att.HEAD_DIM: self.head_dim,
            att.VALUE_DIM: self.value_dim,
            att.N_CTX: self.n_ctx,
            att.K_CACHE: self.cache.addresses(1).k,
            att.V_CACHE: self.cache.addresses(1).v,
            att.K_SCALES: self.cache.addresses(1).k_scales,
            att.V_SCALES: self.cache.addresses(1).v_scales,
        }
        rope = step(
            f"rope_store_{self.cache.type}",
            common
            | {
                att.K: k.ctypes.data,
                att.V: v.ctypes.data,
                att.KV_STRIDE: self.n_kv * self.head_dim,
                att.COS: self.cos.ctypes.data,
                att.SIN: self.sin.ctypes.data,
                att.N_ROT: self.n_rot,
            },
        )
        attend = step(
            f"attend_{self.cache.type}",
            common
            | {
                att.OUT: out.ctypes.data,
                att.OUT_STRIDE: self.n_head * self.head_dim,
                att.SCRATCH: scratch.ctypes.data,
                att.SCRATCH_STRIDE: scratch.strides[0],
            },
        )
        run(np.concatenate([rope, attend]), threads, n_tokens=len(q), position=first)
        return out


AS_HELD = {"f16": lambda x: x.astype(np.float16), "q8_0": twins.cache_q8_0}


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([(4, 4), (4, 2), (6, 1), (2, 2)]),
    st.sampled_from([(16, 16), (32, 32), (64, 64), (80, 80), (128, 128), (32, 16), (24, 24)]),
    st.lists(st.integers(1, 40), min_size=1, max_size=3),
    st.integers(1, 3),
    st.sampled_from(["f16", "q8_0"]),
)
def test_attention(
    heads: tuple[int, int], dims: tuple[int, int], batches: list[int], threads: int, cache: str
) -> None:
    (n_head, n_kv), (head_dim, n_rot) = heads, dims
    assume(cache == "f16" or head_dim % 32 == 0)
    held = AS_HELD[cache]
    total = sum(batches)
    q, k, v = (
        random(1, total, n_head, head_dim),
        random(2, total, n_kv, head_dim),
        random(3, total, n_kv, head_dim),
    )
    positions = np.arange(total)
    turned_q = twins.rope(q, positions, 10000.0, n_rot)
    turned_k = twins.rope(k, positions, 10000.0, n_rot)
    layer, first = Heads(n_head, n_kv, head_dim, n_rot, cache), 0
    for n in batches:
        part = slice(first, first + n)
        ours = layer(q[part], k[part], v[part], first, threads)
        expected = twins.attention(turned_q[part], held(turned_k[: first + n]), held(v[: first + n]), first)
        # a key on the border between two codes may fall to either side: its rotation is rounded
        np.testing.assert_allclose(ours, expected, rtol=2e-3, atol=1e-4 if cache == "f16" else 2e-2)
        first += n


def test_q8_0_is_held_as_the_twin_says() -> None:
    """Values through the cache, to the code: ordinary ones, ties, zeros, and the largest."""
    v = random(8, 64, 1, 64)
    v[0], v[1, 0, :32], v[2, 0, 0] = 0, 1e-38, 3e38
    v[3, 0, :33] = [*(np.arange(32) - 15.5), 127 / 2]
    layer = Heads(1, 1, 64, 64, "q8_0")
    zero = np.zeros_like(v)
    layer(zero, zero, v, 0, 1)
    parts = layer.cache.parts(1)
    ours = parts.v[0, :64].astype(np.float32) * parts.v_scales[0, :64].repeat(32, axis=1)
    np.testing.assert_array_equal(ours, twins.cache_q8_0(v)[:, 0])


@pytest.mark.parametrize("cache", ["f16", "q8_0"])
def test_a_query_does_not_depend_on_its_batch(cache: str) -> None:
    q, k, v = random(1, 40, 6, 64), random(2, 40, 2, 64), random(3, 40, 2, 64)
    whole = Heads(6, 2, 64, 64, cache)(q, k, v, 0, 2)
    parts, first = Heads(6, 2, 64, 64, cache), 0
    for n in (1, 2, 1, 20, 3, 1, 12):
        one = slice(first, first + n)
        np.testing.assert_array_equal(parts(q[one], k[one], v[one], first, 1), whole[one])
        first += n


def test_f16_rounding_is_numpys() -> None:
    """Values through the cache: every kind of f16, ties, subnormals, overflow."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**32, 64 * 64, dtype=np.uint32).view(np.float32)
    values = np.where(np.isnan(values), np.float32(0), values)
    ends = [
        0.0,
        -0.0,
        65504,
        65519.9,
        65520,
        1e30,
        -1e30,
        2.0**-24,
        2.0**-25,
        3 * 2.0**-25,
        6.1e-5,
        6.0975e-5,
    ]
    values[: len(ends)] = ends
    values[64:2048] = rng.standard_normal(1984) * 10.0 ** rng.integers(-9, 5, 1984)
    v = values.reshape(64, 1, 64)
    layer = Heads(1, 1, 64, 64)
    zero = np.zeros_like(v)
    layer(zero, zero, v, 0, 1)
    with np.errstate(over="ignore"):
        stored = layer.cache.parts(1).v[0, :64]
        np.testing.assert_array_equal(stored, v[:, 0].astype(np.float16).view(np.uint16))


def test_threads_of_any_number_meet_at_barriers() -> None:
    """Many short steps: none may start before all threads are through with the one before."""
    x = random(5, 40, 64)
    packed = Packed(40, 64)
    arguments = packed.arguments() | {act.SOURCE: x.ctypes.data, act.SOURCE_STRIDE: 64}
    steps = np.concatenate([step("pack", arguments)] * 300)
    for n_threads in (1, 2, 5):
        run(steps, n_threads, n_tokens=40)
        assert (steps[:, team.ARGUMENTS + team.COUNTER] == 40 + n_threads).all()  # 40 pieces, n ends
        np.testing.assert_array_equal(packed.unpacked()[3], x)
