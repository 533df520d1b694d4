"""Converting: the bytes of the original converters, every source, every container, and what is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alpaca_tui.errors import UserError
from alpaca_tui.files.hparams import HParams
from alpaca_tui.files.model_file import open_model
from alpaca_tui.pipeline.containers import CONTAINERS
from alpaca_tui.pipeline.convert import STATE_DICT, ConvertOptions, convert, convert_vocab
from alpaca_tui.pipeline.find import open_source
from alpaca_tui.pipeline.quantize import quantize
from alpaca_tui.pipeline.sources import find_n_mult, n_ff_of
from tests import model_t as t
from tests.checkpoints import H, hf_weights, save_pth, save_tokenizer, to_meta, write_hf, write_meta
from tests.ggml_writer import write_small
from tests.gguf_writer import write_llama
from tests.small_model import small_hparams
from tests.test_reference_model import GREEDY_T, PROMPT_T
from tests.wide_model import write_wide_model

GGUF = CONTAINERS["gguf"]
N_MULT = 96  # what is found for the n_ff of these models, where no params.json says it
SIDE_BY_SIDE = ("tok_embeddings", "attention.wo", "feed_forward.w2")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def values_of(path: Path) -> dict[str, np.ndarray]:
    with open_model(path, need_vocab=False) as model:
        return {name: model.array(name) for name in model.tensors}


# --- the same bytes as the originals' ----------------------------------------------------------------------


def kit_sums(kits: Path, kit: str) -> dict[str, str]:
    lines = (kits / kit / "SHA256SUMS").read_text().splitlines()
    return {name.removeprefix("./"): digest for digest, name in map(str.split, lines)}


@pytest.mark.parametrize(
    ("kit", "container"),
    [("legacy", "ggml"), ("legacy", "ggmf"), ("legacy", "ggjt-v1"), ("alpaca", "ggjt-v1")],
)
def test_as_convert_pth_to_ggml(kit: str, container: str, kits: Path, tmp_path: Path) -> None:
    options = ConvertOptions("f16", CONTAINERS[container], STATE_DICT)
    convert(kits / kit / "7B", tmp_path / "out.bin", options)
    assert sha256(tmp_path / "out.bin") == kit_sums(kits, kit)[f"{container}/ggml-model-f16.bin"]


def test_as_convert_py_and_the_quantiser(kits: Path, tmp_path: Path) -> None:
    sums = kit_sums(kits, "convert-py")
    convert(kits / "convert-py/7B", tmp_path / "f16.bin")
    assert sha256(tmp_path / "f16.bin") == sums["ggml-model-f16.bin"]
    quantize(tmp_path / "f16.bin", "q4_0", tmp_path / "q4.bin")
    assert sha256(tmp_path / "q4.bin") == sums["ggml-model-q4_0.bin"]
    convert(kits / "convert-py/7B", tmp_path / "at-once.bin", ConvertOptions("q4_0"))
    assert sha256(tmp_path / "at-once.bin") == sums["ggml-model-q4_0.bin"]


def test_the_tutorials_way(kits: Path, tmp_path: Path) -> None:
    sums = kit_sums(kits, "alpaca")
    convert(kits / "alpaca/7B", tmp_path / "f16.bin", ConvertOptions("f16", order=STATE_DICT))
    for container in ("ggjt-v1", "ggjt-v3"):
        for kind in ("q4_0", "q4_1"):
            out = quantize(tmp_path / "f16.bin", kind, tmp_path / "q", container=CONTAINERS[container]).path
            assert sha256(out) == sums[f"{container}/ggml-model-{kind}.bin"]


@pytest.mark.parametrize("shards", [1, 2])
def test_model_t_from_a_checkpoint(shards: int, kits: Path, tmp_path: Path) -> None:
    folder = tmp_path / "7B"
    folder.mkdir()
    write_shards(folder, dict(t.tensors()), [1 / shards] * shards)
    write_params(folder, t.N_EMBD, t.N_MULT, t.N_HEAD, t.N_LAYER)
    options = ConvertOptions(vocab_dir=kits / "tokenizers/llama.model")
    assert sha256(convert(folder, options=options, n_threads=2).path) == t.SHA256["f16"]


def test_a_converted_model_runs_as_before(tmp_path: Path) -> None:
    """Model T's greedy tokens, out of two shards, by way of GGUF and of f32 in ggjt v3."""
    from alpaca_tui.engine.model import Model

    folder = tmp_path / "13B"
    folder.mkdir()
    write_shards(folder, dict(t.tensors()), [0.5, 0.5])
    write_params(folder, t.N_EMBD, t.N_MULT, t.N_HEAD, t.N_LAYER)
    save_tokenizer(tmp_path, t.N_VOCAB)
    gguf = convert(folder, options=ConvertOptions(container=GGUF), n_threads=2).path
    f32 = quantize(gguf, "f32", tmp_path / "f32.bin", container=CONTAINERS["ggjt-v3"], n_threads=2).path
    for path in (gguf, f32):
        model = Model(open_model(path), n_ctx=64, n_threads=2)
        found: list[int] = []
        last = model.eval(PROMPT_T, 0, 1)
        while len(found) < len(GREEDY_T):
            found.append(int(last[0].argmax()))
            last = model.eval(found[-1:], len(PROMPT_T) + len(found) - 1, 1)
        assert found == GREEDY_T
        model.close()


