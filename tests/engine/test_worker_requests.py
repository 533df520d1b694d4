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
    WhenFull,
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


def count_up(context: list[int]) -> int:
    """Says 0123456789012..."""
    last = context[-1] - 3 - ord("0")
    return 3 + ord("0") + ((last + 1) % 10 if 0 <= last < 10 else 0)


def test_a_reply_that_fills_the_context_goes_on(harness) -> None:
    """First without the oldest turns, then without its own older half; nothing is evaluated twice."""
    h = harness(model := ScriptedModel(next_token=count_up, n_ctx=100))
    h.load(LoadOptions(lookup=False))
    h.worker.generate(request("a" * 50, "b" * 10, max_tokens=200))  # 62 tokens, and 25 free
    finished = h.wait_for(Finished)
    assert finished.reason is FinishReason.LENGTH
    assert h.text() == "0123456789" * 20
    # 12 tokens and 88 of the reply fill it the second time; then 44 leave at a time.
    assert h.of(ContextCut) == [ContextCut(1), *(ContextCut(1, (10, 10 + n)) for n in (44, 88, 132))]
    assert model.shifts == [(2, 52, 100), *[(12, 56, 100)] * 3]
    assert [len(tokens) for tokens, _, _ in model.calls if len(tokens) > 1] == [62]
    assert finished.stats.shifted_tokens == 50 + 3 * 44
    assert h.states() == [EngineState.PREFILL, EngineState.GENERATING, EngineState.IDLE]


def test_the_next_question_finds_what_is_left_of_a_long_reply(harness) -> None:
    h = harness(model := ScriptedModel(next_token=count_up, n_ctx=100))
    h.load(LoadOptions(lookup=False))
    turns = ((Segment("b" * 10),),)
    h.worker.generate(replace(request(max_tokens=130), turns=turns))
    first = h.wait_for(Finished)
    assert h.of(ContextCut) == [ContextCut(0, (10, 54))]
    whole = (*turns[0], Segment("", tokens=first.tokens, eos=True))
    model.calls.clear()
    h.worker.generate(replace(request(max_tokens=5), turns=(whole, (Segment("c" * 5),))))
    h.wait_for(Finished, 2)
    # 12 and 85 of the reply are held; its last token, EOS and the question do not fit beside them.
    assert h.of(ContextCut)[-1] == ContextCut(1)
    assert model.cache[:7] == [BOS, *text_ids("Pccccc")]


def test_a_gap_lasts_while_the_rest_fits(harness) -> None:
    h = harness(model := ScriptedModel(next_token=count_up, n_ctx=100))
    h.load(LoadOptions(lookup=False))
    turns = ((Segment("b" * 10),),)
    h.worker.generate(replace(request(max_tokens=100), turns=turns))
    first = h.wait_for(Finished)
    whole = (*turns[0], Segment("", tokens=first.tokens, eos=True))
    model.calls.clear()
    h.worker.generate(replace(request(max_tokens=5), turns=(whole, (Segment("c" * 5),))))
    second = h.wait_for(Finished, 2)
    assert h.of(ContextCut) == [ContextCut(0, (10, 54))] * 2
    assert second.stats.prompt_tokens - second.stats.reused_tokens <= 7  # EOS, what was said last, 5


def test_without_shifting_a_full_context_ends_the_reply(harness) -> None:
    h = harness(model := ScriptedModel(next_token=count_up, n_ctx=100))
    h.load()
    h.worker.generate(request("a" * 50, max_tokens=-1, when_full=WhenFull.STOP))
    finished = h.wait_for(Finished)
    assert finished.reason is FinishReason.CONTEXT
    assert "The context of 100 tokens is full" in finished.message and "(-c)" in finished.message
    assert len(h.text()) == 100 - 52 + 1
    h.worker.generate(request("a" * 50, "b" * 60, when_full=WhenFull.STOP))
    finished = h.wait_for(Finished, 2)
    assert finished.reason is FinishReason.CONTEXT
    assert "13 tokens too long for the context of 100" in finished.message
    assert not h.of(ContextCut) and not model.shifts


def test_evaluating_again_instead_of_shifting(harness) -> None:
    h = harness(model := ScriptedModel(next_token=count_up, n_ctx=100))
    h.load(LoadOptions(lookup=False))
    h.worker.generate(request("a" * 50, "b" * 10, max_tokens=80, when_full=WhenFull.EVALUATE))
    finished = h.wait_for(Finished)
    assert (finished.reason, len(finished.tokens)) == (FinishReason.LENGTH, 80)
    assert not model.shifts
    assert [len(tokens) for tokens, _, _ in model.calls if len(tokens) > 1] == [62, 49]


@pytest.mark.parametrize(("keep", "n_kept"), [(0, 1), (5, 6), (51, 52), (-1, 2)])
def test_keep_counts_tokens(harness, keep: int, n_kept: int) -> None:
    """--keep: the first so many stay, and the older half of the others goes."""
    h = harness(model := ScriptedModel(next_token=count_up, n_ctx=100))
    h.load(LoadOptions(lookup=False))
    h.worker.generate(request("a" * 50, max_tokens=60, keep=keep))
    h.wait_for(Finished)
    gone = (100 - n_kept) // 2
    assert model.shifts[0] == (n_kept, n_kept + gone, 100)
    assert model.cache[:n_kept] == [1, *text_ids("P" + "a" * 50)][:n_kept]
    assert h.text() == "0123456789" * 6
    # A further turn: what fits is found again.
    model.calls.clear()
    turns = ((Segment("a" * 50), Segment("0123456789" * 6)), (Segment("more"),))
    h.worker.generate(replace(request(max_tokens=5), keep=keep, turns=turns))
    again = h.wait_for(Finished, 2)
    assert again.reason is FinishReason.LENGTH
    assert again.stats.prompt_tokens - again.stats.reused_tokens <= 5


def test_a_new_line_that_does_not_fit_behind_what_is_kept(harness) -> None:
    h = harness(model := ScriptedModel(text_ids("ok"), n_ctx=100))
    h.load()
    h.worker.generate(request("a" * 50, keep=10, max_tokens=5))
    h.wait_for(Finished)
    h.worker.generate(request("a" * 50, "b" * 70, keep=10, max_tokens=5))
    assert h.wait_for(Finished, 2).reason is FinishReason.END
    assert model.shifts == [(11, 41, 54)]  # half of the 41 behind those that stay, and again
    h.worker.generate(request("a" * 50, "b" * 70, "c" * 95, keep=10, max_tokens=5))
    finished = h.wait_for(Finished, 3)
    assert finished.reason is FinishReason.CONTEXT
    assert "tokens too long for the context of 100" in finished.message


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
