"""Hugging Face folders: indexes, parts, names, and the order of rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaca_tui.errors import UserError
from alpaca_tui.files import hf
from tests.checkpoints import hf_weights, save_pth, write_hf

WEIGHTS = hf_weights()


@pytest.mark.parametrize("kind", ["bin", "safetensors"])
@pytest.mark.parametrize("files", [1, 3])
def test_all_tensors_are_found(kind: str, files: int, tmp_path: Path) -> None:
    folder = write_hf(tmp_path, WEIGHTS, files=files, kind=kind)
    assert hf.is_hf(folder)
    with hf.open_hf(folder) as checkpoint:
        assert list(checkpoint.tensors) == list(WEIGHTS)
        assert len(checkpoint.paths) == files
        for name, array in WEIGHTS.items():
            assert np.array_equal(checkpoint.tensors[name].numpy(), array)


def test_parts_without_an_index_are_counted(tmp_path: Path) -> None:
    folder = write_hf(tmp_path, WEIGHTS, files=3)
    (folder / "pytorch_model.bin.index.json").unlink()
    with hf.open_hf(folder) as checkpoint:
        assert len(checkpoint.tensors) == len(WEIGHTS)
    (folder / "pytorch_model-00002-of-00003.bin").unlink()
    with pytest.raises(UserError, match=r"00002-of-00003\.bin is missing"):
        hf.open_hf(folder)


def change_index(folder: Path, places: dict[str, object]) -> None:
    path = folder / "pytorch_model.bin.index.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps({"weight_map": index["weight_map"] | places}))


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ({"model.norm.weight": "pytorch_model-00001-of-00002.bin"}, "'model.norm.weight' is missing"),
        ({"more": "pytorch_model-00001-of-00002.bin"}, "'more' is missing"),
        ({"more": "../../etc/passwd"}, "names the file"),
        ({"more": "notes.txt"}, "names the file"),
        ({"more": "away.bin"}, "away.bin is missing"),
        ({"more": ["x"]}, "no weight_map"),
    ],
)
def test_an_index_that_lies_is_found_out(places: dict[str, object], words: str, tmp_path: Path) -> None:
    folder = write_hf(tmp_path, WEIGHTS, files=2)
    change_index(folder, places)
    with pytest.raises(UserError) as caught:
        hf.open_hf(folder)
    assert words in str(caught.value)


def test_a_tensor_in_two_files_is_refused(tmp_path: Path) -> None:
    folder = write_hf(tmp_path, WEIGHTS, files=2)
    second = folder / "pytorch_model-00002-of-00002.bin"
    save_pth(second, {"model.embed_tokens.weight": WEIGHTS["model.embed_tokens.weight"]})
    with pytest.raises(UserError, match="as well"):
        hf.open_hf(folder)


def test_other_models_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config.json is missing"):
        hf.read_config(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "falcon"}')
    with pytest.raises(UserError, match="falcon"):
        hf.read_config(tmp_path)
    (tmp_path / "config.json").write_text("[")
    with pytest.raises(UserError, match="no JSON object"):
        hf.read_config(tmp_path)
    with pytest.raises(UserError, match="holds no model"):
        hf.open_hf(tmp_path)


def test_names() -> None:
    assert hf.gguf_name("model.layers.12.mlp.down_proj.weight") == "blk.12.ffn_down.weight"
    assert hf.gguf_name("model.layers.12.mlp.down_proj.bias") is None
    assert hf.gguf_name("model.layers.01.mlp.down_proj.weight") is None
    assert hf.gguf_name("lm_head.weight") == "output.weight"
    assert hf.is_skipped("model.layers.3.self_attn.rotary_emb.inv_freq")
    assert hf.is_rotated("blk.0.attn_k.weight") and not hf.is_rotated("blk.0.attn_v.weight")


@given(heads=st.integers(1, 8), half=st.integers(1, 8))
def test_the_order_of_rows_and_back(heads: int, half: int) -> None:
    rows = heads * half * 2
    w = np.arange(rows * 3).reshape(rows, 3)
    paired = w[hf.paired_rows(rows, heads)]
    assert np.array_equal(
        paired, w.reshape(heads, 2, half, 3).swapaxes(1, 2).reshape(rows, 3)
    )  # convert.py's permute
    assert np.array_equal(paired[hf.halved_rows(rows, heads)], w)
