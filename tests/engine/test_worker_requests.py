"""What the worker makes of a request: its window on the conversation, settings, segments."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from alpaca_tui.engine.engine import Engine
from alpaca_tui.engine.generation import Token
from alpaca_tui.engine.lookup import Account
from alpaca_tui.engine.protocol import (
    ContextCut,
    EngineState,
    Finished,
    FinishReason,
    LoadOptions,
    Progress,
    SamplingParams,
    Segment,
)
from alpaca_tui.engine.worker import encode
from tests.engine.fakes import BOS, EOS, ByteTokenizer, ScriptedModel, engine_of, text_ids
from tests.engine.harness import GREEDY, PATH, request

# --- context -----------------------------------------------------------------------------------------------


def test_old_turns_leave_and_the_interface_hears_from_where_on(harness) -> None:
    h = harness(ScriptedModel(text_ids("a"), n_ctx=100))
    h.load()
    turns = ["0" * 30, "1" * 30, "2" * 30]
    h.worker.generate(request(*turns, max_tokens=10))
    finished = h.wait_for(Finished)
    assert h.of(ContextCut) == [ContextCut(1)]
    assert finished.stats.prompt_tokens == 62
    assert h.events.index(ContextCut(1)) < h.events.index(h.of(Progress)[0])
    # A new conversation: it sees everything again, and says so once.
    h.events.clear()
    h.worker.generate(request("new"))
    h.wait_for(Finished)
    assert h.of(ContextCut) == [ContextCut(0)]
    h.events.clear()
    h.worker.generate(request("new", "newer"))
    h.wait_for(Finished)
    assert h.of(ContextCut) == []


@pytest.mark.parametrize("n_ctx", [200, 110])
def test_a_long_conversation_is_evaluated_anew_only_now_and_then(harness, n_ctx: int) -> None:
    h = harness(ScriptedModel(text_ids("twenty letters reply"), n_ctx=n_ctx))
    h.load()
    turns: list[tuple[Segment, ...]] = []
    reused = []
    for i in range(30):
        question = (Segment(f"\n\n### {i:03}:", bos=True),)
        h.worker.generate(replace(request(max_tokens=20), turns=(*turns, question)))
        finished = h.wait_for(Finished, i + 1)
        turns.append((*question, Segment("", tokens=finished.tokens, eos=True)))
        reused.append(finished.stats.prompt_tokens - finished.stats.reused_tokens < 20)
    # A turn is 31 tokens. In 200, up to 5 fit and a cut keeps 2; in 110, 2 fit and a cut keeps 1.
    assert reused.count(False) <= 30 / (3 if n_ctx == 200 else 1.9)
    assert h.of(ContextCut)


def test_a_message_that_cannot_fit(harness) -> None:
    h = harness(ScriptedModel(text_ids("a"), n_ctx=100))
    h.load()
    h.worker.generate(request("old", "x" * 120))
    finished = h.wait_for(Finished)
    assert finished.reason is FinishReason.CONTEXT
    assert "23 tokens too long for the context of 100" in finished.message
    assert h.worker.state is EngineState.IDLE


def test_a_reply_that_fills_the_context_goes_on_with_fewer_turns(harness) -> None:
    def after(context: list[int]) -> int:  # counts 0123456789012...
        last = context[-1] - 3 - ord("0")
        return 3 + ord("0") + ((last + 1) % 10 if 0 <= last < 10 else 0)

    h = harness(ScriptedModel(next_token=after, n_ctx=100))
    h.load()
    h.worker.generate(request("a" * 50, "b" * 10, max_tokens=-1))  # 62 tokens, and 25 free
    finished = h.wait_for(Finished)
    assert finished.reason is FinishReason.CONTEXT
    assert h.of(ContextCut) == [ContextCut(1)]
    # 100 - (2 + 10) that stay, and the one that needs no place in the context.
    assert len(finished.tokens) == 89
    assert h.text() == ("0123456789" * 9)[:89]
    assert h.states() == [
        EngineState.PREFILL,
        EngineState.GENERATING,
        EngineState.PREFILL,
        EngineState.GENERATING,
        EngineState.IDLE,
    ]


# --- settings ----------------------------------------------------------------------------------------------


def test_sampling_and_threads_change_in_the_middle_of_a_reply(harness) -> None:
    seen: list[SamplingParams] = []
    model = ScriptedModel(next_token=lambda context: 50, seconds=0.002, n_ctx=100_000)
    engine = engine_of(model)
    h = harness(model, lambda path, **options: engine)
    h.load()
    h.worker.generate(request("x", max_tokens=-1))
    h.wait(lambda: len(h.text()) > 2)
    changed = SamplingParams(temp=0.0, repeat_penalty=1.0, top_k=7)
    h.worker.set_sampling(changed)
    h.worker.set_threads(5)
    n = len(h.text())
    h.wait(lambda: len(h.text()) > n + 2)
    seen.append(engine._reply.sampler.params)
    h.worker.stop()
    h.wait_for(Finished)
    assert seen == [changed]
    assert model.n_threads == 5


def test_threads_set_while_loading_count(harness) -> None:
    go, model = threading.Event(), ScriptedModel(text_ids("ok"))

    def open_engine(path: Path, **options) -> Engine:
        go.wait()
        return engine_of(model)

    h = harness(model, open_engine)
    h.worker.load(PATH, LoadOptions(n_threads=2))
    h.worker.set_threads(7)
    go.set()
    h.worker.generate(request("x"))
    h.wait_for(Finished)
    assert model.n_threads == 7


def test_what_comes_just_before_the_engine_could_hear_it_counts(harness) -> None:
    engine = engine_of(ScriptedModel(text_ids("answer")))
    h = harness(ScriptedModel(), lambda path, **options: engine)
    h.load()
    generate = engine.generate

    def after(call: Callable[[], None]) -> Callable[..., Iterator[Token]]:
        def wrapped(*args, **options) -> Iterator[Token]:
            call()  # the arguments are made, the engine has not begun
            return generate(*args, **options)

        return wrapped

    changed = replace(GREEDY, top_k=7)
    engine.generate = after(lambda: h.worker.set_sampling(changed))
    h.worker.generate(request("x"))
    h.wait_for(Finished)
    assert engine._reply.sampler.params == changed
    engine.generate = after(h.worker.stop)
    h.worker.generate(request("y"))
    assert h.wait_for(Finished, 2).reason is FinishReason.STOPPED


@pytest.mark.parametrize("lookup", [True, False])
def test_lookup_is_an_option_of_the_load(harness, monkeypatch: pytest.MonkeyPatch, lookup: bool) -> None:
    monkeypatch.setattr(Account, "length", 5)
    monkeypatch.setattr(Account, "agreement", 3)
    h = harness(ScriptedModel(next_token=lambda context: 60))
    h.worker.load(PATH, LoadOptions(lookup=lookup))
    h.worker.generate(request("9999", max_tokens=9))  # 9 is token 60
    assert bool(h.wait_for(Finished).stats.accepted_tokens) is lookup
    assert h.text() == "9" * 9


# --- segments ----------------------------------------------------------------------------------------------


def test_segments() -> None:
    tokenizer = ByteTokenizer()
    assert encode(tokenizer, [Segment("a", bos=True, space_prefix=True)]) == [BOS, *text_ids(" a")]
    assert encode(tokenizer, [Segment("a"), Segment("b", eos=True)]) == [*text_ids("ab"), EOS]
    assert encode(tokenizer, [Segment("a", bos=True, eos=True, tokens=(7, 8))]) == [BOS, 7, 8, EOS]
    assert encode(tokenizer, [Segment("a", tokens=())]) == []
    # Tokens of another model's larger vocabulary.
    assert encode(tokenizer, [Segment("a", tokens=(7, 10_000))]) == text_ids("a")


def test_a_model_without_bos_and_eos() -> None:
    tokenizer = ByteTokenizer()
    tokenizer.bos = tokenizer.eos = -1
    assert encode(tokenizer, [Segment("", bos=True, eos=True, tokens=(7,))]) == [7]
