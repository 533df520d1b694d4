"""The public class, on a small NumPy model and on a scripted one."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from alpaca_tui.engine import Engine, Sampling
from alpaca_tui.engine.memory import largest_context
from alpaca_tui.engine.protocol import FinishReason
from alpaca_tui.errors import UserError
from alpaca_tui.system import usable_cores
from tests.engine.fakes import BOS, EOS, ByteTokenizer, ScriptedModel, engine_of, text_ids
from tests.gguf_writer import random_weights, small_hparams
from tests.reference_model import ReferenceModel, logits

SHAPE = small_hparams(n_vocab=259)
WEIGHTS = random_weights(SHAPE, seed=3)
PROMPT = [BOS, 60, 61, 70, 90, 33, 60]
GREEDY = Sampling(temp=0.0, repeat_penalty=1.0)


def reference_engine(n_ctx: int = 64, n_batch: int = 16) -> tuple[Engine, ReferenceModel]:
    model = ReferenceModel(WEIGHTS, SHAPE, n_ctx=n_ctx, n_batch=n_batch)
    return engine_of(model), model


def ids_of(engine: Engine, prompt: list[int], sampling: Sampling = GREEDY, **options) -> list[int]:
    return [token.id for token in engine.generate(prompt, sampling, **options)]


# --- logits ------------------------------------------------------------------------------------------------


def test_logits_are_those_of_the_whole_sequence() -> None:
    engine, model = reference_engine(n_batch=3)
    out = engine.logits(PROMPT)
    assert out.dtype == np.float32
    assert out.shape == (7, 259)
    np.testing.assert_allclose(out, logits(WEIGHTS, SHAPE, PROMPT), atol=1e-4)
    assert [(len(tokens), pos, n) for tokens, pos, n in model.calls] == [(3, 0, 3), (3, 3, 3), (1, 6, 1)]
    assert engine.logits([]).shape == (0, 259)


def test_logits_start_from_an_empty_context() -> None:
    engine, model = reference_engine()
    first = engine.logits(PROMPT)
    model.calls.clear()
    np.testing.assert_array_equal(engine.logits(PROMPT), first)
    assert model.calls[0][1] == 0


def test_logits_leave_a_context_to_go_on_from() -> None:
    engine, _ = reference_engine()
    expected = ids_of(engine, PROMPT, max_tokens=8)
    engine.logits(PROMPT)
    assert ids_of(engine, PROMPT, max_tokens=8) == expected
    assert engine.stats.reused_tokens == len(PROMPT) - 1


# --- generate ----------------------------------------------------------------------------------------------


def test_greedy_is_the_argmax_of_the_whole_forward_pass() -> None:
    expected: list[int] = []
    for _ in range(12):
        expected.append(int(logits(WEIGHTS, SHAPE, PROMPT + expected)[-1].argmax()))
    engine, _ = reference_engine()
    assert EOS not in expected
    assert ids_of(engine, PROMPT, max_tokens=12) == expected


def test_reuse_changes_no_token() -> None:
    engine, model = reference_engine()
    first = ids_of(engine, PROMPT, max_tokens=6)
    prompt = [*PROMPT, *first, 77, 78]
    model.calls.clear()
    warm = ids_of(engine, prompt, max_tokens=10)
    # 5 of the 6 tokens were evaluated: the last one never had to be.
    assert model.calls[0][1] == len(PROMPT) + 5
    assert engine.stats.reused_tokens == len(PROMPT) + 5
    cold, _ = reference_engine()
    assert ids_of(cold, prompt, max_tokens=10) == warm


def test_a_batch_above_that_of_the_load() -> None:
    engine, model = reference_engine(n_ctx=64, n_batch=4)
    expected = ids_of(engine, PROMPT, max_tokens=5)
    engine.logits([5])
    model.calls.clear()
    assert ids_of(engine, PROMPT, max_tokens=5, n_batch=1000) == expected
    assert [len(tokens) for tokens, _, _ in model.calls][:2] == [7, 1]
    assert model.n_batch == 64  # no more than the context
    engine.logits([5])
    model.calls.clear()
    ids_of(engine, PROMPT, max_tokens=5)  # as loaded
    assert [len(tokens) for tokens, _, _ in model.calls][:3] == [4, 3, 1]


@pytest.mark.parametrize("seed", [1, 2])
def test_same_tokens_for_any_batch_size(seed: int) -> None:
    sampling = Sampling(seed=seed, temp=1.0)
    runs = []
    for n_batch in (1, 2, 5, 16):
        engine, _ = reference_engine(n_batch=16)
        runs.append(ids_of(engine, PROMPT, sampling, max_tokens=30, n_batch=n_batch))
    assert len(runs[0]) > 3
    assert runs.count(runs[0]) == len(runs)


def test_seeds() -> None:
    engine, _ = reference_engine()

    def run(seed: int) -> list[int]:
        return ids_of(engine, PROMPT, Sampling(seed=seed, temp=1.5), max_tokens=20)

    assert run(5) == run(5)
    assert run(5) != run(6)
    run(-1)
    seed = engine.stats.seed
    ids = ids_of(engine, PROMPT, Sampling(seed=-1, temp=1.5), max_tokens=20)
    assert engine.stats.seed != seed
    assert run(engine.stats.seed) == ids  # the seed that is told repeats the reply


def test_an_abandoned_iterator_leaves_the_engine_usable() -> None:
    engine, _ = reference_engine()
    expected = ids_of(engine, PROMPT, max_tokens=10)
    for _ in engine.generate(PROMPT, GREEDY):
        break
    assert engine.finish_reason is None
    assert ids_of(engine, PROMPT, max_tokens=10) == expected
    assert engine.finish_reason is FinishReason.LENGTH

    given_up = engine.generate(PROMPT[:3], GREEDY)
    next(given_up)
    assert ids_of(engine, PROMPT, max_tokens=10) == expected
    with pytest.raises(RuntimeError, match="another call"):
        next(given_up)
    assert ids_of(engine, PROMPT, max_tokens=10) == expected


def test_text_and_finish_reasons() -> None:
    engine = engine_of(ScriptedModel(text_ids("你好🦙")))
    assert "".join(token.text for token in engine.generate([BOS])) == "你好🦙"
    assert engine.finish_reason is FinishReason.END
    assert "".join(token.text for token in engine.generate([BOS], stop="好")) == "你"
    assert engine.finish_reason is FinishReason.STOP_TEXT
    assert engine.reply_tokens == tuple(text_ids("你"))


def test_stats_are_there_at_all_times() -> None:
    engine = engine_of(ScriptedModel(text_ids("abc"), n_ctx=100))
    assert engine.stats.n_ctx == 100
    tokens = engine.generate([BOS, 5, 6])
    assert engine.stats.generated_tokens == 0
    next(tokens)
    assert (engine.stats.prompt_tokens, engine.stats.generated_tokens) == (3, 1)
    list(tokens)
    assert engine.stats.n_past == 6


def test_new_parameters_take_effect_with_the_next_token() -> None:
    class Two(ScriptedModel):
        def eval(self, tokens: list[int], pos: int, n_logits: int) -> np.ndarray:
            out = super().eval(tokens, pos, n_logits) * 0
            out[:, 50], out[:, 51] = 9, 8
            return out

    engine = engine_of(Two())
    out = []
    for token in engine.generate([BOS], GREEDY, max_tokens=4):
        out.append(token.id)
        if len(out) == 2:
            engine.set_sampling(Sampling(temp=0.0, repeat_penalty=2.0, repeat_last_n=1))
    assert out == [50, 50, 51, 50]
    with pytest.raises(UserError):
        engine.set_sampling(Sampling(temp=float("nan")))


# --- stop --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", [[BOS, *[60] * 2000], [BOS]], ids=["prefill", "reply"])
def test_stop_from_another_thread(prompt: list[int]) -> None:
    model = ScriptedModel(next_token=lambda context: 60, n_batch=8, seconds=0.05, n_ctx=10_000)
    engine = engine_of(model)
    timer = threading.Timer(0.12, engine.stop)
    timer.start()
    begin = time.monotonic()
    made = list(engine.generate(prompt))
    assert 0.1 < time.monotonic() - begin < 5  # all of the prompt would take twelve seconds
    assert engine.finish_reason is FinishReason.STOPPED
    assert bool(made) == (len(prompt) == 1)
    timer.join()
    engine.stop()  # between replies: no effect on the next one
    model.seconds = 0
    assert len(list(engine.generate(prompt, max_tokens=3))) == 3


def test_stop_before_the_first_token_is_asked_for() -> None:
    engine, model = reference_engine()
    tokens = engine.generate(PROMPT, GREEDY)
    engine.stop()
    assert list(tokens) == []
    assert engine.finish_reason is FinishReason.STOPPED
    assert not model.calls


# --- mistakes ----------------------------------------------------------------------------------------------


def test_bad_prompts() -> None:
    engine, _ = reference_engine(n_ctx=16)
    with pytest.raises(UserError, match="no tokens"):
        engine.generate([])
    with pytest.raises(UserError, match="259 is no token"):
        engine.generate([1, 259])
    with pytest.raises(UserError, match="-1 is no token"):
        engine.logits([-1])
    with pytest.raises(UserError, match="20 tokens, 5 too many for a context of 16"):
        engine.generate([1] * 20)
    with pytest.raises(UserError, match="20 tokens, 4 too many"):
        engine.logits([1] * 20)
    with pytest.raises(UserError):
        engine.generate(PROMPT, Sampling(repeat_penalty=0.0))
    assert len(list(engine.generate([1] * 15))) == 2  # one more fits, and one need not


def test_unusable_numbers_are_a_user_error_and_leave_the_engine_usable() -> None:
    class Broken(ScriptedModel):
        def eval(self, tokens: list[int], pos: int, n_logits: int) -> np.ndarray:
            return super().eval(tokens, pos, n_logits) * np.float32("nan")

    engine = engine_of(Broken())
    for _ in range(2):
        with pytest.raises(UserError, match="no usable numbers"):
            list(engine.generate([BOS]))


def test_close_and_context_manager() -> None:
    model = ScriptedModel(text_ids("ab"))
    with engine_of(model) as engine:
        tokens = engine.generate([BOS])
        next(tokens)
    assert model.closed
    with pytest.raises(RuntimeError):
        next(tokens)


def test_threads() -> None:
    engine, model = reference_engine()
    engine.set_threads(3)
    assert model.n_threads == 1  # not in the middle of an evaluation: with the next one
    engine.logits(PROMPT)
    assert model.n_threads == 3
    engine.set_threads(0)
    engine.logits(PROMPT)
    assert model.n_threads == usable_cores()


def test_tokenizer_is_at_hand() -> None:
    tokenizer = ByteTokenizer()
    engine = engine_of(ScriptedModel(text_ids("x")), tokenizer)
    ids = engine.tokenizer.encode("Hi")
    assert engine.tokenizer.decode(ids) == " Hi"


# --- memory and files --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "expected"),
    [(10_000, 2048 - 256), (1000, 768), (399, 256), (300, 200), (108, 8), (107, 0), (0, 0)],
)
def test_largest_context(free: int, expected: int) -> None:
    assert largest_context(lambda n: 100 + n, free, 2048) == expected


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        Engine.load(tmp_path / "no-such.gguf")
    assert "no-such.gguf" in str(caught.value)
