"""Converting: the bytes of the original converters, every source, every container, and what is refused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alpaca_tui.errors import UserError
from alpaca_tui.files.model_file import open_model
from alpaca_tui.pipeline.containers import CONTAINERS
from alpaca_tui.pipeline.convert import STATE_DICT, ConvertOptions, convert, convert_vocab
from alpaca_tui.pipeline.quantize import quantize
from alpaca_tui.pipeline.sources import find_n_mult, n_ff_of
from tests import model_t as t
from tests.checkpoints import H, hf_weights, save_tokenizer, to_meta, write_hf, write_meta
from tests.pipeline.shards import write_params, write_shards
from tests.test_reference_model import GREEDY_T, PROMPT_T
from tests.wide_model import write_wide_model

GGUF = CONTAINERS["gguf"]


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
        ({"num_attention_heads": 0.5}, "num_attention_heads = 0.5"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps = nan"),
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
