"""A model as data: from hyper-parameters to the list of steps that one pass over a batch takes.

An architecture is a function like `llama`; the steps name kernels and buffers, and one compiled executor
walks them. A new architecture adds a function here, no kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alpaca_tui.engine.kv_cache import KvCache
from alpaca_tui.kernels import activations as act
from alpaca_tui.kernels import attention as att
from alpaca_tui.kernels import matmul as mm
from alpaca_tui.kernels import shift as sh
from alpaca_tui.kernels import team
from alpaca_tui.kernels.tile_formats import TILE_FORMATS


@dataclass(frozen=True)
class Shape:
    """What a plan needs to know of a model."""

    n_embd: int
    n_head: int
    n_head_kv: int
    head_dim: int
    n_rot: int
    n_ff: int
    n_layer: int
    n_vocab: int
    n_ctx: int  # padded to the cache's unit


@dataclass(frozen=True)
class Matrix:
    """A repacked weight matrix [rows, cols]: format name, addresses of its codes and scales."""

    format: str
    rows: int
    cols: int
    codes: int
    scales: int

    @property
    def is_float(self) -> bool:
        return TILE_FORMATS[self.format].is_float


@dataclass(frozen=True)
class Step:
    """A kernel's name and its arguments by index. `barrier`: the next step needs all of this one."""

    kernel: str
    arguments: dict[int, int]
    barrier: bool = True


class Buffers:
    """Addresses of the buffers that steps read and write; `stride` of each is in elements."""

    x: int
    q: int
    k: int
    v: int
    att: int
    gate: int
    up: int
    logits: int
    quants: int
    x_scales: int
    x_sums: int
    x_floats: int
    eps: int
    cos: int
    sin: int
    scratch: int
    scratch_stride: int

    def __init__(
        self,
        matrix: Callable[[str], Matrix],
        vector: Callable[[str], int],
        cache: KvCache,
        **addresses: int,
    ):
        self.matrix, self.vector, self.cache = matrix, vector, cache
        for name, address in addresses.items():
            setattr(self, name, address)


def llama(shape: Shape, b: Buffers) -> tuple[list[Step], list[Step]]:
    """The steps of LLaMA: those of every batch, and those that turn its last tokens into logits."""
    layers = [step for i in range(shape.n_layer) for step in _layer(shape, b, i)]
    output = b.matrix("output.weight")
    head = [
        _norm(shape, b, "output_norm.weight", [output], last_only=True),
        _matmul(b, output, b.logits, count=team.N_OUT),
    ]
    return layers, head


@dataclass(frozen=True)
class Move:
    """Positions stop .. end go to `start`. Addresses: cos and sin of each pair's turn, scratch of threads."""

    start: int
    stop: int
    end: int
    cos: int
    sin: int
    scratch: int
    scratch_stride: int


def shift(s: Shape, cache: KvCache, move: Move) -> list[Step]:
    """The steps of a move within the cache, of all layers at once."""
    return [
        Step(
            f"shift_{cache.type}",
            _cache(s, cache, i)
            | {
                sh.TO: move.start,
                sh.FROM: move.stop,
                sh.COUNT: move.end - move.stop,
                sh.COS: move.cos,
                sh.SIN: move.sin,
                sh.N_ROT: s.n_rot,
                sh.SCRATCH: move.scratch,
                sh.SCRATCH_STRIDE: move.scratch_stride,
            },
            barrier=False,
        )
        for i in range(s.n_layer)
    ]


def _layer(s: Shape, b: Buffers, i: int) -> list[Step]:
    def weight(name: str) -> Matrix:
        return b.matrix(f"blk.{i}.{name}.weight")

    wq, wk, wv, wo = (weight(f"attn_{name}") for name in ("q", "k", "v", "output"))
    gate, up, down = (weight(f"ffn_{name}") for name in ("gate", "up", "down"))
    q_dim = s.n_head * s.head_dim
    return [
        _norm(s, b, f"blk.{i}.attn_norm.weight", [wq, wk, wv]),
        _matmul(b, wq, b.q, barrier=False),
        _matmul(b, wk, b.k, barrier=False),
        _matmul(b, wv, b.v),
        _rope_store(s, b, i, wq, wk),
        _attend(s, b, i, wq),
        Step("pack", _packed(b, q_dim, [wo]) | {act.SOURCE: b.att, act.SOURCE_STRIDE: q_dim}),
        _matmul(b, wo, b.x, residual=True),
        _norm(s, b, f"blk.{i}.ffn_norm.weight", [gate, up]),
        _matmul(b, gate, b.gate, barrier=False),
        _matmul(b, up, b.up),
        Step(
            "silu_pack",
            _packed(b, s.n_ff, [down])
            | {act.SOURCE: b.gate, act.SECOND: b.up, act.SOURCE_STRIDE: mm.padded_rows(s.n_ff)},
        ),
        _matmul(b, down, b.x, residual=True),
    ]


