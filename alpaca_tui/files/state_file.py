"""Files that keep what a model has evaluated: the tokens of a context, with their keys and values.

    8s "ALPSTATE", u32 version (1), u32 bytes of the head, u32 tokens, u32 CRC-32 of head and tokens
    the head, a JSON object in UTF-8; the tokens, i32 each; zeros up to a multiple of 64
    the data: pieces one after the other, whose number and sizes follow from the model and the tokens
    u32 CRC-32 of the data

All numbers are little-endian. The head says which model and settings this is of (`model`, `digest`,
`settings`), how many bytes of data there are (`bytes`), how long evaluating a token took (`seconds`), and how
the conversation was cut (`cut`: the first turn, and the gap in it). The context that a file was made with may
have been larger or smaller than the one that it is read into.
"""

from __future__ import annotations

import json
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from alpaca_tui.errors import UserError
from alpaca_tui.files.output import new_file

MAGIC, VERSION = b"ALPSTATE", 1
_START = struct.Struct("<8s4I")
_CRC = struct.Struct("<I")
_LLAMA_CPP = (b"nsgg", b"qsgg")
ALIGNMENT = 64
MAX_HEAD, MAX_TOKENS = 1 << 16, 1 << 24
_SLOW_AFTER = 0.05  # seconds of reading, from which on its speed is believed

U8 = npt.NDArray[np.uint8]


class TooSlowError(Exception):
    """Reading takes longer than it may."""


class _Cancelled(Exception):  # noqa: N818 - no error
    """Raised through the writing of a file to end it."""


@dataclass(frozen=True)
class Head:
    """What a file says of itself. `settings` are plain values by name; `seconds` is 0 where unknown."""

    model: str
    digest: str
    settings: dict[str, Any]
    bytes: int
    seconds: float = 0.0
    cut: tuple[int, int, int] = (0, 0, 0)
    tokens: tuple[int, ...] = field(default=(), compare=False)
    start: int = 0  # where the data begins


def write_state(
    path: Path, head: Head, pieces: Iterable[U8], cancelled: Callable[[], bool] = lambda: False
) -> bool:
    """Writes a state; False, and nothing stays, where `cancelled()` said so between two pieces.

    `pieces`: u8 arrays of `head.bytes` bytes in all. Raises UserError where the file cannot be written.
    """
    values = asdict(head)
    tokens = np.array(values.pop("tokens"), "<i4").tobytes()
    values.pop("start")
    text = json.dumps(values).encode()
    crc = zlib.crc32(tokens, zlib.crc32(text))
    try:
        with new_file(path, head.bytes) as file:
            file.write(_START.pack(MAGIC, VERSION, len(text), len(tokens) // 4, crc) + text + tokens)
            file.write(bytes(-file.tell() % ALIGNMENT))
            crc = 0
            for piece in pieces:
                if cancelled():
                    raise _Cancelled
                crc = zlib.crc32(piece.data, crc)
                file.write(piece.data)
            file.write(_CRC.pack(crc))
    except _Cancelled:
        return False
    return True


def read_head(path: Path) -> Head:
    """What a state file says of itself. Raises UserError for one that is none, damaged or incomplete."""
    try:
        with path.open("rb") as file:
            return _head(path, file)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from None


def _head(path: Path, file: BinaryIO) -> Head:
    start = file.read(_START.size)
    if start[:4] in _LLAMA_CPP:
        raise UserError(
            f"{path} is a session file of llama.cpp, which only that can read; give another name."
        )
    if len(start) < _START.size or not start.startswith(MAGIC):
        raise UserError(f"{path} is no saved state; give another name for --prompt-cache, or delete it.")
    _, version, n_head, n_tokens, crc = _START.unpack(start)
    if version != VERSION:
        raise UserError(f"{path} is a saved state of version {version}, not {VERSION}; delete it.")
    if n_head > MAX_HEAD or n_tokens > MAX_TOKENS:
        raise _damaged(path, f"it announces {n_tokens:,} tokens and a head of {n_head:,} bytes")
    text, tokens = file.read(n_head), file.read(4 * n_tokens)
    if len(tokens) < 4 * n_tokens or zlib.crc32(tokens, zlib.crc32(text)) != crc:
        raise _damaged(path, "its head is not what was written")
    head = _parsed(path, text, tuple(np.frombuffer(tokens, "<i4").tolist()))
    at = file.tell() + -file.tell() % ALIGNMENT
    missing = at + head.bytes + _CRC.size - path.stat().st_size
    if missing > 0:
        raise _damaged(path, f"{missing:,} bytes of its data are missing")
    return Head(**{**vars(head), "start": at})


def _parsed(path: Path, text: bytes, tokens: tuple[int, ...]) -> Head:
    try:
        values = json.loads(text)
        head = Head(
            model=str(values["model"])[:80],
            digest=str(values["digest"])[:64],
            settings=dict(values["settings"]),
            bytes=int(values["bytes"]),
            seconds=float(values["seconds"]),
            cut=(int(values["cut"][0]), int(values["cut"][1]), int(values["cut"][2])),
            tokens=tokens,
        )
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError):
        raise _damaged(path, "its head cannot be read") from None
    if head.bytes < 0 or min(head.cut) < 0 or not 0 <= head.seconds < 1e9:
        raise _damaged(path, "its head says what cannot be")
    return head


def read_data(
    path: Path, head: Head, pieces: Iterable[tuple[U8, int]], seconds: float = float("inf")
) -> None:
    """Fills `pieces`, each the beginning of so many bytes in the file.

    Raises UserError where the file is damaged, and TooSlowError as soon as it is clear that all would take
    longer than `seconds`; what the pieces hold then is of no use.
    """
    begin = time.monotonic()
    crc, done = 0, 0
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(head.start)
            for part in _whole(pieces):
                n = file.readinto(part)
                while 0 < n < len(part):
                    more = file.readinto(part[n:])
                    n = n + more if more else 0
                if n < len(part):
                    raise _damaged(path, "it has become shorter")
                crc, done = zlib.crc32(part, crc), done + n
                elapsed = time.monotonic() - begin
                if elapsed > _SLOW_AFTER and elapsed * head.bytes > seconds * done:
                    raise TooSlowError
            if file.read(_CRC.size) != _CRC.pack(crc) or done != head.bytes:
                raise _damaged(path, "its data are not what was written")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from None


def _whole(pieces: Iterable[tuple[U8, int]]) -> Iterator[memoryview]:
    """Each piece, and behind it room for what the file has more than that."""
    for piece, size in pieces:
        if len(piece):
            yield piece.data
        if size > len(piece):
            yield np.empty(size - len(piece), np.uint8).data


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"{path} is damaged: {what}; delete it.")
