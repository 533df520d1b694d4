"""The one thread that touches the file of conversations.

`archive.run(function, ...)` calls `function(connection, ...)` there and returns a future: the screen never
waits for a disk. Several programs may have the same file open; each write is a short transaction, and
SQLite's log (WAL) lets the others read meanwhile.

Where the file cannot be opened, the same tables are made in memory: everything works as before, until the
program ends. `trouble` then says why.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from alpaca_tui.chat.store import search
from alpaca_tui.chat.store.schema import check_version, migrate
from alpaca_tui.chat.store.trouble import StoreTroubleError, trouble_of

logger = logging.getLogger(__name__)

FILE_NAME = "chats.db"
BUSY_SECONDS = 4.0  # how long a write waits for another program's
CACHE_KIB = 16 << 10
LOG_BYTES = 16 << 20  # the write-ahead log is cut back to this size after it was larger

P = ParamSpec("P")
R = TypeVar("R")


def connect(path: Path | str, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Opens the file, made and brought to the newest version where needed.

    A commit is on the disk when it returns (synchronous = FULL), so that not even a power failure takes back
    what was saved. Raises StoreTroubleError, sqlite3.Error or OSError.
    """
    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)
    try:
        check_version(connection)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        migrate(connection)
        search.prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


class Archive:
    """`folder` None: in memory only. `first` is True if no other program had the file open before."""

    def __init__(self, folder: Path | None) -> None:
        self.path = folder / FILE_NAME if folder is not None else None
        self.trouble: StoreTroubleError | None = None
        self.first = False
        self._connection: sqlite3.Connection | None = None
        self._guard: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="archive")

    def run(
        self,
        function: Callable[Concatenate[sqlite3.Connection, P], R],
        *args: P.args,
        **keywords: P.kwargs,
    ) -> Future[R]:
        """What the future raises is StoreTroubleError, or what `function` raises on purpose."""

        def job() -> R:
            try:
                return function(self._open(), *args, **keywords)
            except sqlite3.Error as error:
                logger.warning("%s: %s", function.__name__, error)
                raise trouble_of(error, self.path) from error

        return self._thread.submit(job)

    def close(self) -> None:
        """Waits for what was begun, and closes the file."""
        with contextlib.suppress(RuntimeError):  # closed before
            self._thread.submit(self._close)
        self._thread.shutdown()

    # --- in the thread -------------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                if self.path is None:
                    self._connection = connect(":memory:")
                else:
                    self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                    self._connection = connect(self.path)
                    self._stand_guard(self.path.with_name("open.db"))
            except (sqlite3.Error, OSError, StoreTroubleError) as error:
                self.trouble = trouble_of(error, self.path)
                logger.warning("%s", self.trouble)
                self._connection = connect(":memory:")
        return self._connection

    def _stand_guard(self, path: Path) -> None:
        """Holds a lock as long as the program lives, however it ends: the first program takes up what an
        earlier one left unfinished, a second one must not."""
        try:
            self._guard = sqlite3.connect(path, timeout=0, isolation_level=None)
            self._guard.execute("BEGIN EXCLUSIVE")
            self.first = True
        except sqlite3.Error:
            self.first = False

    def _close(self) -> None:
        for connection in (self._connection, self._guard):
            if connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    connection.close()
        self._connection = self._guard = None
