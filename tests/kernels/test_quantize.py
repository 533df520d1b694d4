"""The quantising kernels give the bytes of their NumPy twins, whatever the weights.

tests/test_paths.py runs this again for lesser processors.
"""

from __future__ import annotations

import hashlib
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_tui.files.blocks import FORMATS, QUANTIZERS
from alpaca_tui.kernels import quantize_run, registry
from alpaca_tui.kernels.quantize_run import count_fives, count_levels, quantize_blocks
from alpaca_tui.pipeline.convert_rows import histogram
from tests.files.test_blocks import GOLDEN, golden_data

NAMES = sorted(quantize_run.QUANTIZERS)


def size_of(name: str) -> tuple[int, int]:
    """Elements and bytes of a block."""
    fmt = FORMATS[name.removesuffix("_2023")]
    return fmt.block, fmt.nbytes


def compiled(name: str, x: np.ndarray, kind: str = "f32") -> np.ndarray:
    """x f32 [rows, cols], given to the kernel in the format `kind`: u8 [rows, row_bytes]."""
    block, nbytes = size_of(name)
    out = np.zeros((len(x), x.shape[1] // block * nbytes), np.uint8)
    quantize_blocks(name, FORMATS[kind].quantize(x), kind, x.size // block, out)
    return out


def awkward(rng: np.random.Generator, n: int, block: int) -> np.ndarray:
    """Blocks of every kind that has a rule of its own, and random ones. f32 [1, n * block]."""
    x = rng.standard_normal((n, block)).astype(np.float32) * np.float32(10.0) ** rng.integers(-6, 4, (n, 1))
    kinds = rng.integers(0, 12, n)
    signs = rng.choice(np.array([-1, 1], np.float32), (n, block))
    x[kinds == 0] = 0
    x[kinds == 1] = -0.0
    x[kinds == 2] = np.where(signs > 0, 0, -0.0)[kinds == 2]
    x[kinds == 3] = (signs * np.float32(0.5))[kinds == 3]  # many largest elements, of both signs
    x[kinds == 4] = np.float32(0.25)
    x[kinds == 5] = np.round(x[kinds == 5])  # exact halves between levels
    x[kinds == 6] *= np.float32(1e-38)  # scales whose inverse overflows
    x[kinds == 7, 1:] = 0
    x[kinds == 8] = np.abs(x[kinds == 8])
    x[kinds == 9, : block // 2] = 0
    return x.reshape(1, -1)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), blocks=st.integers(1, 40))
def test_same_bytes_as_the_twin(name: str, seed: int, blocks: int) -> None:
    x = awkward(np.random.default_rng(seed), blocks, size_of(name)[0])
    assert np.array_equal(compiled(name, x), QUANTIZERS[name](x))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_same_bytes_from_narrow_weights(name: str, kind: str) -> None:
    x = awkward(np.random.default_rng(7), 200, size_of(name)[0])
    held = FORMATS[kind].dequantize(FORMATS[kind].quantize(x))
    assert np.array_equal(compiled(name, held, kind), QUANTIZERS[name](held))


@pytest.mark.parametrize("name", sorted(set(NAMES) & set(GOLDEN)))
def test_golden_bytes(name: str) -> None:
    """What llama.cpp's own quantisers made of golden data."""
    assert hashlib.sha256(compiled(name, golden_data()).tobytes()).hexdigest() == GOLDEN[name]


@pytest.mark.parametrize("name", NAMES)
def test_every_f16_number(name: str) -> None:
    """All finite f16 values, in random company."""
    every = np.arange(1 << 16, dtype=np.uint16)
    every = every[(every & 0x7C00) != 0x7C00].view(np.float16)
    x = np.random.default_rng(3).permutation(every)[: len(every) // 256 * 256].astype(np.float32)[None]
    assert np.array_equal(compiled(name, x, "f16"), QUANTIZERS[name](x))


@pytest.mark.parametrize("name", NAMES)
def test_values_that_are_no_numbers_do_no_harm(name: str) -> None:
    block, nbytes = size_of(name)
    x = np.full((1, 4 * block), np.nan, np.float32)
    x[0, block : 2 * block] = np.inf
    x[0, 2 * block : 4 * block] = 1
    x[0, 2 * block] = -np.inf
    out = compiled(name, x)
    assert np.array_equal(
        out[0, 3 * nbytes :], QUANTIZERS[name](x[:, 3 * block :])[0]
    )  # the last block is whole


@pytest.mark.parametrize("name", ["q4_0", "q4_1_v1", "q5_0", "q5_1", "q8_0", "q8_0_v1"])
def test_levels_are_counted(name: str) -> None:
    fmt = FORMATS[name]
    x = np.random.default_rng(2).standard_normal((4, 320)).astype(np.float32)
    blocks = fmt.quantize(x)
    n_blocks = blocks.size // fmt.nbytes
    fields = {"q4_0": (8, 1), "q4_1": (0, 1), "q5_0": (16, 2), "q5_1": (0, 2), "q8_0": (0, 16)}
    offset, width = fields[fmt.today.name]
    pieces = blocks.reshape(n_blocks, fmt.nbytes)
    scale = pieces[:, :4].copy().view("<f4") if fmt.name.endswith("_v1") else pieces[:, :2].copy().view("<f2")
    at = scale.itemsize
    low = pieces[:, at : 2 * at].copy().view(scale.dtype) if "_1" in fmt.today.name else np.zeros_like(scale)
    values = fmt.dequantize(blocks).reshape(n_blocks, 32)
    with np.errstate(all="ignore"):
        levels = np.rint((values - low.astype(np.float32)) / scale.astype(np.float32)) + offset
    bins = np.trunc(levels / width) + (8 if fmt.today.name == "q8_0" else 0)
    expected = np.bincount(bins.astype(int).reshape(-1), minlength=16)
    assert histogram(blocks, fmt, n_blocks).tolist() == expected.tolist()


def test_counters_add_up() -> None:
    blocks = FORMATS["q5_0"].quantize(np.random.default_rng(2).standard_normal((2, 64)).astype(np.float32))
    assert count_fives(blocks, 4, False).sum() == 128
    assert count_levels(blocks, 4, 16).sum() == 64


@pytest.mark.parametrize("name", ["quantize_q4_0", "quantize_q6_K"])
def test_products_and_sums_stay_apart(name: str) -> None:
    """A fused multiply-add would round once where ggml rounds twice, and give other bytes."""
    assert not re.search(r"\bv?fn?m(add|sub|la|ls)\d*", registry.assembly(name))