def _packed(b: Buffers, n_columns: int, readers: list[Matrix]) -> dict[int, int]:
    """Where packed activations go, in the forms that the next matrices read."""
    return {
        act.QUANTS: b.quants,
        act.X_SCALES: b.x_scales,
        act.X_SUMS: b.x_sums,
        act.X_FLOATS: b.x_floats,
        act.N_COLUMNS: n_columns,
        act.WANT_QUANTS: int(any(not m.is_float for m in readers)),
        act.WANT_FLOATS: int(any(m.is_float for m in readers)),
        act.SCRATCH: b.scratch,
        act.SCRATCH_STRIDE: b.scratch_stride,
    }


def _norm(s: Shape, b: Buffers, weight: str, readers: list[Matrix], last_only: bool = False) -> Step:
    return Step(
        "norm_pack",
        _packed(b, s.n_embd, readers)
        | {
            act.SOURCE: b.x,
            act.SOURCE_STRIDE: s.n_embd,
            act.SECOND: b.vector(weight),
            act.EPS: b.eps,
            act.LAST_ONLY: int(last_only),
        },
    )


def _matmul(
    b: Buffers,
    m: Matrix,
    y: int,
    *,
    residual: bool = False,
    barrier: bool = True,
    count: int = team.N_TOKENS,
) -> Step:
    return Step(
        f"matmul_{m.format}",
        {
            mm.CODES: m.codes,
            mm.SCALES: m.scales,
            mm.N_PAIRS: mm.padded_rows(m.rows) // 32,
            mm.N_BLOCKS: m.cols // 32,
            mm.QUANTS: b.quants,
            mm.X_SCALES: b.x_scales,
            mm.X_SUMS: b.x_sums,
            mm.X_FLOATS: b.x_floats,
            mm.Y: y,
            mm.Y_STRIDE: mm.padded_rows(m.rows),
            mm.RESIDUAL: int(residual),
            mm.COUNT: count,
        },
        barrier,
    )


def _heads(s: Shape, b: Buffers, layer: int, wq: Matrix) -> dict[int, int]:
    return _cache(s, b.cache, layer) | {
        att.Q: b.q,
        att.Q_STRIDE: mm.padded_rows(wq.rows),
        att.N_HEAD: s.n_head,
    }


def _cache(s: Shape, cache: KvCache, layer: int) -> dict[int, int]:
    parts = cache.addresses(layer)
    return {
        att.N_HEAD_KV: s.n_head_kv,
        att.HEAD_DIM: s.head_dim,
        att.VALUE_DIM: cache.value_dim,
        att.N_CTX: s.n_ctx,
        att.K_CACHE: parts.k,
        att.V_CACHE: parts.v,
        att.K_SCALES: parts.k_scales,
        att.V_SCALES: parts.v_scales,
    }


def _rope_store(s: Shape, b: Buffers, layer: int, wq: Matrix, wk: Matrix) -> Step:
    return Step(
        f"rope_store_{b.cache.type}",
        _heads(s, b, layer, wq)
        | {
            att.K: b.k,
            att.V: b.v,
            att.KV_STRIDE: mm.padded_rows(wk.rows),
            att.COS: b.cos,
            att.SIN: b.sin,
            att.N_ROT: s.n_rot,
        },
    )


def _attend(s: Shape, b: Buffers, layer: int, wq: Matrix) -> Step:
    return Step(
        f"attend_{b.cache.type}",
        _heads(s, b, layer, wq)
        | {
            att.OUT: b.att,
            att.OUT_STRIDE: s.n_head * s.head_dim,
            att.SCRATCH: b.scratch,
            att.SCRATCH_STRIDE: b.scratch_stride,
        },
    )
