"""Every source that the converter reads: shards, folders, old files; and what is no whole model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alpaca_tui.errors import UserError
from alpaca_tui.files.model_file import open_model
from alpaca_tui.pipeline.containers import CONTAINERS
from alpaca_tui.pipeline.convert import ConvertOptions, convert
from alpaca_tui.pipeline.find import open_source
from alpaca_tui.pipeline.quantize import quantize
from tests.checkpoints import H, hf_weights, save_pth, to_meta, write_hf, write_meta
from tests.ggml_writer import write_small
from tests.gguf_writer import write_llama
from tests.pipeline.shards import N_MULT, meta_folder
from tests.small_model import small_hparams

GGUF = CONTAINERS["gguf"]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def values_of(path: Path) -> dict[str, np.ndarray]:
    with open_model(path, need_vocab=False) as model:
        return {name: model.array(name) for name in model.tensors}


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


def test_a_number_that_means_nothing_is_not_carried_over(tmp_path: Path) -> None:
    source = write_small(tmp_path / "old.bin", "ggjt", 1, "q4_0_v1")
    raw = bytearray(source.read_bytes())
    raw[32:36] = (-5).to_bytes(4, "little", signed=True)  # the header's ftype
    source.write_bytes(raw)
    out = convert(source, tmp_path / "out.gguf", ConvertOptions(container=GGUF)).path
    with open_model(out) as model:
        assert model.metadata["general.file_type"] == 2


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
        options = ConvertOptions("f16", target, name="m" if container == "gguf" else None)
        f16 = convert(folder, tmp_path / "f16", options).path
        later = quantize(f16, kind, tmp_path / "later").path
        at_once = convert(folder, tmp_path / "at-once", replace(options, kind=kind)).path
        assert sha256(at_once) == sha256(later)
    assert convert(folder, options=ConvertOptions("q8_0")).path.name == "ggml-model-q8_0.gguf"


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