def test_the_vocabulary_of_llama_cpp(kits: Path, tmp_path: Path) -> None:
    """models/ggml-vocab.bin of llama.cpp in April 2023: the first digits of its sha256 are known."""
    write_params(tmp_path, 4096, 256, 32, 32)
    out = tmp_path / "ggml-vocab.bin"
    assert convert_vocab(tmp_path, out, kits / "tokenizers/llama.model", CONTAINERS["ggjt-v1"], 1) == 432_610
    assert sha256(out).startswith("2c6f4e3c")


# --- every source ------------------------------------------------------------------------------------------


def write_params(
    folder: Path, dim: int, multiple_of: int, n_heads: int, n_layers: int, **more: float
) -> None:
    params = {
        "dim": dim,
        "multiple_of": multiple_of,
        "n_heads": n_heads,
        "n_layers": n_layers,
        "norm_eps": 1e-06,
    }
    (folder / "params.json").write_text(json.dumps(params | {"vocab_size": -1} | more))


def write_shards(folder: Path, weights: dict[str, np.ndarray], shares: list[float]) -> None:
    """consolidated.00.pth and so on; rows that no share divides go to the last one."""
    for i in range(len(shares)):
        part = {}
        for name, a in weights.items():
            if a.ndim == 1:
                part[name] = a
                continue
            axis = 1 if any(word in name for word in SIDE_BY_SIDE) else 0
            bounds = [int(a.shape[axis] * sum(shares[:k])) for k in range(len(shares))] + [a.shape[axis]]
            part[name] = np.ascontiguousarray(np.split(a, bounds[1:-1], axis)[i])
        save_pth(folder / f"consolidated.{i:02d}.pth", part)


