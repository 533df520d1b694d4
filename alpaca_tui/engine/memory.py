"""How much memory a model takes, worked out from its head alone, before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from alpaca_tui.files.hparams import HParams
    from alpaca_tui.files.tensors import Tensor

N_BATCH = 512
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
