"""Writing what changed of a conversation.

Ids in memory and in the file are the same numbers, as long as one program writes. Where two write into one
chat, the later one's messages get other numbers in the file, which `Place` remembers; both branches are there
when the chat is opened the next time.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from alpaca_tui.chat.conversation import Conversation, Message, MessageState, Role
from alpaca_tui.chat.store import search
from alpaca_tui.chat.store.schema import CHAT_SHIFT, MAX_NUMBER, transaction

FIRST_QUESTION = 200  # characters that are kept as the title


@dataclass
class Place:
    """Where a conversation is in the file. Touched by the archive's thread only."""

    chat: int | None = None  # None: not there yet
    known: set[int] = field(default_factory=set)  # ids in memory that have a row
    other: dict[int, int] = field(default_factory=dict)  # id in memory -> number in the file, if different

    def row(self, number: int) -> int:
        assert self.chat is not None
        return (self.chat << CHAT_SHIFT) + self.other.get(number, number)


@dataclass(frozen=True)
class Snapshot:
    """What is to be written: copies, so that the conversation may go on changing meanwhile.

    `messages` come with each after what it hangs under. `shown` are pairs of a message (None: the beginning)
    and the one that is on screen below it. `removed` tells of messages whether they are out.
    """

    place: Place
    conversation: Conversation  # only what never changes is read of it: its key, and when it was made
    title: str
    first_question: str
    pinned: bool
    draft: str
    waiting: tuple[str, ...]
    choices: Mapping[str, Any]
    messages: tuple[Message, ...] = ()
    shown: tuple[tuple[int | None, int | None], ...] = ()
    removed: tuple[tuple[int, bool], ...] = ()

    @property
    def empty(self) -> bool:
        """Is there nothing that anybody would miss?"""
        return not (self.place.known or self.messages or self.draft or self.waiting)


class GoneError(Exception):
    """The chat was removed for good, by another program: all of it must be saved again."""


def save(connection: sqlite3.Connection, snapshot: Snapshot) -> None:
    """Writes a snapshot, all or nothing. Raises GoneError, after which the place is a new one."""
    place = snapshot.place
    before = (place.chat, set(place.known), dict(place.other))
    try:
        with transaction(connection):
            _save_chat(connection, snapshot)
            if place.chat is None:
                return
            for message in snapshot.messages:
                _save_message(connection, place, message)
            for parent, child in snapshot.shown:
                _save_shown(connection, place, parent, child)
            for number, out in snapshot.removed:
                _save_removed(connection, place, number, out)
    except GoneError:
        place.chat, place.known, place.other = None, set(), {}
        raise
    except BaseException:
        place.chat, place.known, place.other = before
        raise


def _save_chat(connection: sqlite3.Connection, s: Snapshot) -> None:
    place = s.place
    head: dict[str, Any] = {
        "first_question": sound(s.first_question[:FIRST_QUESTION]),
        "draft": sound(s.draft),
        "waiting": json.dumps(s.waiting),
        "choices": json.dumps(s.choices),
    }
    if place.chat is None:
        if s.empty:
            return
        head |= {"key": s.conversation.key, "created": s.conversation.created, "updated": time.time()}
        head |= {"title": s.title, "pinned": s.pinned}
        names = ", ".join(head)
        marks = ", ".join("?" * len(head))
        sql = f"INSERT INTO chats ({names}) VALUES ({marks}) RETURNING id"
        place.chat = int(connection.execute(sql, tuple(head.values())).fetchone()[0])
        if s.title:
            search.replace_title(connection, place.chat, "", s.title)
        return
    if s.empty:
        connection.execute("DELETE FROM chats WHERE id = ?", (place.chat,))
        place.chat = None
        return
    if s.messages:
        head |= {"updated": time.time(), "deleted": None}
    names = ", ".join(f"{name} = ?" for name in head)
    found = connection.execute(f"UPDATE chats SET {names} WHERE id = ?", (*head.values(), place.chat))
    if not found.rowcount:
        raise GoneError