def meta_folder(folder: Path, shares: list[float], h: HParams = H) -> Path:
    folder.mkdir(parents=True)
    write_shards(folder, to_meta(hf_weights(h), h), shares)
    write_params(folder, h.n_embd, N_MULT, h.n_head, h.n_layer)
    save_tokenizer(folder.parent, h.n_vocab)
    return folder


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that all sources hold, converted from one unsharded checkpoint."""
    folder = write_meta(tmp_path_factory.mktemp("one") / "7B", multiple_of=N_MULT)
    return convert(folder).path


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.25] * 4, [0.125] * 8])
def test_shards_are_joined(shares: list[float], reference: Path, tmp_path: Path) -> None:
    assert sha256(convert(meta_folder(tmp_path / "13B", shares)).path) == sha256(reference)


def test_unequal_shards_are_joined(tmp_path: Path) -> None:
    """Chinese-LLaMA-13B: 49,953 rows of the output matrix are 24,976 and 24,977."""
    h = replace(H, n_vocab=301)
    one = convert(write_meta(tmp_path / "one/7B", hf_weights(h), h, N_MULT)).path
    two = convert(meta_folder(tmp_path / "two/13B", [0.5, 0.5], h)).path
    assert sha256(one) == sha256(two)


@pytest.mark.parametrize("kind", ["bin", "safetensors"])
@pytest.mark.parametrize("files", [1, 3])
def test_hugging_face_folders(kind: str, files: int, reference: Path, tmp_path: Path) -> None:
    folder = write_hf(tmp_path / "hf", files=files, kind=kind)
    assert sha256(convert(folder).path) == sha256(reference)
    first = next(p for p in sorted(folder.iterdir()) if p.suffix == f".{kind}" and "ggml" not in p.name)
    assert sha256(convert(first, tmp_path / "by-file.bin").path) == sha256(reference)


def test_one_file_by_any_name(reference: Path, tmp_path: Path) -> None:
    folder = write_meta(tmp_path / "7B", multiple_of=N_MULT)
    assert sha256(convert(folder / "consolidated.00.pth", tmp_path / "a.bin").path) == sha256(reference)
    (folder / "consolidated.00.pth").rename(folder / "merged.pth")
    assert sha256(convert(folder / "merged.pth", tmp_path / "a.bin").path) == sha256(reference)
    (folder / "params.json").unlink()  # guessed: heads of 128 columns, which a width of 32 has none of
    assert sha256(convert(folder / "merged.pth", tmp_path / "a.bin").path) != sha256(reference)


@pytest.mark.parametrize("dtype", ["float32", "bf16"])
def test_other_types_of_numbers(dtype: str, tmp_path: Path) -> None:
    weights = hf_weights(dtype=np.float32)
    if dtype == "bf16":
        weights = {name: (a.view(np.uint32) >> 16).astype(np.uint16) for name, a in weights.items()}
    folder = write_hf(tmp_path / "hf", weights)
    full = convert(folder)
    assert full.path.name == "ggml-model-f32.bin"
    half = convert(folder, options=ConvertOptions("f16"))
    assert half.path.name == "ggml-model-f16.bin"
    a, b = values_of(full.path), values_of(half.path)
    for name, values in a.items():
        expected = values if values.ndim == 1 else values.astype(np.float16).astype(np.float32)
        assert np.array_equal(b[name], expected)


@pytest.mark.parametrize(
    ("container", "version"), [("ggml", 0), ("ggmf", 1), ("ggjt", 1), ("ggjt", 2), ("ggjt", 3)]
)
def test_old_files_are_rescued(container: str, version: int, tmp_path: Path) -> None:
    kinds = {
        0: ("f16", "q4_0_v1"),
        1: ("f16", "q4_1_v1", "q5_0_v1", "q8_0_v1"),
        2: ("q4_0_v2", "q5_1"),
        3: ("q4_0",),
    }
    for fmt in kinds[version]:
        source = write_small(tmp_path / f"{fmt}.bin", container, version, fmt)
        save_tokenizer_like(source)
        out = convert(source, tmp_path / "out.gguf", ConvertOptions(container=GGUF)).path
        old, new = values_of(source), values_of(out)
        for name, values in old.items():
            np.testing.assert_allclose(new[name], values, atol=2e-3 * np.abs(values).max())
        with open_model(out) as model, open_model(source) as before:
            assert model.main_format == before.main_format
            assert model.vocab and before.vocab and model.vocab.pieces == before.vocab.pieces


def save_tokenizer_like(source: Path) -> None:
    """A tokenizer.model beside an unversioned file, with the vocabulary that it has."""
    from alpaca_tui.files.sentencepiece_proto import write_bpe_proto
    from tests.small_model import placeholder_scores

    with open_model(source, need_vocab=False) as model:
        assert model.head_2023
        texts = [text.replace(b" ", b"\xe2\x96\x81") for text in model.head_2023.texts]
    pieces = [b"<unk>", b"<s>", b"</s>", *(b"<0x%02X>" % i for i in range(256)), *texts[259:]]
    types = [2, 3, 3, *[6] * 256, *[1] * len(texts[259:])]
    data = write_bpe_proto(
        pieces, placeholder_scores(len(texts)), types, unk=0, bos=1, eos=2, byte_fallback=True
    )
    (source.parent / "tokenizer.model").write_bytes(data)


def test_gguf_back_to_2023(tmp_path: Path) -> None:
    h = small_hparams(n_head_kv=4, norm_eps=1e-6, n_ff=192, n_ctx_train=2048)
    source = write_llama(tmp_path / "in.gguf", "f16", h)
    out = convert(source, tmp_path / "out.bin", ConvertOptions(container=CONTAINERS["ggjt-v1"])).path
    old, new = values_of(source), values_of(out)
    assert all(np.array_equal(old[name], new[name]) for name in old)
    back = convert(out, tmp_path / "back.gguf", ConvertOptions(container=GGUF)).path
    with open_model(source) as a, open_model(back) as b:
        assert a.vocab == b.vocab and a.hparams == b.hparams


def test_quantising_on_the_way_is_quantising_afterwards(tmp_path: Path) -> None:
    folder = write_meta(tmp_path / "7B")
    for kind, container in (("q4_0", "ggjt-v1"), ("q8_0", "gguf"), ("q4_1", "gguf")):
        target = CONTAINERS[container]
        options = ConvertOptions("f16", target, name="m")
        f16 = convert(folder, tmp_path / "f16", options).path
        later = quantize(f16, kind, tmp_path / "later").path
        at_once = convert(folder, tmp_path / "at-once", replace(options, kind=kind)).path
        assert sha256(at_once) == sha256(later)
    assert convert(folder, options=ConvertOptions("q8_0")).path.name == "ggml-model-q8_0.gguf"


# --- vocabularies ------------------------------------------------------------------------------------------


def test_added_tokens(tmp_path: Path) -> None:
    folder = write_hf(tmp_path / "hf")
    save_tokenizer(folder, H.n_vocab - 2)
    with pytest.raises(UserError, match=r"300 tokens and .* has 298; perhaps added_tokens\.json is missing"):
        convert(folder)
    added = folder / "added_tokens.json"
    added.write_text(json.dumps({"<pad>": H.n_vocab - 1, "<extra>": H.n_vocab - 2}))
    with open_model(convert(folder).path) as model:
        assert model.vocab and model.vocab.scores
        assert model.vocab.pieces[-2:] == [b"<extra>", b"<pad>"]
        assert model.vocab.scores[-2:] == [-1000.0, -1000.0]
    added.write_text(json.dumps({"<pad>": 5}))
    with pytest.raises(UserError, match="other ids than 298"):
        convert(folder)
    added.write_text(json.dumps({"<pad>": "x"}))
    with pytest.raises(UserError, match="no number"):
        convert(folder)
    save_tokenizer(folder, H.n_vocab)  # the model has no rows for them: left out
    added.write_text(json.dumps({"<pad>": H.n_vocab}))
    with open_model(convert(folder).path) as model:
        assert model.vocab and len(model.vocab) == H.n_vocab


def test_where_the_tokenizer_is_looked_for(tmp_path: Path) -> None:
    folder = write_meta(tmp_path / "a/7B")  # one folder up
    convert(folder)
    (tmp_path / "a/tokenizer.model").rename(tmp_path / "tokenizer.model")
    with pytest.raises(UserError, match=r"no tokenizer\.model in .*7B or in .*a; put it there"):
        convert(folder)
    for place in (tmp_path, tmp_path / "tokenizer.model"):
        convert(folder, options=ConvertOptions(vocab_dir=place))
    with pytest.raises(UserError, match="--vocab-dir names the folder"):
        convert(folder, options=ConvertOptions(vocab_dir=tmp_path / "no"))
    save_tokenizer(tmp_path, 290)
    with pytest.raises(UserError, match="has 290"):
        convert(folder, options=ConvertOptions(vocab_dir=tmp_path))


def test_a_vocabulary_alone(tmp_path: Path) -> None:
    folder = write_meta(tmp_path / "7B")
    size = convert_vocab(folder, tmp_path / "v.bin", None, CONTAINERS["ggjt-v1"], None)
    raw = (tmp_path / "v.bin").read_bytes()
    assert len(raw) == size
    assert np.frombuffer(raw[8:36], "<i4").tolist() == [H.n_vocab, 0, 0, 1, 0, 0, 0]
    with pytest.raises(UserError, match="leave --container gguf out"):
        convert_vocab(folder, tmp_path / "v.bin", None, GGUF, None)


# --- what the numbers say ----------------------------------------------------------------------------------


def test_tied_embeddings(tmp_path: Path) -> None:
    weights = hf_weights()
    del weights["lm_head.weight"]
    folder = write_hf(tmp_path / "hf", weights)
    with open_model(convert(folder, options=ConvertOptions(container=GGUF)).path) as model:
        assert "output.weight" not in model.tensors
    values = values_of(convert(folder).path)  # 2023 had no such thing
    assert np.array_equal(values["output.weight"], values["token_embd.weight"])


def test_heads_that_share_keys(tmp_path: Path) -> None:
    h = replace(H, n_head_kv=2)
    folder = write_hf(tmp_path / "hf", hf_weights(h), h)
    with pytest.raises(UserError, match="4 heads that share 2 keys"):
        convert(folder)
    a = values_of(convert(folder, options=ConvertOptions(container=GGUF)).path)
    b = values_of(convert(folder, tmp_path / "v3.bin", ConvertOptions(container=CONTAINERS["ggjt-v3"])).path)
    meta = to_meta(hf_weights(h), h)
    for values in (a, b):
        assert np.array_equal(
            values["blk.1.attn_k.weight"], meta["layers.1.attention.wk.weight"].astype(np.float32)
        )


def test_rope_and_context_of_newer_models(tmp_path: Path) -> None:
    folder = write_hf(tmp_path / "hf")
    config = json.loads((folder / "config.json").read_text())

    def changed(**values: object) -> Path:
        (folder / "config.json").write_text(json.dumps(config | values))
        return folder

    changed(rope_theta=1e6, max_position_embeddings=4096, rope_scaling={"type": "linear", "factor": 2.0})
    with open_model(convert(folder, options=ConvertOptions(container=GGUF)).path) as model:
        h = model.hparams
        assert (h.rope_freq_base, h.rope_freq_scale, h.n_ctx_train) == (1e6, 0.5, 4096)
    with pytest.raises(UserError, match="RoPE base of 1e"):
        convert(folder)
    for values, words in (
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "RoPE scaling 'llama3'"),
        ({"model_type": "qwen2"}, "of the kind 'qwen2'"),
        ({"hidden_size": "x"}, "hidden_size = 'x'"),
        ({"head_dim": 5}, "heads of another width"),
        ({"num_hidden_layers": 3}, "blk.2.attn_norm.weight is missing"),
        ({"num_attention_heads": 3}, "n_head = 3"),
    ):
        with pytest.raises(UserError, match=words):
            convert(changed(**values))


def test_n_mult() -> None:
    assert n_ff_of(4096, 256) == 11008 and n_ff_of(5120, 256) == 13824
    assert find_n_mult(4096, 11008) == 256
    assert find_n_mult(4096, 11008, 0) == 5504  # convert.py of August 2023
    assert find_n_mult(32, 96, 32) == 32
    assert find_n_mult(2048, 5632) == 256
    assert find_n_mult(4096, 14336) == 7168
    assert find_n_mult(4096, 20000) is None


def test_numbers_that_the_file_does_not_have_can_be_given(tmp_path: Path) -> None:
    source = write_wide_model(tmp_path / "w.bin")
    options = ConvertOptions(container=GGUF, name="w", norm_eps=1e-5, n_ctx_train=4096)
    with open_model(convert(source, options=options).path) as model:
        assert model.hparams.norm_eps == pytest.approx(1e-5)
        assert model.hparams.n_ctx_train == 4096 and model.name == "w"


# --- what is refused ---------------------------------------------------------------------------------------


def drop_first(folder: Path) -> None:
    (folder / "consolidated.00.pth").unlink()


def drop_last(folder: Path) -> None:
    (folder / "consolidated.01.pth").unlink()


def surplus(folder: Path) -> None:
    (folder / "consolidated.02.pth").write_bytes((folder / "consolidated.01.pth").read_bytes())


def other_shard(folder: Path) -> None:
    weights = {name: a[..., :4] for name, a in to_meta(hf_weights()).items()}
    save_pth(folder / "consolidated.01.pth", weights)


def both_layouts(folder: Path) -> None:
    write_hf(folder)


def unknown_tensor(folder: Path) -> None:
    save_pth(
        folder / "consolidated.00.pth", to_meta(hf_weights()) | {"vision.weight": np.ones((2, 2), np.float16)}
    )


def no_layers(folder: Path) -> None:
    save_pth(folder / "consolidated.00.pth", {"norm.weight": np.ones(4, np.float16)})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (drop_first, "consolidated.00.pth is missing"),
        (drop_last, "consolidated.01.pth is missing: the model has 2 parts"),
        (surplus, "consolidated.02.pth is one part too many"),
        (other_shard, "does not go with that of"),
        (both_layouts, "one of Hugging Face's"),
        (unknown_tensor, "tensor 'vision.weight' that LLaMA does not have"),
        (no_layers, "lacks the embedding"),
    ],
)
def test_folders_that_are_no_whole_model(spoil: Callable[[Path], None], words: str, tmp_path: Path) -> None:
    folder = meta_folder(tmp_path / "13B", [0.5, 0.5])
    spoil(folder)
    with pytest.raises(UserError) as caught:
        convert(folder)
    assert words in str(caught.value)
    assert not list(folder.glob("*ggml*"))


def test_folders_without_or_with_several_models(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no model"):
        convert(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        convert(tmp_path / "no")
    write_small(tmp_path / "ggml-model-f16.bin", "ggjt", 1)
    with open_source(tmp_path) as source:
        assert source.container == "ggjt"
    write_small(tmp_path / "ggml-model-q4_0.bin", "ggjt", 1, "q4_0_v1")
    with pytest.raises(UserError, match=r"several models \(ggml-model-f16.bin, ggml-model-q4_0.bin\)"):
        convert(tmp_path)


def test_params_that_cannot_be(tmp_path: Path) -> None:
    folder = write_meta(tmp_path / "7B")
    params = json.loads((folder / "params.json").read_text())
    for values, words in (
        ({"n_heads": 0}, "n_heads = 0"),
        ({"n_heads": 3}, "n_head = 3"),
        ({"n_layers": 5}, "blk.2"),
        ({"dim": "x"}, "dim = 'x'"),
        ({"norm_eps": None}, ""),
        ({"moe": {"num_experts": 8}}, "mixture of experts"),
    ):
        (folder / "params.json").write_text(json.dumps(params | values))
        if words:
            with pytest.raises(UserError, match=words):
                convert(folder)
        else:
            convert(folder)


def test_values_beyond_f16_are_counted(tmp_path: Path) -> None:
    weights = hf_weights(dtype=np.float32)
    weights["lm_head.weight"][3, 4:6] = (1e6, -1e9)
    weights["lm_head.weight"][5, 0] = np.nan
    weights["model.norm.weight"][0] = np.inf
    odd = convert(write_hf(tmp_path / "hf", weights), options=ConvertOptions("f16")).odd
    assert {name: (c.n_nan, c.n_inf, c.n_overflow) for name, c in odd.items()} == {
        "output.weight": (1, 0, 2), "output_norm.weight": (0, 1, 0),
    }  # fmt: skip
