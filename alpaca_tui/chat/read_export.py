"""Reading the JSON that `transfer` writes. A file may come from anyone: everything is checked and bounded."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from alpaca_tui.chat.conversation import Conversation, Message, MessageState, Role
from alpaca_tui.chat.transfer import FORMAT_NAME, FORMAT_VERSION
from alpaca_tui.engine.protocol import FinishReason, Stats
from alpaca_tui.errors import UserError

MAX_FILE = 256 << 20  # bytes
MAX_ID = 1 << 23
MAX_TITLE, MAX_NAME, MAX_WAITING, MAX_KEYS = 1000, 1000, 1000, 200
MAX_TIME = 1e11  # seconds since 1970: the year 5138

T = TypeVar("T")


class _WrongError(Exception):
    """What is wrong, in a few words."""


def read_chats(path: Path) -> list[Conversation]:
    """The conversations of a file, each with a key of its own. Raises UserError for any other file."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from None
    if len(data) > MAX_FILE:
        raise UserError(f"{path} is larger than {MAX_FILE >> 20} MiB; no export of chats is.")
    try:
        whole = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise UserError(f"{path} is no JSON file; import takes what export wrote as .json.") from None
    try:
        return [_chat(chat) for chat in _chats(whole)]
    except _WrongError as wrong:
        raise UserError(f"{path} cannot be imported: {wrong}.") from None


def _chats(whole: Any) -> list[Any]:
    if not isinstance(whole, dict) or whole.get("format") != FORMAT_NAME:
        raise _WrongError("it was not exported by alpaca-tui")
    if whole.get("version") != FORMAT_VERSION:
        raise _WrongError("it was exported by another version of alpaca-tui; update this one")
    return _of(whole, "chats", list)


def _chat(data: Any) -> Conversation:
    if not isinstance(data, dict):
        raise _WrongError("a chat is no object")
    conversation = Conversation()
    conversation.title = _text(data, "title")[:MAX_TITLE]
    conversation.pinned = _of(data, "pinned", bool, False)
    conversation.created = _time(data)
    conversation.draft = _text(data, "draft")
    waiting = _of(data, "waiting", list, [])[:MAX_WAITING]
    conversation.waiting = [_sound(text) for text in waiting if isinstance(text, str)]
    conversation.choices = {"settings": _scalars(_of(data, "choices", dict, {}).get("settings"))}
    shown: list[tuple[int | None, Any]] = [(None, data.get("shown"))]
    for item in _of(data, "messages", list):
        message = _message(item, conversation)
        conversation.add(message)
        shown.append((message.id, item.get("shown")))
    for parent, child in shown:
        if child is not None and type(child) is not int:
            raise _WrongError("a message that is shown has no number")
        try:
            conversation.show(parent, child)
        except ValueError:
            raise _WrongError(f"message {child} is shown where it does not stand") from None
    return conversation


def _message(data: Any, conversation: Conversation) -> Message:
    if not isinstance(data, dict):
        raise _WrongError("a message is no object")
    number, parent = data.get("id"), data.get("parent")
    if type(number) is not int or not 0 < number <= MAX_ID or number in conversation:
        raise _WrongError(f"{number!r:.40} is no number for a message")
    if parent is not None and (type(parent) is not int or parent not in conversation):
        raise _WrongError(f"message {number} hangs under none that comes before it")
    role = _one_of(Role, data.get("role"))
    above = Role.ASSISTANT if parent is None else conversation[parent].role
    if role is above:
        raise _WrongError(f"message {number} has the same role as the one before it")
    state = _one_of(MessageState, data.get("state"))
    reason = data.get("reason")
    return Message(
        id=number,
        parent=parent,
        role=role,
        text=_text(data, "text"),
        state=MessageState.STOPPED if state is MessageState.STREAMING else state,
        reason=None if reason is None else _one_of(FinishReason, reason),
        ended=_of(data, "ended", bool, False),
        edited=_of(data, "edited", bool, False),
        model=_text(data, "model")[:MAX_NAME],
        by_guide=_of(data, "by_guide", bool, False),
        note=_text(data, "note")[:MAX_NAME],
        created=_time(data),
        settings=_scalars(data.get("settings")) if data.get("settings") is not None else None,
        stats=_stats(data.get("stats")),
    )


def _of(data: Mapping[str, Any], name: str, kind: type[T], default: T | None = None) -> T:
    value = data.get(name, default)
    if not isinstance(value, kind):
        raise _WrongError(f"{name!r} is missing or of the wrong kind")
    return value


def _text(data: Mapping[str, Any], name: str) -> str:
    return _sound(_of(data, name, str, ""))


def _sound(text: str) -> str:
    """JSON can spell halves of characters, which nothing can write."""
    return text.encode("utf-8", "replace").decode()


def _time(data: Mapping[str, Any]) -> float:
    value: Any = data.get("created")
    if type(value) not in (int, float) or not 0 <= value <= MAX_TIME:
        raise _WrongError("'created' is no time")
    return float(value)


def _one_of(kind: Any, value: Any) -> Any:
    try:
        return kind(value)
    except ValueError:
        raise _WrongError(f"there is no {kind.__name__.lower()} {value!r:.40}") from None


def _scalars(data: Any) -> dict[str, Any]:
    """Numbers, words and lists of words by name; what else there is, is left out."""
    if not isinstance(data, dict):
        return {}
    items = list(data.items())[:MAX_KEYS]
    return {_sound(key)[:MAX_NAME]: value for key, value in items if _is_scalar(value)}


def _is_scalar(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return len(value) <= MAX_NAME and _sound(value) == value
    return isinstance(value, bool) or (isinstance(value, int) and abs(value) < 1 << 63)


def _stats(data: Any) -> Stats | None:
    if data is None:
        return None
    if not isinstance(data, dict):
        raise _WrongError("'stats' is no object")
    values: dict[str, Any] = {}
    for field in fields(Stats):
        default: Any = field.default
        value = data.get(field.name, default)
        kinds = (int,) if isinstance(default, int) else (int, float)
        if type(value) not in kinds or not min(default, 0) <= value < 1 << 53:
            raise _WrongError(f"{field.name} = {value!r:.40} is impossible")
        values[field.name] = value
    return Stats(**values)
