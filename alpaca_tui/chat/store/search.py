"""Finding chats by what stands in them, while the user types.

SQLite's full-text index (FTS5) takes a run without spaces as one word, and so never finds 天气 in a sentence;
its trigrams need three characters, and most Chinese words have two. Here the text is cut into terms before
SQLite sees it: words as they are, Chinese and its neighbours into pairs of characters. The index holds for
each message which terms it has, and nothing else: neither the text nor where in it they stand.

Where SQLite was built without FTS5, and for messages that are not in the index yet, the texts themselves are
looked through: slower, with the same result but for letters beyond ASCII, whose case then counts.
"""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from functools import cache

from alpaca_tui.chat.store.schema import CHAT_SHIFT, MAX_NUMBER, transaction

INDEX_VERSION = "1"  # another one has the index made anew: to be raised when `terms` changes
MAX_TERM = 40  # characters; a longer word is found by its beginning
MAX_WORDS = 8  # of a query that are looked at
CATCH_UP = 500  # messages that are indexed at once

UNINDEXED, EVERYWHERE = "indexed = 0 AND deleted IS NULL", "deleted IS NULL"

# Scripts without spaces between words (and Hangul, where what is looked for is often a part of a word).
_WIDE = (
    "\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_RUN = re.compile(rf"[{_WIDE}]+|[^\W{_WIDE}]+")
_IS_WIDE = re.compile(rf"[{_WIDE}]")


def terms(text: str) -> list[str]:
    """What the index knows a text by, each once. Full-width letters are as narrow ones, capitals as small."""
    found: dict[str, None] = {}
    for run in _RUN.findall(unicodedata.normalize("NFKC", text).casefold()):
        if _IS_WIDE.match(run):
            found |= dict.fromkeys(run[i : i + 2] for i in range(len(run)))  # the last one alone
        else:
            found[run[:MAX_TERM]] = None
    return list(found)


def query(word: str) -> str:
    """The FTS5 expression for a word as far as it is typed; empty where there is nothing to go by."""
    parts: list[str] = []
    for run in _RUN.findall(unicodedata.normalize("NFKC", word).casefold()):
        if _IS_WIDE.match(run) and len(run) > 1:
            parts += [f'"{run[i : i + 2]}"' for i in range(len(run) - 1)]
        else:
            parts.append(f'"{run[:MAX_TERM]}" *')
    return " AND ".join(parts)


# --- the index ---------------------------------------------------------------------------------------------


@cache
def available() -> bool:
    """Can this SQLite keep such an index?"""
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("CREATE VIRTUAL TABLE words USING fts5 (terms)")
    except sqlite3.OperationalError:
        return False
    finally:
        connection.close()
    return True


def prepare(connection: sqlite3.Connection) -> None:
    """Makes the index where there is none that fits. A program that cannot keep it up marks it as unfit."""
    wanted = INDEX_VERSION if available() else ""
    if _meta(connection) == wanted:
        return
    with transaction(connection):
        if available() and _meta(connection) != wanted:
            connection.execute("DROP TABLE IF EXISTS words")
            connection.execute(
                "CREATE VIRTUAL TABLE words USING fts5 (terms, content='', detail=none, prefix='1 2', "
                "tokenize=\"unicode61 remove_diacritics 2 tokenchars '_'\")"
            )
            connection.execute("UPDATE messages SET indexed = 0 WHERE indexed")
            for chat, title in connection.execute("SELECT id, title FROM chats WHERE title <> ''").fetchall():
                _insert(connection, chat << CHAT_SHIFT, title)
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('search', ?)", (wanted,))


def _meta(connection: sqlite3.Connection) -> str:
    row = connection.execute("SELECT value FROM meta WHERE name = 'search'").fetchone()
    return str(row[0]) if row else ""


def catch_up(connection: sqlite3.Connection, limit: int = CATCH_UP) -> bool:
    """Indexes some of the messages that are not yet, after an update. True if there may be more."""
    if not available():
        return False
    with transaction(connection):
        sql = f"SELECT id, text FROM messages WHERE {UNINDEXED} AND state <> 'streaming' LIMIT ?"
        rows = connection.execute(sql, (limit,)).fetchall()
        for row, text in rows:
            add(connection, row, text)
    return len(rows) == limit


def add(connection: sqlite3.Connection, row: int, text: str) -> None:
    """Indexes a message, or the title of a chat (number 0), unless it is."""
    if not available():
        return
    if row & MAX_NUMBER:
        sql = "UPDATE messages SET indexed = 1 WHERE id = ? AND indexed = 0"
        if not connection.execute(sql, (row,)).rowcount:
            return
    _insert(connection, row, text)


def drop(connection: sqlite3.Connection, row: int, unless: str | None = None) -> None:
    """Takes a message out of the index as its text is in the table, unless that is `unless`."""
    if not available():
        return
    found = connection.execute("SELECT text FROM messages WHERE id = ? AND indexed", (row,)).fetchone()
    if found is None or found[0] == unless:
        return
    _delete(connection, row, found[0])
    connection.execute("UPDATE messages SET indexed = 0 WHERE id = ?", (row,))


def add_stored(connection: sqlite3.Connection, row: int) -> None:
    """Indexes a message by what the table has."""
    found = connection.execute("SELECT text FROM messages WHERE id = ?", (row,)).fetchone()
    if found is not None:
        add(connection, row, found[0])


def replace_title(connection: sqlite3.Connection, chat: int, old: str, new: str) -> None:
    if available():
        if old:
            _delete(connection, chat << CHAT_SHIFT, old)
        if new:
            _insert(connection, chat << CHAT_SHIFT, new)


def _insert(connection: sqlite3.Connection, row: int, text: str) -> None:
    connection.execute("INSERT INTO words (rowid, terms) VALUES (?, ?)", (row, " ".join(terms(text))))


def _delete(connection: sqlite3.Connection, row: int, text: str) -> None:
    sql = "INSERT INTO words (words, rowid, terms) VALUES ('delete', ?, ?)"
    connection.execute(sql, (row, " ".join(terms(text))))


# --- finding -----------------------------------------------------------------------------------------------


def find(connection: sqlite3.Connection, text: str) -> dict[int, int]:
    """The chats that have each of the words of `text`, with the id of a message that has the first."""
    found: dict[int, int] | None = None
    for word in text.split()[:MAX_WORDS]:
        these = _find_word(connection, word)
        found = these if found is None else {chat: row for chat, row in found.items() if chat in these}
    return found or {}


def _find_word(connection: sqlite3.Connection, word: str) -> dict[int, int]:
    expression = query(word) if available() else ""
    found = _look_through(connection, word, UNINDEXED if expression else EVERYWHERE)
    if expression:
        sql = f"SELECT rowid >> {CHAT_SHIFT}, max(rowid) FROM words WHERE words MATCH ? GROUP BY 1"
        found |= dict(connection.execute(sql, (expression,)))
    return found


def _look_through(connection: sqlite3.Connection, word: str, which: str) -> dict[int, int]:
    pattern = "%" + re.sub(r"([%_\\])", r"\\\1", word) + "%"
    # The plus keeps SQLite from walking through all messages in the order of their chats.
    sql = f"SELECT chat, max(id) FROM messages WHERE {which} AND text LIKE ? ESCAPE '\\' GROUP BY +chat"
    found = dict(connection.execute(sql, (pattern,)))
    if which == EVERYWHERE:
        titles = connection.execute("SELECT id, id FROM chats WHERE title LIKE ? ESCAPE '\\'", (pattern,))
        found = {chat: chat << CHAT_SHIFT for chat, _ in titles} | found
    return found
