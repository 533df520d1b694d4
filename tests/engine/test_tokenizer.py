"""Token ids against those of llama.cpp and SentencePiece, text in and out, and the incremental decoder."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_tui.engine.tokenizer import Tokenizer, Utf8Stream
from alpaca_tui.errors import UserError
from alpaca_tui.files.model_file import open_model
from alpaca_tui.files.vocab import Vocab, from_2023, from_tokenizer_model
from alpaca_tui.resources import prompts_dir
from tests.small_model import placeholder_scores, placeholder_texts

# --- known ids ---------------------------------------------------------------------------------------------

# llama.cpp of 2023-04-03, tests/test-tokenizer-0 (BOS, no space put before)
LLAMA = [
    ("Hello World", [1, 10994, 2787]),
    (" Hello World", [1, 15043, 2787]),
    (" Hello World!", [1, 15043, 2787, 29991]),
    (" this is \U0001f999.cpp", [1, 445, 338, 29871, 243, 162, 169, 156, 29889, 8223]),
    ("w048 7tuijk dsdfhu", [1, 29893, 29900, 29946, 29947, 29871, 29955, 9161, 13535, 18031, 2176, 6905]),
    ("нещо на Български", [1, 821, 4851, 665, 1386, 29713, 1305]),
]
# karpathy/llama2.c, test.c (BOS and the space put before)
LLAMA2C = [
    ("", [1]),
    ("I believe the meaning of life is", [1, 306, 4658, 278, 6593, 310, 2834, 338]),
    ("Simply put, the theory of relativity states that ",
     [1, 3439, 17632, 1925, 29892, 278, 6368, 310, 14215, 537, 5922, 393, 29871]),
]  # fmt: skip
ALPACA_PROMPT = (prompts_dir() / "alpaca.txt").read_text(encoding="utf-8").removesuffix("\n")
ALPACA_IDS = [
    *(1, 13866, 338, 385, 15278, 393, 16612, 263, 3414, 29889, 14350, 263, 2933, 393, 7128, 2486, 1614, 2167),
    *(278, 2009, 29889),
]


@pytest.fixture(scope="module")
def llama(kits: Path) -> Tokenizer:
    return Tokenizer(from_tokenizer_model(kits / "tokenizers/llama.model"))


@pytest.fixture(scope="module")
def chinese(kits: Path) -> Tokenizer:
    return Tokenizer(from_tokenizer_model(kits / "tokenizers/chinese_alpaca.model"))


@pytest.mark.parametrize(("text", "ids"), LLAMA)
def test_ids_of_llama_cpp(llama: Tokenizer, text: str, ids: list[int]) -> None:
    assert llama.encode(text, space_prefix=False) == ids
    assert llama.decode(ids) == text


@pytest.mark.parametrize(("text", "ids"), [*LLAMA2C, (ALPACA_PROMPT, ALPACA_IDS)])
def test_ids_with_space_prefix(llama: Tokenizer, text: str, ids: list[int]) -> None:
    assert llama.encode(text) == ids


def test_ids_of_chinese_alpaca(chinese: Tokenizer) -> None:
    """The first is the prompt of the tutorial's notebooks, which report its 11 tokens."""
    ids = [1, 29871, 33851, 44721, 32187, 30210, 30548, 32374, 30960, 34629, 30383]
    assert chinese.encode("详细介绍一下北京的名胜古迹：") == ids
    assert len(chinese.encode("介绍一下北京的名胜古迹")) == 9


def test_the_papers_sentence(llama: Tokenizer, chinese: Tokenizer) -> None:
    """arXiv 2304.08177, table 1: 35 tokens with LLaMA's vocabulary, 16 with the Chinese one."""
    sentence = "人工智能是计算机科学、心理学、哲学等学科融合的交叉学科。"
    assert [len(t.encode(sentence, bos=False)) for t in (llama, chinese)] == [35, 16]


@pytest.mark.parametrize(
    "name", ["logits/model-f16.gguf", "legacy/ggjt-v1/ggml-model-f16.bin", "legacy/ggml/ggml-model-q4_0.bin"]
)
def test_ids_of_the_reference_run(kits: Path, name: str) -> None:
    """One text, three containers, one list of ids."""
    text = (
        "### Instruction:\n\n你好，请用 3 句话介绍 llama.cpp 的量化方法。😀 naïve café\n\n### Response:\n\n"
    )
    with open_model(kits / name) as model:
        assert model.vocab is not None
        assert (
            Tokenizer(model.vocab).encode(text) == np.load(kits / "logits/reference.npz")["tokens"].tolist()
        )


@pytest.fixture(scope="module")
def library(kits: Path) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_file=str(kits / "tokenizers/llama.model"))


