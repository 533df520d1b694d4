"""Digests of tensors: the same for the same values, whatever the file; and the words for a difference."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from alpaca_tui.pipeline.containers import CONTAINERS
from alpaca_tui.pipeline.convert import ConvertOptions, convert
from alpaca_tui.pipeline.digests import TensorDigest, compare, kinds, model_digest, tensor_digests
from alpaca_tui.pipeline.find import open_source
from alpaca_tui.pipeline.merge import open_for_merge
from tests.checkpoints import H, hf_weights, lora_weights, write_hf, write_lora, write_meta


def digests(path: Path) -> dict[str, TensorDigest]:
    with open_source(path, need_vocab=False) as source:
        return tensor_digests(source, 2)


def test_one_digest_for_every_layout(tmp_path: Path) -> None:
    h = dataclasses.replace(H, n_head_kv=2)
    weights = hf_weights(h)
    paths = [write_meta(tmp_path / "7B", weights, h), write_hf(tmp_path / "hf", weights, h, files=2)]
    paths.append(write_hf(tmp_path / "f32", {n: a.astype(np.float32) for n, a in weights.items()}, h))
    paths.append(write_hf(tmp_path / "st", weights, h, kind="safetensors"))
    paths.append(tmp_path / "m.gguf")
    convert(paths[0], paths[-1], ConvertOptions("f16", CONTAINERS["gguf"]))
    found = [digests(path) for path in paths]
    assert len({model_digest(each) for each in found}) == 1
    assert all(compare(found[0], each).equal for each in found)
    assert found[0]["blk.1.attn_k.weight"].shape == (16, 32)
    assert {each["output_norm.weight"].format for each in found} == {"f16", "f32"}
    assert "the same weights: all 21 tensors" in compare(found[0], found[-1]).text


def test_what_a_lora_changed(tmp_path: Path) -> None:
    base = write_hf(tmp_path / "base")
    weights = lora_weights(modules=["mlp.up_proj", "self_attn.q_proj"], n_vocab=310)
    lora = write_lora(tmp_path / "lora", weights, n_tokens=310)
    with open_for_merge(base, [lora]) as source:
        merged = tensor_digests(source)
    found = compare(digests(base), merged)
    assert found.text.startswith(
        "other weights: 4 tensors have other values (attn_q of 2 layers, ffn_up of 2 layers), 2 tensors have "
        "another shape (output, token_embd); 15 have the same values"
    )
    assert not found.equal


def test_names_on_one_side_only() -> None:
    one = {"a": TensorDigest("1", (2,), "f16"), "b": TensorDigest("2", (2,), "f16")}
    two = {"a": TensorDigest("1", (2,), "f32"), "c": TensorDigest("2", (2,), "f16")}
    found = compare(one, two)
    assert (found.same, found.only_first, found.only_second) == (["a"], ["b"], ["c"])
    assert "1 tensors are only in the first (b)" in found.text
    assert model_digest(one) != model_digest(two)
    assert kinds(["blk.0.attn_q.weight", "output_norm.weight"]) == "attn_q of 1 layer, output_norm"
