"""Runs single kernels: builds the step that the engine's plan would build, and walks it with a team."""

from __future__ import annotations

import numpy as np

from alpaca_tui.files.blocks import FORMATS, BlockFormat
from alpaca_tui.kernels import activations as act
from alpaca_tui.kernels import matmul as mm
from alpaca_tui.kernels import registry, repack, team
from alpaca_tui.kernels.tile_formats import TILE_FORMATS
from alpaca_tui.kernels.tiles import TOKENS


def step(name: str, values: dict[int, int]) -> np.ndarray:
    """One step [1, STEP] that runs the kernel `name` with arguments by index."""
    row = np.zeros((1, team.STEP), np.int64)
    row[0, team.ADDRESS] = registry.address(name)
    row[0, team.BARRIER] = 1
    for index, value in values.items():
        row[0, team.ARGUMENTS + index] = value
    return row


def run(steps: np.ndarray, n_threads: int = 1, **batch: int) -> None:
    """Walks the steps; batch: n_tokens, position, n_out."""
    values = np.zeros(team.BATCH_SIZE, np.int64)
    values[team.N_TOKENS] = batch.get("n_tokens", 1)
    values[team.POSITION] = batch.get("position", 0)
    values[team.N_OUT] = batch.get("n_out", values[team.N_TOKENS])
    steps[:, team.ARGUMENTS + team.BATCH] = values.ctypes.data
    workers = team.Team(n_threads)
    try:
        workers.run(steps)
    finally:
        workers.close()


class Packed:
    """Activations as the kernels take them, for up to `n_tokens` tokens of `n` columns."""

    def __init__(self, n_tokens: int, n: int):
        rows = -(-n_tokens // TOKENS) * TOKENS
        self.n_tokens, self.n = n_tokens, n
        self.quants = np.zeros(rows * n, np.int8)
        self.scales = np.zeros(rows * n // 32, np.float32)
        self.sums = np.zeros(rows * n // 16, np.int32)
        self.floats = np.zeros(rows * n, np.float32)
        self.scratch = np.zeros((team.MAX_THREADS, act.STAGE + 4 * n + 64), np.uint8)

    def arguments(self) -> dict[int, int]:
        return {
            act.QUANTS: self.quants.ctypes.data,
            act.X_SCALES: self.scales.ctypes.data,
            act.X_SUMS: self.sums.ctypes.data,
            act.X_FLOATS: self.floats.ctypes.data,
            act.N_COLUMNS: self.n,
            act.WANT_QUANTS: 1,
            act.WANT_FLOATS: 1,
            act.SCRATCH: self.scratch.ctypes.data,
            act.SCRATCH_STRIDE: self.scratch.shape[1],
        }

    def unpacked(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """quants [T, n], scales [T, n/32], minus sums [T, n/16], floats [T, n], out of their columns."""
        column = 1 if self.n_tokens == 1 else TOKENS
        blocks = self.n // 32
        tiles = len(self.quants) // (self.n * column)
        quants = self.quants.reshape(tiles, blocks, 8, column, 4).transpose(0, 3, 1, 2, 4)
        scales = self.scales.reshape(tiles, blocks, column).transpose(0, 2, 1)
        sums = self.sums.reshape(tiles, blocks, 2, column).transpose(0, 3, 1, 2)
        floats = self.floats.reshape(tiles, blocks, 32, column).transpose(0, 3, 1, 2)
        n = self.n_tokens
        return (
            quants.reshape(tiles * column, -1)[:n],
            scales.reshape(tiles * column, -1)[:n],
            sums.reshape(tiles * column, -1)[:n],
            floats.reshape(tiles * column, -1)[:n],
        )


def pack(x: np.ndarray, n_threads: int = 1) -> Packed:
    """x: f32 [T, n], packed by the kernel."""
    packed = Packed(*x.shape)
    arguments = packed.arguments() | {act.SOURCE: x.ctypes.data, act.SOURCE_STRIDE: x.shape[1]}
    run(step("pack", arguments), n_threads, n_tokens=len(x))
    return packed


class Matrix:
    """A weight matrix repacked by the kernel from a file's bytes."""

    def __init__(self, fmt: BlockFormat, data: np.ndarray, cols: int, n_threads: int = 1):
        base = fmt.name.removesuffix("_v1").removesuffix("_v2")
        self.name, self.rows, self.cols = base, len(data), cols
        self.tile = TILE_FORMATS[base]
        code_bytes, scale_bytes = mm.packed_bytes(base, self.rows, cols)
        self.codes = np.full(code_bytes, 0xAA, np.uint8)
        self.scales = np.full(scale_bytes + 64, 0xAA, np.uint8)
        arguments = {
            repack.SOURCE: data.ctypes.data,
            repack.ROW_BYTES: data.strides[0],
            repack.N_ROWS: self.rows,
            repack.N_BLOCKS: -(-cols // 32),
            repack.N_GROUPS: mm.padded_rows(self.rows) // 16,
            repack.N_COLUMNS: cols,
            repack.CODES: self.codes.ctypes.data,
            repack.SCALES: self.scales.ctypes.data,
            repack.WIDE_SCALES: int(fmt.name in ("q4_0_v1", "q4_0_v2", "q4_1_v1", "q4_1_v2", "q8_0_v1")),
            repack.INTERLEAVED: int(fmt.name.endswith("_v1")),
        }
        run(step(f"repack_{base}", arguments), n_threads)

    def times(self, x: Packed, n_threads: int = 1, residual: np.ndarray | None = None) -> np.ndarray:
        """f32 [T, rows]."""
        stride = mm.padded_rows(self.rows)
        y = np.full((x.n_tokens, stride), np.nan, np.float32)
        if residual is not None:
            y[:, : self.rows] = residual
            y[:, self.rows :] = 0
        arguments = {
            mm.CODES: self.codes.ctypes.data,
            mm.SCALES: self.scales.ctypes.data,
            mm.N_PAIRS: stride // 32,
            mm.N_BLOCKS: -(-self.cols // 32),
            mm.QUANTS: x.quants.ctypes.data,
            mm.X_SCALES: x.scales.ctypes.data,
            mm.X_SUMS: x.sums.ctypes.data,
            mm.X_FLOATS: x.floats.ctypes.data,
            mm.Y: y.ctypes.data,
            mm.Y_STRIDE: stride,
            mm.RESIDUAL: int(residual is not None),
            mm.COUNT: team.N_TOKENS,
        }
        run(step(f"matmul_{self.name}", arguments), n_threads, n_tokens=x.n_tokens)
        assert np.isfinite(y).all()
        return y[:, : self.rows]


def quantised(name: str, w: np.ndarray) -> tuple[BlockFormat, np.ndarray]:
    fmt = FORMATS[name]
    return fmt, np.ascontiguousarray(fmt.quantize(w))
