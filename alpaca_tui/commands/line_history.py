"""What was typed in the plain terminal, from one run to the next: a file with a message on each line."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from prompt_toolkit.history import History

log = logging.getLogger(__name__)
MOST = 1000  # messages
MOST_BYTES = 1 << 20  # of the file; a message may be a whole document that was pasted


class LineHistory(History):
    """Messages in `path`, JSON strings, the newest last. It is for its owner alone, and may be deleted.

    Several programs may add to it at once. A file that cannot be read or written costs the history only.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def load_history_strings(self) -> Iterable[str]:
        """The newest first."""
        try:
            with self._path.open("rb") as file:
                file.seek(0, os.SEEK_END)
                size = file.tell()
                file.seek(max(size - MOST_BYTES, 0))
                lines = file.read(MOST_BYTES).splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            log.warning("%s: %s", self._path, error)
            return []
        messages = [text for line in lines if (text := _message(line))]
        if size > MOST_BYTES or len(messages) > MOST:
            messages = messages[-MOST // 2 :]
            self._shorten(messages)
        return reversed(messages)

    def store_string(self, string: str) -> None:
        line = _line(string)
        if len(line) > MOST_BYTES // 2:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(file, line)
            finally:
                os.close(file)
        except OSError as error:
            log.warning("%s: %s", self._path, error)

    def _shorten(self, messages: list[str]) -> None:
        lines = [_line(text) for text in messages]
        while sum(map(len, lines)) > MOST_BYTES // 2:
            del lines[: len(lines) // 2 + 1]
        part = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        with contextlib.suppress(OSError):
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.writelines(lines)
            part.replace(self._path)


def _line(text: str) -> bytes:
    return json.dumps(text, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _message(line: bytes) -> str | None:
    """None for what is no message: half a line, or something else's."""
    try:
        text = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return text if isinstance(text, str) else None
