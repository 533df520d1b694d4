"""Text to token ids and back, with the `sentencepiece` library and the vocabulary of a model."""

from __future__ import annotations

import codecs
from collections.abc import Iterable

import sentencepiece

from alpaca_tui.errors import UserError
from alpaca_tui.files.sentencepiece_proto import write_bpe_proto
from alpaca_tui.files.vocab import TokenType, Vocab, byte_value, text_of

# Control tokens that end a reply beside EOS, by the names that chat models give them (as in llama.cpp).
_END_NAMES = frozenset(
    (b"<|im_end|>", b"<|eot_id|>", b"<|eom_id|>", b"<|end|>", b"<|endoftext|>", b"<end_of_turn>", b"<EOT>")
)


class Tokenizer:
    """The tokens of one model.

    The library is given a model made from the vocabulary's pieces, without dummy prefix and normalising, so
    that files of every kind behave alike and spaces are exactly those asked for. Merging is by score, as in
    llama.cpp; characters without a piece become byte tokens.
    """

    def __init__(self, vocab: Vocab) -> None:
        """Raises UserError when no tokenizer can be made of the vocabulary."""
        if vocab.scores is None:
            raise UserError(
                "The vocabulary has no scores; give the model's tokenizer.model with --tokenizer."
            )
        self.n_vocab = len(vocab.pieces)
        self.bos, self.eos, self.unk = vocab.bos, vocab.eos, vocab.unk
        self._add_bos = vocab.add_bos and vocab.bos >= 0
        self._space_prefix = vocab.add_space_prefix
        self._pieces = vocab.pieces
        self._texts = [_text(*entry) for entry in zip(vocab.pieces, vocab.types, strict=True)]
        self._ends = frozenset(
            i
            for i, (piece, kind) in enumerate(zip(vocab.pieces, vocab.types, strict=True))
            if kind in (TokenType.CONTROL, TokenType.USER_DEFINED) and piece in _END_NAMES
        ) | ({vocab.eos} if vocab.eos >= 0 else set())
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(_proto(vocab, vocab.scores))
        except RuntimeError as error:
            raise UserError(f"The model's vocabulary cannot be used: {error}; use another file.") from None

    def encode(self, text: str, bos: bool = True, space_prefix: bool = True) -> list[int]:
        """Token ids of `text`. `bos` puts BOS first (where the model has one) and `space_prefix` a space.

        Text never becomes a control token: "</s>" gives ordinary tokens. U+2581 cannot be told from a space,
        here as in SentencePiece; a lone surrogate becomes U+FFFD.
        """
        ids = [self.bos] if bos and self._add_bos else []
        if text:
            if space_prefix and self._space_prefix:
                text = " " + text
            ids += self._processor.EncodeAsIds(_well_formed(text))
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the tokens; control tokens are nothing, bytes that are no UTF-8 become U+FFFD."""
        return b"".join(map(self.piece, ids)).decode("utf-8", "replace")

    def piece(self, token: int) -> bytes:
        """The bytes that a token stands for: U+2581 is a space, a control token nothing."""
        return self._texts[token]

    def token_of(self, text: str) -> int | None:
        """The token that is spelled like this in the vocabulary, control tokens included."""
        piece = text.replace(" ", "\u2581").encode()
        return next((i for i, each in enumerate(self._pieces) if each == piece), None)

    def is_eog(self, token: int) -> bool:
        """Whether the token ends a reply."""
        return token in self._ends


def _text(piece: bytes, kind: int) -> bytes:
    return b"" if kind == TokenType.UNUSED else text_of(piece, kind)


def _well_formed(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _proto(vocab: Vocab, scores: list[float]) -> bytes:
    """A SentencePiece model of the vocabulary, made acceptable to the library.

    It insists on one unknown piece, on pieces that are different, UTF-8, non-empty and without NUL, and on
    bytes only if all 256 are there. What cannot be matched anyway gets a name of its own.
    """
    unk = vocab.unk if vocab.unk >= 0 else 0
    pieces, types = list(vocab.pieces), list(vocab.types)
    byte_pieces = {p for p, t in zip(pieces, types, strict=True) if t == TokenType.BYTE}
    byte_fallback = {byte_value(p) for p in byte_pieces} >= set(range(256))
    seen: set[bytes] = set()
    for i, piece in enumerate(pieces):
        kind = types[i]
        if i == unk:
            kind = TokenType.UNKNOWN
        elif kind == TokenType.BYTE and byte_fallback and (value := byte_value(piece)) is not None:
            piece = b"<0x%02X>" % value
        elif kind in (TokenType.UNKNOWN, TokenType.BYTE):
            kind = TokenType.UNUSED
        if piece in seen or not _is_text(piece):
            piece = b"\xef\xbf\xbd%d" % i
            while piece in seen:
                piece += b"+"
            if i != unk:
                kind = TokenType.UNUSED
        seen.add(piece)
        pieces[i], types[i] = piece, int(kind)
    return write_bpe_proto(
        pieces, scores, types, unk=unk, bos=vocab.bos, eos=vocab.eos, byte_fallback=byte_fallback
    )


def _is_text(piece: bytes) -> bool:
    """Whether the library takes it for a piece: UTF-8, not empty, no NUL."""
    try:
        piece.decode()
    except UnicodeDecodeError:
        return False
    return bool(piece) and b"\0" not in piece


class Utf8Stream:
    """Bytes in, whole characters out: the start of a character is held back until the rest of it comes.

    Bytes that can no longer become a character come out as U+FFFD.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, data: bytes) -> str:
        return self._decoder.decode(data)

    def flush(self) -> str:
        """What is held back, as U+FFFD; the stream is as new afterwards."""
        text = self._decoder.decode(b"", True)
        self._decoder.reset()
        return text
