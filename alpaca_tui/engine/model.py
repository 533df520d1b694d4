"""A loaded model: weights repacked for the kernels, the KV cache, and `eval`, one pass over a batch.

Numbers do not depend on how tokens are batched, nor on the number of threads.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from alpaca_tui.engine import plan, rope, state
from alpaca_tui.engine.aligned import ALIGNMENT, aligned, up
from alpaca_tui.engine.kv_cache import POSITIONS, KvCache
from alpaca_tui.engine.lora import EMBEDDING, Loras
from alpaca_tui.engine.protocol import RopeOptions
from alpaca_tui.engine.stopped import Stopped
from alpaca_tui.errors import UserError
from alpaca_tui.files.blocks import BlockFormat
from alpaca_tui.files.hparams import HParams
from alpaca_tui.files.model_file import ModelFile
from alpaca_tui.kernels import activations, attention, registry, repack, shift, team, warm
from alpaca_tui.kernels.matmul import packed_bytes, padded_rows
from alpaca_tui.kernels.tiles import TOKENS

__all__ = ["Model", "Stopped"]

Progress = Callable[[str, int, int, str], None]
F32 = npt.NDArray[np.float32]

REPORT_SECONDS = 0.05
# products of a pass below which one thread is as fast as several: dozens of barriers cost more than they
# bring, and very much more while other programs want the cores
WORTH_A_TEAM = 20_000_000
WIDE_SCALES = {"q4_0_v1", "q4_0_v2", "q4_1_v1", "q4_1_v2", "q8_0_v1"}  # f32, where today's are f16


def tile_format(fmt: BlockFormat) -> str:
    """The name under which the kernels know a file's block format, of whatever year."""
    return fmt.name.removesuffix("_v1").removesuffix("_v2")


