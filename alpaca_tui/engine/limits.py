"""The computer's own limits, measured: how fast it reads memory, and how fast it multiplies.

Decoding a token reads every weight once, so that memory is its limit; evaluating a prompt multiplies each
weight with many tokens, so that multiplying is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from alpaca_tui import system
from alpaca_tui.engine.aligned import aligned
from alpaca_tui.engine.stopped import Stopped
from alpaca_tui.kernels import probe, registry, target, team

Stopping = Callable[[], bool]

BUFFER = 512 << 20  # bytes: more than any cache near the cores
SMALLEST = 64 << 20
AHEAD = (0, 1024, 4096)  # bytes; which of them is fastest hangs on the processor
ROUNDS = 4
ITEMS, BLOCKS = 64, 20_000  # of the dot products: some 0.1 s a core


def instruction_set() -> str:
    """The one that kernels are compiled for here: "avx512-vnni", "avx2", "neon-dotprod", "plain"."""
    return target.path().value


def bandwidth(n_threads: int, stopped: Stopping = lambda: False) -> float:
    """Bytes per second that so many threads read from memory together: the best of several rounds.

    Raises Stopped soon after `stopped()` is true.
    """
    free = system.available_memory()
    size = BUFFER if free is None else max(min(BUFFER, free // 4), SMALLEST)
    n_chunks = size // probe.CHUNK
    source = aligned(n_chunks * probe.CHUNK)
    source[:] = 0  # touched once, or all of it is the same page of zeros
    result = aligned(n_threads * probe.LINES * probe.LINE)
    seconds = min(
        _best_seconds(
            "stream_read",
            n_threads,
            {
                probe.RESULT: result.ctypes.data,
                probe.N_ITEMS: n_chunks,
                probe.SOURCE: source.ctypes.data,
                probe.AHEAD: ahead,
            },
            stopped,
        )
        for ahead in AHEAD
    )
    return source.nbytes / seconds


def dot_peak(n_threads: int, stopped: Stopping = lambda: False) -> float | None:
    """Products of two bytes, summed, per second; None on a path without an instruction for them.

    Raises Stopped soon after `stopped()` is true.
    """
    codes = (np.arange(probe.CODE_BLOCKS * probe.STEPS * probe.LINE) % (probe.LARGEST + 1)).astype(np.uint8)
    activations = np.arange(4 * probe.TOKENS, dtype=np.uint8)
    return _peak("dot_peak", probe.PRODUCTS, codes, activations, n_threads, stopped)


def fma_peak(n_threads: int, stopped: Stopping = lambda: False) -> float | None:
    """Products of two f32, summed, per second; None on a path without an instruction for them.

    Raises Stopped soon after `stopped()` is true.
    """
    weights = np.arange(probe.CODE_BLOCKS * probe.STEPS * probe.FLOATS, dtype=np.float32)
    activations = np.arange(probe.TOKENS, dtype=np.float32) / 1024
    return _peak("fma_peak", probe.FLOAT_PRODUCTS, weights, activations, n_threads, stopped)


def _peak(
    kernel: str,
    products: int,
    weights: npt.NDArray[Any],
    activations: npt.NDArray[Any],
    n_threads: int,
    stopped: Stopping,
) -> float | None:
    if target.path() is target.Path.PLAIN:
        return None
    near = aligned(weights.nbytes)
    near[:] = weights.view(np.uint8)
    result = aligned(n_threads * probe.TOKENS * probe.LINE)
    seconds = _best_seconds(
        kernel,
        n_threads,
        {
            probe.RESULT: result.ctypes.data,
            probe.N_ITEMS: ITEMS * n_threads,
            probe.CODES: near.ctypes.data,
            probe.ACTIVATIONS: activations.ctypes.data,
            probe.N_BLOCKS: BLOCKS,
        },
        stopped,
    )
    return ITEMS * n_threads * BLOCKS * products / seconds


def _best_seconds(kernel: str, n_threads: int, arguments: dict[int, int], stopped: Stopping) -> float:
    steps = np.zeros((1, team.STEP), np.int64)
    steps[0, team.ADDRESS] = registry.address(kernel)
    steps[0, team.BARRIER] = 1
    for index, value in arguments.items():
        steps[0, team.ARGUMENTS + index] = value
    workers = team.Team(n_threads)
    try:
        times = []
        for _ in range(ROUNDS):
            if stopped():
                raise Stopped
            start = time.perf_counter()
            workers.run(steps)
            times.append(time.perf_counter() - start)
        return min(times)
    finally:
        workers.close()
