"""LoRAs: which fit a model and which do not, in one sentence; damaged and hostile ones."""

from __future__ import annotations

import dataclasses
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaca_tui.errors import UserError
from alpaca_tui.files.zip_write import ZipWriter
from alpaca_tui.pipeline.lora import open_lora
from alpaca_tui.pipeline.merge import merge, open_for_merge
from tests.checkpoints import H, lora_weights, write_hf, write_lora

# --- what does not fit -------------------------------------------------------------------------------------


def refusal(base: Path, *loras: Path, output: str = "pth") -> str:
    with pytest.raises(UserError) as caught:
        merge(base, loras, output, base.parent / "out")
    message = str(caught.value)
    assert "\n" not in message and not (base.parent / "out").exists()
    return message


def test_vocabularies(tmp_path: Path) -> None:
    base = write_hf(tmp_path / "base")
    grown = lora_weights(n_vocab=310)
    wrong = write_lora(tmp_path / "wrong", grown, n_tokens=311)
    assert "has 311 tokens and the LoRA beside it 310 tokens: they belong to different models" in refusal(
        base, wrong
    )
    none = write_lora(tmp_path / "none", grown)
    assert "tokenizer.model is missing: the LoRA has 310 tokens" in refusal(base, none)
    no_rows = write_lora(tmp_path / "rows", lora_weights(), n_tokens=310)
    assert "the LoRA holds no embedding for them" in refusal(base, no_rows)
    first = write_lora(tmp_path / "first", grown, n_tokens=310)
    second = write_lora(tmp_path / "second", lora_weights(n_vocab=311), n_tokens=311)
    assert "in the order in which they were trained" in refusal(base, second, first)
    headless = {name: a for name, a in grown.items() if "lm_head" not in name}
    assert "but no output.weight for them" in refusal(
        base, write_lora(tmp_path / "h", headless, n_tokens=310)
    )
    uneven = grown | {"base_model.model.lm_head.weight": grown["base_model.model.lm_head.weight"][:309]}
    assert "different numbers of tokens" in refusal(base, write_lora(tmp_path / "u", uneven, n_tokens=310))


def test_the_real_vocabularies_are_named(kits: Path, tmp_path: Path) -> None:
    lora = tmp_path / "lora"
    shutil.copytree(kits / "lora/chinese-llama-plus-lora", lora)
    lora.chmod(0o755)
    (lora / "tokenizer.model").unlink()
    shutil.copy(kits / "tokenizers/chinese_alpaca.model", lora / "tokenizer.model")
    with pytest.raises(
        UserError, match=r"49,954 tokens \(Chinese-Alpaca's\) and .* 49,953 tokens \(Chinese-LLaMA's\)"
    ):
        open_for_merge(kits / "lora/base", [lora])


def test_other_sizes_and_kinds(tmp_path: Path) -> None:
    base = write_hf(tmp_path / "base")
    deep = write_lora(tmp_path / "deep", lora_weights(dataclasses.replace(H, n_layer=3)))
    assert "the base model with its 2 layers does not have" in refusal(base, deep)
    wide = write_lora(tmp_path / "wide", lora_weights(dataclasses.replace(H, n_embd=64)))
    assert "does not fit the base model: for blk.0.attn_q.weight" in refusal(base, wide)
    half = {name: a for name, a in lora_weights().items() if "layers.1.mlp.up_proj.lora_B" not in name}
    assert "it has only one" in refusal(base, write_lora(tmp_path / "half", half))
    other = {"base_model.model.h.0.attn.c_attn.lora_A.weight": np.zeros((4, 4), np.float32)}
    assert "that no LLaMA model has" in refusal(base, write_lora(tmp_path / "other", other))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"peft_type": "PREFIX_TUNING"}, "of the kind 'PREFIX_TUNING'"),
        ({"use_dora": True}, "use_dora = True"),
        ({"bias": "all"}, "bias = 'all'"),
        ({"rank_pattern": {"q_proj": 3}}, "rank_pattern"),
        ({"r": 0}, "r = 0"),
        ({"r": "8"}, "r = '8'"),
    ],
)
def test_configurations(tmp_path: Path, config: dict, message: str) -> None:
    lora = write_lora(tmp_path / "lora", lora_weights(), r=config.pop("r", 4), **config)
    assert message in refusal(write_hf(tmp_path / "base"), lora)


def test_folders(tmp_path: Path) -> None:
    base = write_hf(tmp_path / "base")
    lora = write_lora(tmp_path / "lora", lora_weights())
    assert "models are not downloaded" in refusal(base, tmp_path / "ziqingyang/chinese-alpaca")
    (tmp_path / "lora.zip").write_bytes(b"PK\3\4")
    assert "unpack it" in refusal(base, tmp_path / "lora.zip")
    assert "adapter_config.json is missing" in refusal(base, base)
    assert "No LoRA was named" in refusal(base)
    assert "There is no folder" in refusal(tmp_path / "absent", lora)
    assert "no output type 'onnx'" in refusal(base, lora, output="onnx")
    (lora / "adapter_model.bin").unlink()
    assert "adapter_model.bin is missing" in refusal(base, lora)


# --- damaged and hostile files -------------------------------------------------------------------------


def test_a_lora_that_wants_to_run_something(tmp_path: Path) -> None:
    """The pickle of a torch file can name any function; here only tensors are made, and nothing runs."""
    lora = write_lora(tmp_path / "lora", lora_weights())
    command = f"touch {tmp_path / 'owned'}"
    pickle = b"\x80\x02cposix\nsystem\nX" + struct.pack("<I", len(command)) + command.encode() + b"\x85R."
    with (lora / "adapter_model.bin").open("wb") as file:
        archive = ZipWriter(file, "archive")
        archive.add("data.pkl", pickle)
        archive.add("version", b"3\n")
        archive.finish()
    assert "asks for posix.system to be run" in refusal(write_hf(tmp_path / "base"), lora)
    assert not (tmp_path / "owned").exists()


@given(
    places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
    suffix=st.sampled_from(["bin", "safetensors"]),
)
def test_damaged_loras(
    tmp_path_factory: pytest.TempPathFactory, places: list[tuple[float, int]], suffix: str
) -> None:
    """A few bytes changed anywhere: a sentence, or weights of the right shapes; no crash."""
    folder = tmp_path_factory.mktemp("damaged")
    weights = lora_weights(r=2, modules=["self_attn.q_proj"], n_vocab=310)
    write_lora(folder, weights, r=2, n_tokens=310, kind=suffix)
    for name in (f"adapter_model.{suffix}", "adapter_config.json"):
        data = bytearray((folder / name).read_bytes())
        for where, value in places:
            data[int(where * (len(data) - 1))] = value
        (folder / name).write_bytes(data)
    try:
        with open_lora(folder) as lora:
            for name, pair in lora.pairs.items():
                assert lora.change(name, np.arange(pair.shape[0] % 7)) is not None
    except UserError as error:
        assert "\n" not in str(error)
    shutil.rmtree(folder)