class Model:
    """A model in memory, for one conversation at a time.

    `eval` is called from one thread; `request_stop` from any. `on_progress(stage, done, total, what)` has
    stage "compile" (kernels) or "load" (bytes of weights).
    """

    def __init__(
        self,
        file: ModelFile,
        *,
        n_ctx: int,
        n_threads: int,
        n_batch: int = 512,
        cache_type: str = "f16",
        rope_options: RopeOptions | None = None,
        loras: Loras | None = None,
        on_progress: Progress | None = None,
    ):
        self._file, self._loras = file, loras
        self._progress = on_progress or (lambda stage, done, total, what: None)
        h = rope.with_options(file.hparams, rope_options or RopeOptions())
        self._check_widths(h)
        self.hparams = h
        self.n_ctx, self.n_vocab = n_ctx, h.n_vocab
        self.n_batch = max(1, min(n_batch, n_ctx))
        self._shape = plan.Shape(
            n_embd=h.n_embd,
            n_head=h.n_head,
            n_head_kv=h.n_head_kv,
            head_dim=h.head_dim,
            n_rot=h.n_rot,
            n_ff=h.n_ff,
            n_layer=h.n_layer,
            n_vocab=h.n_vocab,
            n_ctx=up(n_ctx, POSITIONS),
        )
        self._cache = KvCache(h.n_layer, h.n_head_kv, h.head_dim, self._shape.n_ctx, cache_type)
        self._batch = np.zeros(team.BATCH_SIZE, np.int64)
        self._team = team.Team(n_threads)
        self._embedding: Callable[[npt.ArrayLike], F32] = partial(file.gather, EMBEDDING)
        if loras and EMBEDDING in loras.names:
            self._embedding = loras.embedding
        self._matrices: dict[str, plan.Matrix] = {}
        self._vectors: dict[str, F32] = {}
        try:
            self._compile()
            self._load()
            self._rope = rope.table(self.hparams, self._shape.n_ctx, self._vectors.get("rope_freqs.weight"))
            self._make_buffers()
            self._bind()
        except BaseException:
            self._team.close()
            raise

    # --- loading ------------------------------------------------------------------------------------------

    @staticmethod
    def _check_widths(h: HParams) -> None:
        widths = {"n_embd": h.n_embd, "n_ff": h.n_ff, "n_head * head_dim": h.n_head * h.head_dim}
        for name, value in widths.items():
            if value % 32:
                raise UserError(f"This model's {name} is {value}; only multiples of 32 can be computed.")

    def _matrix_names(self) -> list[str]:
        """The weights to repack, in the order in which a pass reads them."""
        parts = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
        names = [f"blk.{i}.{part}.weight" for i in range(self.hparams.n_layer) for part in parts]
        return [*names, "output.weight"]

    def _source(self, name: str) -> str:
        """The tensor that `name` is made of: a tied output is the embedding."""
        tied = name == "output.weight" and name not in self._file.tensors
        return "token_embd.weight" if tied else name

    def _compile(self) -> None:
        """Has every kernel ready that loading and evaluating this model takes."""
        formats = {tile_format(self._file.tensors[self._source(n)].format) for n in self._matrix_names()}
        cache = self._cache.type
        names = ["norm_pack", f"rope_store_{cache}", f"attend_{cache}", f"shift_{cache}", "pack", "silu_pack"]
        names += [f"{kind}_{fmt}" for fmt in sorted(formats) for kind in ("repack", "matmul")]
        names += self._loras.kernels() if self._loras else []
        warm.ready(names, lambda *progress: self._progress("compile", *progress), self._check_stop)

    def _load(self) -> None:
        """Repacks all matrices into one arena, giving the file's pages back as it goes."""
        tensors = self._file.tensors
        names = self._matrix_names()
        sizes = []
        for name in names:
            tensor = tensors[self._source(name)]
            sizes.append(packed_bytes(tile_format(tensor.format), *tensor.shape))
        total = sum(up(c, ALIGNMENT) + up(s, ALIGNMENT) for c, s in sizes)
        self._n_weights = sum(math.prod(tensors[self._source(name)].shape) for name in names)
        self._arena = aligned(total)
        base, at, reported = self._arena.ctypes.data, 0, 0.0
        for name, (code_bytes, scale_bytes) in zip(names, sizes, strict=True):
            if (now := time.monotonic()) - reported > REPORT_SECONDS:
                self._progress("load", at, total, name)
                reported = now
            codes, scales = base + at, base + at + up(code_bytes, ALIGNMENT)
            self._matrices[name] = self._repack(name, codes, scales)
            at += up(code_bytes, ALIGNMENT) + up(scale_bytes, ALIGNMENT)
        for name, tensor in tensors.items():
            if len(tensor.shape) == 1:
                loras = self._changes(name)
                values = loras.vector(name) if loras else self._file.array(name)
                self._vectors[name] = np.ascontiguousarray(values, np.float32)
        self._progress("load", total, total, "")

    def _repack(self, name: str, codes: int, scales: int) -> plan.Matrix:
        source = self._source(name)
        tensor = self._file.tensors[source]
        rows, cols = tensor.shape
        if loras := self._changes(name):
            data = loras.matrix(name, self._team.n_threads, self._check_stop)
        else:
            data = self._file.rows(source, 0, rows)
        fmt = tile_format(tensor.format)
        self._run_once(
            f"repack_{fmt}",
            {
                repack.SOURCE: data.ctypes.data,
                repack.ROW_BYTES: data.strides[0],
                repack.N_ROWS: rows,
                repack.N_BLOCKS: cols // 32,
                repack.N_GROUPS: padded_rows(rows) // repack.ROWS,
                repack.N_COLUMNS: cols,
                repack.CODES: codes,
                repack.SCALES: scales,
                repack.WIDE_SCALES: int(tensor.format.name in WIDE_SCALES),
                repack.INTERLEAVED: int(tensor.format.name.endswith("_v1")),
            },
        )
        if source == name:  # a tied embedding is still read row by row
            self._file.release(source)
        return plan.Matrix(fmt, rows, cols, codes, scales)

    def _changes(self, name: str) -> Loras | None:
        """The LoRAs, where they change this tensor."""
        return self._loras if self._loras and name in self._loras.names else None

    def _run_once(self, kernel: str, arguments: dict[int, int]) -> None:
        self._run(self._steps([plan.Step(kernel, arguments)]))

    # --- buffers and steps --------------------------------------------------------------------------------

    def _make_buffers(self) -> None:
        s = self._shape
        n = up(self.n_batch, TOKENS)
        q_dim, widest = s.n_head * s.head_dim, max(s.n_embd, s.n_head * s.head_dim, s.n_ff)
        kv_dim = padded_rows(s.n_head_kv * s.head_dim)

        def floats(width: int, rows: int = n) -> npt.NDArray[np.uint8]:
            return aligned(4 * width * rows)

        self._buffers: dict[str, npt.NDArray[Any]] = {
            "x": floats(s.n_embd),
            "q": floats(padded_rows(q_dim)),
            "k": floats(kv_dim),
            "v": floats(kv_dim),
            "att": floats(q_dim),
            "gate": floats(padded_rows(s.n_ff)),
            "up": floats(padded_rows(s.n_ff)),
            "quants": aligned(widest * n),
            "x_scales": floats(widest // 32),
            "x_sums": floats(widest // 16),
            "x_floats": floats(widest),
            "logits": floats(padded_rows(s.n_vocab), 1),
            "eps": np.array([self.hparams.norm_eps], np.float32),
            "cos": self._rope[0],
            "sin": self._rope[1],
        }

    def _bind(self) -> None:
        """Lays the steps out anew: after a change of threads or of a buffer."""
        s = self._shape
        row = activations.STAGE + 4 * max(s.n_embd, 32 * activations.BLOCKS_A_TURN)
        heads = attention.scratch_bytes(s.head_dim, self._cache.value_dim, s.n_ctx)
        stride = up(max(row, heads), ALIGNMENT)
        self._buffers["scratch"] = aligned(stride * self._team.n_threads)
        b = plan.Buffers(
            self._matrices.__getitem__,
            lambda name: self._vectors[name].ctypes.data,
            self._cache,
            scratch_stride=stride,
            **{name: buffer.ctypes.data for name, buffer in self._buffers.items()},
        )
        self._bound_threads = self._team.n_threads
        layers, head = plan.llama(s, b)
        self._n_layer_steps = len(layers)
        self._program = self._steps(layers + head)

    def _steps(self, steps: list[plan.Step]) -> npt.NDArray[np.int64]:
        table = np.zeros((len(steps), team.STEP), np.int64)
        for row, step in zip(table, steps, strict=True):
            row[team.ADDRESS] = registry.address(step.kernel)
            row[team.BARRIER] = step.barrier
            for index, value in step.arguments.items():
                row[team.ARGUMENTS + index] = value
            row[team.ARGUMENTS + team.BATCH] = self._batch.ctypes.data
        table[-1, team.BARRIER] = 1
        return table

    def _run(self, steps: npt.NDArray[np.int64], alone: bool = False) -> None:
        self._check_stop()
        self._team.run(steps, alone)
        self._check_stop()

    # --- use ----------------------------------------------------------------------------------------------

    def eval(self, tokens: Sequence[int], pos: int, n_logits: int) -> F32:
        """Evaluates up to `n_batch` tokens at positions pos, pos+1, ...; f32 [n_logits, n_vocab].

        The logits are those of the last `n_logits` tokens. Cache entries from `pos` on are overwritten.
        Raises Stopped when a stop was requested meanwhile: entries before `pos` stay as they were.
        """
        n = len(tokens)
        if not 0 < n <= self.n_batch or pos < 0 or pos + n > self.n_ctx or not 0 <= n_logits <= n:
            raise ValueError(f"{n} tokens at {pos} with {n_logits} logits do not fit this context")
        ids = np.asarray(tokens, np.int64)
        if ids.min() < 0 or ids.max() >= self.n_vocab:
            raise ValueError("a token lies outside the vocabulary")
        self._check_stop()
        if self._bound_threads != self._team.n_threads:  # a twin has changed them
            self._bind()
        self._team.begin()
        n_embd = self._shape.n_embd
        x = self._buffers["x"].view(np.float32).reshape(-1, n_embd)
        x[:n] = self._embedding(ids)
        self._make_room(n_logits)
        self._batch[team.N_TOKENS], self._batch[team.POSITION], self._batch[team.N_OUT] = n, pos, n_logits
        steps = self._program if n_logits else self._program[: self._n_layer_steps]
        self._run(steps, alone=n * self._n_weights < WORTH_A_TEAM)
        logits = self._buffers["logits"].view(np.float32).reshape(-1, padded_rows(self.n_vocab))
        return logits[:n_logits, : self.n_vocab].copy()

    def shift(self, start: int, stop: int, end: int) -> None:
        """Moves the cache's entries stop .. end to `start`; their keys turn as if they had been there.

        Values, and what keys and values were computed from, stay: see `kernels/shift.py`. Not stopped by
        `request_stop`, since half a move would be none.
        """
        if not 0 <= start < stop <= end <= self.n_ctx:
            raise ValueError(f"entries {stop} to {end} cannot go to {start}")
        frequency, _ = rope.frequencies(self.hparams, self._vectors.get("rope_freqs.weight"))
        angle = (start - stop) * frequency
        turn = np.array([np.cos(angle), np.sin(angle)], np.float32)
        stride = up(shift.scratch_bytes(self._shape.head_dim), ALIGNMENT)
        scratch = aligned(stride * self._team.n_threads)
        move = plan.Move(
            start, stop, end, turn[0].ctypes.data, turn[1].ctypes.data, scratch.ctypes.data, stride
        )
        self._team.run(self._steps(plan.shift(self._shape, self._cache, move)))

    def state_sizes(self, n: int) -> list[int]:
        """Bytes of each piece of the cache's first n positions; they do not depend on n_ctx."""
        return self._cache.sizes(n)

    def state_pieces(self, n: int) -> Iterator[npt.NDArray[np.uint8]]:
        """The pieces themselves, to be read or written."""
        return self._cache.pieces(n)

    def identity(self) -> state.Identity:
        """What a saved state must have in common with this model."""
        return state.identity(self._file, self.hparams, self._cache.type, self._loras)

    def _make_room(self, n_logits: int) -> None:
        width = 4 * padded_rows(self.n_vocab)
        if len(self._buffers["logits"]) < n_logits * width:
            self._buffers["logits"] = aligned(n_logits * width)
            self._bind()

    def set_threads(self, n_threads: int) -> None:
        """From the next `eval` on."""
        self._team.resize(n_threads)
        self._bind()

    def set_batch(self, n_batch: int) -> None:
        """How many tokens `eval` takes at once, from the next call on; the cache stays."""
        n_batch, before = max(1, min(n_batch, self.n_ctx)), self.n_batch
        if n_batch != before:
            self.n_batch = n_batch
            try:
                self._make_buffers()
            except MemoryError:
                self.n_batch = before
                raise
            self._bind()

    @property
    def progress(self) -> float:
        """How much of the `eval` in progress is done, 0 to 1; from any thread."""
        return self._team.steps_done / len(self._program)

    @property
    def n_threads(self) -> int:
        return self._team.n_threads

    @property
    def memory(self) -> int:
        """Bytes of weights, cache and buffers."""
        buffers = sum(buffer.nbytes for buffer in self._buffers.values())
        return self._arena.nbytes + self._cache.nbytes + buffers

    @property
    def cache_bytes(self) -> int:
        return self._cache.nbytes

    def twin(self) -> Model:
        """The same weights and threads with an empty cache of its own. The two take turns to evaluate; a stop
        and `close` are for both."""
        twin, h, cache = copy.copy(self), self.hparams, self._cache
        twin._cache = KvCache(h.n_layer, h.n_head_kv, h.head_dim, cache.n_ctx, cache.type)
        twin._buffers = dict(self._buffers)
        twin._bind()
        return twin

    def request_stop(self) -> None:
        """Ends the load or `eval` in progress, or the next one, with Stopped. From any thread."""
        self._batch[team.STOP] = 1

    def clear_stop(self) -> None:
        self._batch[team.STOP] = 0

    def _check_stop(self) -> None:
        if self._batch[team.STOP]:
            raise Stopped

    def close(self) -> None:
        """Ends the threads and lets go of the file. The model cannot be used afterwards."""
        self._team.close()
        if self._loras:
            self._loras.close()
        self._file.close()
