"""The probes do the work that they are timed for: all bytes are read, all products are summed."""

from __future__ import annotations

import re

import numpy as np
import pytest

from alpaca_tui.kernels import probe, registry, target
from tests.kernels.harness import run, step


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("ahead", [0, 4096])
def test_every_byte_is_read_once(n_threads: int, ahead: int) -> None:
    n_chunks = 5
    source = np.arange(n_chunks * probe.CHUNK // 4, dtype=np.float32) % 7
    result = np.full((n_threads, probe.LINES, 16), np.nan, np.float32)
    arguments = {
        probe.RESULT: result.ctypes.data,
        probe.N_ITEMS: n_chunks,
        probe.SOURCE: source.ctypes.data,
        probe.AHEAD: ahead,
    }
    run(step("stream_read", arguments), n_threads)
    expected = source.reshape(-1, probe.LINES, 16).sum(axis=0)  # whole numbers: exact in any order
    np.testing.assert_array_equal(result.sum(axis=0), expected)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_every_product_is_summed(n_threads: int) -> None:
    rng = np.random.default_rng(3)
    codes = rng.integers(0, probe.LARGEST + 1, (probe.CODE_BLOCKS, probe.STEPS, 16, 4), dtype=np.uint8)
    activations = rng.integers(-127, 128, (probe.TOKENS, 4), dtype=np.int8)
    result = np.zeros((n_threads, probe.TOKENS, 16), np.int32)
    n_items, n_blocks = 5, 11
    arguments = {
        probe.RESULT: result.ctypes.data,
        probe.N_ITEMS: n_items,
        probe.CODES: codes.ctypes.data,
        probe.ACTIVATIONS: activations.ctypes.data,
        probe.N_BLOCKS: n_blocks,
    }
    run(step("dot_peak", arguments), n_threads)
    block = np.einsum("bkrc,tc->btr", codes.astype(np.int32), activations.astype(np.int32))
    expected = n_items * sum(block[b % probe.CODE_BLOCKS] for b in range(n_blocks))
    np.testing.assert_array_equal(result.sum(axis=0), expected)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_every_float_product_is_summed(n_threads: int) -> None:
    rng = np.random.default_rng(4)
    weights = rng.integers(-9, 10, (probe.CODE_BLOCKS, probe.STEPS, 16)).astype(np.float32)
    activations = rng.integers(-9, 10, probe.TOKENS).astype(np.float32)
    result = np.zeros((n_threads, probe.TOKENS, 16), np.float32)
    n_items, n_blocks = 5, 11
    arguments = {
        probe.RESULT: result.ctypes.data,
        probe.N_ITEMS: n_items,
        probe.CODES: weights.ctypes.data,
        probe.ACTIVATIONS: activations.ctypes.data,
        probe.N_BLOCKS: n_blocks,
    }
    run(step("fma_peak", arguments), n_threads)
    block = np.einsum("bkr,t->btr", weights, activations)
    expected = n_items * sum(block[b % probe.CODE_BLOCKS] for b in range(n_blocks))  # whole numbers: exact
    np.testing.assert_array_equal(result.sum(axis=0), expected)


def test_the_peak_is_that_of_the_paths_instruction() -> None:
    code = registry.assembly("dot_peak")
    if target.path() is target.Path.VNNI:
        assert len(re.findall(r"vpdpbusd.*zmm", code)) >= probe.TOKENS * probe.STEPS
    elif target.path() is target.Path.AVX2:
        assert len(re.findall(r"vpmaddubsw.*ymm", code)) >= 2 * probe.TOKENS * probe.STEPS
        assert "zmm" not in code
    elif target.path() is target.Path.NEON:
        assert len(re.findall(r"\bsdot\b", code)) >= 4 * probe.TOKENS * probe.STEPS
    if target.path() is not target.Path.PLAIN:
        register = {target.Path.VNNI: "zmm", target.Path.AVX2: "ymm"}.get(target.path(), r"v\d")
        floats = registry.assembly("fma_peak")
        assert len(re.findall(rf"(vfmadd|fmla).*{register}", floats)) >= probe.TOKENS * probe.STEPS
