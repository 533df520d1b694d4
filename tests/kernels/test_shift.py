"""Moving a part of the cache against its NumPy twin: what moves, what turns, and what stays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_tui.engine.kv_cache import KvCache
from alpaca_tui.kernels import attention as att
from alpaca_tui.kernels import shift
from tests.kernels import twins
from tests.kernels.harness import run, step

N_CTX = 128


def random_cache(kind: str, n_kv: int, head_dim: int) -> KvCache:
    """Two layers of random keys and values."""
    cache = KvCache(2, n_kv, head_dim, N_CTX, kind)
    rng = np.random.default_rng(0)
    for layer in range(2):
        for part in cache.parts(layer):
            values = rng.standard_normal(part.shape)
            if part.dtype == np.uint16:
                part[...] = values.astype(np.float16).view(np.uint16)
            else:
                part[...] = rng.integers(-127, 128, part.shape) if part.dtype == np.int8 else np.abs(values)
    return cache


def keys(cache: KvCache, layer: int) -> np.ndarray:
    """[n_kv, n_ctx, head_dim] as f32."""
    k = cache.parts(layer).k
    plain = k.swapaxes(2, 3).reshape(k.shape[0], N_CTX, k.shape[2])
    if plain.dtype == np.uint16:
        return plain.view(np.float16).astype(np.float32)
    scales = cache.parts(layer).k_scales
    scales = scales.swapaxes(2, 3).reshape(k.shape[0], N_CTX, -1)
    return plain.astype(np.float32) * scales.repeat(32, axis=2)


def move(cache: KvCache, start: int, stop: int, end: int, angle: np.ndarray, threads: int) -> None:
    """Positions stop .. end of the second layer go to `start`."""
    places = cache.addresses(1)
    shape = cache.parts(1).k.shape
    scratch = np.zeros((threads, shift.scratch_bytes(shape[2])), np.uint8)
    cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    arguments = {
        att.N_HEAD_KV: shape[0],
        att.HEAD_DIM: shape[2],
        att.VALUE_DIM: cache.value_dim,
        att.N_CTX: N_CTX,
        att.K_CACHE: places.k,
        att.V_CACHE: places.v,
        att.K_SCALES: places.k_scales,
        att.V_SCALES: places.v_scales,
        shift.TO: start,
        shift.FROM: stop,
        shift.COUNT: end - stop,
        shift.COS: cos.ctypes.data,
        shift.SIN: sin.ctypes.data,
        shift.N_ROT: 2 * len(angle),
        shift.SCRATCH: scratch.ctypes.data,
        shift.SCRATCH_STRIDE: scratch.strides[0],
    }
    run(step(f"shift_{cache.type}", arguments), threads)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["f16", "q8_0"]),
    st.sampled_from([(1, 32, 32), (3, 64, 64), (2, 32, 16), (4, 96, 96)]),
    st.lists(st.integers(0, N_CTX), min_size=3, max_size=3, unique=True).map(sorted),
    st.integers(1, 3),
)
def test_against_the_twin(kind: str, shape: tuple[int, int, int], places: list[int], threads: int) -> None:
    (n_kv, head_dim, n_rot), (start, stop, end) = shape, places
    cache = random_cache(kind, n_kv, head_dim)
    angle = -(stop - start) * 10000.0 ** (-np.arange(0, n_rot, 2) / n_rot)
    before, other = keys(cache, 1), [part.copy() for part in cache.parts(0)]
    values = [part.copy() for part in (cache.parts(1).v, cache.parts(1).v_scales)]
    move(cache, start, stop, end, angle, threads)
    expected = before.copy()
    turned = twins.turn(before[:, stop:end], angle)
    expected[:, start : start + end - stop] = (
        twins.cache_q8_0(turned) if kind == "q8_0" else turned.astype(np.float16)
    )
    after = keys(cache, 1)
    np.testing.assert_array_equal(after, expected)
    for part, was in zip((cache.parts(1).v, cache.parts(1).v_scales), values, strict=True):
        was[:, start : start + end - stop] = was[:, stop:end].copy()
        np.testing.assert_array_equal(part, was)
    for part, was in zip(cache.parts(0), other, strict=True):
        np.testing.assert_array_equal(part, was)


@pytest.mark.parametrize("kind", ["f16", "q8_0"])
def test_there_and_back_changes_little(kind: str) -> None:
    """Turning is undone by turning back, but for the rounding of what is held."""
    cache = random_cache(kind, 2, 64)
    angle = -20 * 10000.0 ** (-np.arange(0, 64, 2) / 64)
    before = keys(cache, 1)[:, 40:100]
    move(cache, 20, 40, 100, angle, 2)
    again = twins.turn(keys(cache, 1)[:, 20:80], -angle)
    scale = np.abs(before).reshape(*before.shape[:2], -1, 32).max(-1).repeat(32, axis=2)
    assert (np.abs(again - before) <= scale * (2e-3 if kind == "f16" else 2e-2)).all()
