"""Vocabularies of 2023, of tokenizer.model files, and of GGUF metadata; the protobuf they travel in."""

from __future__ import annotations

from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_tui.errors import UserError
from alpaca_tui.files.model_file import open_model
from alpaca_tui.files.sentencepiece_proto import Proto, read_proto, write_bpe_proto
from alpaca_tui.files.vocab import (
    TokenType,
    byte_value,
    from_2023,
    from_gguf,
    from_tokenizer_model,
    text_of,
)
from tests.small_model import placeholder_scores, placeholder_texts

PATH = Path("tokenizer.model")


def test_texts_of_2023_become_pieces() -> None:
    texts = placeholder_texts(262)
    texts[259:] = [b"  a b", b"!", b""]
    vocab = from_2023(texts, placeholder_scores(262))
    assert vocab.pieces[:3] == [b"<unk>", b"<s>", b"</s>"] and vocab.types[:3] == [2, 3, 3]
    assert vocab.pieces[3 + 0x0A] == b"<0x0A>" and set(vocab.types[3:259]) == {TokenType.BYTE}
    assert vocab.pieces[259:] == ["\u2581\u2581a\u2581b".encode(), b"!", b""]
    assert vocab.types[259:] == [TokenType.NORMAL, TokenType.NORMAL, TokenType.CONTROL]
    assert (vocab.bos, vocab.eos, vocab.unk, vocab.add_bos, vocab.add_space_prefix) == (1, 2, 0, True, True)


@pytest.mark.parametrize("name", ["llama", "chinese_alpaca", "small"])
def test_the_rule_of_2023_goes_both_ways(kits: Path, name: str) -> None:
    """The texts that a converter wrote for a tokenizer.model give its pieces back."""
    vocab = from_tokenizer_model(kits / f"tokenizers/{name}.model")
    texts = [text_of(piece, kind) for piece, kind in zip(vocab.pieces, vocab.types, strict=True)]
    back = from_2023(texts, vocab.scores)
    assert (back.pieces, back.types, back.scores) == (vocab.pieces, vocab.types, vocab.scores)


def test_sizes_of_the_published_vocabularies(kits: Path) -> None:
    """32000 entries take 432,574 bytes in a ggjt file, Chinese-Alpaca's 49,954 take 672,397."""
    for name, count, size in (("llama", 32000, 432_574), ("chinese_alpaca", 49954, 672_397)):
        vocab = from_tokenizer_model(kits / f"tokenizers/{name}.model")
        texts = [text_of(piece, kind) for piece, kind in zip(vocab.pieces, vocab.types, strict=True)]
        assert (len(vocab), sum(8 + len(text) for text in texts)) == (count, size)


def test_proto_agrees_with_the_library(kits: Path) -> None:
    path = kits / "tokenizers/chinese_llama.model"
    library = sentencepiece.SentencePieceProcessor(model_file=str(path))
    vocab = from_tokenizer_model(path)
    assert vocab.pieces == [library.IdToPiece(i).encode() for i in range(library.vocab_size())]
    assert vocab.scores == [library.GetScore(i) for i in range(library.vocab_size())]
    assert (vocab.unk, vocab.bos, vocab.eos) == (library.unk_id(), library.bos_id(), library.eos_id())
    assert [t == TokenType.BYTE for t in vocab.types] == [library.IsByte(i) for i in range(len(vocab))]


pieces = st.lists(
    st.tuples(st.binary(max_size=400), st.floats(width=32, allow_nan=False), st.integers(1, 6)), min_size=1
)


@given(pieces, st.integers(-1, 5), st.booleans())
def test_proto_round_trip(entries: list[tuple[bytes, float, int]], special: int, flag: bool) -> None:
    names, scores, types = (list(column) for column in zip(*entries, strict=True))
    data = write_bpe_proto(names, scores, types, unk=0, bos=special, eos=-1, byte_fallback=flag)
    proto = read_proto(PATH, data)
    assert proto == Proto(names, scores, types, unk=0, bos=special, eos=-1, add_dummy_prefix=False)


@settings(max_examples=200)
@given(st.data())
def test_damaged_protos(data: st.DataObject) -> None:
    names = [b"<unk>", b"<s>", b"</s>", "\u2581the".encode(), b"x" * 300]
    good = write_bpe_proto(names, [0.0] * 5, [2, 3, 3, 1, 1], unk=0, bos=1, eos=2, byte_fallback=False)
    changed = bytearray(good[: data.draw(st.integers(0, len(good)))])
    for _ in range(data.draw(st.integers(0, 4)) if changed else 0):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        proto = read_proto(PATH, bytes(changed))
    except UserError as error:
        assert "tokenizer.model" in str(error)
    else:
        assert len(proto.pieces) == len(proto.scores) == len(proto.types) > 0


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "holds no pieces"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "no tokenizer"),
        (b"\xff" * 12, "no tokenizer"),
        (b"\x0b", "no tokenizer"),
        (
            write_bpe_proto([b"a"], [0.0], [1], unk=0, bos=1, eos=-1, byte_fallback=False),
            "BOS id 1 is outside",
        ),
        (
            write_bpe_proto([b"a"], [float("inf")], [1], unk=0, bos=-1, eos=-1, byte_fallback=False),
            "no number",
        ),
    ],
)
def test_what_is_no_tokenizer(tmp_path: Path, contents: bytes, message: str) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(contents)
    with pytest.raises(UserError, match=message):
        from_tokenizer_model(path)


def test_tokenizer_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        from_tokenizer_model(tmp_path)
    with pytest.raises(UserError, match="cannot be read: No such file"):
        from_tokenizer_model(tmp_path / "absent")


def test_gguf_without_kinds_of_tokens() -> None:
    tokens = [b"<unk>", b"<s>", b"</s>", b"<0x0A>", b"a"]
    metadata = {"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": tokens}
    vocab = from_gguf(PATH, metadata)
    assert vocab is not None and vocab.types == [2, 3, 3, 6, 1] and vocab.scores is None
    metadata |= {"tokenizer.ggml.token_type": [0, 7, 3, 6, 4], "tokenizer.ggml.add_bos_token": False}
    vocab = from_gguf(PATH, metadata)
    assert (
        vocab is not None and vocab.types == [1, 1, 3, 6, 4] and not vocab.add_bos and vocab.add_space_prefix
    )
    assert from_gguf(PATH, {}) is None


def test_the_kits_gguf_and_2023_vocabularies_are_one(kits: Path) -> None:
    with (
        open_model(kits / "logits/model-f16.gguf") as a,
        open_model(kits / "legacy/ggjt-v3/ggml-model-q8_0.bin") as b,
        open_model(kits / "legacy/ggml/ggml-model-q4_0.bin") as c,
    ):
        assert a.vocab is not None and b.vocab is not None and c.vocab is not None
        assert a.vocab == b.vocab and c.vocab.pieces == a.vocab.pieces and c.vocab.scores == a.vocab.scores


def test_byte_value() -> None:
    assert [byte_value(p) for p in (b"<0x00>", b"<0xFf>", b"<0x0>", b"<0x0G>", b"<0x+1>", b"a")] == [
        0, 255, None, None, None, None,
    ]  # fmt: skip
