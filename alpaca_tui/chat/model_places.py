"""Where models lie: our folder, those around the working folder, and the caches of other programs.

Only names and sizes are looked at here, and the first bytes of `.bin` files. How deep, how many entries and
how many models is bounded: a cache may hold anything.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from alpaca_tui import system
from alpaca_tui.chat.remembered import Opened

NAMES = ("models", "zh-models")  # of folders in and above the working folder
LEVELS_UP = 3
DEPTH = 4
MAX_ENTRIES = 20_000
MAX_MODELS = 500
MAGICS = (b"lmgg", b"fmgg", b"tjgg")  # ggml, ggmf and ggjt of 2023
_LATER_PART = re.compile(r"-(?!00001)\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)
_NO_CHAT = re.compile(r"^mmproj|\.imatrix\.", re.IGNORECASE)  # parts of other kinds of models


@dataclass(frozen=True)
class Found:
    """A file that may be a model. `opened`: when it was last, in seconds since 1970; 0: never."""

    path: Path
    size: int
    modified: float
    opened: float = 0.0
    guide: bool = False


def places(environ: Mapping[str, str], home: Path, working: Path) -> list[tuple[Path, int]]:
    """(folder, how many levels deep), those nearest to the user first."""
    found: list[tuple[Path, int]] = [(working, 1)]
    for folder in (working, *list(working.parents)[:LEVELS_UP]):
        found += [(folder / name, DEPTH) for name in NAMES]
    found.append((system.data_dir() / "models", DEPTH))
    llama = [Path(environ["LLAMA_CACHE"])] if environ.get("LLAMA_CACHE") else []
    llama += [home / ".cache/llama.cpp", home / "Library/Caches/llama.cpp"]
    if local := environ.get("LOCALAPPDATA"):
        llama.append(Path(local) / "llama.cpp")
    found += [(folder, 2) for folder in llama]
    # LM Studio: publisher/model/file, today's folder and the one before
    found += [(home / ".lmstudio/models", DEPTH), (home / ".cache/lm-studio/models", DEPTH)]
    if hub := environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE"):
        found.append((Path(hub), DEPTH))
    elif environ.get("HF_HOME"):
        found.append((Path(environ["HF_HOME"]) / "hub", DEPTH))
    else:
        # models--OWNER--NAME/snapshots/COMMIT/file
        found.append((Path(environ.get("XDG_CACHE_HOME") or home / ".cache") / "huggingface/hub", DEPTH))
    return list(dict.fromkeys(found))


def find_models(
    folders: list[tuple[Path, int]], recent: list[Opened], guide: Path | None = None
) -> list[Found]:
    """The models in these folders and those that were opened: the latter first, newest first, then the
    others, newest files first; the guide is last unless it was opened."""
    when = {opened.path: opened.when for opened in recent}
    by_file: dict[tuple[int, int] | Path, Found] = {}
    left = [MAX_ENTRIES]
    named = [opened.path for opened in recent] + ([guide] if guide else [])
    for path in named:
        _add(by_file, path)
    for folder, depth in folders:
        for path in _walk(folder, depth, left):
            if len(by_file) >= MAX_MODELS:
                break
            _add(by_file, path)
    found = [
        replace(model, opened=when.get(model.path.absolute(), 0.0), guide=model.path == guide)
        for model in by_file.values()
    ]
    return sorted(found, key=lambda m: (-m.opened, m.guide, -m.modified, str(m.path)))


def _add(by_file: dict[tuple[int, int] | Path, Found], path: Path) -> None:
    """Takes a file in, once, by whatever links it is reached."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        return
    key = (status.st_dev, status.st_ino) if status.st_ino else path.absolute()
    by_file.setdefault(key, Found(path, status.st_size, status.st_mtime))


def _walk(folder: Path, depth: int, left: list[int]) -> Iterator[Path]:
    """Files that may be models; those of a folder before those of the folders in it."""
    inside: list[Path] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                left[0] -= 1
                if left[0] < 0:
                    return
                name = entry.name
                if name.startswith("."):
                    continue
                if _may_be_model(entry):
                    yield folder / name
                elif depth > 1 and entry.is_dir(follow_symlinks=False):
                    inside.append(folder / name)
    except (OSError, ValueError):
        return
    for path in sorted(inside):
        yield from _walk(path, depth - 1, left)


def _may_be_model(entry: os.DirEntry[str]) -> bool:
    name = entry.name.lower()
    if name.endswith(".gguf"):
        return not _LATER_PART.search(name) and not _NO_CHAT.search(name)
    if not name.endswith(".bin") or not entry.is_file():
        return False
    try:
        with Path(entry.path).open("rb") as file:
            return file.read(4) in MAGICS
    except OSError:
        return False
