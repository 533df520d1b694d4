"""Reading the small JSON files beside a checkpoint."""

from __future__ import annotations

import json
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
