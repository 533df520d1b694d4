"""GGUF: metadata of all types, and files that are damaged, hostile, or of another kind."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_tui.errors import UserError
from alpaca_tui.files.blocks import FORMATS
from alpaca_tui.files.gguf import read_gguf
from alpaca_tui.files.hparams import Yarn
from alpaca_tui.files.model_file import open_model
from tests.ggml_writer import write_small
from tests.gguf_writer import KV, RawTensor, llama_metadata, quantized, write_gguf, write_llama
from tests.small_model import random_weights, small_hparams

VALUES: list[tuple[str, Any]] = [
    ("u8", 255), ("i8", -128), ("u16", 65535), ("i16", -32768), ("u32", 2**32 - 1), ("i32", -(2**31)),
    ("f32", 0.5), ("bool", True), ("bool", False), ("str", "héllo 你好"), ("str", ""), ("u64", 2**64 - 1),
    ("i64", -(2**63)), ("f64", 1e300), ("[u8]", [1, 2]), ("[i32]", [-1, 0, 1]), ("[f32]", [0.5, -0.5]),
    ("[bool]", [True, False]), ("[str]", ["a", "", "你"]), ("[u64]", []), ("[f64]", [1e300]),
]  # fmt: skip


def head(path: Path) -> Any:
    data = path.read_bytes()
    return read_gguf(path, data, len(data))


def test_metadata_of_every_type(tmp_path: Path) -> None:
    entries = [KV(f"key.{i}", kind, value) for i, (kind, value) in enumerate(VALUES)]
    contents = head(write_gguf(tmp_path / "m.gguf", entries, []))
    assert contents.metadata == {entry.key: entry.value for entry in entries}
    assert (contents.container, contents.version, contents.tensors) == ("gguf", 3, {})


def test_strings_that_are_not_utf8(tmp_path: Path) -> None:
    entries = [KV("a", "str", b"\xff"), KV("tokenizer.ggml.tokens", "[str]", [b"\xff", b"a"])]
    metadata = head(write_gguf(tmp_path / "m.gguf", entries, [])).metadata
    assert metadata == {"a": "\ufffd", "tokenizer.ggml.tokens": [b"\xff", b"a"]}


@pytest.mark.parametrize("alignment", [8, 64, 4096])
def test_alignment(tmp_path: Path, alignment: int) -> None:
    h = small_hparams(n_layer=1)
    tensors = [quantized(n, v, "f32" if v.ndim == 1 else "q4_1") for n, v in random_weights(h).items()]
    metadata = [*llama_metadata(h), KV("general.alignment", "u32", alignment)]
    with open_model(write_gguf(tmp_path / "m.gguf", metadata, tensors, alignment=alignment)) as model:
        for tensor in tensors:
            np.testing.assert_array_equal(model.rows(tensor.name, 0, len(tensor.data)), tensor.data)


@pytest.mark.parametrize("alignment", [0, 1, 4, 24, 33, 2**31])
def test_impossible_alignment(tmp_path: Path, alignment: int) -> None:
    with pytest.raises(UserError, match="alignment"):
        open_model(write_llama(tmp_path / "m.gguf", extra=[KV("general.alignment", "u32", alignment)]))


def test_another_reader_agrees(tmp_path: Path) -> None:
    """gguf-py reads what our writer writes, and dequantises as our twins do."""
    gguf = pytest.importorskip("gguf")
    h = small_hparams(n_embd=256, n_ff=256, n_layer=1)
    matrices = [name for name in random_weights(h) if "norm" not in name]
    formats = dict(
        zip(matrices, ("f16", "bf16", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q6_K"), strict=False)
    )
    path = write_llama(tmp_path / "m.gguf", "q8_0", h, formats=formats)
    reader = gguf.GGUFReader(path)
    with open_model(path) as model:
        assert len({tensor.format.name for tensor in model.tensors.values()}) == 9
        for tensor in reader.tensors:
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            np.testing.assert_array_equal(model.array(tensor.name), values)


# --- models that this program does not run -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (KV("general.architecture", "str", "qwen2"), "architecture 'qwen2'"),
        (KV("general.architecture", "u32", 1), r"no general\.architecture"),
        (KV("tokenizer.ggml.model", "str", "gpt2"), r"tokenizer 'gpt2' \(byte-level BPE: LLaMA 3"),
        (KV("tokenizer.ggml.model", "str", "rwkv"), "tokenizer 'rwkv'"),
        (KV("tokenizer.ggml.model", "u32", 5), "tokenizer 5"),
        (KV("llama.expert_count", "u32", 8), "mixture of experts"),
        (KV("llama.rope.scaling.type", "str", "longrope"), "RoPE scaling 'longrope'"),
        (KV("llama.attention.key_length", "u32", 32), "heads of 32 dimensions"),
        (KV("llama.rope.dimension_count", "u32", 8), "rotates 8 of 16 dimensions"),
        (KV("llama.feed_forward_length", "[u32]", [96, 64]), "layers of different shapes"),
        (KV("split.count", "u16", 3), "part 1 of a model split into 3 files"),
    ],
)  # fmt: skip
def test_unsupported_by_name(tmp_path: Path, entry: KV, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_model(write_llama(tmp_path / "m.gguf", extra=[entry]))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (KV("llama.block_count", "u32", 0), "n_layer = 0"),
        (KV("llama.block_count", "i32", -1), "n_layer = -1"),
        (KV("llama.block_count", "u32", 3), r"blk\.2\.attn_norm\.weight is missing"),
        (KV("llama.block_count", "u32", 1), r"tensor 'blk\.1\.attn_norm\.weight' that this program"),
        (KV("llama.block_count", "f32", 2.0), "no whole number"),
        (KV("llama.block_count", "bool", True), "no whole number"),
        (KV("llama.embedding_length", "u32", 128), "heads|shape|rotates"),
        (KV("llama.embedding_length", "u64", 2**63), r"llama\.embedding_length = 9223372036854775808"),
        (KV("llama.attention.head_count", "u32", 0), r"llama\.attention\.head_count = 0"),
        (KV("llama.attention.head_count_kv", "u32", 3), "does not go with n_head_kv = 3"),
        (KV("llama.attention.head_count_kv", "u32", 4), "has the shape"),
        (KV("llama.feed_forward_length", "u32", 128), "has the shape"),
        (KV("llama.attention.layer_norm_rms_epsilon", "f32", 0.0), "norm_eps = 0"),
        (KV("llama.attention.layer_norm_rms_epsilon", "str", "x"), "is no number"),
        (KV("llama.rope.freq_base", "f32", float("nan")), "rope_freq_base = nan"),
        (KV("llama.rope.freq_base", "f32", 0.0), "rope_freq_base = 0"),
        (KV("llama.context_length", "u32", 0), "n_ctx_train = 0"),
        (KV("tokenizer.ggml.tokens", "[str]", ["a"] * 319), "319 tokens and 320 scores"),
        (KV("tokenizer.ggml.tokens", "[i32]", [1]), "wrong type"),
        (KV("tokenizer.ggml.tokens", "[str]", []), "vocabulary is empty"),
        (KV("tokenizer.ggml.scores", "[f32]", [float("nan")] * 320), "score of its vocabulary"),
        (KV("tokenizer.ggml.token_type", "[i32]", [1] * 5), "5 token_type"),
        (KV("tokenizer.ggml.bos_token_id", "u32", 320), "outside of its 320 tokens"),
        (KV("tokenizer.ggml.bos_token_id", "str", "1"), "bos_token_id"),
    ],
)  # fmt: skip
def test_contradictions(tmp_path: Path, entry: KV, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_model(write_llama(tmp_path / "m.gguf", extra=[entry]))


def test_vocabulary_of_another_size(tmp_path: Path) -> None:
    path = write_llama(tmp_path / "m.gguf")
    h = small_hparams(n_vocab=321)
    metadata = llama_metadata(h)
    tensors = [quantized(n, v, "f32") for n, v in random_weights(small_hparams()).items()]
    write_gguf(path, metadata, tensors)
    with pytest.raises(UserError, match="vocabulary has 321 tokens, and its embedding 320"):
        open_model(path)


@pytest.mark.parametrize(
    ("entries", "scale"),
    [
        ([], 1.0),
        ([KV("llama.rope.scaling.type", "str", "none"), KV("llama.rope.scaling.factor", "f32", 4.0)], 1.0),
        ([KV("llama.rope.scaling.type", "str", "linear"), KV("llama.rope.scaling.factor", "f32", 4.0)], 0.25),
        ([KV("llama.rope.scaling.type", "str", "linear"), KV("llama.rope.scaling.factor", "f32", 0.0)], 1.0),
        ([KV("llama.rope.scale_linear", "f32", 8.0)], 0.125),
    ],
)
def test_rope_scaling(tmp_path: Path, entries: list[KV], scale: float) -> None:
    with open_model(write_llama(tmp_path / "m.gguf", extra=entries)) as model:
        assert model.hparams.rope_freq_scale == scale


def test_yarn(tmp_path: Path) -> None:
    entries = [
        KV("llama.rope.scaling.type", "str", "yarn"),
        KV("llama.rope.scaling.factor", "f32", 4.0),
        KV("llama.rope.scaling.original_context_length", "u32", 32),
        KV("llama.rope.scaling.yarn_beta_fast", "f32", 16.0),
    ]
    with open_model(write_llama(tmp_path / "m.gguf", extra=entries)) as model:
        assert model.hparams.rope_freq_scale == 0.25
        assert model.hparams.yarn == Yarn(32, beta_fast=16.0)
    entries.append(KV("llama.rope.scaling.yarn_ext_factor", "f32", float("nan")))
    with pytest.raises(UserError, match="yarn_ext_factor = nan"):
        open_model(write_llama(tmp_path / "m.gguf", extra=entries))


def test_lists_that_agree_count_as_one_number(tmp_path: Path) -> None:
    entries = [
        KV("llama.feed_forward_length", "[u32]", [96, 96]),
        KV("llama.attention.head_count", "[i32]", [4, 4]),
    ]
    with open_model(write_llama(tmp_path / "m.gguf", extra=entries)) as model:
        assert (model.hparams.n_ff, model.hparams.n_head) == (96, 4)


# --- tensors that are not LLaMA's --------------------------------------------------------------------------


def with_tensors(path: Path, *more: RawTensor, without: str = "") -> Path:
    h = small_hparams()
    tensors = [quantized(n, v, "f32") for n, v in random_weights(h).items() if n != without]
    return write_gguf(path, llama_metadata(h), [*tensors, *more])


def vector(name: str, n: int) -> RawTensor:
    return quantized(name, np.ones(n, np.float32), "f32")


def test_extra_tensors(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    with open_model(
        with_tensors(path, vector("rope_freqs.weight", 8), vector("blk.0.attn_rot_embd.weight", 8))
    ) as m:
        assert m.array("rope_freqs.weight").tolist() == [1.0] * 8
        assert "blk.0.attn_rot_embd.weight" not in m.tensors
    for tensor, message in (
        (
            vector("blk.0.attn_q.bias", 64),
            "tensor 'blk.0.attn_q.bias' that this program's LLaMA does not know",
        ),
        (vector("rope_freqs.weight", 16), "rope_freqs.weight has the shape"),
        (vector("output_norm.weight", 64), "two tensors 'output_norm.weight'"),
        (RawTensor("x", (4, 4, 4), 0, np.zeros((16, 16), np.uint8)), "tensor 'x' of 3 dimensions"),
        (RawTensor("x", (256,), 12, np.zeros((1, 144), np.uint8)), "block format q4_K"),
        (RawTensor("x", (256,), 99, np.zeros((1, 144), np.uint8)), "block format type 99"),
        (RawTensor("x", (33,), 2, np.zeros((1, 18), np.uint8)), "no whole number of q4_0 blocks"),
        (RawTensor("x", (0, 4), 0, np.zeros((1, 0), np.uint8)), r"dimensions \(4, 0\)"),
    ):
        with pytest.raises(UserError, match=message):
            open_model(with_tensors(path, tensor))


def test_missing_tensors(tmp_path: Path) -> None:
    for name in ("token_embd.weight", "output_norm.weight", "blk.1.ffn_up.weight"):
        with pytest.raises(UserError, match=f"tensor {name} is missing"):
            open_model(with_tensors(tmp_path / "m.gguf", without=name))
    with open_model(with_tensors(tmp_path / "m.gguf", without="output.weight")) as model:
        assert "output.weight" not in model.tensors
    with pytest.raises(UserError, match="vocabulary only"):
        open_model(write_gguf(tmp_path / "m.gguf", llama_metadata(small_hparams()), []))


# --- headers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "layout", "value", "message"),
    [
        (4, "<I", 1, "version 1 of August 2023"),
        (4, ">I", 3, "big-endian"),
        (4, "<I", 0, "version 0"),
        (4, "<I", 4, "version 4"),
        (8, "<q", -1, "announces -1 tensors"),
        (8, "<q", 2**62, "announces 4611686018427387904 tensors"),
        (16, "<q", 2**40, "keys"),
        (16, "<q", 10**4, "damaged|incomplete"),
        (24, "<Q", 2**60, "a string in it announces"),
        (24, "<Q", 65536, "a string in it announces"),
        (24, "<Q", 0, "key '' is empty"),
    ],
)
def test_headers(tmp_path: Path, at: int, layout: str, value: int, message: str) -> None:
    path = write_llama(tmp_path / "m.gguf")
    data = bytearray(path.read_bytes())
    struct.pack_into(layout, data, at, value)
    path.write_bytes(data)
    with pytest.raises(UserError, match=message):
        open_model(path)


def test_duplicate_keys_and_wrong_types(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    with pytest.raises(UserError, match="'a' is empty or comes twice"):
        head(write_gguf(path, [KV("a", "u8", 1), KV("a", "u8", 1)], []))
    good = write_gguf(path, [KV("a", "u8", 1)], []).read_bytes()
    for at, value, message in ((33, 13, "type 13"), (33, -1, "type -1")):
        data = bytearray(good)
        struct.pack_into("<i", data, at, value)
        path.write_bytes(data)
        with pytest.raises(UserError, match=message):
            head(path)
    good = write_gguf(path, [KV("a", "[u8]", [1])], []).read_bytes()
    for at, layout, value, message in (
        (37, "<i", 9, "list of the type 9"),
        (41, "<Q", 2**40, "announces 1,099,511,627,776 entries"),
        (41, "<Q", 2**20, "at least 1,048,"),
    ):
        data = bytearray(good)
        struct.pack_into(layout, data, at, value)
        path.write_bytes(data)
        with pytest.raises(UserError, match=message):
            head(path)


def test_missing_bytes_are_counted(tmp_path: Path) -> None:
    path = write_llama(tmp_path / "m.gguf", "f32")  # the last tensor fills its padding
    data = path.read_bytes()
    path.write_bytes(data[:-1000])
    with pytest.raises(UserError, match=r"incomplete: .* and 1,000 bytes are missing; download"):
        open_model(path)
    path.write_bytes(data[:-1])
    with pytest.raises(UserError, match=r" and 1 byte is missing; download"):
        open_model(path)


# --- damage ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Path]:
    folder = tmp_path_factory.mktemp("fuzz")
    h = small_hparams(n_vocab=262, n_embd=32, n_head=2, n_head_kv=1, n_layer=1, n_ff=32)
    return write_llama(folder / "m.gguf", "q4_0", h).read_bytes(), folder / "damaged.gguf"


@settings(max_examples=100)
@given(st.data())
def test_every_truncation_is_refused(whole: tuple[bytes, Path], data: st.DataObject) -> None:
    contents, path = whole
    padding = -FORMATS["q4_0"].row_bytes(32) * 32 % 32
    path.write_bytes(contents[: data.draw(st.integers(0, len(contents) - padding - 1))])
    with pytest.raises(UserError, match=r"damaged\.gguf"):
        open_model(path)


@settings(max_examples=250)
@given(st.data())
def test_damage_is_refused_or_harmless(whole: tuple[bytes, Path], data: st.DataObject) -> None:
    """Numbers anywhere in the head become extreme ones: no other exception, and little memory."""
    contents, path = whole
    changed = bytearray(contents)
    head_size = contents.index(b"blk.0.ffn_down.weight") + 64
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.one_of(st.integers(0, 900), st.integers(0, head_size)))
        size = data.draw(st.sampled_from([1, 4, 8]))
        value = data.draw(
            st.sampled_from([0, 1, 2, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1])
        )
        changed[at : at + size] = struct.pack("<Q", value)[:size]
    path.write_bytes(changed)
    tracemalloc.start()
    try:
        with open_model(path) as model:
            for name, tensor in model.tensors.items():
                assert model.array(name).shape == tensor.shape
    except UserError as error:
        assert "damaged.gguf" in str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8 << 20


def test_2023_and_gguf_hold_the_same_numbers(tmp_path: Path) -> None:
    h = small_hparams(n_head_kv=4)
    old = write_small(tmp_path / "a.bin", "ggjt", 3, "q5_0", h)
    with open_model(old) as a, open_model(write_llama(tmp_path / "b.gguf", "q5_0", h)) as b:
        assert set(a.tensors) == set(b.tensors) and a.vocab == b.vocab
        for name in a.tensors:
            np.testing.assert_array_equal(a.array(name), b.array(name))
