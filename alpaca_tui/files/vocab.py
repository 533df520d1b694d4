"""The vocabulary of a model: out of GGUF metadata, a 2023 file, or a tokenizer.model."""

from __future__ import annotations

import dataclasses
import enum
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alpaca_tui.errors import UserError
from alpaca_tui.files.cursor import damaged
from alpaca_tui.files.sentencepiece_proto import read_proto

SPACE = "\u2581".encode()  # how pieces write a space

_MAX_TOKENIZER_FILE = 64 << 20


class TokenType(enum.IntEnum):
    """Kinds of pieces; the numbers are SentencePiece's and GGUF's."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class Vocab:
    """One entry a token. `pieces` are UTF-8 with U+2581 for a space, byte tokens are "<0x0A>".

    `scores` is None when the file has none (unversioned ggml of March 2023). `bos`, `eos` are -1 where the
    model has none. `sentencepiece` is the tokenizer.model that all this came from, where it did.
    """

    pieces: list[bytes]
    scores: list[float] | None
    types: list[int]
    bos: int = 1
    eos: int = 2
    unk: int = 0
    add_bos: bool = True
    add_space_prefix: bool = True
    sentencepiece: bytes | None = None

    def __len__(self) -> int:
        return len(self.pieces)


# --- files of 2023 -----------------------------------------------------------------------------------------


def from_2023(texts: Sequence[bytes], scores: list[float] | None) -> Vocab:
    """The vocabulary of a ggml, ggmf or ggjt file, which holds texts with plain spaces and raw bytes.

    Ids are LLaMA's: 0 unknown, 1 BOS, 2 EOS, 3 to 258 the bytes; further empty texts are control tokens. The
    rule is that of llama.cpp's convert_llama_ggml_to_gguf.py.
    """
    pieces: list[bytes] = []
    types: list[int] = []
    for i, text in enumerate(texts):
        piece, kind = text.replace(b" ", SPACE), TokenType.NORMAL
        if i < 3:
            piece, kind = _FIRST[i]
        elif not text:
            kind = TokenType.CONTROL
        elif i < 259 and len(text) == 1:
            piece, kind = b"<0x%02X>" % text[0], TokenType.BYTE
        pieces.append(piece)
        types.append(int(kind))
    return Vocab(pieces, scores, types)


_FIRST = ((b"<unk>", TokenType.UNKNOWN), (b"<s>", TokenType.CONTROL), (b"</s>", TokenType.CONTROL))


def text_of(piece: bytes, kind: int) -> bytes:
    """What a 2023 converter wrote for a piece of a tokenizer.model."""
    if kind == TokenType.UNKNOWN:
        return " \u2047 ".encode()
    if kind == TokenType.CONTROL:
        return b""
    if kind == TokenType.BYTE:
        value = byte_value(piece)
        return piece if value is None else bytes([value])
    return piece.replace(SPACE, b" ")


def byte_value(piece: bytes) -> int | None:
    """The byte that a piece like b"<0x0A>" stands for; None for another piece."""
    match = _BYTE_PIECE.fullmatch(piece)
    return int(match[1], 16) if match else None


_BYTE_PIECE = re.compile(rb"<0x([0-9A-Fa-f]{2})>")


# --- tokenizer.model ---------------------------------------------------------------------------------------


def find_tokenizer(model: Path) -> Path | None:
    """tokenizer.model beside the model or one folder up, as the 2023 converters looked for it."""
    folder = model.absolute().parent
    for candidate in (folder / "tokenizer.model", folder.parent / "tokenizer.model"):
        if candidate.is_file():
            return candidate
    return None


def from_tokenizer_model(path: Path) -> Vocab:
    """Read a SentencePiece file. Raises UserError when there is none or it is something else."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_TOKENIZER_FILE + 1)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror or error}; check the path of the tokenizer."
        ) from None
    if len(data) > _MAX_TOKENIZER_FILE:
        raise UserError(f"{path} is too large for a tokenizer.model; give the vocabulary's file.")
    proto = read_proto(path, data)
    n = len(proto.pieces)
    for name, value in (("unknown", proto.unk), ("BOS", proto.bos), ("EOS", proto.eos)):
        if not -1 <= value < n:
            raise damaged(path, f"its {name} id {value} is outside of its {n} pieces")
    _check_scores(path, proto.scores)
    return Vocab(
        proto.pieces,
        proto.scores,
        proto.types,
        bos=proto.bos,
        eos=proto.eos,
        unk=max(proto.unk, 0),
        add_space_prefix=proto.add_dummy_prefix,
        sentencepiece=data,
    )


