"""Merging: the values of the original script, every layout in and out, and no half files."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_tui.errors import UserError
from alpaca_tui.files.hf import open_hf
from alpaca_tui.files.model_file import open_model
from alpaca_tui.files.pth import open_pth
from alpaca_tui.files.tensors import gguf_name
from alpaca_tui.pipeline import merge_hf, merge_pth
from alpaca_tui.pipeline.convert import STATE_DICT, ConvertOptions, convert
from alpaca_tui.pipeline.hashes import PUBLISHED
from alpaca_tui.pipeline.merge import merge
from tests.checkpoints import (
    H,
    hf_weights,
    lora_weights,
    merge_plainly,
    save_tokenizer,
    to_meta,
    write_hf,
    write_lora,
    write_meta,
)

Usage = namedtuple("Usage", "total used free")
GROUPED = dataclasses.replace(H, n_head_kv=2)


def values(path: Path) -> dict[str, np.ndarray]:
    with open_pth(path) as checkpoint:
        return {name: tensor.numpy().copy() for name, tensor in checkpoint.tensors.items()}


def same_bits(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> bool:
    return list(found) == list(expected) and all(
        found[name].shape == a.shape and found[name].tobytes() == a.tobytes() for name, a in expected.items()
    )


@pytest.fixture(scope="module")
def merged_kit(kits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("merged")
    lora = kits / "lora"
    loras = [lora / "chinese-llama-plus-lora", lora / "chinese-alpaca-plus-lora"]
    merge(lora / "base", loras, "pth", folder)
    return folder


# --- against the original ----------------------------------------------------------------------------------


def test_the_original_scripts_result(kits: Path, merged_kit: Path) -> None:
    expected = kits / "lora/merged/7B"
    assert same_bits(values(merged_kit / "consolidated.00.pth"), values(expected / "consolidated.00.pth"))
    for name in ("params.json", "tokenizer.model"):
        assert (merged_kit / name).read_bytes() == (expected / name).read_bytes()


def test_model_files_at_once_and_by_way_of_pth(kits: Path, merged_kit: Path, tmp_path: Path) -> None:
    lora = kits / "lora"
    loras = [lora / "chinese-llama-plus-lora", lora / "chinese-alpaca-plus-lora"]
    merge(lora / "base", loras, "ggml", tmp_path)
    convert(merged_kit, tmp_path / "by-pth.bin", ConvertOptions(kind="f16", order=STATE_DICT))
    assert (tmp_path / "ggml-model-f16.bin").read_bytes() == (tmp_path / "by-pth.bin").read_bytes()
    merge(lora / "base", loras, "gguf", tmp_path, n_threads=2)
    with (
        open_model(tmp_path / "ggml-model-f16.gguf") as model,
        open_pth(merged_kit / "consolidated.00.pth") as pth,
    ):
        assert model.vocab is not None and len(model.vocab) == 49954
        assert model.hparams.norm_eps == pytest.approx(1e-6)
        for name, tensor in pth.tensors.items():
            ours = model.tensors[gguf_name(name) or ""]
            stored = model.rows(ours.name, 0, ours.rows).view("<f2" if len(ours.shape) == 2 else "<f4")
            assert np.array_equal(stored.reshape(ours.shape), tensor.numpy())


# --- layouts -----------------------------------------------------------------------------------------------


@pytest.fixture
def two_loras(tmp_path: Path) -> tuple[list[Path], dict[str, np.ndarray]]:
    """Two LoRAs that extend the vocabulary twice, the second of another rank; and the merged weights."""
    first, second = lora_weights(n_vocab=310, seed=1), lora_weights(r=6, n_vocab=311, seed=2)
    folders = [
        write_lora(tmp_path / "first", first, n_tokens=310),
        write_lora(tmp_path / "second", second, r=6, alpha=9, n_tokens=311, kind="safetensors"),
    ]
    return folders, merge_plainly(hf_weights(), [(first, 4.0, False), (second, 1.5, False)])


@pytest.mark.parametrize("layout", ["bin", "bin in parts", "safetensors", "meta"])
def test_any_base(layout: str, tmp_path: Path, two_loras: tuple[list[Path], dict[str, np.ndarray]]) -> None:
    loras, expected = two_loras
    base = tmp_path / "base"
    if layout == "meta":
        write_meta(base)
    else:
        write_hf(base, files=3 if "parts" in layout else 1, kind=layout.split()[0])
    seen: list[tuple[int, int]] = []
    done = merge(base, loras, "pth", tmp_path / "out", n_threads=2,
                 progress=lambda done, total, what: seen.append((done, total)))  # fmt: skip
    found = values(tmp_path / "out/consolidated.00.pth")
    assert list(found)[1:10] == [f"layers.0.{m}.weight" for m in (
        "attention.wq", "attention.wk", "attention.wv", "attention.wo", "feed_forward.w1",
        "feed_forward.w2", "feed_forward.w3", "attention_norm", "ffn_norm")]  # fmt: skip
    assert same_bits(found, to_meta(expected))
    assert done.n_vocab == 311 and done.odd == {}
    assert (tmp_path / "out/tokenizer.model").read_bytes() == (loras[1] / "tokenizer.model").read_bytes()
    assert seen[-1][0] <= seen[-1][1] and [d for d, _ in seen] == sorted(d for d, _ in seen)
    assert json.loads((tmp_path / "out/params.json").read_text()) == {
        "dim": 32, "multiple_of": 32, "n_heads": 4, "n_layers": 2, "norm_eps": 1e-6, "vocab_size": -1,
    }  # fmt: skip


@pytest.mark.parametrize("layout", ["bin in parts", "safetensors in parts", "safetensors", "meta"])
def test_to_hugging_face(
    layout: str,
    tmp_path: Path,
    two_loras: tuple[list[Path], dict[str, np.ndarray]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loras, expected = two_loras
    base, out = tmp_path / "base", tmp_path / "out"
    if layout == "meta":
        write_meta(base)
        monkeypatch.setattr(merge_hf, "MAX_FILE", 50_000)
    else:
        write_hf(base, files=3 if "parts" in layout else 1, kind=layout.split()[0])
        (base / "generation_config.json").write_text("{}")
    merge(base, loras, "huggingface", out)
    with open_hf(out) as folder:
        found = {name: tensor.numpy().copy() for name, tensor in folder.tensors.items()}
    freqs = {name: found.pop(name) for name in list(found) if name.endswith("inv_freq")}
    assert {name: a.tobytes() for name, a in found.items()} == {
        name: a.tobytes() for name, a in expected.items()
    }
    config = json.loads((out / "config.json").read_text())
    assert (config["vocab_size"], config["torch_dtype"]) == (311, "float16")
    if layout != "meta":
        assert sorted(p.name for p in base.iterdir()) == sorted(p.name for p in out.iterdir())
        assert len(freqs) == 2
        assert all(np.array_equal(a, hf_weights()[name]) for name, a in freqs.items())
    again = tmp_path / "again"
    write_lora(tmp_path / "nothing", lora_weights(modules=["mlp.up_proj"]) | {}, alpha=0)
    merge(out, [tmp_path / "nothing"], "pth", again)  # what was written can be merged into
    assert same_bits(values(again / "consolidated.00.pth"), to_meta(expected))


def test_shards(
    tmp_path: Path, two_loras: tuple[list[Path], dict[str, np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    loras, expected = two_loras
    monkeypatch.setitem(merge_pth.N_SHARDS, 32, 4)
    done = merge(write_hf(tmp_path / "base"), loras, "pth", tmp_path / "out")
    shards = [values(path) for path in done.sha256]
    assert [path.name for path in done.sha256] == [f"consolidated.0{i}.pth" for i in range(4)]
    assert [len(shard["output.weight"]) for shard in shards] == [77, 77, 77, 80]
    joined = {}
    for name in shards[0]:
        parts = [shard[name] for shard in shards]
        if parts[0].ndim == 1:
            assert all(np.array_equal(part, parts[0]) for part in parts)
            joined[name] = parts[0]
        else:
            by_columns = any(word in name for word in ("tok_embeddings", "attention.wo", "w2"))
            joined[name] = np.concatenate(parts, axis=int(by_columns))
    assert same_bits(joined, to_meta(expected))
    sharded = convert(tmp_path / "out", tmp_path / "a.bin", ConvertOptions(kind="f16"))
    monkeypatch.undo()
    merge(tmp_path / "base", loras, "pth", tmp_path / "whole")
    convert(tmp_path / "whole", tmp_path / "b.bin", ConvertOptions(kind="f16"))
    assert sharded.path.read_bytes() == (tmp_path / "b.bin").read_bytes()


def test_what_cannot_be_sharded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(merge_pth.N_SHARDS, 32, 5)
    lora = write_lora(tmp_path / "lora", lora_weights())
    with pytest.raises(UserError, match="cannot be split into the 5 files"):
        merge(write_hf(tmp_path / "base"), [lora], "pth", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


LORA_MODULES = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.down_proj")


@settings(max_examples=20)
@given(
    modules=st.sets(st.sampled_from(LORA_MODULES), min_size=1),
    r=st.integers(1, 9),
    alpha=st.sampled_from([1, 3, 16, 0.7]),
    transposed=st.booleans(),
    meta=st.booleans(),
    dtype=st.sampled_from([np.float16, np.float32]),
)
def test_any_lora(
    tmp_path_factory: pytest.TempPathFactory,
    modules: set[str],
    r: int,
    alpha: float,
    transposed: bool,
    meta: bool,
    dtype: type,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    weights = hf_weights(GROUPED, dtype=dtype)
    base = (write_meta if meta else write_hf)(folder / "base", weights, GROUPED)
    lora = lora_weights(GROUPED, r=r, modules=sorted(modules), fan_in_fan_out=transposed)
    write_lora(folder / "lora", lora, r=r, alpha=alpha, fan_in_fan_out=transposed)
    merge(base, [folder / "lora"], "pth", folder / "out")
    expected = to_meta(merge_plainly(weights, [(lora, alpha / r, transposed)]), GROUPED)
    found = values(folder / "out/consolidated.00.pth")
    assert list(found) == list(expected)
    for name, a in expected.items():
        # one unit of f16 at most, in a thousandth of the elements: BLAS may sum in another order
        steps = np.abs(found[name].view(np.int16).astype(int) - a.view(np.int16).astype(int))
        assert steps.max() <= 1 and np.count_nonzero(steps) <= max(1, a.size // 1000)
    assert json.loads((folder / "out/params.json").read_text())["n_kv_heads"] == 2
    shutil.rmtree(folder)


def test_names_and_scaling_of_newer_peft(tmp_path: Path) -> None:
    plain = lora_weights(n_vocab=305, modules=["mlp.up_proj"])
    newer = {}
    for name, a in plain.items():
        name = name.replace(".lora_A.", ".lora_A.default.").replace(".lora_B.", ".lora_B.default.")
        if "lora_" not in name:
            name = name.replace(".weight", ".modules_to_save.default.weight")
        newer[name] = a
    write_lora(tmp_path / "lora", newer, alpha=6, use_rslora=True, n_tokens=305)
    merge(write_hf(tmp_path / "base"), [tmp_path / "lora"], "pth", tmp_path / "out")
    expected = to_meta(merge_plainly(hf_weights(), [(plain, 3.0, False)]))
    assert same_bits(values(tmp_path / "out/consolidated.00.pth"), expected)


def test_modules_saved_whole_that_are_no_vocabulary(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    lora = {
        "base_model.model.model.norm.weight": rng.standard_normal(32).astype(np.float32),
        "base_model.model.model.layers.1.self_attn.q_proj.weight": rng.standard_normal((32, 32)).astype(
            np.float16
        ),
    }
    write_lora(tmp_path / "lora", lora)
    merge(write_hf(tmp_path / "base"), [tmp_path / "lora"], "pth", tmp_path / "out")
    expected = to_meta(merge_plainly(hf_weights(), [(lora, 4.0, False)]))
    assert same_bits(values(tmp_path / "out/consolidated.00.pth"), expected)


def test_values_that_are_no_numbers_are_counted_and_named(tmp_path: Path) -> None:
    weights = hf_weights()
    weights["model.layers.1.mlp.up_proj.weight"][3, 5] = np.nan
    weights["model.layers.0.mlp.down_proj.weight"][0, :2] = np.inf
    lora = write_lora(tmp_path / "lora", lora_weights(modules=["self_attn.v_proj"]))
    base = write_hf(tmp_path / "base", weights)
    for kind in ("pth", "huggingface", "ggml"):
        odd = merge(base, [lora], kind, tmp_path / kind).odd
        counts = {name.split(".")[-2]: (c.n_nan, c.n_inf) for name, c in odd.items()}
        assert counts in ({"ffn_up": (1, 0), "ffn_down": (0, 2)}, {"up_proj": (1, 0), "down_proj": (0, 2)})


# --- files -------------------------------------------------------------------------------------------------


def test_the_base_is_never_written_over(tmp_path: Path) -> None:
    base = write_meta(tmp_path / "7B")
    before = (base / "consolidated.00.pth").read_bytes()
    lora = write_lora(tmp_path / "lora", lora_weights())
    with pytest.raises(UserError, match="is the file that is read"):
        merge(base, [lora], "pth", base)
    assert (base / "consolidated.00.pth").read_bytes() == before


@pytest.mark.parametrize("kind", ["pth", "huggingface", "ggml"])
def test_an_interrupt_leaves_nothing(tmp_path: Path, kind: str) -> None:
    base = write_hf(tmp_path / "base", files=2)
    lora = write_lora(tmp_path / "lora", lora_weights())

    def interrupt(done: int, total: int, what: str) -> None:
        if done > total // 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge(base, [lora], kind, tmp_path / "out", progress=interrupt)
    left = [path.name for path in (tmp_path / "out").iterdir()]
    assert left in ([], ["pytorch_model-00001-of-00002.bin"])  # that one is whole


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = write_hf(tmp_path / "base")
    lora = write_lora(tmp_path / "lora", lora_weights())
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(1 << 40, 0, 10_000))
    for kind in ("pth", "huggingface", "gguf"):
        with pytest.raises(UserError, match=r"on the disk, and 10\.0 kB are free"):
            merge(base, [lora], kind, tmp_path / kind)
        assert list((tmp_path / kind).iterdir()) == []


def test_published_hash_of_a_tokenizer_stays(kits: Path, merged_kit: Path) -> None:
    found = hashlib.sha256((merged_kit / "tokenizer.model").read_bytes()).hexdigest()
    assert PUBLISHED[found].model == "Chinese-Alpaca"


def test_a_lora_with_tokens_the_base_has_already(tmp_path: Path) -> None:
    lora = write_lora(tmp_path / "lora", lora_weights(n_vocab=300))
    save_tokenizer(lora, 300)
    assert merge(write_hf(tmp_path / "base"), [lora], "gguf", tmp_path / "out").n_vocab == 300
