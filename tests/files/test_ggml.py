"""Containers of 2023: models in several parts, missing scores, and damage."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_tui.errors import UserError
from alpaca_tui.files.model_file import ModelFile, open_model
from alpaca_tui.files.sentencepiece_proto import write_bpe_proto
from alpaca_tui.files.vocab import from_2023
from tests.ggml_writer import Record, header, numbers, old_name, record, write_ggml, write_small
from tests.small_model import placeholder_scores, placeholder_texts, random_weights, small_hparams

SIDE_BY_SIDE = ("token_embd.weight", "attn_output.weight", "ffn_down.weight")


def split(model: ModelFile, path: Path, n: int, container: str, cut: Sequence[int] = ()) -> None:
    """Write `model` as n parts, split as Meta's checkpoints; `cut`: where to cut the rows of the output."""
    h = model.hparams
    vocab_texts, scores = placeholder_texts(h.n_vocab), placeholder_scores(h.n_vocab)
    for i in range(n):
        records: list[Record] = []
        for name, tensor in model.tensors.items():
            data, kind = model.rows(name, 0, tensor.rows), tensor.format.ggml_type
            if len(tensor.shape) == 1:
                records.append((old_name(name), data, kind, tensor.shape))
                continue
            axis = int(name.endswith(SIDE_BY_SIDE))
            if name == "output.weight" and cut:
                share = np.split(data, cut, axis=0)[i]
            else:
                share = np.split(data, n, axis=axis)[i]
            cols = tensor.cols // n if axis else tensor.cols
            records.append((old_name(name), share, kind, (len(share), cols)))
        part = path if i == 0 else path.with_name(f"{path.name}.{i}")
        write_ggml(part, container, 1, numbers(h, 2), vocab_texts, scores, records)


