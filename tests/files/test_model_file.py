"""Opening whole models of every container, and reading their weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from alpaca_tui.errors import UserError
from alpaca_tui.files.blocks import FORMATS
from alpaca_tui.files.model_file import open_model
from tests.ggml_writer import numbers, old_name, record, write_ggml, write_small
from tests.gguf_writer import KV, write_llama
from tests.model_t import SHA256, write_model_t
from tests.small_model import placeholder_scores, placeholder_texts, random_weights, small_hparams

LEGACY = [
    ("ggml/ggml-model-q4_0.bin", "ggml", 0, "q4_0_v1"),
    ("ggml/ggml-model-q4_1.bin", "ggml", 0, "q4_1_v1"),
    ("ggmf/ggml-model-q4_0.bin", "ggmf", 1, "q4_0_v1"),
    ("ggmf/ggml-model-q4_1.bin", "ggmf", 1, "q4_1_v1"),
    ("ggjt-v1/ggml-model-f16.bin", "ggjt", 1, "f16"),
    ("ggjt-v1/ggml-model-q4_0.bin", "ggjt", 1, "q4_0_v1"),
    ("ggjt-v1/ggml-model-q4_1.bin", "ggjt", 1, "q4_1_v1"),
    ("ggjt-v2/ggml-model-q4_0.bin", "ggjt", 2, "q4_0_v2"),
    ("ggjt-v2/ggml-model-q8_0.bin", "ggjt", 2, "q8_0_v1"),
    ("ggjt-v3/ggml-model-q4_0.bin", "ggjt", 3, "q4_0"),
    ("ggjt-v3/ggml-model-q4_1.bin", "ggjt", 3, "q4_1"),
    ("ggjt-v3/ggml-model-q5_0.bin", "ggjt", 3, "q5_0"),
    ("ggjt-v3/ggml-model-q5_1.bin", "ggjt", 3, "q5_1"),
    ("ggjt-v3/ggml-model-q8_0.bin", "ggjt", 3, "q8_0"),
]


@pytest.mark.parametrize(("name", "container", "version", "fmt"), LEGACY)
def test_files_of_2023(kits: Path, name: str, container: str, version: int, fmt: str) -> None:
    """Every tensor is what our twin makes of the f16 file: layout, tensor names and rules at once."""
    with (
        open_model(kits / "legacy" / name) as model,
        open_model(kits / "legacy/ggjt-v1/ggml-model-f16.bin") as source,
    ):
        assert (model.container, model.version) == (container, version)
        h = model.hparams
        assert (h.n_vocab, h.n_embd, h.n_head, h.n_head_kv, h.n_layer, h.n_ff) == (2000, 64, 4, 4, 32, 192)
        assert (h.n_rot, h.n_ctx_train, h.norm_eps, h.rope_freq_scale) == (16, 2048, 1e-6, 1.0)
        assert model.vocab is not None and source.vocab is not None
        assert model.vocab.pieces == source.vocab.pieces and model.vocab.scores == source.vocab.scores
        assert set(model.tensors) == set(source.tensors) and len(model.tensors) == 291
        for key, tensor in model.tensors.items():
            assert tensor.format.name == ("f32" if len(tensor.shape) == 1 else fmt)
            if len(tensor.shape) == 2 and key.startswith(("token", "output", "blk.7.")):
                expected = FORMATS[fmt].quantize(source.array(key))
                np.testing.assert_array_equal(model.rows(key, 0, tensor.rows), expected)


@pytest.mark.parametrize("fmt", ["f16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1"])
def test_gguf_of_a_grouped_query_model(kits: Path, fmt: str) -> None:
    with (
        open_model(kits / f"logits/model-{fmt}.gguf") as model,
        open_model(kits / "logits/model-f16.gguf") as source,
    ):
        h = model.hparams
        assert (h.n_vocab, h.n_embd, h.n_head, h.n_head_kv, h.n_layer, h.n_ff) == (2000, 256, 8, 4, 3, 704)
        assert model.description == f"llama 3M {fmt}, gguf v3"
        for key, tensor in model.tensors.items():
            expected = tensor.format.quantize(source.array(key).reshape(-1, tensor.cols))
            np.testing.assert_array_equal(model.rows(key, 0, tensor.rows), expected)


def test_model_t_is_the_golden_file(model_t_llama: Path) -> None:
    assert hashlib.sha256(model_t_llama.read_bytes()).hexdigest() == SHA256["f16"]


@pytest.mark.parametrize("fmt", ["q4_0_v1", "q4_1_v1"])
def test_model_t_quantised_as_in_2023(kits: Path, tmp_path: Path, fmt: str) -> None:
    path = write_model_t(tmp_path / "T.bin", kits / "tokenizers/llama.model", fmt)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SHA256[fmt]


def test_model_t_opens_with_either_vocabulary(model_t: Path) -> None:
    with open_model(model_t) as model:
        assert model.vocab is not None and len(set(model.vocab.pieces)) == model.hparams.n_vocab == 32000
        assert (model.description, model.hparams.n_ff) == ("llama 15M f16, ggjt v1", 384)


# --- reading weights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", ["f32", "f16", "bf16", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q6_K"])
@pytest.mark.parametrize("version", [2, 3])
def test_gguf_in_every_format(tmp_path: Path, fmt: str, version: int) -> None:
    h = small_hparams(n_embd=256, n_ff=256) if fmt == "q6_K" else small_hparams()
    path = write_llama(tmp_path / "m.gguf", fmt, h, seed=5, version=version)
    weights = random_weights(h, 5)
    with open_model(path) as model:
        assert (model.version, model.main_format, set(model.tensors)) == (version, fmt, set(weights))
        assert model.hparams.norm_eps == pytest.approx(1e-5) and model.hparams.n_head_kv == 2
        for key, tensor in model.tensors.items():
            values = weights[key].reshape(-1, tensor.cols)
            np.testing.assert_array_equal(model.rows(key, 0, tensor.rows), tensor.format.quantize(values))
            assert tensor.shape == weights[key].shape
            assert tensor.nbytes == tensor.rows * tensor.row_bytes
            assert model.array(key).shape == tensor.shape


def test_rows_gather_and_release(tmp_path: Path) -> None:
    with open_model(write_llama(tmp_path / "m.gguf", "q5_1")) as model:
        whole, name = model.array("token_embd.weight"), "token_embd.weight"
        ids = [7, 3, 3, 319, 0]
        np.testing.assert_array_equal(model.gather(name, ids), whole[ids])
        assert model.gather(name, []).shape == (0, 64)
        part = model.rows(name, 10, 12)
        assert part.shape == (2, 48) and not part.flags.writeable and part.base is not None
        np.testing.assert_array_equal(FORMATS["q5_1"].dequantize(part), whole[10:12])
        assert model.rows(name, 5, 5).shape == (0, 48)
        model.release(name)
        np.testing.assert_array_equal(model.array(name), whole)
        for start, stop in ((-1, 2), (3, 2), (0, 321)):
            with pytest.raises(IndexError):
                model.rows(name, start, stop)
        with pytest.raises(IndexError):
            model.gather(name, [320])
        with pytest.raises(IndexError):
            model.gather(name, [-1])
    np.testing.assert_array_equal(FORMATS["q5_1"].dequantize(part), whole[10:12])  # outlives the file


def test_tied_output(tmp_path: Path) -> None:
    path = write_llama(tmp_path / "m.gguf", tied=True)
    with open_model(path) as model:
        assert "output.weight" not in model.tensors


def test_2023_needs_its_output(tmp_path: Path) -> None:
    h = small_hparams(n_head_kv=4)
    weights = {name: values for name, values in random_weights(h).items() if name != "output.weight"}
    records = [record(old_name(name), values, "f32") for name, values in weights.items()]
    path = tmp_path / "m.bin"
    write_ggml(path, "ggjt", 1, numbers(h, 0), placeholder_texts(320), placeholder_scores(320), records)
    with pytest.raises(UserError, match=r"output\.weight is missing"):
        open_model(path)


# --- what it is called -------------------------------------------------------------------------------------


def test_names(tmp_path: Path) -> None:
    folder = tmp_path / "7B"
    folder.mkdir()
    old = write_small(folder / "ggml-model-f16.bin")
    with open_model(old) as model:
        assert (model.name, model.description) == ("7B/ggml-model-f16", "llama 111K f16, ggjt v1")
    named = KV("general.name", "str", "My\x1b[31m model\n")
    with open_model(write_llama(tmp_path / "a.gguf", extra=[named])) as model:
        assert model.name == "My[31m model"
        assert model.metadata["general.name"] == "My\x1b[31m model\n"
        assert "tokenizer.ggml.tokens" not in model.metadata
    with open_model(write_llama(tmp_path / "alpaca.gguf")) as model:
        assert model.name == "alpaca"


@pytest.mark.parametrize(
    ("n", "label"),
    [(999, "999"), (260_000, "260K"), (15_200_000, "15M"), (1_100_048_384, "1.1B"), (999_800_000, "1.0B"),
     (6_738_415_616, "7B"), (13_015_864_320, "13B"), (32_528_943_616, "33B"), (65_285_660_672, "65B")],
)  # fmt: skip
def test_size_labels(tmp_path: Path, n: int, label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_model(write_llama(tmp_path / "m.gguf")) as model:
        monkeypatch.setattr(type(model), "n_params", n)
        assert model.size_label == label


# --- what the caller can set -------------------------------------------------------------------------------


def test_norm_eps_can_be_given(tmp_path: Path) -> None:
    path = write_small(tmp_path / "m.bin")
    with open_model(path, norm_eps=1e-5) as model:
        assert model.hparams.norm_eps == 1e-5
    for bad in (0.0, -1.0, 2.0, float("nan")):
        with pytest.raises(UserError, match="norm_eps"):
            open_model(path, norm_eps=bad)


def test_a_given_tokenizer_replaces_the_files_own(tmp_path: Path, kits: Path) -> None:
    tokenizer = kits / "tokenizers/small.model"
    with open_model(kits / "logits/model-q4_0.gguf", tokenizer=tokenizer) as model:
        assert model.vocab is not None and model.vocab.sentencepiece == tokenizer.read_bytes()
    with pytest.raises(UserError, match=r"32000 tokens and .* has 2000: they belong to different models"):
        open_model(kits / "logits/model-q4_0.gguf", tokenizer=kits / "tokenizers/llama.model")
