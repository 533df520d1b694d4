"""LoRAs at load against merged models: the same logits, from every kind of adapter; what does not fit."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaca_tui.engine import Engine
from alpaca_tui.engine.lora import Loras, open_adapter
from alpaca_tui.engine.model import Model
from alpaca_tui.engine.protocol import Adapter
from alpaca_tui.engine.stopped import Stopped
from alpaca_tui.errors import UserError
from alpaca_tui.files.blocks import FORMATS
from alpaca_tui.files.model_file import open_model
from alpaca_tui.pipeline.containers import CONTAINERS
from alpaca_tui.pipeline.convert import ConvertOptions, convert
from alpaca_tui.pipeline.merge import merge
from alpaca_tui.pipeline.quantize import quantize
from tests.adapters import write_ggla, write_gguf_lora
from tests.checkpoints import hf_weights, lora_weights, write_hf, write_lora
from tests.engine.test_model import kl_divergence
from tests.gguf_writer import write_llama
from tests.small_model import small_hparams

H = small_hparams(n_vocab=300, n_embd=64, n_ff=96, n_head=4, n_head_kv=2, norm_eps=1e-6)
TOKENS = [1, *range(60, 90)]


def logits(path: Path, adapters: Sequence[Adapter] = (), base: Path | None = None) -> np.ndarray:
    file = open_model(path)
    loras = Loras(file, adapters, base) if adapters else None
    model = Model(file, n_ctx=64, n_threads=2, loras=loras)
    out = model.eval(TOKENS, 0, len(TOKENS))
    model.close()
    return out


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder with the same model in f16 and q4_0 in GGUF."""
    folder = write_hf(tmp_path_factory.mktemp("base"), hf_weights(H), H)
    convert(folder, folder / "f16.gguf", ConvertOptions("f16", CONTAINERS["gguf"]))
    quantize(folder / "f16.gguf", "q4_0", folder / "q4_0.gguf")
    return folder


def merged(base: Path, *loras: Path) -> Path:
    merge(base, loras, "gguf", loras[0].parent / "merged")
    return next((loras[0].parent / "merged").glob("*.gguf"))


KINDS: dict[str, Callable[[Path], Path]] = {
    "bin": lambda folder: write_lora(folder / "bin", lora_weights(H)),
    "safetensors": lambda folder: write_lora(folder / "st", lora_weights(H), kind="safetensors"),
    "the weights themselves": lambda folder: write_lora(folder / "w", lora_weights(H)) / "adapter_model.bin",
    "ggla": lambda folder: write_ggla(folder / "ggml-adapter-model.bin", lora_weights(H)),
    "ggla of today's names": lambda folder: write_ggla(folder / "a.bin", lora_weights(H), today=True),
    "gguf": lambda folder: write_gguf_lora(folder / "adapter.gguf", lora_weights(H), H),
}


@pytest.mark.parametrize("kind", KINDS)
def test_as_merged(base: Path, tmp_path: Path, kind: str) -> None:
    expected = logits(merged(base, write_lora(tmp_path / "lora", lora_weights(H))))
    ours = logits(base / "f16.gguf", [Adapter(KINDS[kind](tmp_path))])
    assert kl_divergence(expected, ours) <= 1e-7
    assert kl_divergence(expected, logits(base / "f16.gguf")) > 0.01


def test_several_in_their_order_and_whole_modules(base: Path, tmp_path: Path) -> None:
    first = write_lora(tmp_path / "first", lora_weights(H, n_vocab=H.n_vocab, seed=2))
    second = write_lora(tmp_path / "second", lora_weights(H, modules=["mlp.up_proj"], seed=3))
    ours = logits(base / "f16.gguf", [Adapter(first), Adapter(second)])
    np.testing.assert_array_equal(ours, logits(merged(base, first, second)))


def test_the_other_way_round(base: Path, tmp_path: Path) -> None:
    weights = lora_weights(H, fan_in_fan_out=True)
    lora = write_lora(tmp_path / "lora", weights, fan_in_fan_out=True)
    assert kl_divergence(logits(merged(base, lora)), logits(base / "f16.gguf", [Adapter(lora)])) <= 1e-7


