"""Reading conversations, and what is done to a whole one: each a function of a connection."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any

from alpaca_tui.chat.conversation import Conversation, Message, MessageState, Role
from alpaca_tui.chat.store import search
from alpaca_tui.chat.store.saving import Place, as_new, below, save, unpack
from alpaca_tui.chat.store.schema import CHAT_SHIFT, MAX_NUMBER, transaction
from alpaca_tui.engine.protocol import FinishReason, Stats

KEPT_DAYS = 7  # for which what was deleted can be brought back
NEWEST = 3  # chats that the start offers
RECENT_CHATS, RECENT = 20, 200  # of these chats so many questions, for Up in the prompt


@dataclass(frozen=True)
class Summary:
    """A row of the list. `title` is the user's or the first question's beginning; without either there is
    only a draft. `updated` is in seconds since 1970."""

    id: int
    key: str
    title: str
    pinned: bool
    updated: float
    draft: str = ""


_SUMMARY = "id, key, CASE WHEN title <> '' THEN title ELSE first_question END, pinned, updated, draft"


def summaries(connection: sqlite3.Connection) -> list[Summary]:
    """All chats, pinned ones first, then the newest."""
    sql = f"SELECT {_SUMMARY} FROM chats WHERE deleted IS NULL ORDER BY pinned DESC, updated DESC, id DESC"
    return _rows(connection.execute(sql))


def matching(connection: sqlite3.Connection, words: str) -> list[Summary]:
    """The chats whose title or messages have each of the words, in the same order."""
    found = search.find(connection, words)
    return [chat for chat in summaries(connection) if chat.id in found]


def _rows(rows: Iterable[tuple[Any, ...]]) -> list[Summary]:
    return [Summary(row[0], row[1], row[2], bool(row[3]), row[4], row[5]) for row in rows]


def newest(connection: sqlite3.Connection) -> list[Summary]:
    """A few chats, those that were talked in last."""
    sql = (
        f"SELECT {_SUMMARY} FROM chats WHERE deleted IS NULL AND (first_question <> '' OR title <> '') "
        "ORDER BY updated DESC LIMIT ?"
    )
    return _rows(connection.execute(sql, (NEWEST,)))


def texts(connection: sqlite3.Connection, messages: Iterable[int]) -> dict[int, str]:
    """The texts of messages by their ids in the file, for showing where a search found something."""
    sql = "SELECT text FROM messages WHERE id = ?"
    found = ((row, connection.execute(sql, (row,)).fetchone()) for row in messages)
    return {row: text[0] for row, text in found if text}


def load(connection: sqlite3.Connection, chat: int) -> tuple[Conversation, Place] | None:
    """A conversation and its place; None if it is gone. A reply that nobody finished counts as stopped."""
    sql = (
        "SELECT key, title, pinned, created, shown, draft, waiting, choices FROM chats "
        "WHERE id = ? AND deleted IS NULL"
    )
    head = connection.execute(sql, (chat,)).fetchone()
    if head is None:
        return None
    key, title, pinned, created, shown, draft, waiting, choices = head
    conversation = Conversation(key)
    conversation.title, conversation.pinned, conversation.created = title, bool(pinned), created
    conversation.draft = draft
    conversation.waiting = [text for text in _json(waiting, list) if isinstance(text, str)]
    conversation.choices = _json(choices, dict)
    place = Place(chat)
    _load_messages(connection, conversation, place, shown)
    return conversation, place


_COLUMNS = (
    "id, parent, role, text, state, reason, ended, edited, note, model, by_guide, settings, stats, tokens, "
    "created, shown, deleted"
)


def _load_messages(
    connection: sqlite3.Connection, conversation: Conversation, place: Place, first: int | None
) -> None:
    assert place.chat is not None
    ends = (place.chat << CHAT_SHIFT, (place.chat << CHAT_SHIFT) + MAX_NUMBER)
    settings: dict[int, Any] = {}
    shown: list[tuple[int | None, int | None]] = [(None, first)]
    sql = f"SELECT {_COLUMNS} FROM messages WHERE id BETWEEN ? AND ? ORDER BY id"
    for row in connection.execute(sql, ends).fetchall():
        number, parent = row[0] & MAX_NUMBER, None if row[1] is None else row[1] & MAX_NUMBER
        place.known.add(number)
        if row[16] is not None or (parent is not None and parent not in conversation):
            conversation.skip(number)  # deleted, or below what is
            continue
        message = _message(number, parent, row)
        if row[11] is not None:
            if row[11] not in settings:
                found = connection.execute("SELECT json FROM settings WHERE id = ?", (row[11],)).fetchone()
                settings[row[11]] = _json(found[0] if found else "", dict)
            message.settings = settings[row[11]]
        conversation.add(message)
        shown.append((number, row[15]))
    for above, child in shown:
        if child is None or child in conversation:
            conversation.show(above, child)


# Looked up: an enumeration's own call would take a tenth of the time in which a long chat is read.
_ROLES = {role.value: role for role in Role}
_STATES = {state.value: state for state in MessageState}
_REASONS = {reason.value: reason for reason in FinishReason}


class _Read(Message):
    """A message from the file, whose numbers are taken apart when they are asked for: that is a third of the
    work of reading a long chat, for the few messages that come on the screen."""

    _numbers: str | Stats | None

    @property
    def stats(self) -> Stats | None:
        if isinstance(self._numbers, str):
            self._numbers = _stats(self._numbers)
        return self._numbers

    @stats.setter
    def stats(self, stats: str | Stats | None) -> None:
        self._numbers = stats


def _message(number: int, parent: int | None, row: tuple[Any, ...]) -> Message:
    state = _STATES[row[4]]
    crashed = state is MessageState.STREAMING
    return _Read(
        id=number,
        parent=parent,
        role=_ROLES[row[2]],
        text=row[3],
        tokens=None if crashed else unpack(row[13]),
        state=MessageState.STOPPED if crashed else state,
        ended=bool(row[6]),
        model=row[9],
        reason=FinishReason.STOPPED if crashed else (_REASONS[row[5]] if row[5] else None),
        stats=row[12],
        note=row[8],
        by_guide=bool(row[10]),
        edited=bool(row[7]),
        created=row[14],
    )


_STATS = {field.name for field in fields(Stats)}
_NUMBERS = {int, float}


def _stats(text: str) -> Stats:
    """Of another version's numbers those that are still known."""
    values: dict[str, Any] = _json(text, dict)
    if not values.keys() <= _STATS or not set(map(type, values.values())) <= _NUMBERS:
        values = {k: v for k, v in values.items() if k in _STATS and type(v) in _NUMBERS}
    return Stats(**values)


