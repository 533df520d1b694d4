"""Blocks of one era laid out as those of another: the levels stay, and so do the values."""

from __future__ import annotations

import numpy as np
import pytest

from alpaca_tui.files.block_repack import can_repack, repack
from alpaca_tui.files.blocks import FORMATS

ERAS = {
    "q4_0": ["q4_0", "q4_0_v1", "q4_0_v2"], "q4_1": ["q4_1", "q4_1_v1", "q4_1_v2"],
    "q5_0": ["q5_0", "q5_0_v1"], "q5_1": ["q5_1", "q5_1_v1"], "q8_0": ["q8_0", "q8_0_v1"],
}  # fmt: skip
PAIRS = [(a, b) for names in ERAS.values() for a in names for b in names if a != b]


def exact_scales(rows: int, cols: int) -> np.ndarray:
    """Values whose scales and minima are powers of two, which f16 has exactly."""
    rng = np.random.default_rng(1)
    x = rng.integers(-7, 8, (rows, cols)).astype(np.float32)
    x.reshape(-1, 32)[:, :2] = (-8, 7)
    return x * np.float32(0.25)


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_values_stay(old: str, new: str) -> None:
    a, b = FORMATS[old], FORMATS[new]
    blocks = a.quantize(exact_scales(3, 96))
    laid = repack(blocks, a, b)
    assert laid.shape == (3, b.row_bytes(96))
    before, after = a.dequantize(blocks), b.dequantize(laid)
    if a.nbytes <= b.nbytes:
        assert np.array_equal(before, after)
    np.testing.assert_allclose(after, before, rtol=1e-3)  # a scale in f32 may have been rounded to f16
    assert np.array_equal(repack(laid, b, b), laid)


@pytest.mark.parametrize("names", ERAS.values())
def test_there_and_back(names: list[str]) -> None:
    first, second = FORMATS[names[0]], FORMATS[names[1]]  # today's scales are f16: nothing is rounded
    blocks = first.quantize(np.random.default_rng(2).standard_normal((2, 64)).astype(np.float32))
    assert np.array_equal(repack(repack(blocks, first, second), second, first), blocks)


def test_what_would_change_levels_is_refused() -> None:
    for a, b in (("q4_0", "q4_1"), ("q8_0", "q4_0"), ("f16", "f32"), ("q6_K", "q8_0")):
        assert not can_repack(FORMATS[a], FORMATS[b])
        with pytest.raises(ValueError, match="different levels"):
            repack(np.zeros((1, FORMATS[a].nbytes), np.uint8), FORMATS[a], FORMATS[b])