def test_scales(base: Path, tmp_path: Path) -> None:
    weights = lora_weights(H)
    whole, half = write_ggla(tmp_path / "a", weights), write_ggla(tmp_path / "b", weights, alpha=8)
    np.testing.assert_array_equal(
        logits(base / "f16.gguf", [Adapter(whole, 0.5)]), logits(base / "f16.gguf", [Adapter(half)])
    )
    np.testing.assert_array_equal(logits(base / "f16.gguf", [Adapter(whole, 0.0)]), logits(base / "f16.gguf"))


def test_on_a_quantised_base_from_f16(base: Path, tmp_path: Path) -> None:
    """With a base in f16 the result is what merging and then quantising gives, to the bit."""
    lora = write_lora(tmp_path / "lora", lora_weights(H, n_vocab=H.n_vocab))
    quantize(merged(base, lora), "q4_0", tmp_path / "q4_0.gguf")
    ours = logits(base / "q4_0.gguf", [Adapter(lora)], base / "f16.gguf")
    np.testing.assert_array_equal(ours, logits(tmp_path / "q4_0.gguf"))


@pytest.mark.parametrize("fmt", ["q4_0", "q5_1", "q8_0", "bf16", "f32"])
def test_on_a_quantised_base_alone(tmp_path: Path, fmt: str) -> None:
    """Dequantised, changed in f32, quantised: the NumPy twin of each format says the same."""
    path = write_llama(tmp_path / "m.gguf", fmt, H)
    lora = write_gguf_lora(tmp_path / "lora.gguf", lora_weights(H), H)
    with open_model(path) as file, open_adapter(lora) as adapter:
        loras = Loras(file, [Adapter(lora)])
        for name, pair in adapter.pairs.items():
            changed = file.array(name) + np.float32(4) * (pair.b.f32() @ pair.a.f32())
            expected = FORMATS[fmt].quantize(changed)
            made = loras.matrix(name, 2, lambda: None)
            np.testing.assert_array_equal(made, expected)
        loras.close()


@pytest.mark.parametrize("tied", [False, True])
def test_a_changed_embedding(tmp_path: Path, tied: bool) -> None:
    """Also where the output is the embedding."""
    rng = np.random.default_rng(0)
    embedding = rng.standard_normal((H.n_vocab, H.n_embd)).astype(np.float16)
    lora = write_lora(tmp_path / "lora", {"base_model.model.model.embed_tokens.weight": embedding})
    path = write_llama(tmp_path / "m.gguf", "f16", H, tied=tied)
    before, after = logits(path), logits(path, [Adapter(lora)])
    file = open_model(path)
    with Loras(file, [Adapter(lora)]) as loras:
        np.testing.assert_array_equal(loras.embedding([5, 3, 4]), embedding[[5, 3, 4]].astype(np.float32))
        assert loras.names == {"token_embd.weight"} | ({"output.weight"} if tied else set())
        if tied:
            made = loras.matrix("output.weight", 1, lambda: None)
            np.testing.assert_array_equal(made.view(np.float16), embedding)
    assert kl_divergence(before, after) > 0.01


def test_a_stop_ends_it(base: Path, tmp_path: Path) -> None:
    file = open_model(base / "q4_0.gguf")
    loras = Loras(file, [Adapter(write_lora(tmp_path / "lora", lora_weights(H)))])

    def stop(stage: str, done: int, total: int, what: str) -> None:
        if stage == "load":
            raise Stopped

    with pytest.raises(Stopped):
        Model(file, n_ctx=64, n_threads=2, loras=loras, on_progress=stop)


# --- what does not fit -------------------------------------------------------------------------------------


def refusal(path: Path, *adapters: Path, base: Path | None = None, scale: float = 1.0) -> str:
    with open_model(path) as file, pytest.raises(UserError) as caught:
        Loras(file, [Adapter(adapter, scale) for adapter in adapters], base)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_adapter_is_no_model(tmp_path: Path) -> None:
    for path in (
        write_gguf_lora(tmp_path / "a", lora_weights(H), H),
        write_ggla(tmp_path / "b", lora_weights(H)),
    ):
        with pytest.raises(UserError, match=r"LoRA adapter.*, not a whole model; name it with --lora"):
            open_model(path)


