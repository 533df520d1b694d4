"""tokenizer.model: the few fields of SentencePiece's ModelProto that matter here, read and written.

Wire format: https://protobuf.dev/programming-guides/encoding/; field numbers: sentencepiece_model.proto.
ModelProto: 1 pieces, 2 trainer_spec, 3 normalizer_spec. SentencePiece: 1 piece, 2 score (fixed32), 3 type.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alpaca_tui.files.cursor import damaged

_F32 = struct.Struct("<f")
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_BPE = 2  # TrainerSpec.ModelType


@dataclass
class Proto:
    """What a tokenizer.model says. `types` as in `Vocab.types`; ids are -1 where the model has none."""

    pieces: list[bytes] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    unk: int = 0
    bos: int = 1
    eos: int = 2
    add_dummy_prefix: bool = True


# --- reading -----------------------------------------------------------------------------------------------


class _BrokenError(ValueError):
    """Not a protobuf message."""


def _varint(data: bytes, pos: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if pos >= len(data) or shift > 63:
            raise _BrokenError
        byte = data[pos]
        pos += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, pos
        shift += 7


def _fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """(field number, wire type, value) of a message; numbers of fixed width come as their bytes."""
    pos, end = 0, len(data)
    while pos < end:
        key, pos = _varint(data, pos)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, pos = _varint(data, pos)
            yield number, wire, value
            continue
        if wire == _BYTES:
            size, pos = _varint(data, pos)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise _BrokenError
        if number == 0 or size > end - pos:
            raise _BrokenError
        yield number, wire, data[pos : pos + size]
        pos += size


def _signed(value: int) -> int:
    """An int32 field: negative numbers are sign-extended to 64 bits."""
    return value - (1 << 64) if value >= 1 << 63 else value


def read_proto(path: Path, data: bytes) -> Proto:
    """Parse a tokenizer.model. Raises UserError when it is none."""
    proto = Proto()
    try:
        for number, wire, value in _fields(data):
            if wire != _BYTES or not isinstance(value, bytes):
                continue
            if number == 1:
                _read_piece(proto, value)
            elif number == 2:
                _read_trainer(proto, value)
            elif number == 3:
                for inner, inner_wire, flag in _fields(value):
                    if (inner, inner_wire) == (3, _VARINT):
                        proto.add_dummy_prefix = bool(flag)
    except _BrokenError:
        raise damaged(path, "it is no tokenizer.model (SentencePiece)") from None
    if not proto.pieces:
        raise damaged(path, "it is no tokenizer.model (SentencePiece): it holds no pieces")
    return proto


def _read_piece(proto: Proto, data: bytes) -> None:
    piece, score, kind = b"", 0.0, 1
    for number, wire, value in _fields(data):
        if (number, wire) == (1, _BYTES) and isinstance(value, bytes):
            piece = value
        elif (number, wire) == (2, _FIXED32) and isinstance(value, bytes):
            score = _F32.unpack(value)[0]
        elif (number, wire) == (3, _VARINT) and isinstance(value, int):
            kind = value if 1 <= value <= 6 else 1
    proto.pieces.append(piece)
    proto.scores.append(score)
    proto.types.append(kind)


def _read_trainer(proto: Proto, data: bytes) -> None:
    names = {40: "unk", 41: "bos", 42: "eos"}
    for number, wire, value in _fields(data):
        if number in names and wire == _VARINT and isinstance(value, int):
            setattr(proto, names[number], _signed(value))


# --- writing -----------------------------------------------------------------------------------------------


def _encode_varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(number: int, value: int) -> bytes:
    return _encode_varint(number << 3 | _VARINT) + _encode_varint(value)


def _block(number: int, data: bytes) -> bytes:
    return _encode_varint(number << 3 | _BYTES) + _encode_varint(len(data)) + data


def _encode_pieces(pieces: Iterable[bytes], scores: Iterable[float], types: Iterable[int]) -> Iterator[bytes]:
    lengths = [_encode_varint(n) for n in range(256)]  # looked up: there may be 50,000 pieces
    kinds = [b"", *(_number(3, kind) for kind in range(1, 7))]
    pack = struct.Struct("<cf").pack
    for piece, score, kind in zip(pieces, scores, types, strict=True):
        size = len(piece)
        body = b"\n" + (lengths[size] if size < 256 else _encode_varint(size)) + piece
        body += pack(b"\x15", score) + kinds[kind]
        size = len(body)
        yield b"\n" + (lengths[size] if size < 256 else _encode_varint(size)) + body


def write_bpe_proto(
    pieces: Sequence[bytes],
    scores: Sequence[float],
    types: Sequence[int],
    *,
    unk: int,
    bos: int,
    eos: int,
    byte_fallback: bool,
) -> bytes:
    """A tokenizer.model for SentencePiece's BPE that leaves text as it is: no dummy prefix, no normalising.

    `pieces` are UTF-8, non-empty and all different; spaces in them are U+2581.
    """
    trainer = (
        _number(3, _BPE)
        + _number(4, len(pieces))
        + _number(35, byte_fallback)
        + b"".join(_number(number, value) for number, value in ((40, unk), (41, bos), (42, eos), (43, -1)))
    )
    normalizer = _block(1, b"identity") + _number(3, False) + _number(4, False) + _number(5, True)
    return b"".join(_encode_pieces(pieces, scores, types)) + _block(2, trainer) + _block(3, normalizer)
