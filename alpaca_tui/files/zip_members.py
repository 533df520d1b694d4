"""Where the members of a zip archive lie, for archives whose members are stored, not compressed.

That is how torch.save writes (APPNOTE.TXT of PKWARE: end of central directory, its zip64 record and locator,
central and local headers). Every place is checked against the file; nothing is copied but names.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from alpaca_tui.errors import UserError
from alpaca_tui.files.cursor import Cursor
from alpaca_tui.files.stored import MappedFile

MAX_MEMBERS = 1 << 16  # LLaMA-65B has 730
_MAX_COMMENT = 0xFFFF

_END = struct.Struct("<4s4H2IH")
_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQ2H2I4Q")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_FIELD = struct.Struct("<2H")
_U64 = struct.Struct("<Q")
_FULL32, _FULL16 = 0xFFFFFFFF, 0xFFFF
_ZIP64 = 1


@dataclass(frozen=True)
class Member:
    """One member: where its contents begin, and how many bytes they are."""

    name: str
    offset: int
    size: int


def read_members(file: MappedFile) -> dict[str, Member]:
    """All members by name. Raises UserError for an archive that is damaged, compressed or encrypted."""
    cursor = Cursor(file.path, file.data, file.size)
    count, size, start = _directory(cursor)
    if count > MAX_MEMBERS or size < count * _CENTRAL.size or start + size > file.size:
        raise cursor.damaged(f"its table of {count:,} members is impossible")
    cursor.pos, cursor.inside = start, "its table of members"
    members: dict[str, Member] = {}
    for _ in range(count):
        member = _member(cursor)
        if member.name in members:
            raise cursor.damaged(f"it has two members {member.name!r}")
        members[member.name] = member
    return members


def _directory(cursor: Cursor) -> tuple[int, int, int]:
    """Number of members, and size and place of the central directory."""
    tail = bytes(cursor.data[max(0, cursor.size - _END.size - _MAX_COMMENT) :])
    found = tail.rfind(b"PK\5\6")
    if found < 0 or found + _END.size > len(tail):
        raise UserError(
            f"{cursor.path} is incomplete: the table at its end is missing; download or copy it again."
        )
    end = cursor.size - len(tail) + found
    _, disk, _, _, count, size, start, _ = _END.unpack_from(tail, found)
    if (count, size, start) == (_FULL16, _FULL32, _FULL32) or _FULL32 in (size, start) or count == _FULL16:
        if end < _LOCATOR.size:
            raise cursor.damaged("its zip64 table is missing")
        magic, _, place, _ = _LOCATOR.unpack_from(cursor.data, end - _LOCATOR.size)
        if magic == b"PK\6\7":
            if place + _END64.size > end:
                raise cursor.damaged("its zip64 table is missing")
            magic, _, _, _, disk, _, _, count, size, start = _END64.unpack_from(cursor.data, place)
            if magic != b"PK\6\6":
                raise cursor.damaged("its zip64 table is missing")
    if disk:
        raise cursor.damaged("it is one part of a zip archive of several files")
    return count, size, start


def _member(cursor: Cursor) -> Member:
    head = cursor.unpack(_CENTRAL)
    if head[0] != b"PK\1\2":
        raise cursor.damaged("its table of members is broken")
    flags, method, packed, size = head[3], head[4], head[8], head[9]
    name_size, extra_size, comment_size, local = head[10], head[11], head[12], head[16]
    name = cursor.take(name_size).decode("utf-8", "replace")
    extra = cursor.take(extra_size)
    cursor.skip(comment_size)
    size, packed, local = _zip64(extra, size, packed, local)
    if method or flags & 1 or packed != size:
        raise UserError(
            f"{cursor.path} is a compressed zip archive, not a PyTorch checkpoint; unpack it and give what "
            "is inside."
        )
    if local + _LOCAL.size > cursor.size:
        raise cursor.damaged(f"its member {name!r} begins behind its end")
    header = _LOCAL.unpack_from(cursor.data, local)
    start = local + _LOCAL.size + header[9] + header[10]
    if header[0] != b"PK\3\4" or start + size > cursor.size:
        raise cursor.damaged(f"its member {name!r} does not lie inside it")
    return Member(name, start, size)


def _zip64(extra: bytes, size: int, packed: int, local: int) -> tuple[int, int, int]:
    """The three numbers, those that did not fit in 32 bits from the zip64 field."""
    pos = 0
    while pos + _FIELD.size <= len(extra):
        kind, length = _FIELD.unpack_from(extra, pos)
        pos += _FIELD.size
        if kind == _ZIP64:
            wide = [_U64.unpack_from(extra, at)[0] for at in range(pos, min(pos + length, len(extra)) - 7, 8)]
            values = [size, packed, local]
            for i, value in enumerate(values):
                if value == _FULL32 and wide:
                    values[i] = wide.pop(0)
            return values[0], values[1], values[2]
        pos += length
    return size, packed, local