def _json(text: str, kind: type[Any]) -> Any:
    """What the text says, if it is of this kind; else an empty one."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return kind()
    return value if isinstance(value, kind) else kind()


# --- to a whole chat ---------------------------------------------------------------------------------------


def rename(connection: sqlite3.Connection, chat: int, title: str) -> None:
    """An empty title brings the automatic one back."""
    with transaction(connection):
        row = connection.execute("SELECT title FROM chats WHERE id = ?", (chat,)).fetchone()
        if row is not None:
            search.replace_title(connection, chat, row[0], title)
            connection.execute("UPDATE chats SET title = ? WHERE id = ?", (title, chat))


def rename_key(connection: sqlite3.Connection, key: str, title: str) -> None:
    row = connection.execute("SELECT id FROM chats WHERE key = ?", (key,)).fetchone()
    if row is not None:
        rename(connection, int(row[0]), title)


def pin(connection: sqlite3.Connection, chat: int, pinned: bool) -> None:
    connection.execute("UPDATE chats SET pinned = ? WHERE id = ?", (pinned, chat))


def delete(connection: sqlite3.Connection, chat: int) -> None:
    """Takes a chat out of the list; `undelete` brings it back, for `KEPT_DAYS` days."""
    connection.execute("UPDATE chats SET deleted = ? WHERE id = ?", (time.time(), chat))


def undelete(connection: sqlite3.Connection, chat: int | None = None) -> int | None:
    """Brings back a chat, or the one that was deleted last. Returns its id; None where there is none."""
    with transaction(connection):
        if chat is None:
            sql = "SELECT id FROM chats WHERE deleted IS NOT NULL ORDER BY deleted DESC LIMIT 1"
            row = connection.execute(sql).fetchone()
            if row is None:
                return None
            chat = int(row[0])
        connection.execute("UPDATE chats SET deleted = NULL WHERE id = ?", (chat,))
    return chat


def add(connection: sqlite3.Connection, conversation: Conversation) -> int:
    """A whole conversation, as a new chat. Returns its id."""
    snapshot = as_new(conversation)
    save(connection, snapshot)
    if snapshot.place.chat is None:
        raise ValueError("there is nothing in this conversation")
    return snapshot.place.chat


def duplicate(connection: sqlite3.Connection, chat: int, title: str) -> int | None:
    """A copy of a chat with a title of its own. Returns its id; None if the chat is gone."""
    loaded = load(connection, chat)
    if loaded is None:
        return None
    copied = loaded[0].copy()
    copied.title = title
    return add(connection, copied)


def newest_but(connection: sqlite3.Connection, key: str) -> int | None:
    """The chat that was talked in last, this one aside."""
    sql = (
        "SELECT id FROM chats WHERE deleted IS NULL AND key <> ? AND (first_question <> '' OR title <> '') "
        "ORDER BY updated DESC LIMIT 1"
    )
    row = connection.execute(sql, (key,)).fetchone()
    return None if row is None else int(row[0])


# --- at the start ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Beginning:
    """What a start shows: the chat that was left unfinished, the newest ones, what was asked before."""

    unfinished: tuple[Conversation, Place] | None
    newest: list[Summary]
    questions: list[str]


def begin(connection: sqlite3.Connection, first: Callable[[], bool]) -> Beginning:
    """`first`: is this the only program on the file? Else what is unfinished belongs to another one."""
    left = None
    if first():
        chat = unfinished(connection)
        settle(connection)
        left = load(connection, chat) if chat is not None else None
    return Beginning(left, newest(connection), recent_questions(connection))


def unfinished(connection: sqlite3.Connection) -> int | None:
    """The newest chat that a program left with something unsent, or in the middle of a reply."""
    sql = """
        SELECT id FROM chats WHERE deleted IS NULL AND (
            draft <> '' OR waiting <> '[]' OR choices LIKE '%"editing"%'
            OR id IN (SELECT chat FROM messages WHERE state = 'streaming')
        ) ORDER BY updated DESC LIMIT 1
    """
    row = connection.execute(sql).fetchone()
    return None if row is None else int(row[0])


def settle(connection: sqlite3.Connection) -> None:
    """Marks replies that ended with their program as stopped, and lets go what was deleted long ago. For the
    first program on a file only: the replies of another one may be alive."""
    with transaction(connection):
        sql = "SELECT id, text FROM messages WHERE state = 'streaming'"
        for row, text in connection.execute(sql).fetchall():
            sql = "UPDATE messages SET state = 'stopped', reason = 'stopped', tokens = NULL WHERE id = ?"
            connection.execute(sql, (row,))
            search.add(connection, row, text)
        old = time.time() - KEPT_DAYS * 86400
        chats = connection.execute("SELECT id, title FROM chats WHERE deleted < ?", (old,)).fetchall()
        for chat, title in chats:
            search.replace_title(connection, chat, title, "")
            ends = (chat << CHAT_SHIFT, (chat << CHAT_SHIFT) + MAX_NUMBER)
            sql = "SELECT id FROM messages WHERE id BETWEEN ? AND ?"
            for (row,) in connection.execute(sql, ends).fetchall():
                search.drop(connection, row)
            connection.execute("DELETE FROM chats WHERE id = ?", (chat,))
        for (row,) in connection.execute("SELECT id FROM messages WHERE deleted < ?", (old,)).fetchall():
            for found in below(connection, row):
                search.drop(connection, found)
            connection.execute("DELETE FROM messages WHERE id = ?", (row,))


def recent_questions(connection: sqlite3.Connection) -> list[str]:
    """The last questions, oldest first."""
    sql = """
        SELECT text FROM messages WHERE role = 'user' AND deleted IS NULL AND chat IN (
            SELECT id FROM chats WHERE deleted IS NULL ORDER BY updated DESC LIMIT ?
        ) ORDER BY created DESC LIMIT ?
    """
    return [text for (text,) in connection.execute(sql, (RECENT_CHATS, RECENT))][::-1]
