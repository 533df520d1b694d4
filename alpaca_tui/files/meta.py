"""Folders of Meta's layout: consolidated.00.pth and its further shards, and params.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alpaca_tui.errors import UserError
from alpaca_tui.files.json_object import read_json

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
    moe = values.get("moe")
    if moe:
        raise UserError(f"{path} describes a mixture of experts; use a dense LLaMA model.")
    number = _checked(path, values, int)
    n_heads = number("n_heads", None)
    return Params(
        dim=number("dim", None),
        n_layers=number("n_layers", None),
        n_heads=n_heads,
        n_kv_heads=number("n_kv_heads", n_heads),
        multiple_of=number("multiple_of", 256),
        norm_eps=_checked(path, values, float)("norm_eps", 1e-6),
        vocab_size=int(values.get("vocab_size", -1)) if type(values.get("vocab_size", -1)) is int else -1,
        rope_theta=_checked(path, values, float)("rope_theta", 10000.0),
    )


def _checked(path: Path, values: Mapping[str, Any], kind: type) -> Callable[[str, Any], Any]:
    def look_up(key: str, default: Any) -> Any:
        value = values.get(key)
        value = default if value is None else value
        good = type(value) is int or (kind is float and type(value) is float)
        if not good or not 0 < value < 1 << 31:
            raise UserError(f"{path} says {key} = {value!r}, which is impossible; get the model's own file.")
        return kind(value)

    return look_up
