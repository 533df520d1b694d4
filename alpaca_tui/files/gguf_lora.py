"""Reading GGUF adapters, as convert_lora_to_gguf.py of llama.cpp writes them today.

general.type is "adapter" and adapter.type "lora"; adapter.lora.alpha is divided by the rank, where it is not
0. A matrix has two tensors, NAME.lora_a [r, in] and NAME.lora_b [out, r], in the order of rows that GGUF has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alpaca_tui.errors import UserError
from alpaca_tui.files.cursor import damaged
from alpaca_tui.files.gguf import read_gguf
from alpaca_tui.files.peft import Lora, Pair
from alpaca_tui.files.stored import Checkpoint, MappedFile, StoredTensor
from alpaca_tui.files.tensors import Tensor

_FLOATS = ("f32", "f16", "bf16")


def open_gguf_lora(path: Path) -> Lora:
    """Open a GGUF adapter. Raises UserError for what is damaged or no LoRA of a LLaMA model."""
    file = MappedFile(path)
    try:
        return _read(file)
    except BaseException:
        file.close()
        raise


def _read(file: MappedFile) -> Lora:
    path = file.path
    contents = read_gguf(path, file.data, file.size)
    metadata = contents.metadata
    if metadata.get("general.type") != "adapter" or metadata.get("adapter.type") != "lora":
        raise UserError(f"{path} is a model, not a LoRA; name it with -m, or give the LoRA's own file.")
    arch = metadata.get("general.architecture")
    if arch != "llama":
        raise UserError(f"{path} is a LoRA for the architecture {arch!r}; use one that was made for LLaMA.")
    factors: dict[str, dict[str, StoredTensor]] = {}
    for name, tensor in contents.tensors.items():
        matrix, _, factor = name.rpartition(".lora_")
        if factor not in ("a", "b") or len(tensor.shape) != 2 or tensor.format.name not in _FLOATS:
            raise UserError(f"{path} has a tensor {name!r}, which is no LoRA of a matrix; use another LoRA.")
        factors.setdefault(matrix, {})[factor] = _stored(file, tensor)
    lora = Lora(path.parent, Checkpoint(path, {}, [file]), 1.0, fan_in_fan_out=False, halved=False)
    for name, both in factors.items():
        if len(both) != 2:
            raise damaged(path, f"of the two factors for {name} it has only one")
        if both["a"].shape[0] != both["b"].shape[1]:
            shapes = f"{both['b'].shape} and {both['a'].shape}"
            raise damaged(path, f"the two factors for {name} do not fit: {shapes}")
        lora.pairs[name] = Pair(both["a"], both["b"])
    ranks = {pair.a.shape[0] for pair in lora.pairs.values()}
    if len(ranks) != 1:
        raise UserError(f"{path} has LoRAs of the ranks {sorted(ranks)}; use one with a single rank.")
    lora.scaling = _scaling(path, metadata, ranks.pop())
    return lora


def _scaling(path: Path, metadata: dict[str, Any], rank: int) -> float:
    alpha = metadata.get("adapter.lora.alpha", 0.0)
    if not isinstance(alpha, int | float) or not 0 <= alpha < 1e9:
        raise damaged(path, f"its adapter.lora.alpha is {alpha!r}")
    return alpha / rank if alpha else 1.0


def _stored(file: MappedFile, tensor: Tensor) -> StoredTensor:
    rows, cols = tensor.shape
    return StoredTensor(
        tensor.name, tensor.format.name, (rows, cols), (cols, 1), file, tensor.parts[0].offset
    )
