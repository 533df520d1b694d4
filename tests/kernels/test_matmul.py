"""Matrix products of every block format against their NumPy twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_tui.files.blocks import FORMATS
from tests.kernels.harness import Matrix, pack, quantised
from tests.kernels.twins import matmul, pack_activations

QUANTISED = ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q6_K"]
FLOATS = ["f16", "bf16", "f32"]
OLD = ["q4_0_v1", "q4_0_v2", "q4_1_v1", "q4_1_v2", "q5_0_v1", "q5_1_v1", "q8_0_v1"]


def random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("name", QUANTISED + FLOATS)
@settings(max_examples=8, deadline=None)
@given(st.integers(1, 100), st.integers(1, 6), st.integers(1, 19), st.integers(1, 3), st.integers(0, 99))
def test_any_shape(name: str, rows: int, blocks: int, n_tokens: int, n_threads: int, seed: int) -> None:
    cols = blocks * FORMATS[name].block if name == "q6_K" else blocks * 32
    fmt, data = quantised(name, random(seed, rows, cols))
    x = random(seed + 1, n_tokens, cols)
    result = Matrix(fmt, data, cols, n_threads).times(pack(x, n_threads), n_threads)
    expected = matmul(name, fmt.dequantize(data), x)
    np.testing.assert_allclose(result, expected, rtol=2e-4, atol=2e-5 * np.sqrt(cols) * np.abs(x).max())


@pytest.mark.parametrize("name", OLD)
def test_layouts_of_2023(name: str) -> None:
    cols = 96
    fmt, data = quantised(name, random(3, 40, cols))
    x = random(4, 3, cols)
    result = Matrix(fmt, data, cols).times(pack(x))
    # their f32 scales are rounded to f16
    np.testing.assert_allclose(result, matmul(name, fmt.dequantize(data), x), rtol=2e-3, atol=2e-2)


@pytest.mark.parametrize("name", QUANTISED + FLOATS)
def test_a_token_does_not_depend_on_its_batch_nor_on_threads(name: str) -> None:
    cols = 512
    fmt, data = quantised(name, random(5, 200, cols))
    x = random(6, 123, cols)
    matrix = Matrix(fmt, data, cols)
    together = matrix.times(pack(x), 2)
    for first, n in ((0, 1), (7, 1), (120, 1), (8, 3), (40, 5), (30, 11), (50, 20)):
        part = matrix.times(pack(x[first : first + n].copy()), 3)
        np.testing.assert_array_equal(part, together[first : first + n])


@pytest.mark.parametrize("n_tokens", [1, 5])
def test_adds_to_the_residual(n_tokens: int) -> None:
    fmt, data = quantised("q4_0", random(7, 50, 64))
    x, residual = random(8, n_tokens, 64), random(9, n_tokens, 50)
    matrix = Matrix(fmt, data, 64)
    with_residual = matrix.times(pack(x), residual=residual)
    np.testing.assert_array_equal(with_residual, matrix.times(pack(x)) + residual)


def test_the_largest_codes_do_not_overflow() -> None:
    """All codes and all activations at their ends, where 16-bit sums are fullest."""
    for name in QUANTISED:
        fmt = FORMATS[name]
        w = np.where(np.arange(256) % 2, 1.0, -1.0).astype(np.float32)[None, :].repeat(32, 0)
        w[::2] = np.abs(w[::2])
        data = np.ascontiguousarray(fmt.quantize(w))
        for x in (np.ones((1, 256), np.float32), -np.ones((9, 256), np.float32)):
            result = Matrix(fmt, data, 256).times(pack(x))
            np.testing.assert_allclose(result, x @ fmt.dequantize(data).T, rtol=1e-4, atol=1e-2)


def test_packing_is_the_twin_to_the_bit() -> None:
    for n_tokens in (1, 2, 11):
        x = random(n_tokens, n_tokens, 160)
        x[0, 32:64] = 0
        packed = pack(x).unpacked()
        quants, scales, sums, floats = pack_activations(x)
        np.testing.assert_array_equal(packed[0], quants)
        np.testing.assert_allclose(packed[1], scales, rtol=1e-6)
        np.testing.assert_array_equal(packed[2], sums)
        np.testing.assert_array_equal(packed[3], floats)
