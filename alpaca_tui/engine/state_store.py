"""A folder of saved states, found again by what they hold; the oldest go when it has grown too large.

Files are whole or not there, named by model and settings, and may be used by several programs at once: what
another one removes or replaces meanwhile is simply not found. They hold what was said, so that the folder is
for its owner alone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from alpaca_tui import system
from alpaca_tui.engine.state import Identity
from alpaca_tui.errors import UserError
from alpaca_tui.files.state_file import Head, read_head

LIMIT = 4 * 10**9  # bytes of all states
MOST = 200  # states of one model that are looked at, latest first
FREE_SHARE = 4  # at most a quarter of what is free on the disk is taken
STALE_SECONDS = 3600.0  # after which an unfinished file is that of a program that has ended


class StateStore:
    """The states in `folder`, by default in the user's cache; at most `limit` bytes of them."""

    def __init__(self, folder: Path | None = None, limit: int = LIMIT) -> None:
        self._folder = folder or system.cache_dir() / "states"
        self._limit = limit

    def states(self, who: Identity) -> Iterator[tuple[Path, Head]]:
        """The states of this model with these settings, latest first. Damaged ones are removed."""
        for path in self._files(f"{who.key}-*.state")[:MOST]:
            try:
                head = read_head(path)
            except UserError:
                _remove(path)
                continue
            if (head.digest, head.settings) == (who.digest, who.settings):
                yield path, head

    def new_path(self, who: Identity) -> Path:
        """Where a new state may be written, in a folder that is there. Raises UserError where none can be."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise UserError(f"{self._folder} cannot be made: {error.strerror or error}.") from None
        return self._folder / f"{who.key}-{uuid.uuid4().hex[:16]}.state"

    def fits(self, n_bytes: int) -> bool:
        """May a state of this size be kept at all?"""
        return n_bytes <= self._room()

    def used(self, path: Path) -> None:
        """This state is now the latest."""
        with contextlib.suppress(OSError):
            os.utime(path)

    def remove(self, path: Path) -> None:
        _remove(path)

    def prune(self) -> None:
        """Removes the oldest states, down to the limit, and what a program that crashed has left behind."""
        room = self._room()
        for path in self._files("*.state"):
            with contextlib.suppress(OSError):
                room -= path.stat().st_size
            if room < 0:
                _remove(path)
        for path in self._files(".*.part"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > STALE_SECONDS:
                    _remove(path)

    def _room(self) -> int:
        """Bytes that all states together may take."""
        try:
            free = shutil.disk_usage(self._folder).free
        except OSError:
            return self._limit
        held = 0
        for path in self._files("*.state"):
            with contextlib.suppress(OSError):
                held += path.stat().st_size
        return min(self._limit, (free + held) // FREE_SHARE)

    def _files(self, pattern: str) -> list[Path]:
        """Latest first."""
        found = []
        with contextlib.suppress(OSError):
            for path in self._folder.glob(pattern):
                with contextlib.suppress(OSError):
                    found.append((path.stat().st_mtime_ns, path))
        return [path for _, path in sorted(found, reverse=True)]


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # another program was faster, or has it open
        path.unlink()
