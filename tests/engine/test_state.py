"""Saved contexts: they go on to the bit, in any context size, and only in the model that they are of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from alpaca_tui.engine import Engine, Sampling
from alpaca_tui.engine.protocol import Adapter, RopeOptions
from alpaca_tui.errors import UserError
from tests.adapters import write_ggla
from tests.checkpoints import lora_weights
from tests.gguf_writer import small_hparams, write_llama

GREEDY = Sampling(temp=0.0, repeat_penalty=1.0)
H = small_hparams(n_embd=128, n_head=4, n_ff=192, n_layer=3)
PROMPT = [1, *range(40, 77)]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama(tmp_path_factory.mktemp("small") / "small.gguf", "q4_0", H)


def load(path: Path, **options) -> Engine:
    return Engine.load(path, **{"n_ctx": 128, "n_threads": 2, **options})


def reply(engine: Engine, prompt: list[int], n: int = 8) -> list[int]:
    return [token.id for token in engine.generate(prompt, GREEDY, max_tokens=n)]


@pytest.mark.parametrize("cache_type", ["f16", "q8_0"])
@pytest.mark.parametrize("n_ctx", [128, 64, 500])
def test_it_goes_on_to_the_bit(small: Path, tmp_path: Path, cache_type: str, n_ctx: int) -> None:
    path = tmp_path / "a.state"
    with load(small, cache_type=cache_type) as engine:
        said = reply(engine, PROMPT)
        whole = [*PROMPT, *said[:-1]]
        assert engine.context == tuple(whole)
        assert engine.save_state(path)
        expected = engine._executor.eval([7], len(whole), 1)
        one = engine.state_bytes / len(whole)
    assert path.stat().st_size < one * len(whole) + 2000
    with load(small, cache_type=cache_type, n_ctx=n_ctx) as engine:
        assert engine.restore_state(path) == len(whole)
        np.testing.assert_array_equal(engine._executor.eval([7], len(whole), 1), expected)
        assert reply(engine, PROMPT) == said
        assert engine.stats.restored_tokens == len(whole)
        assert engine.stats.reused_tokens == len(PROMPT) - 1


def test_as_much_as_is_wanted(small: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.state"
    with load(small) as engine:
        said = reply(engine, PROMPT)
        engine.save_state(path)
    with load(small, n_ctx=40) as engine:
        assert engine.restore_state(path, [*PROMPT[:20], 3, 4]) == 20
        assert engine.context == tuple(PROMPT[:20])
        assert engine.restore_state(path) == 40  # no more fits
        assert reply(engine, PROMPT, 2) == said[:2]


def test_a_shifted_context_stays_what_it_is(small: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.state"
    with load(small) as engine:
        reply(engine, PROMPT)
        engine.shift(1, 20)
        engine.save_state(path)
        left = len(engine.context)
        expected = engine._executor.eval([7], left, 1)
    with load(small) as engine:
        assert engine.restore_state(path) == left
        np.testing.assert_array_equal(engine._executor.eval([7], left, 1), expected)


def test_states_of_others_are_refused_by_what_differs(small: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.state"
    with load(small) as engine:
        reply(engine, PROMPT)
        engine.save_state(path)

    def refusal(model: Path = small, **options) -> str:
        with load(model, **options) as engine:
            with pytest.raises(UserError) as caught:
                engine.restore_state(path)
            assert engine.context == ()
        assert "\n" not in str(caught.value)
        return str(caught.value)

    other = write_llama(tmp_path / "other.gguf", "q4_0", H, seed=1)
    assert "saved with another model" in refusal(other)
    assert "another cache_type ('f16', and now it is 'q8_0')" in refusal(cache_type="q8_0")
    assert "another rope_freq_scale" in refusal(rope=RopeOptions(freq_scale=0.5))
    assert "another norm_eps" in refusal(norm_eps=1e-4)
    lora = write_ggla(tmp_path / "lora.bin", lora_weights(H))
    assert "another lora" in refusal(loras=[Adapter(lora)])
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(small.read_bytes())
    with load(copy) as engine:  # the same weights elsewhere are the same model
        assert engine.restore_state(path) == len(PROMPT) + 7


def test_one_changed_matrix_is_another_model(small: Path, tmp_path: Path) -> None:
    """As a LoRA merged into a few matrices leaves the others."""
    changed = write_llama(tmp_path / "c.gguf", "q4_0", H, formats={"blk.1.attn_v.weight": "q8_0"})
    with load(small) as a, load(changed) as b:
        assert a.identity.digest != b.identity.digest
        assert a.identity.settings == b.identity.settings
        assert a.identity.key != b.identity.key


def test_a_damaged_state_leaves_an_empty_context(small: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.state"
    with load(small) as engine:
        said = reply(engine, PROMPT)
        engine.save_state(path)
        data = bytearray(path.read_bytes())
        data[-100] ^= 1
        path.write_bytes(data)
        with pytest.raises(UserError, match="not what was written"):
            engine.restore_state(path)
        assert engine.context == ()
        assert reply(engine, PROMPT) == said
