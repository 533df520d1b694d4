"""Completing the path of a file or a folder as it is typed."""

from __future__ import annotations

import os
from pathlib import Path

from textual.suggester import Suggester

MAX_LISTED = 2000  # entries of a folder that are looked at
SUFFIXES = (".gguf", ".bin")


class PathSuggester(Suggester):
    """Completes the path of a folder or a file; of `folders` only where that is asked for."""

    def __init__(self, folders: bool = False) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._folders = folders

    async def get_suggestion(self, value: str) -> str | None:
        return complete(value, self._folders)


def complete(value: str, folders: bool = False) -> str | None:
    """The first path that begins with `value`; model files and folders before others. None without one."""
    if not value:
        return None
    separator = "\\" if os.sep == "\\" and "\\" in value else "/"
    folder, _, begun = value.rpartition(separator)
    base = Path(folder + separator if folder or value.startswith("/") else ".").expanduser()
    names: list[tuple[bool, str]] = []
    try:
        with os.scandir(base) as entries:
            for _, entry in zip(range(MAX_LISTED), entries, strict=False):
                if not entry.name.startswith(begun) or (
                    entry.name.startswith(".") and not begun.startswith(".")
                ):
                    continue
                is_folder = entry.is_dir()
                if is_folder or not folders:
                    names.append((not (is_folder or entry.name.endswith(SUFFIXES)), entry.name))
    except OSError:
        return None
    if not names:
        return None
    name = min(names)[1]
    head = value[: len(value) - len(begun)]
    return head + name + (separator if (base / name).is_dir() else "")