def _save_message(connection: sqlite3.Connection, place: Place, message: Message) -> None:
    values: dict[str, Any] = {
        "role": message.role.value,
        "text": sound(message.text),
        "state": message.state.value,
        "reason": message.reason.value if message.reason else None,
        "ended": message.ended,
        "edited": message.edited,
        "note": message.note,
        "model": message.model,
        "by_guide": message.by_guide,
        "settings": _settings_id(connection, message.settings),
        "stats": json.dumps(asdict(message.stats)) if message.stats else None,
        "tokens": pack(message.tokens),
        "created": message.created,
    }
    if message.id in place.known:
        row = place.row(message.id)
        search.drop(connection, row, unless=values["text"])
        names = ", ".join(f"{name} = ?" for name in values)
        connection.execute(f"UPDATE messages SET {names} WHERE id = ?", (*values.values(), row))
    else:
        row = _new_row(connection, place, message.id)
        parent = None if message.parent is None else place.row(message.parent)
        values |= {"id": row, "chat": place.chat, "parent": parent}
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        connection.execute(f"INSERT INTO messages ({names}) VALUES ({marks})", tuple(values.values()))
    if message.state is not MessageState.STREAMING:
        search.add(connection, row, values["text"])


def _new_row(connection: sqlite3.Connection, place: Place, number: int) -> int:
    """The id for a message that is new here: its own number, unless another program has taken that."""
    row = place.row(number)
    if connection.execute("SELECT 1 FROM messages WHERE id = ?", (row,)).fetchone():
        assert place.chat is not None
        top = ((place.chat << CHAT_SHIFT), (place.chat << CHAT_SHIFT) + MAX_NUMBER)
        last = connection.execute("SELECT max(id) FROM messages WHERE id BETWEEN ? AND ?", top).fetchone()[0]
        taken = max((place.other.get(n, n) for n in place.known), default=0)
        place.other[number] = max((int(last) & MAX_NUMBER), taken, number) + 1
        row = place.row(number)
    place.known.add(number)
    return row


def _save_shown(connection: sqlite3.Connection, place: Place, parent: int | None, child: int | None) -> None:
    number = None if child is None else place.other.get(child, child)
    if parent is None:
        connection.execute("UPDATE chats SET shown = ? WHERE id = ?", (number, place.chat))
    else:
        connection.execute("UPDATE messages SET shown = ? WHERE id = ?", (number, place.row(parent)))


def _save_removed(connection: sqlite3.Connection, place: Place, number: int, out: bool) -> None:
    row = place.row(number)
    connection.execute("UPDATE messages SET deleted = ? WHERE id = ?", (time.time() if out else None, row))
    for found in below(connection, row):
        (search.drop if out else search.add_stored)(connection, found)


def below(connection: sqlite3.Connection, row: int) -> list[int]:
    """The ids of a message and all that hangs under it."""
    sql = """
        WITH RECURSIVE tree (id) AS (
            SELECT ? UNION ALL SELECT messages.id FROM messages JOIN tree ON messages.parent = tree.id
        ) SELECT id FROM tree
    """
    return [int(found) for (found,) in connection.execute(sql, (row,))]


def _settings_id(connection: sqlite3.Connection, settings: Mapping[str, Any] | None) -> int | None:
    """Equal settings are kept once."""
    if settings is None:
        return None
    text = json.dumps(settings, sort_keys=True)
    connection.execute("INSERT OR IGNORE INTO settings (json) VALUES (?)", (text,))
    return int(connection.execute("SELECT id FROM settings WHERE json = ?", (text,)).fetchone()[0])


def sound(text: str) -> str:
    """The text without halves of characters, which some keyboards and files bring and UTF-8 cannot write."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def pack(tokens: Iterable[int] | None) -> bytes | None:
    """Token ids as 32-bit little-endian integers."""
    if tokens is None:
        return None
    packed = array("I", tokens)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def unpack(data: bytes | None) -> tuple[int, ...] | None:
    if data is None or len(data) % 4:
        return None
    unpacked = array("I", data)
    if sys.byteorder == "big":
        unpacked.byteswap()
    return tuple(unpacked)


def as_new(conversation: Conversation) -> Snapshot:
    """A snapshot of all of a conversation that is not in the file yet."""
    messages = tuple(conversation)
    parents = [None, *(m.id for m in messages)]
    questions = [m for m in messages if m.role is Role.USER]
    return Snapshot(
        Place(),
        conversation,
        conversation.title,
        conversation.first_question or (questions[0].text if questions else ""),
        conversation.pinned,
        conversation.draft,
        tuple(conversation.waiting),
        dict(conversation.choices),
        messages,
        tuple((parent, conversation.chosen(parent)) for parent in parents),
    )
