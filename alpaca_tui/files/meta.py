"""Folders of Meta's layout: consolidated.00.pth and its further shards, and params.json."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alpaca_tui.errors import UserError
from alpaca_tui.files.json_object import number, read_json, whole_number

_MAX_SHARDS = 64


def shard_paths(folder: Path) -> list[Path]:
    """consolidated.00.pth, consolidated.01.pth, ... of a folder; empty where there is none.

    Raises UserError where one is missing between others.
    """
    found = sorted(p for p in folder.glob("consolidated.*.pth") if p.name.split(".")[1].isdigit())
    expected = [folder / f"consolidated.{i:02d}.pth" for i in range(len(found))]
    for path, wanted in zip(found, expected, strict=True):
        if path != wanted:
            raise UserError(
                f"{wanted} is missing, and {path.name} is there; copy all parts of the model into one folder."
            )
    if len(found) > _MAX_SHARDS:
        raise UserError(f"{folder} has {len(found)} files consolidated.*.pth; give the folder of one model.")
    return found


@dataclass(frozen=True)
class Params:
    """params.json of Meta's layout. `vocab_size` may be -1: whatever the tokenizer has."""

    dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    multiple_of: int
    norm_eps: float
    vocab_size: int
    rope_theta: float


def read_params(path: Path) -> Params:
    """Read params.json. Raises UserError for one that is missing or says what cannot be."""
    values = read_json(path)
    if values.get("moe"):
        raise UserError(f"{path} describes a mixture of experts; use a dense LLaMA model.")
    vocab_size, n_heads = values.get("vocab_size"), whole_number(path, values, "n_heads")
    return Params(
        dim=whole_number(path, values, "dim"),
        n_layers=whole_number(path, values, "n_layers"),
        n_heads=n_heads,
        n_kv_heads=whole_number(path, values, "n_kv_heads", n_heads),
        multiple_of=whole_number(path, values, "multiple_of", 256),
        norm_eps=number(path, values, "norm_eps", 1e-6),
        vocab_size=vocab_size if type(vocab_size) is int else -1,
        rope_theta=number(path, values, "rope_theta", 10000.0),
    )