@pytest.mark.parametrize("n_parts", [2, 4])
@pytest.mark.parametrize("fmt", ["f16", "q4_0_v1"])
def test_parts_are_joined(tmp_path: Path, n_parts: int, fmt: str) -> None:
    h = small_hparams(n_embd=128, n_ff=128, n_head_kv=4)
    with open_model(write_small(tmp_path / "whole.bin", "ggmf", 1, fmt, h)) as whole:
        path = tmp_path / "ggml-model.bin"
        split(whole, path, n_parts, "ggmf")
        with open_model(path) as model:
            assert model.hparams == whole.hparams and model.n_params == whole.n_params
            for name, tensor in whole.tensors.items():
                assert model.tensors[name].shape == tensor.shape
                np.testing.assert_array_equal(model.array(name), whole.array(name))
                middle = (tensor.rows // 3, tensor.rows * 2 // 3)
                np.testing.assert_array_equal(model.rows(name, *middle), whole.rows(name, *middle))
                ids = [tensor.rows - 1, 0, tensor.rows // 2]
                np.testing.assert_array_equal(model.gather(name, ids), whole.gather(name, ids))
                model.release(name)


def test_parts_of_unequal_height(tmp_path: Path) -> None:
    """Chinese-LLaMA-13B: the rows of the output do not divide by the number of parts."""
    with open_model(write_small(tmp_path / "whole.bin", "ggmf")) as whole:
        split(whole, tmp_path / "m.bin", 2, "ggmf", cut=[100])
        with open_model(tmp_path / "m.bin") as model:
            np.testing.assert_array_equal(model.array("output.weight"), whole.array("output.weight"))
            np.testing.assert_array_equal(
                model.rows("output.weight", 90, 200), whole.rows("output.weight", 90, 200)
            )
            assert model.rows("output.weight", 100, 100).shape[0] == 0


def test_a_kit_file_in_parts(tmp_path: Path, kits: Path) -> None:
    with open_model(kits / "legacy/ggmf/ggml-model-q4_0.bin") as whole:
        split(whole, tmp_path / "m.bin", 2, "ggmf")
        with open_model(tmp_path / "m.bin") as model:
            for name in whole.tensors:
                np.testing.assert_array_equal(model.array(name), whole.array(name))


def test_wrong_parts_are_named(tmp_path: Path) -> None:
    with open_model(write_small(tmp_path / "whole.bin", "ggmf")) as whole:
        split(whole, tmp_path / "m.bin", 2, "ggmf")
    second = tmp_path / "m.bin.1"
    with pytest.raises(UserError, match=r"further part of a model; give its first part, .*m\.bin\."):
        open_model(second)
    data = second.read_bytes()
    second.write_bytes(data[:4] + data[4:8] + struct.pack("<i", 321) + data[12:])
    with pytest.raises(UserError, match=r"m\.bin\.1"):
        open_model(tmp_path / "m.bin")
    second.write_bytes(data[:20] + struct.pack("<i", 8) + data[24:])
    with pytest.raises(UserError, match="headers differ"):
        open_model(tmp_path / "m.bin")
    second.write_bytes(b"GGUF")
    with pytest.raises(UserError, match="no ggml, ggmf or ggjt file"):
        open_model(tmp_path / "m.bin")
    second.unlink()
    with pytest.raises(UserError, match=r"first of 2 parts, and m\.bin\.1 is missing"):
        open_model(tmp_path / "m.bin")


# --- vocabularies ------------------------------------------------------------------------------------------


def write_tokenizer(path: Path, texts: Sequence[bytes]) -> Path:
    vocab = from_2023(texts, None)
    pieces = [piece or b"control %d" % i for i, piece in enumerate(vocab.pieces)]
    scores = placeholder_scores(len(texts))
    path.write_bytes(write_bpe_proto(pieces, scores, vocab.types, unk=0, bos=1, eos=2, byte_fallback=True))
    return path


def test_missing_scores_come_from_tokenizer_model(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "7B"
    folder.mkdir(parents=True)
    path = write_small(folder / "m.bin", "ggml", 0)
    with pytest.raises(
        UserError, match=r"no token scores, so it needs its tokenizer\.model: put that beside"
    ):
        open_model(path)
    with open_model(path, need_vocab=False) as model:
        assert model.vocab is None
    up = write_tokenizer(folder.parent / "tokenizer.model", placeholder_texts(320))
    with open_model(path) as model:
        assert model.vocab is not None and model.vocab.scores == placeholder_scores(320)
        assert model.vocab.sentencepiece == up.read_bytes()
    other = placeholder_texts(320)
    other[300] = b" other"
    beside = write_tokenizer(folder / "tokenizer.model", other)
    with pytest.raises(UserError, match=r"token 300 is b' other' and should be b'F'"):
        open_model(path)
    with open_model(path, tokenizer=up) as model:
        assert model.vocab is not None
    write_tokenizer(beside, placeholder_texts(310))
    with pytest.raises(UserError, match=r"310 tokens and .* has 320"):
        open_model(path)
    beside.write_bytes(b"nonsense")
    with pytest.raises(UserError, match="no tokenizer"):
        open_model(path)
    with pytest.raises(UserError, match="absent"):
        open_model(path, tokenizer=tmp_path / "absent")


@pytest.mark.parametrize("container", ["ggml", "ggmf"])
def test_gpt4all_announces_a_token_too_many(tmp_path: Path, container: str) -> None:
    h = small_hparams(n_vocab=321, n_head_kv=4)
    records = [record(old_name(n), v, "f32" if v.ndim == 1 else "f16") for n, v in random_weights(h).items()]
    scores = None if container == "ggml" else placeholder_scores(320)
    path = tmp_path / "m.bin"
    write_ggml(path, container, 1, numbers(h, 1), placeholder_texts(320), scores, records)
    write_tokenizer(tmp_path / "tokenizer.model", placeholder_texts(320))
    with open_model(path) as model:
        assert model.hparams.n_vocab == 321 and model.vocab is not None
        assert (len(model.vocab), model.vocab.pieces[-1], model.vocab.types[-1]) == (321, b"", 3)


def test_gptq_conversions_are_padded_like_ggjt(tmp_path: Path) -> None:
    path = write_small(tmp_path / "m.bin", "ggjt", 1, "q4_1_v1")
    data = bytearray(path.read_bytes())
    # convert-gptq-to-ggml.py: the magic of ggmf, ftype 4, and padding to 32
    data[:4], data[32:36] = b"fmgg", struct.pack("<i", 4)
    (tmp_path / "gptq.bin").write_bytes(data)
    with open_model(path) as a, open_model(tmp_path / "gptq.bin") as b:
        np.testing.assert_array_equal(a.array("output.weight"), b.array("output.weight"))


def test_grouped_queries_show_in_the_shapes(tmp_path: Path) -> None:
    """LLaMA-2-70B in ggjt v3: the header knows nothing of n_head_kv."""
    with open_model(write_small(tmp_path / "m.bin", "ggjt", 3, "q8_0", small_hparams())) as model:
        assert (model.hparams.n_head, model.hparams.n_head_kv) == (4, 2)


# --- damage ------------------------------------------------------------------------------------------------


def altered(tmp_path: Path, position: int, new: bytes, container: str = "ggjt") -> Path:
    path = write_small(tmp_path / "m.bin", container)
    data = bytearray(path.read_bytes())
    data[position : position + len(new)] = new
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("position", "value", "message"),
    [
        (4, 4, "ggjt version 4"),
        (8, 0, "n_vocab = 0"),
        (8, -1, "n_vocab = -1"),
        (8, 2**31 - 1, "n_vocab = 2147483647"),
        (8, 321, "damaged"),
        (12, 70000, "n_embd = 70000"),
        (12, 96, "damaged"),
        (20, 0, "n_head = 0"),
        (20, 3, "does not go with n_head = 3"),
        (20, 4096, "n_head = 4096"),
        (24, 2000, "n_layer = 2000"),
        (24, 3, r"blk\.2\.attn_norm\.weight is missing"),
        (24, 1, r"a tensor 'blk\.1"),
        (36, -1, "token 0 of its vocabulary announces"),
        (36, 2**30, "token 0 of its vocabulary announces"),
    ],
)
def test_impossible_headers(tmp_path: Path, position: int, value: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_model(altered(tmp_path, position, struct.pack("<i", value)))


def test_damaged_records(tmp_path: Path) -> None:
    path = write_small(tmp_path / "m.bin")
    data = path.read_bytes()
    start = data.index(b"tok_embeddings.weight") - 20
    for at, value, message in (
        (0, 3, "3 dimensions"),
        (0, 0, "0 dimensions"),
        (4, 0, "name of 0 bytes"),
        (4, 10_000, "name of 10000 bytes"),
        (8, 4, "block format q4_2"),
        (8, 99, "block format type 99"),
        (12, 0, r"dimensions \(0, 320\)"),
        (12, 63, r"announces .* dimensions"),
        (16, 2**31 - 1, "incomplete: it ends inside its tensor 'tok_embeddings.weight' and at least"),
    ):
        changed = bytearray(data)
        changed[start + at : start + at + 4] = struct.pack("<i", value)
        path.write_bytes(changed)
        with pytest.raises(UserError, match=message):
            open_model(path)


def test_nan_score(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="score of token 0"):
        open_model(altered(tmp_path, 40 + len(" \u2047 ".encode()), struct.pack("<f", float("nan"))))


def test_vocabulary_without_weights(tmp_path: Path) -> None:
    path = write_small(tmp_path / "m.bin")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"tok_embeddings.weight") - 20])
    with pytest.raises(UserError, match="vocabulary only"):
        open_model(path)


