"""Reading the small JSON files beside a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alpaca_tui.errors import UserError

_MAX_SIZE = 64 << 20


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises UserError for a file that is missing, huge or none."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_SIZE + 1)
        values = json.loads(data) if len(data) <= _MAX_SIZE else None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise UserError(f"{path} is no JSON object; get the file again.")
    return values


def number(path: Path, values: Mapping[str, Any], key: str, default: float | None = None) -> float:
    """The positive number under `key`; `default` where there is none. UserError for anything else."""
    value: Any = values.get(key)
    value = default if value is None else value
    if type(value) not in (int, float) or not 0 < value < 1 << 31:
        raise UserError(f"{path} says {key} = {value!r}, which is impossible; get the model's own file.")
    return float(value)


def whole_number(path: Path, values: Mapping[str, Any], key: str, default: int | None = None) -> int:
    """The positive whole number under `key`; `default` where there is none. UserError for anything else."""
    value = number(path, values, key, default)
    if value != int(value):
        raise UserError(f"{path} says {key} = {value!r}, which is impossible; get the model's own file.")
    return int(value)