@settings(max_examples=100)
@given(text=st.text(max_size=60))
def test_the_library_alone_agrees(
    llama: Tokenizer, library: sentencepiece.SentencePieceProcessor, text: str
) -> None:
    """With LLaMA's own tokenizer.model, whose dummy prefix is our space prefix."""
    assert llama.encode(text, bos=False) == library.EncodeAsIds(text)


# --- text comes back ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain() -> Tokenizer:
    """LLaMA's layout with hardly any words: most text is bytes."""
    return Tokenizer(from_2023(placeholder_texts(320), placeholder_scores(320)))


NO_BLOCK = st.characters(exclude_characters="\u2581", exclude_categories=["Cs"])
TEXT = (
    st.text(NO_BLOCK)
    | st.text(st.sampled_from(" \n\t\r\0a你😀é</s>#:01"))
    | st.from_regex(r"( {1,5}\w{1,5}\n*)+")
)


@given(TEXT)
def test_decode_gives_the_text_back(plain: Tokenizer, text: str) -> None:
    text = text.replace("\u2581", " ")
    ids = plain.encode(text, bos=True, space_prefix=False)
    assert ids[0] == 1 and plain.decode(ids) == text
    assert plain.decode(plain.encode(text)) == (" " + text if text else "")
    assert b"".join(map(plain.piece, ids)) == text.encode()


@settings(max_examples=60)
@given(TEXT)
def test_decode_gives_the_text_back_with_real_vocabularies(
    llama: Tokenizer, chinese: Tokenizer, text: str
) -> None:
    text = text.replace("\u2581", " ")
    for tokenizer in (llama, chinese):
        assert tokenizer.decode(tokenizer.encode(text, space_prefix=False)) == text


def test_every_code_point_comes_back(chinese: Tokenizer) -> None:
    points = [*range(0xD800), *range(0xE000, 0x30000, 7)]
    text = "".join(map(chr, points)).replace("\u2581", "")
    assert chinese.decode(chinese.encode(text, space_prefix=False)) == text


def test_empty_text(plain: Tokenizer) -> None:
    assert plain.encode("") == [1] and plain.encode("", bos=False) == [] and plain.decode([]) == ""


def test_surrogates(plain: Tokenizer) -> None:
    assert plain.decode(plain.encode("a\ud800b", space_prefix=False)) == "a\ufffdb"
    assert plain.decode(plain.encode("\ud83d\ude00", space_prefix=False)) == "😀"


def test_bytes_that_are_no_text(plain: Tokenizer) -> None:
    assert plain.decode([3 + 0xE4, 3 + 0xBD]) == "\ufffd"
    assert plain.piece(3 + 0xE4) == b"\xe4"


# --- control tokens ----------------------------------------------------------------------------------------


def test_text_never_becomes_a_control_token(llama: Tokenizer, plain: Tokenizer) -> None:
    text = "</s><s><unk><0x0A> </s>"
    for tokenizer in (llama, plain):
        ids = tokenizer.encode(text, bos=False, space_prefix=False)
        assert not {0, 1, 2, 3 + 0x0A} & set(ids)
        assert tokenizer.decode(ids) == text


def test_control_tokens_are_no_text(plain: Tokenizer) -> None:
    assert (plain.piece(1), plain.piece(2), plain.decode([1, 2])) == (b"", b"", "")
    assert (plain.bos, plain.eos, plain.n_vocab) == (1, 2, 320)
    assert plain.is_eog(2) and not plain.is_eog(1)


def small_vocab(extra: list[tuple[bytes, int]], **changes: object) -> Vocab:
    base = from_2023(placeholder_texts(300), placeholder_scores(300))
    pieces, types = [*base.pieces, *(p for p, _ in extra)], [*base.types, *(t for _, t in extra)]
    return Vocab(pieces, placeholder_scores(len(pieces)), types, **changes)  # type: ignore[arg-type]


def test_user_defined_tokens_match_in_text() -> None:
    tokenizer = Tokenizer(
        small_vocab([(b"<|im_start|>", 4), (b"<|im_end|>", 3), (b"\xe2\x96\x81\xe2\x96\x81", 4)])
    )
    ids = tokenizer.encode("a<|im_start|>b<|im_end|>", bos=False, space_prefix=False)
    assert ids.count(300) == 1 and 301 not in ids
    assert tokenizer.decode(ids) == "a<|im_start|>b<|im_end|>"
    assert tokenizer.is_eog(301) and not tokenizer.is_eog(300)
    assert 302 in tokenizer.encode("x  y", bos=False) and tokenizer.piece(302) == b"  "


def test_what_the_model_does_not_want() -> None:
    """add_bos_token and add_space_prefix of GGUF; a model without BOS."""
    assert Tokenizer(small_vocab([], add_bos=False)).encode("") == []
    assert Tokenizer(small_vocab([], bos=-1)).encode("") == []
    tokenizer = Tokenizer(small_vocab([], add_space_prefix=False))
    assert tokenizer.encode("a") == tokenizer.encode("a", space_prefix=False)
    assert not Tokenizer(small_vocab([], eos=-1)).is_eog(-1)