def test_a_model_of_another_kind(tmp_path: Path) -> None:
    """GPT-2's and GPT-J's files of 2023 have the magic of ggml as well, and other numbers."""
    path = tmp_path / "gpt2.bin"
    path.write_bytes(header("ggml", 0, (50257, 1024, 768, 12, 12, 1, 0)) + bytes(4096))
    with pytest.raises(UserError):
        open_model(path)
    changed = (
        write_small(tmp_path / "m.bin")
        .read_bytes()
        .replace(b"layers.0.attention.wq", b"layers.0.attention.xx")
    )
    path.write_bytes(changed)
    with pytest.raises(UserError, match=r"'layers\.0\.attention\.xx\.weight' that LLaMA does not have"):
        open_model(path)


@pytest.fixture(scope="module", params=["ggml", "ggmf", "ggjt"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Path]:
    folder = tmp_path_factory.mktemp("fuzz")
    h = small_hparams(n_vocab=262, n_embd=32, n_head=2, n_head_kv=2, n_layer=1, n_ff=32)
    path = write_small(folder / "m.bin", request.param, 1, "q4_0_v1", h)
    write_tokenizer(folder / "tokenizer.model", placeholder_texts(262))
    return path.read_bytes(), folder / "damaged.bin"


@settings(max_examples=60)
@given(st.data())
def test_every_truncation_is_refused(whole: tuple[bytes, Path], data: st.DataObject) -> None:
    contents, path = whole
    path.write_bytes(contents[: data.draw(st.integers(0, len(contents) - 1))])
    with pytest.raises(UserError, match=r"damaged\.bin"):
        open_model(path)


EXTREMES = [0, 1, -1, 2**31 - 1, -(2**31), 2**30, 2**24, 255, 65536]


@settings(max_examples=150)
@given(st.data())
def test_damage_is_refused_or_harmless(whole: tuple[bytes, Path], data: st.DataObject) -> None:
    contents, path = whole
    changed = bytearray(contents)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.one_of(st.integers(0, 60), st.integers(0, len(contents) - 4)))
        changed[at : at + 4] = struct.pack("<i", data.draw(st.sampled_from(EXTREMES)))
    path.write_bytes(changed)
    try:
        model = open_model(path)
    except UserError as error:
        assert "damaged.bin" in str(error) or "tokenizer.model" in str(error)
        return
    with model:
        for name, tensor in model.tensors.items():
            assert model.array(name).shape == tensor.shape
