"""What can be wrong with the file that conversations are kept in."""

from __future__ import annotations

import enum
import sqlite3
from pathlib import Path


class Trouble(enum.Enum):
    FULL = "full"
    LOCKED = "locked"
    DAMAGED = "damaged"
    DENIED = "denied"
    NEWER = "newer"
    OTHER = "other"


SENTENCES = {
    Trouble.FULL: "The disk of {path} is full; make room, and what is not saved yet will be.",
    Trouble.LOCKED: "{path} is locked by another program; what is not saved yet will be once it is free.",
    Trouble.DAMAGED: "{path} is damaged; move it away, and the next start makes a new one.",
    Trouble.DENIED: "{path} cannot be written; check who owns the folder and whether it is read-only.",
    Trouble.NEWER: "{path} was made by a newer version of alpaca-tui; update to open it.",
    Trouble.OTHER: "{path} cannot be used: {detail}.",
}
_KINDS = {
    sqlite3.SQLITE_FULL: Trouble.FULL,
    sqlite3.SQLITE_BUSY: Trouble.LOCKED,
    sqlite3.SQLITE_LOCKED: Trouble.LOCKED,
    sqlite3.SQLITE_CORRUPT: Trouble.DAMAGED,
    sqlite3.SQLITE_NOTADB: Trouble.DAMAGED,
    sqlite3.SQLITE_READONLY: Trouble.DENIED,
    sqlite3.SQLITE_CANTOPEN: Trouble.DENIED,
    sqlite3.SQLITE_PERM: Trouble.DENIED,
}


class StoreTroubleError(Exception):
    """Conversations cannot be read or written; `sentence()` says why and what to do."""

    def __init__(self, kind: Trouble, path: Path | None = None, detail: str = "") -> None:
        super().__init__(kind.value, path, detail)
        self.kind, self.path, self.detail = kind, path, detail

    def sentence(self) -> str:
        return SENTENCES[self.kind].format(path=self.path, detail=self.detail)

    def __str__(self) -> str:
        return self.sentence()


def trouble_of(error: BaseException, path: Path | None) -> StoreTroubleError:
    """What an error of SQLite, or of the system while the file was opened, means."""
    if isinstance(error, StoreTroubleError):
        return StoreTroubleError(error.kind, path, error.detail)
    if isinstance(error, PermissionError):
        return StoreTroubleError(Trouble.DENIED, path)
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        kind = _KINDS.get(code & 0xFF, Trouble.OTHER)  # the low byte of an extended code
    else:
        kind = Trouble.FULL if getattr(error, "errno", None) == 28 else Trouble.OTHER  # ENOSPC
    return StoreTroubleError(kind, path, getattr(error, "strerror", None) or str(error))
