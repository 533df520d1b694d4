"""The tables, as numbered steps: a file of any version is brought to the newest one by those it has not seen.

The number of steps that a file has seen is its `user_version`. A step that was released is never changed;
each has a file of its time in tests/chat/store/files, which the newest program must read.

A message's id is its chat's, shifted left by `CHAT_SHIFT`, plus its own number within the chat: messages of
one chat lie together on the disk, are read by a range of ids, and a search finds a chat without looking into
`messages`.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from alpaca_tui.chat.store.trouble import StoreTroubleError, Trouble

CHAT_SHIFT = 24
MAX_NUMBER = (1 << CHAT_SHIFT) - 1  # of a message within its chat
APPLICATION_ID = 0x616C7063  # "alpc"

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE chats (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            key TEXT NOT NULL UNIQUE,
            title TEXT NOT NULL DEFAULT '',            -- the user's own
            first_question TEXT NOT NULL DEFAULT '',   -- its beginning, the title where there is no other
            pinned INTEGER NOT NULL DEFAULT 0,
            created REAL NOT NULL,                     -- times are seconds since 1970
            updated REAL NOT NULL,
            deleted REAL,
            shown INTEGER,                             -- number of the first message of the path on screen
            draft TEXT NOT NULL DEFAULT '',
            waiting TEXT NOT NULL DEFAULT '[]',        -- JSON: messages that were not sent yet
            choices TEXT NOT NULL DEFAULT '{}'         -- JSON: what was set for this chat only
        )
        """,
        "CREATE INDEX chats_by_time ON chats (pinned DESC, updated DESC)",
        "CREATE TABLE settings (id INTEGER PRIMARY KEY, json TEXT NOT NULL UNIQUE)",
        """
        CREATE TABLE messages (
            id INTEGER PRIMARY KEY,
            chat INTEGER NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
            parent INTEGER REFERENCES messages (id) ON DELETE CASCADE,
            role TEXT NOT NULL,
            state TEXT NOT NULL,
            reason TEXT,
            ended INTEGER NOT NULL DEFAULT 0,
            edited INTEGER NOT NULL DEFAULT 0,
            by_guide INTEGER NOT NULL DEFAULT 0,
            created REAL NOT NULL,
            deleted REAL,                              -- with all below it
            shown INTEGER,                             -- number of the message that is on screen below it
            model TEXT NOT NULL DEFAULT '',
            settings INTEGER REFERENCES settings (id),
            stats TEXT,                                -- JSON: counts, speeds and the seed
            note TEXT NOT NULL DEFAULT '',
            text TEXT NOT NULL,
            tokens BLOB,                               -- ids as 32-bit little-endian; NULL: unknown
            CHECK (id >> 24 = chat)
        )
        """,
        "CREATE INDEX messages_of_chat ON messages (chat)",
        "CREATE INDEX messages_below ON messages (parent)",
        "CREATE INDEX messages_in_work ON messages (id) WHERE state = 'streaming'",
        "CREATE INDEX messages_deleted ON messages (deleted) WHERE deleted IS NOT NULL",
    ),
    (
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
        "ALTER TABLE messages ADD COLUMN indexed INTEGER NOT NULL DEFAULT 0",  # is it in the search index?
        "CREATE INDEX messages_unindexed ON messages (id) WHERE indexed = 0 AND deleted IS NULL",
    ),
)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing. Waits for other programs at its beginning, and never in the middle."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # a full disk has rolled it back already
            connection.execute("ROLLBACK")
        raise


def check_version(connection: sqlite3.Connection) -> None:
    """Raises StoreTroubleError for a file that a newer program made; it is not touched."""
    if _version(connection) > len(MIGRATIONS):
        raise StoreTroubleError(Trouble.NEWER)


def migrate(connection: sqlite3.Connection) -> None:
    """Brings the file to the newest version, or not at all."""
    if _version(connection) == len(MIGRATIONS):
        return
    with transaction(connection):  # another program may be doing the same
        done = _version(connection)
        for statement in (statement for step in MIGRATIONS[done:] for statement in step):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
