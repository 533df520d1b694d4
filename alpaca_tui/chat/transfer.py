"""Conversations as files: Markdown and plain text of what is on screen, JSON of everything."""

from __future__ import annotations

import contextlib
import json
import os
import time
import unicodedata
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from alpaca_tui.chat.conversation import Conversation, Message, Role
from alpaca_tui.errors import UserError

FORMATS = (".md", ".json", ".txt")
FORMAT_NAME, FORMAT_VERSION = "alpaca-tui chats", 1
MAX_NAME = 120  # bytes of a file name: file systems allow 255, and other programs add to it
_FORBIDDEN = set('\\/:*?"<>|')
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in "123456789¹²³")}


def file_name(title: str, suffix: str) -> str:
    """A name for a file that every system takes (Windows forbids the most), Chinese and all else kept."""
    kept = "".join(
        " " if c in _FORBIDDEN or unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c
        for c in unicodedata.normalize("NFC", title)
    )
    name = " ".join(kept.split()).encode()[:MAX_NAME].decode(errors="ignore").strip(". ")
    if name.partition(".")[0].rstrip().casefold() in _DEVICES:
        name = f"_{name}"
    return (name or "chat") + suffix


def free_path(path: Path) -> Path:
    """The path, or one with a number behind its name where a file is in the way."""
    number, free = 2, path
    while free.exists():
        free = path.with_name(f"{path.stem} {number}{path.suffix}")
        number += 1
    return free


# --- out ---------------------------------------------------------------------------------------------------


def export(conversation: Conversation, path: Path, you: str = "You", model: str = "Model") -> None:
    """Writes a conversation in the format that the path's suffix says. Raises UserError where it cannot be.

    `you` and `model` name the speakers where a message does not.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        text = as_json([conversation])
    elif suffix in FORMATS:
        text = (as_markdown if suffix == ".md" else as_text)(conversation, you, model)
    else:
        raise UserError(f"{path.name!r} does not say a format; end it with {', '.join(FORMATS)}.")
    write_new(path, text)


def write_new(path: Path, text: str) -> None:
    """A file that is either whole or not there, and never in the place of another."""
    if path.exists():
        raise UserError(f"There is a file {path} already; give another name.")
    part = path.with_name(f".{path.name[:60]}.{os.getpid()}.part")
    try:
        with part.open("x", encoding="utf-8", errors="replace", newline="\n") as file:
            file.write(text)
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise UserError(f"{path} cannot be written: {error.strerror or error}.") from error


def _title(conversation: Conversation) -> str:
    return conversation.title or " ".join(conversation.first_question[:80].split())


def _speaker(message: Message, you: str, model: str) -> str:
    return you if message.role is Role.USER else message.model or model


def as_markdown(conversation: Conversation, you: str, model: str) -> str:
    """The path on screen, a heading over each message."""
    day = time.strftime("%Y-%m-%d", time.localtime(conversation.created))
    parts = [f"# {_title(conversation)}", day]
    for message in conversation.path():
        parts += [f"## {_speaker(message, you, model)}", message.text.strip()]
    return "\n\n".join(parts) + "\n"


def as_text(conversation: Conversation, you: str, model: str) -> str:
    """The path on screen, the speaker's name over each message."""
    parts = [f"{_speaker(m, you, model)}:\n{m.text.strip()}" for m in conversation.path()]
    return "\n\n".join(parts) + "\n"


def as_json(conversations: Iterable[Conversation]) -> str:
    """All versions of all messages with all that is known of them, but for their token ids."""
    chats = [_chat(conversation) for conversation in conversations]
    data = {"format": FORMAT_NAME, "version": FORMAT_VERSION, "chats": chats}
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


def _chat(conversation: Conversation) -> dict[str, Any]:
    return {
        "title": conversation.title,
        "pinned": conversation.pinned,
        "created": conversation.created,
        "draft": conversation.draft,
        "waiting": conversation.waiting,
        "choices": conversation.choices,
        "shown": conversation.chosen(None),
        "messages": [_message(message, conversation.chosen(message.id)) for message in conversation],
    }


def _message(message: Message, shown: int | None) -> dict[str, Any]:
    return {
        "id": message.id,
        "parent": message.parent,
        "role": message.role.value,
        "text": message.text,
        "state": message.state.value,
        "reason": message.reason.value if message.reason else None,
        "ended": message.ended,
        "edited": message.edited,
        "model": message.model,
        "by_guide": message.by_guide,
        "note": message.note,
        "created": message.created,
        "settings": message.settings,
        "stats": asdict(message.stats) if message.stats else None,
        "shown": shown,
    }
