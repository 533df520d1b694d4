"""Reading a file that may be cut short, damaged or hostile: every length is checked before it is believed."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from alpaca_tui.errors import UserError


class CutShortError(UserError):
    """The file ends before what it announces."""

    def __init__(self, path: Path, inside: str, missing: int, at_least: bool = True) -> None:
        few = "at least " if at_least else ""
        count = f"{missing:,} byte{' is' if missing == 1 else 's are'}"
        super().__init__(
            f"{path} is incomplete: it ends inside {inside} and {few}{count} missing; download or copy it "
            "again."
        )


def damaged(path: Path, what: str) -> UserError:
    """The error for contents that no program can have meant."""
    return UserError(f"{path} is damaged: {what}; download or copy it again.")


class Cursor:
    """A place in a buffer, moving forward. `inside` names the part being read, for error messages."""

    def __init__(self, path: Path, data: Any, size: int, pos: int = 0) -> None:
        self.path, self.data, self.size, self.pos = path, data, size, pos
        self.inside = "its header"

    @property
    def left(self) -> int:
        return self.size - self.pos

    def need(self, count: int) -> None:
        """CutShortError unless `count` more bytes are there."""
        if count > self.left:
            raise CutShortError(self.path, self.inside, count - self.left)

    def take(self, count: int) -> bytes:
        """The next `count` bytes, copied."""
        self.need(count)
        start = self.pos
        self.pos += count
        return bytes(self.data[start : self.pos])

    def skip(self, count: int) -> None:
        self.need(count)
        self.pos += count

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        self.need(layout.size)
        values = layout.unpack_from(self.data, self.pos)
        self.pos += layout.size
        return values

    def align(self, alignment: int) -> None:
        """Move to the next multiple of `alignment`, counted from the file's start; may pass its end."""
        self.pos += -self.pos % alignment

    def damaged(self, what: str) -> UserError:
        return damaged(self.path, what)