# --- vocabularies that the library would refuse ------------------------------------------------------------


def test_pieces_that_are_empty_double_or_no_text() -> None:
    extra = [
        (b"", 1),
        (b"e", 1),
        (b"e", 1),
        (b"\xff\xfe", 1),
        (b"<s>", 1),
        (b"", 5),
        (b"<unk>", 2),
        (b"a\0b", 1),
    ]
    tokenizer = Tokenizer(small_vocab(extra))
    assert tokenizer.n_vocab == 308
    assert tokenizer.decode(tokenizer.encode("the end </s>", space_prefix=False)) == "the end </s>"
    assert tokenizer.decode(tokenizer.encode("a\0b", space_prefix=False)) == "a\0b"
    assert (
        tokenizer.piece(303) == b"\xff\xfe"
        and tokenizer.piece(305) == b""
        and tokenizer.piece(307) == b"a\0b"
    )


def test_bytes_in_small_letters() -> None:
    vocab = small_vocab([])
    vocab.pieces[3:259] = [b"<0x%02x>" % i for i in range(256)]
    assert Tokenizer(vocab).encode("é", bos=False, space_prefix=False) == [3 + 0xC3, 3 + 0xA9]


def test_without_all_bytes() -> None:
    vocab = Vocab(
        [b"<unk>", b"<0x0A>", b"a", b"b", b"ab"],
        [0.0, 0.0, -1.0, -2.0, -3.0],
        [2, 6, 1, 1, 1],
        bos=-1,
        eos=-1,
    )
    tokenizer = Tokenizer(vocab)
    assert tokenizer.encode("abc", space_prefix=False) == [4, 0]
    assert tokenizer.piece(1) == b"\n" and tokenizer.decode([4, 0]) == "ab \u2047 "


def test_no_scores() -> None:
    with pytest.raises(UserError, match="no scores"):
        Tokenizer(from_2023(placeholder_texts(300), None))


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.binary(max_size=4), st.integers(1, 6), st.floats(-1e3, 1e3)), min_size=1, max_size=40
    ),
    st.integers(-1, 0),
    st.text(max_size=20),
)
def test_hostile_vocabularies(entries: list[tuple[bytes, int, float]], special: int, text: str) -> None:
    """Whatever a file says: a UserError, or ids within the vocabulary."""
    pieces, types, scores = (list(column) for column in zip(*entries, strict=True))
    vocab = Vocab(pieces, scores, types, bos=special, eos=special, unk=special)  # type: ignore[arg-type]
    try:
        tokenizer = Tokenizer(vocab)
    except UserError:
        return
    ids = tokenizer.encode(text)
    assert all(0 <= i < len(pieces) for i in ids)
    tokenizer.decode(ids)


# --- speed -------------------------------------------------------------------------------------------------


def test_large_vocabularies_and_long_texts_take_no_time(kits: Path) -> None:
    vocab = from_tokenizer_model(kits / "tokenizers/chinese_alpaca.model")
    start = time.perf_counter()
    tokenizer = Tokenizer(vocab)
    built = time.perf_counter()
    ids = tokenizer.encode("a" * 20_000 + "你好，世界。" * 5_000)
    tokenizer.decode(ids)
    assert built - start < 2.0 and time.perf_counter() - built < 5.0  # usually 0.12 and 0.1


# --- the incremental decoder -------------------------------------------------------------------------------


@given(st.text(), st.data())
def test_stream_is_the_text_whatever_the_cuts(text: str, data: st.DataObject) -> None:
    raw, stream, out = text.encode("utf-8", "replace"), Utf8Stream(), ""
    while raw:
        n = data.draw(st.integers(1, 5))
        out += stream.push(raw[:n])
        raw = raw[n:]
    assert out == text.encode("utf-8", "replace").decode() and stream.flush() == ""


@given(st.binary())
def test_stream_of_any_bytes(raw: bytes) -> None:
    stream = Utf8Stream()
    out = "".join(stream.push(raw[i : i + 1]) for i in range(len(raw)))
    assert out + stream.flush() == raw.decode("utf-8", "replace")


def test_stream_holds_back_only_what_may_still_become_a_character() -> None:
    stream = Utf8Stream()
    assert [stream.push(b) for b in (b"a\xf0", b"\x9f\x98", b"\x80!")] == ["a", "", "😀!"]
    assert [stream.push(b) for b in (b"\xe4\xbd", b"b")] == ["", "\ufffdb"]
    assert stream.push(b"\xff") == "\ufffd"  # begins no character: certain at once
    assert (stream.push(b"\xe4\xbd"), stream.flush(), stream.flush()) == ("", "\ufffd", "")
    assert stream.push("é".encode()) == "é"
