"""The estimate of memory, against sizes that are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from alpaca_tui.engine.kv_cache import KvCache
from alpaca_tui.engine.memory import required_memory
from alpaca_tui.files.blocks import FORMATS
from alpaca_tui.files.hparams import HParams
from alpaca_tui.files.model_file import open_model
from alpaca_tui.files.tensors import Part, Tensor, expected_shapes
from tests.gguf_writer import write_llama
from tests.small_model import small_hparams

LLAMA_7B = HParams("llama", 32000, 4096, 32, 32, 32, 11008, 128, 2048, 1e-6)


def tensors(h: HParams, fmt: str) -> dict[str, Tensor]:
    return {
        name: Tensor(
            name, shape, FORMATS["f32" if len(shape) == 1 else fmt], (Part(0, 0, shape[0], shape[-1]),)
        )
        for name, shape in expected_shapes(h).items()
    }


@pytest.mark.parametrize("fmt", ["q4_0", "q4_0_v1", "q4_0_v2"])
def test_llama_7b(fmt: str) -> None:
    """ggjt v3's 7B in q4_0 has 3,791,725,184 bytes; old files shrink to that. KV at 512 is 256 MiB."""
    memory = required_memory(LLAMA_7B, tensors(LLAMA_7B, fmt), 512)
    embedding = 32000 * 4096 // 32 * 18
    assert memory.weights + embedding == pytest.approx(3_791_725_184, rel=1e-3)
    assert memory.cache == 256 << 20
    assert memory.buffers == 512 * (6 * 4096 + 3 * 11008) * 4 + 32000 * 32
    assert memory.total == memory.weights + memory.cache + memory.buffers


def test_grouped_queries_and_batch(tmp_path: Path) -> None:
    h = small_hparams()
    with open_model(write_llama(tmp_path / "m.gguf", "q8_0", h)) as model:
        memory = required_memory(h, model.tensors, 100, n_batch=16)
        tied = {name: t for name, t in model.tensors.items() if name != "output.weight"}
        assert memory.cache == 2 * 2 * 100 * 2 * 16 * 2
        assert memory.buffers == 16 * (6 * 64 + 3 * 96) * 4 + 320 * 32
        assert required_memory(h, model.tensors, 8, n_batch=16).buffers < memory.buffers
        assert (
            required_memory(h, tied, 100).weights == memory.weights
        )  # the embedding, in place of the output


@pytest.mark.parametrize("cache_type", ["f16", "q8_0"])
def test_the_cache_is_as_large_as_it_is(cache_type: str) -> None:
    h = LLAMA_7B
    estimated = required_memory(h, {}, 512, cache_type=cache_type).cache
    assert KvCache(h.n_layer, h.n_head_kv, h.head_dim, 512, cache_type).nbytes == pytest.approx(
        estimated, rel=1e-4
    )
