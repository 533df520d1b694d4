"""LoRA adapters in PEFT's layout: adapter_config.json and the weights, as one finds them at Hugging Face.

A LoRA adds scaling * B @ A to a matrix (A [r, in], B [out, r]; scaling = lora_alpha / r); a module that was
trained as a whole (modules_to_save: embedding and head, with the rows of a larger vocabulary) replaces it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from alpaca_tui.errors import UserError
from alpaca_tui.files import hf
from alpaca_tui.files.block_math import F32
from alpaca_tui.files.cursor import damaged
from alpaca_tui.files.json_object import read_json
from alpaca_tui.files.pth import open_pth
from alpaca_tui.files.safetensors import open_safetensors
from alpaca_tui.files.stored import Checkpoint, StoredTensor
from alpaca_tui.files.vocab import Vocab

WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
VOCABULARY = ("token_embd.weight", "output.weight")  # their rows are tokens
_FLOATS = ("f32", "f16", "bf16")
_PREFIX = "base_model.model."
_PAIR = re.compile(r"(.+)\.lora_([AB])(?:\.default)?\.weight")
_WHOLE = re.compile(r"(.+?)(?:\.modules_to_save(?:\.default)?)?\.weight")

# What a configuration can ask for beyond what is done here: (key, values that ask for nothing).
_UNSUPPORTED: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("use_dora", (None, False)),
    ("rank_pattern", (None, {})),
    ("alpha_pattern", (None, {})),
    ("bias", (None, "none")),
)


@dataclass(frozen=True)
class Pair:
    """The two factors of one matrix's change."""

    a: StoredTensor
    b: StoredTensor

    @property
    def shape(self) -> tuple[int, int]:
        """Of B @ A."""
        return self.b.shape[0], self.a.shape[1]


@dataclass
class Lora:
    """An open adapter. `pairs` and `whole` are under GGUF names; `vocab` is for whoever merges.

    `halved`: the rows of queries and keys are in the order of transformers (see `files.hf`).
    """

    folder: Path
    checkpoint: Checkpoint
    scaling: float
    fan_in_fan_out: bool
    pairs: dict[str, Pair] = field(default_factory=dict)
    whole: dict[str, StoredTensor] = field(default_factory=dict)
    vocab: Vocab | None = None
    halved: bool = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.checkpoint.close()

    @property
    def n_vocab(self) -> int | None:
        """Rows of its embedding; None where it leaves the embedding alone."""
        rows = {tensor.shape[0] for name, tensor in self.whole.items() if name in VOCABULARY}
        if len(rows) > 1:
            raise damaged(self.checkpoint.path, "its embedding and its head have different numbers of tokens")
        return rows.pop() if rows else None

    def change(self, name: str, rows: np.ndarray) -> F32 | None:
        """What it adds to these rows of a matrix: f32 [len(rows), cols]; None where it adds nothing.

        The products are summed in f32 in the order of the rank, whatever the number of rows: one row alone
        would be another BLAS routine with another order.
        """
        pair = self.pairs.get(name)
        if pair is None:
            return None
        few = len(rows) == 1
        if few:
            rows = np.repeat(rows, 2)
        with np.errstate(over="ignore", invalid="ignore"):  # whatever a file holds
            if self.fan_in_fan_out:
                delta = pair.a.f32().T[rows] @ pair.b.f32().T
            else:
                delta = pair.b.f32()[rows] @ pair.a.f32()
            delta *= np.float32(self.scaling)
        return delta[:1] if few else delta


def open_peft(folder: Path) -> Lora:
    """Open the adapter in a folder. Raises UserError for what is none, and for what cannot be merged."""
    if not folder.is_dir():
        unpack = "unpack it, and name the folder" if folder.is_file() else "models are not downloaded"
        raise UserError(f"{str(folder)!r} is no folder with a LoRA ({unpack}).")
    config = read_config(folder)
    path = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if path is None:
        raise UserError(f"{folder / WEIGHTS[1]} is missing; copy it from where the LoRA came from.")
    checkpoint = (open_safetensors if path.suffix == ".safetensors" else open_pth)(path)
    try:
        lora = Lora(folder, checkpoint, _scaling(folder, config), bool(config.get("fan_in_fan_out")))
        _sort(lora)
        return lora
    except BaseException:
        checkpoint.close()
        raise


def read_config(folder: Path) -> dict[str, Any]:
    """adapter_config.json. Raises UserError for one that asks for what is not done here, by name."""
    path = folder / "adapter_config.json"
    if not path.is_file():
        raise UserError(f"{path} is missing; {folder} is no LoRA, or not a whole one.")
    config = read_json(path)
    kind = config.get("peft_type", "LORA")
    if kind != "LORA":
        raise UserError(f"{path} describes an adapter of the kind {kind!r}, not a LoRA; use a LoRA.")
    for key, harmless in _UNSUPPORTED:
        if config.get(key) not in harmless:
            raise UserError(
                f"{path} has {key} = {config[key]!r}, which this program does not do; use another LoRA."
            )
    return config


def _scaling(folder: Path, config: Mapping[str, Any]) -> float:
    """lora_alpha / r; with use_rslora lora_alpha / sqrt(r)."""
    r, alpha = config.get("r"), config.get("lora_alpha")
    if type(r) is not int or not 0 < r < 1 << 16 or not isinstance(alpha, int | float):
        raise UserError(
            f"{folder / 'adapter_config.json'} says r = {r!r} and lora_alpha = {alpha!r}, which is "
            "impossible; get the LoRA's own file."
        )
    return float(alpha) / (math.sqrt(r) if config.get("use_rslora") else r)


def _sort(lora: Lora) -> None:
    """Fills `pairs` and `whole`."""
    path = lora.checkpoint.path
    halves: dict[str, dict[str, StoredTensor]] = {}
    for key, tensor in lora.checkpoint.tensors.items():
        pair, whole = _PAIR.fullmatch(key), _WHOLE.fullmatch(key)
        name = _gguf_name(pair[1] if pair else whole[1] if whole else "")
        if name is None:
            raise UserError(
                f"{path} has a tensor {key!r} that no LLaMA model has; use a LoRA that was made for LLaMA."
            )
        if tensor.dtype not in _FLOATS or len(tensor.shape) not in (1, 2) or not tensor.size:
            raise damaged(path, f"its tensor {key!r} has the type {tensor.dtype} {tensor.shape}")
        if pair:
            halves.setdefault(name, {})[pair[2]] = tensor
        else:
            lora.whole[name] = tensor
    for name, both in halves.items():
        if len(both) != 2:
            raise damaged(path, f"of the two factors for {name} it has only one")
        a, b = both["A"], both["B"]
        if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[0] != b.shape[1]:
            raise damaged(path, f"the two factors for {name} do not fit: {b.shape} and {a.shape}")
        lora.pairs[name] = Pair(a, b)


def _gguf_name(module: str) -> str | None:
    """The GGUF name of the weight of a module as PEFT names it."""
    name = module.removeprefix(_PREFIX) + ".weight"
    return hf.gguf_name(name) or hf.gguf_name(f"model.{name}")
