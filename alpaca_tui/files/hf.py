"""Hugging Face folders: config.json and the weights, one file or several under an index.

Names and layout are those of transformers' LlamaForCausalLM: its query and key matrices have the two halves
of each rotated pair n_rot / 2 rows apart, where Meta's, ggml's and GGUF's have them next to each other.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alpaca_tui.errors import UserError
from alpaca_tui.files.cursor import damaged
from alpaca_tui.files.json_object import read_json
from alpaca_tui.files.pth import open_pth
from alpaca_tui.files.safetensors import open_safetensors
from alpaca_tui.files.stored import Checkpoint, StoredTensor

_TOP = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_LAYER = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.down_proj": "ffn_down",
    "mlp.up_proj": "ffn_up",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
_NAME = re.compile(r"model\.layers\.(0|[1-9]\d{0,3})\.(.+)\.weight")
_SKIPPED = re.compile(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq")
# A folder's weights: an index, or the file there is where there is no index. Earlier ones go first.
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_SINGLE = ("model.safetensors", "pytorch_model.bin")
_MAX_FILES = 512


def gguf_name(name: str) -> str | None:
    """The GGUF name of a tensor of transformers' LLaMA; None for one that it does not have."""
    if name in _TOP:
        return _TOP[name]
    match = _NAME.fullmatch(name)
    return f"blk.{match[1]}.{_LAYER[match[2]]}.weight" if match and match[2] in _LAYER else None


def is_skipped(name: str) -> bool:
    """Whether a tensor is one that can be computed, and that no other layout holds."""
    return _SKIPPED.fullmatch(name) is not None


def is_rotated(name: str) -> bool:
    """Whether the rows of the tensor with this GGUF name are ordered for RoPE."""
    return name.endswith((".attn_q.weight", ".attn_k.weight"))


def paired_rows(n_rows: int, n_head: int) -> npt.NDArray[np.int64]:
    """From the order of transformers to that of Meta, ggml and GGUF: row i of the result is row [i] here.

    `n_head`: heads of this matrix, so n_head_kv for keys. `W[paired_rows(len(W), n_head)]` is convert.py's
    permute.
    """
    return np.arange(n_rows).reshape(n_head, 2, -1).swapaxes(1, 2).reshape(-1)


def halved_rows(n_rows: int, n_head: int) -> npt.NDArray[np.int64]:
    """The way back: from the order of Meta to that of transformers."""
    return np.arange(n_rows).reshape(n_head, -1, 2).swapaxes(1, 2).reshape(-1)


def is_hf(folder: Path) -> bool:
    """Whether a folder has weights under the names that transformers gives them."""
    return any((folder / name).is_file() for name in _INDEXES + _SINGLE) or bool(_parts(folder))


def read_config(folder: Path) -> dict[str, Any]:
    """config.json. Raises UserError for a model that is no LLaMA, by name."""
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(f"{path} is missing; copy it from where the weights came from.")
    config = read_json(path)
    kind = config.get("model_type", "llama")
    if kind not in ("llama", "mistral"):
        raise UserError(f"{path} describes a model of the kind {kind!r}; use a LLaMA model.")
    return config


def open_hf(folder: Path) -> Checkpoint:
    """All tensors of a folder under their own names (`model.layers.0.self_attn.q_proj.weight`), in order.

    Raises UserError for a file that is missing or damaged, and for a tensor that is not where the index says.
    """
    paths, index = _files(folder)
    opened: list[Checkpoint] = []
    tensors: dict[str, StoredTensor] = {}
    try:
        for path in paths:
            part = (open_safetensors if path.suffix == ".safetensors" else open_pth)(path)
            opened.append(part)
            for name, tensor in part.tensors.items():
                if name in tensors:
                    raise damaged(path, f"its tensor {name!r} is in {tensors[name].file.path.name} as well")
                tensors[name] = tensor
        for name, place in index.items():
            if name not in tensors or tensors[name].file.path.name != place:
                raise damaged(folder / place, f"its tensor {name!r} is missing")
    except BaseException:
        for part in opened:
            part.close()
        raise
    return Checkpoint(folder, tensors, [file for part in opened for file in part.files])


def _files(folder: Path) -> tuple[list[Path], dict[str, str]]:
    """The files of a folder, and for each tensor the file that it is in, where an index says so."""
    for name in _INDEXES:
        if (folder / name).is_file():
            return _indexed(folder, folder / name)
    for name in _SINGLE:
        if (folder / name).is_file():
            return [folder / name], {}
    parts = _parts(folder)
    if not parts:
        raise UserError(f"{folder} holds no model of Hugging Face's layout; give the folder of one.")
    total = int(parts[0].stem.rpartition("-of-")[2])
    for i in range(1, total + 1):
        path = parts[0].with_name(re.sub(r"-\d+-of-", f"-{i:05d}-of-", parts[0].name))
        if path not in parts:
            raise UserError(f"{path} is missing; copy all {total} parts of the model into one folder.")
    return parts, {}


def _parts(folder: Path) -> list[Path]:
    for pattern in ("model-?????-of-?????.safetensors", "pytorch_model-?????-of-?????.bin"):
        found = sorted(p for p in folder.glob(pattern) if re.search(r"-\d{5}-of-\d{5}$", p.stem))
        if found:
            return found[:_MAX_FILES]
    return []


def _indexed(folder: Path, index: Path) -> tuple[list[Path], dict[str, str]]:
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(v, str) for v in places.values()):
        raise damaged(index, "it has no weight_map")
    names = list(dict.fromkeys(places.values()))
    for name in names:
        if Path(name).name != name or not name.endswith((".bin", ".safetensors")):
            raise damaged(index, f"its weight_map names the file {name!r}")
        if not (folder / name).is_file():
            raise UserError(f"{folder / name} is missing; copy all {len(names)} parts of the model there.")
    if len(names) > _MAX_FILES:
        raise damaged(index, f"its weight_map names {len(names)} files")
    return [folder / name for name in sorted(names)], places