def test_refusals(base: Path, tmp_path: Path) -> None:
    model = base / "f16.gguf"
    weights = lora_weights(H)
    grown = write_lora(tmp_path / "grown", lora_weights(H, n_vocab=310))
    assert "310 tokens and" in refusal(model, grown) and "alpaca-tui merge" in refusal(model, grown)
    deep = write_ggla(tmp_path / "deep", lora_weights(small_hparams(n_embd=64, n_layer=3)))
    assert "blk.2.attn_q.weight, which" in refusal(model, deep) and "2 layers" in refusal(model, deep)
    wide = write_ggla(tmp_path / "wide", lora_weights(small_hparams(n_embd=128)))
    assert "for blk.0.attn_q.weight it has the shape (128, 128), and the model has (64, 64)" in refusal(
        model, wide
    )
    assert "its rank is 5" in refusal(model, write_ggla(tmp_path / "rank", weights, r=5))
    assert "version 2" in refusal(model, write_ggla(tmp_path / "version", weights, version=2))
    assert "impossible" in refusal(model, write_ggla(tmp_path / "alpha", weights, alpha=0))
    lonely = {name: a for name, a in weights.items() if "layers.1.mlp.up_proj.lora_B" not in name}
    assert "of the two factors for blk.1.ffn_up.weight it has only one" in refusal(
        model, write_ggla(tmp_path / "lonely", lonely)
    )
    assert "is a model, not a LoRA" in refusal(model, model)
    other = write_gguf_lora(tmp_path / "other", weights, H, general_architecture="qwen2")
    assert "architecture 'qwen2'" in refusal(model, other)
    (tmp_path / "text").write_text("hello")
    assert "is no LoRA: give a ggla file" in refusal(model, tmp_path / "text")
    assert "cannot be opened" in refusal(model, tmp_path / "absent")
    good = write_ggla(tmp_path / "good", weights)
    assert "is no number" in refusal(model, good, scale=float("nan"))
    narrow = write_llama(tmp_path / "narrow.gguf", "f16", small_hparams(n_embd=32, n_vocab=300))
    assert "--lora-base" in refusal(model, good, base=narrow)
    (tmp_path / "empty").write_bytes(b"algg" + struct.pack("<3i", 1, 4, 16))
    assert "no tensors" in refusal(model, tmp_path / "empty")


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8), st.floats(0, 1))
def test_damaged_files(
    tmp_path_factory: pytest.TempPathFactory, places: list[tuple[float, int]], cut: float
) -> None:
    """A few bytes changed anywhere, or the end missing: a sentence, or factors that can be read."""
    folder = tmp_path_factory.mktemp("damaged")
    weights = lora_weights(H, r=2, modules=["self_attn.q_proj"])
    for path in (
        write_ggla(folder / "a", weights, r=2),
        write_gguf_lora(folder / "b", weights, H),
    ):
        data = bytearray(path.read_bytes())
        for where, value in places:
            data[int(where * where * (len(data) - 1))] = value
        path.write_bytes(data[: int(len(data) * cut)] if places[0][1] % 2 else data)
        try:
            with open_adapter(path) as lora:
                for name, pair in lora.pairs.items():
                    assert lora.change(name, np.arange(pair.shape[0])) is not None
        except UserError as error:
            assert "\n" not in str(error)


def test_the_engine_takes_paths_and_adapters(base: Path, tmp_path: Path) -> None:
    weights = lora_weights(H)
    whole, half = write_ggla(tmp_path / "a", weights), write_ggla(tmp_path / "b", weights, alpha=8)
    made = []
    for lora in (str(half), half, Adapter(whole, 0.5)):
        with Engine.load(base / "q4_0.gguf", n_ctx=64, loras=[lora], lora_base=base / "f16.gguf") as engine:
            made.append(engine.logits(TOKENS))
            assert engine.model.description.endswith((" + LoRA a", " + LoRA b"))
    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_array_equal(made[0], made[2])
