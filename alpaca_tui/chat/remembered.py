"""What the program remembers by itself from one start to the next: the models that were opened, newest first,
and that it was introduced.

A small JSON file in the data folder, `remembered.json`. Nobody misses it much: a file that is damaged counts
as empty, one that cannot be written is left.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

from alpaca_tui.chat.atomic import write_text

NAME = "remembered.json"
MAX_BYTES = 1 << 20
MAX_MODELS = 50


@dataclass(frozen=True)
class Opened:
    """A model that was opened, and when last (seconds since 1970). `guide`: the one that ships."""

    path: Path
    when: float
    guide: bool = False


class Remembered:
    """`file` None: remembered as long as the program runs."""

    def __init__(self, file: Path | None = None) -> None:
        self.file = file
        self.models, self.introduced = _read(file) if file else ([], False)

    def opened(self, path: Path, guide: bool = False) -> None:
        """A model was opened just now. What another program remembered meanwhile stays."""
        path = path.absolute()
        others, introduced = _read(self.file) if self.file else (self.models, self.introduced)
        self.introduced = self.introduced or introduced
        others = [opened for opened in others if opened.path != path]
        self.models = [Opened(path, time.time(), guide), *others][:MAX_MODELS]
        self._write()

    def introduce(self) -> None:
        """The page for the first start was shown."""
        if self.file:
            self.models, _ = _read(self.file)
        self.introduced = True
        self._write()

    @property
    def last(self) -> Opened | None:
        return self.models[0] if self.models else None

    def _write(self) -> None:
        if self.file is None:
            return
        entries = [{"path": str(m.path), "when": m.when, "guide": m.guide} for m in self.models]
        # ASCII, so that a file name that is no UTF-8 is kept as well
        with contextlib.suppress(OSError):
            write_text(self.file, json.dumps({"introduced": self.introduced, "models": entries}, indent=1))


def _read(file: Path) -> tuple[list[Opened], bool]:
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
        data = json.loads(raw[:MAX_BYTES].decode("utf-8"))
        return [_opened(entry) for entry in data["models"][:MAX_MODELS]], data.get("introduced") is True
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return [], False


def _opened(entry: dict[str, object]) -> Opened:
    path, when, guide = entry["path"], entry["when"], entry["guide"]
    if not isinstance(path, str) or not path or "\0" in path or not isinstance(when, int | float):
        raise ValueError("no entry of ours")
    return Opened(Path(path), float(when), guide is True)
