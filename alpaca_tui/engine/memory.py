"""How much memory a model takes, worked out from its head alone, before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from alpaca_tui import system
from alpaca_tui.errors import UserError

if TYPE_CHECKING:
    from alpaca_tui.files.hparams import HParams
    from alpaca_tui.files.model_file import ModelFile
    from alpaca_tui.files.tensors import Tensor

N_BATCH = 512
DEFAULT_N_CTX = 2048  # tokens, at most, unless more are asked for
_F32 = 4
_CACHE = {"f16": 2.0, "q8_0": 1 + 4 / 32}  # bytes of a number


class Memory(NamedTuple):
    """Bytes, by what they hold."""

    weights: int
    cache: int
    buffers: int

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.buffers


def required_memory(
    hparams: HParams,
    tensors: Mapping[str, Tensor],
    n_ctx: int,
    n_batch: int = N_BATCH,
    cache_type: str = "f16",
) -> Memory:
    """What a model will take with a context of `n_ctx`, within a few per cent.

    Weights count as the kernels hold them: matrices repacked, with the bits of the file's format and f16
    scales also where files of 2023 have f32; vectors in f32. The embedding stays in the file, unless it is
    the output as well. `cache_type`: "f16" or "q8_0".
    """
    weights = 0
    for name, tensor in tensors.items():
        if len(tensor.shape) == 1:
            weights += tensor.size * _F32
        elif name != "token_embd.weight" or "output.weight" not in tensors:
            weights += tensor.rows * tensor.format.today.row_bytes(tensor.cols)
    h = hparams
    cache = 2 * h.n_layer * n_ctx * int(h.n_embd_kv * _CACHE[cache_type])
    n_batch = min(n_batch, n_ctx)
    buffers = n_batch * (6 * h.n_embd + 3 * h.n_ff) * _F32 + 8 * h.n_vocab * _F32
    return Memory(weights, cache, buffers)


def check_memory(file: ModelFile, n_ctx: int, n_batch: int, cache_type: str = "f16") -> None:
    """Raises UserError where the model with this context needs more memory than is free."""

    def required(n: int) -> int:
        return required_memory(file.hparams, file.tensors, n, n_batch, cache_type).total

    free = system.available_memory()
    needed = required(n_ctx)
    if free is None or needed <= free:
        return
    fits = largest_context(required, free, n_ctx)
    advice = (
        f"-c {fits} would fit" if fits else "no context is small enough; use a smaller model or quantisation"
    )
    raise UserError(
        f"{file.path.name} with a context of {n_ctx} needs {_gib(needed)} of memory, but only {_gib(free)} "
        f"are free: {advice}."
    )


def batch_fits(file: ModelFile, n_ctx: int, n_batch: int) -> bool:
    """Are the buffers for batches of `n_batch` tokens small enough for the memory that is free?"""
    free = system.available_memory()
    return free is None or required_memory(file.hparams, file.tensors, n_ctx, n_batch).buffers <= free


def largest_context(required: Callable[[int], int], free: int, n_ctx: int) -> int:
    """The largest context below `n_ctx` whose `required(n)` bytes fit in `free`; 0 where none does.

    Rounded down to a multiple of 256, or of 8 below that; 8 is the smallest that can be set.
    """
    low, high = 0, n_ctx
    while low < high - 1:
        middle = (low + high) // 2
        low, high = (middle, high) if required(middle) <= free else (low, middle)
    return low // 256 * 256 or low // 8 * 8


def _gib(n: int) -> str:
    return f"{n / 2**30:.1f} GiB" if n >= 2**30 else f"{n / 2**20:.0f} MiB"
