"""The end of a program that could not save everything: what is only in memory goes into a file to import."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from alpaca_tui.chat.conversation import Conversation
from alpaca_tui.chat.recorder import LAST_PATIENCE, Recorder
from alpaca_tui.chat.store import chats
from alpaca_tui.chat.store.trouble import StoreTroubleError
from alpaca_tui.chat.transfer import as_json, free_path, write_new
from alpaca_tui.errors import UserError


def close(recorder: Recorder, folders: Iterable[Path] | None = None) -> str:
    """Saves what there is and closes the file. Returns what is to be said of what went elsewhere, or nothing.

    `folders` are tried in turn: the home folder, then that for temporary files.
    """
    recorder.commit(LAST_PATIENCE)
    left = {conversation.key: conversation for conversation in recorder.unsaved()}
    if recorder.archive.trouble is not None:  # all of it is in memory only
        left = {conversation.key: conversation for conversation in _in_memory(recorder)} | left
    recorder.archive.close()
    missing = [c for c in left.values() if len(c) or c.draft or c.waiting]
    trouble = recorder.archive.trouble or recorder.trouble
    if not missing:
        return ""
    why = trouble.sentence() if trouble else ""
    name = time.strftime("alpaca-tui-unsaved-%Y-%m-%d.json")
    for folder in folders or (Path.home(), Path(tempfile.gettempdir())):
        with contextlib.suppress(UserError):
            path = free_path(folder / name)
            write_new(path, as_json(missing))
            return f"{why} What is not saved is in {path}; `alpaca-tui import` reads it.".strip()
    return f"{why} What is not saved could not be written elsewhere either.".strip()


def _in_memory(recorder: Recorder) -> list[Conversation]:
    archive = recorder.archive
    try:
        listed = archive.run(chats.summaries).result()
        loaded = [archive.run(chats.load, chat.id).result() for chat in listed]
    except StoreTroubleError:
        return []
    return [chat[0] for chat in loaded if chat is not None]