def with_padding(vocab: Vocab) -> Vocab:
    """`vocab` with one token more that stands for nothing: GPT4All's <pad>."""
    return dataclasses.replace(
        vocab,
        pieces=[*vocab.pieces, b""],
        scores=None if vocab.scores is None else [*vocab.scores, 0.0],
        types=[*vocab.types, int(TokenType.CONTROL)],
    )


def check_same(model: Path, own: Vocab, tokenizer: Path, vocab: Vocab) -> None:
    """UserError unless the texts of a 2023 file are those of the tokenizer.model beside it."""
    theirs = [text_of(piece, kind) for piece, kind in zip(vocab.pieces, vocab.types, strict=True)]
    ours = [text_of(piece, kind) for piece, kind in zip(own.pieces, own.types, strict=True)]
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if a != b:
            raise UserError(
                f"{tokenizer} is not the tokenizer of {model}: token {i} is {b!r} and should be {a!r}; give "
                "the tokenizer.model that came with this model."
            )


def _check_scores(path: Path, scores: Sequence[float]) -> None:
    if not all(map(math.isfinite, scores)):
        raise damaged(path, "a score of its vocabulary is no number")


# --- GGUF --------------------------------------------------------------------------------------------------


def from_gguf(path: Path, metadata: Mapping[str, Any]) -> Vocab | None:
    """The vocabulary in GGUF metadata; None where there is none.

    Raises UserError for a tokenizer other than SentencePiece's, by name.
    """
    model = metadata.get("tokenizer.ggml.model")
    if model is None:
        return None
    if model != "llama":
        kind = _OTHER_TOKENIZERS.get(model, "") if isinstance(model, str) else ""
        raise UserError(
            f"{path} needs the tokenizer {model!r}{kind}, and this program only has LLaMA's SentencePiece "
            "one; use a model of the LLaMA 1 or 2 or Mistral 7B family."
        )
    pieces = _array(path, metadata, "tokens", bytes)
    if not pieces:
        raise damaged(path, "its vocabulary is empty")
    n = len(pieces)
    scores = _array(path, metadata, "scores", float)
    types = _array(path, metadata, "token_type", int)
    for name, array in (("scores", scores), ("token_type", types)):
        if array is not None and len(array) != n:
            raise damaged(path, f"its vocabulary has {n} tokens and {len(array)} {name}")
    _check_scores(path, scores or [])
    return Vocab(
        pieces,
        scores,
        _guess_types(pieces) if types is None else [t if 1 <= t <= 6 else 1 for t in types],
        bos=_token_id(path, metadata, "bos_token_id", 1, n),
        eos=_token_id(path, metadata, "eos_token_id", 2, n),
        unk=_token_id(path, metadata, "unknown_token_id", 0, n),
        add_bos=metadata.get("tokenizer.ggml.add_bos_token") is not False,
        add_space_prefix=metadata.get("tokenizer.ggml.add_space_prefix") is not False,
    )


def _guess_types(pieces: Sequence[bytes]) -> list[int]:
    """LLaMA's: the first three are special, bytes look like bytes."""
    types = [int(TokenType.NORMAL if byte_value(piece) is None else TokenType.BYTE) for piece in pieces]
    types[:3] = [int(kind) for _, kind in _FIRST][: len(types)]
    return types


_OTHER_TOKENIZERS = {
    "gpt2": " (byte-level BPE: LLaMA 3, Qwen and others)",
    "bert": " (WordPiece)",
    "t5": " (unigram)",
}


def _array(path: Path, metadata: Mapping[str, Any], key: str, kind: type) -> list[Any] | None:
    value = metadata.get(f"tokenizer.ggml.{key}")
    if value is None:
        return None
    if not isinstance(value, list) or (value and not isinstance(value[0], kind)):
        raise damaged(path, f"its tokenizer.ggml.{key} has the wrong type")
    return value


def _token_id(path: Path, metadata: Mapping[str, Any], key: str, default: int, n: int) -> int:
    value = metadata.get(f"tokenizer.ggml.{key}", default if default < n else -1)
    if not isinstance(value, int) or not -1 <= value < n:
        raise damaged(path, f"its tokenizer.ggml.{key} is {value}, outside of its {n} tokens")
    return value
