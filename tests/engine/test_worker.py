"""The worker thread: its states and events in order, stops at every moment, and what it says of failures."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from alpaca_tui.engine.engine import Engine
from alpaca_tui.engine.generation import Token
from alpaca_tui.engine.protocol import (
    ContextCut,
    EngineState,
    Event,
    Finished,
    FinishReason,
    GenerateRequest,
    Loaded,
    LoadFailed,
    LoadOptions,
    Progress,
    SamplingParams,
    Segment,
    StateChanged,
    TextChunk,
)
from alpaca_tui.engine.worker import EngineWorker, encode
from alpaca_tui.errors import UserError
from tests.engine.fakes import BOS, EOS, ByteTokenizer, ScriptedModel, engine_of, text_ids

GREEDY = SamplingParams(temp=0.0, repeat_penalty=1.0)
PATH = Path("some/model.gguf")


def request(*turns: str, prefix: str = "P", **options) -> GenerateRequest:
    return GenerateRequest(
        prefix=(Segment(prefix, bos=True),),
        turns=tuple((Segment(turn),) for turn in turns),
        **{"sampling": GREEDY, **options},
    )


class Harness:
    """A worker around a scripted model, and all events that it gave."""

    def __init__(self, model: ScriptedModel, open_engine: Callable[..., Engine] | None = None) -> None:
        self.model = model
        self.worker = EngineWorker(open_engine or (lambda path, **options: engine_of(model)))
        self.events: list[Event] = []

    def wait(self, done: Callable[[], bool], seconds: float = 5.0) -> None:
        end = time.monotonic() + seconds
        while True:
            self.events += self.worker.poll()
            if done():
                return
            assert time.monotonic() < end, self.events
            time.sleep(0.002)

    def wait_for(self, kind: type, n: int = 1) -> Event:
        self.wait(lambda: len(self.of(kind)) >= n and not self.worker.state.busy)
        return self.of(kind)[-1]

    def wait_for_state(self, state: EngineState) -> None:
        self.wait(lambda: self.worker.state is state)

    def of(self, kind: type) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    def states(self) -> list[EngineState]:
        return [event.state for event in self.events if isinstance(event, StateChanged)]

    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextChunk))

    def load(self) -> None:
        self.worker.load(PATH, LoadOptions())
        self.wait_for(Loaded)
        self.events.clear()


@pytest.fixture
def harness() -> Iterator[Callable[..., Harness]]:
    made: list[Harness] = []

    def make(*args, **options) -> Harness:
        made.append(Harness(*args, **options))
        return made[-1]

    yield make
    for each in made:
        each.worker.close()


def test_load_and_reply(harness) -> None:
    h = harness(ScriptedModel(text_ids("Hi 你🦙"), n_batch=4))
    assert h.worker.state is EngineState.EMPTY
    h.worker.load(PATH, LoadOptions())
    assert h.worker.state is EngineState.LOADING  # at once
    loaded = h.wait_for(Loaded)
    assert loaded.model.name == "fake"
    assert h.states() == [EngineState.LOADING, EngineState.IDLE]
    h.events.clear()

    h.worker.generate(request("question"))
    assert h.worker.state is EngineState.PREFILL
    finished = h.wait_for(Finished)
    assert h.states() == [EngineState.PREFILL, EngineState.GENERATING, EngineState.IDLE]
    assert h.text() == "Hi 你🦙"
    assert finished.reason is FinishReason.END
    assert finished.tokens == tuple(text_ids("Hi 你🦙"))
    assert finished.stats.prompt_tokens == 10
    assert finished.stats == h.worker.stats
    # Prefill is told in between, and the order is as in the protocol.
    progress = [(event.done, event.total) for event in h.of(Progress)]
    assert progress == [(0, 10), (4, 10), (8, 10), (10, 10)]
    assert h.events.index(finished) == len(h.events) - 2
    assert not h.of(ContextCut)


def test_load_options_reach_the_engine(harness) -> None:
    seen: dict = {}

    def open_engine(path: Path, **options) -> Engine:
        seen.update(options, path=path)
        options["on_progress"]("load", 1, 2, "blk.0")
        options["on_progress"]("compile", 3, 4, "matmul_q4_0")
        return engine_of(ScriptedModel())

    h = harness(ScriptedModel(), open_engine)
    h.worker.load(PATH, LoadOptions(n_ctx=99, n_threads=3, n_batch=7, norm_eps=1e-5, tokenizer=Path("t")))
    h.wait_for(Loaded)
    assert seen.pop("on_progress")
    assert seen == {
        "path": PATH,
        "n_ctx": 99,
        "n_threads": 3,
        "n_batch": 7,
        "norm_eps": 1e-5,
        "tokenizer": Path("t"),
    }
    assert h.of(Progress) == [
        Progress(EngineState.LOADING, 1, 2, "blk.0"),
        Progress(EngineState.COMPILING, 3, 4, "matmul_q4_0"),
    ]
    assert h.states() == [EngineState.LOADING, EngineState.COMPILING, EngineState.IDLE]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UserError("The file is empty."), "The file is empty."),
        (MemoryError(), "The computer ran out of memory: load a smaller model or a smaller context (-c)."),
        (ZeroDivisionError("a\nb"), "unexpected error: ZeroDivisionError: a"),
        (AssertionError(), "unexpected error: AssertionError"),
    ],
)
def test_failures_are_one_sentence(harness, caplog, error: Exception, message: str) -> None:
    def open_engine(path: Path, **options) -> Engine:
        raise error

    h = harness(ScriptedModel(), open_engine)
    h.worker.load(PATH, LoadOptions())
    assert h.wait_for(LoadFailed) == LoadFailed(message)
    assert h.states() == [EngineState.LOADING, EngineState.FAILED]
    assert bool(caplog.records) == message.startswith("unexpected")

    # There is no model then, and a reply says so.
    h.worker.generate(request("x"))
    finished = h.wait_for(Finished)
    assert finished.reason is FinishReason.FAILED
    assert "no model" in finished.message
    assert h.worker.state is EngineState.FAILED


def test_a_failed_reply_leaves_a_working_engine(harness) -> None:
    model = ScriptedModel(text_ids("ok"))
    h = harness(model)
    h.load()

    def fail() -> None:
        raise UserError("It broke.")

    model.before_eval = fail
    h.worker.generate(request("x"))
    finished = h.wait_for(Finished)
    assert (finished.reason, finished.message) == (FinishReason.FAILED, "It broke.")
    assert h.worker.state is EngineState.IDLE
    model.before_eval = lambda: None
    h.worker.generate(request("x"))
    assert h.wait_for(Finished, 2).reason is FinishReason.END
    assert h.text() == "ok"


def test_a_load_can_be_stopped(harness) -> None:
    started, loads = threading.Event(), []

    def open_engine(path: Path, **options) -> Engine:
        loads.append(path)
        started.set()
        for i in range(2000 if len(loads) == 1 else 1):
            time.sleep(0.002)
            options["on_progress"]("load", i, 2000, "")
        return engine_of(ScriptedModel(text_ids("a")))

    h = harness(ScriptedModel(), open_engine)
    h.worker.load(PATH, LoadOptions())
    started.wait()
    h.worker.stop()
    assert h.worker.state is EngineState.STOPPING
    failed = h.wait_for(LoadFailed)
    assert failed.message == "Loading model.gguf was stopped."
    assert h.states()[-2:] == [EngineState.STOPPING, EngineState.EMPTY]
    h.worker.load(PATH, LoadOptions())
    h.wait_for(Loaded)
    assert h.worker.state is EngineState.IDLE


def test_another_load_takes_the_place_of_the_first(harness) -> None:
    models = [ScriptedModel(), ScriptedModel(text_ids("2"))]
    loading = threading.Event()

    def open_engine(path: Path, **options) -> Engine:
        if path.name == "first":
            loading.set()
            while True:
                time.sleep(0.002)
                options["on_progress"]("load", 0, 1, "")
        return engine_of(models[1])

    h = harness(ScriptedModel(), open_engine)
    h.worker.load(Path("first"), LoadOptions())
    loading.wait()
    h.worker.load(Path("second"), LoadOptions())
    h.wait_for(Loaded)
    assert [type(event) for event in h.events if not isinstance(event, StateChanged | Progress)] == [
        LoadFailed,
        Loaded,
    ]
    assert h.worker.state is EngineState.IDLE


def test_the_old_model_is_closed_before_the_new_one_is_opened(harness) -> None:
    models = [ScriptedModel(), ScriptedModel()]
    opened: list[bool] = []

    def open_engine(path: Path, **options) -> Engine:
        opened.append(models[0].closed)
        return engine_of(models[len(opened) - 1])

    h = harness(ScriptedModel(), open_engine)
    h.load()
    h.load()
    assert opened == [False, True]


def test_stop_in_a_reply_keeps_what_was_made(harness) -> None:
    model = ScriptedModel(next_token=lambda context: 3 + ord("z"), seconds=0.01, n_ctx=100_000)
    h = harness(model)
    h.load()
    h.worker.generate(request("x", max_tokens=-1))
    h.wait(lambda: len(h.text()) >= 3)
    h.worker.stop()
    assert h.worker.state is EngineState.STOPPING
    begin = time.monotonic()
    finished = h.wait_for(Finished)
    assert time.monotonic() - begin < 1
    assert finished.reason is FinishReason.STOPPED
    assert len(finished.tokens) == len(h.text()) >= 3
    assert h.states()[-3:] == [EngineState.GENERATING, EngineState.STOPPING, EngineState.IDLE]


def test_stop_in_prefill(harness) -> None:
    h = harness(ScriptedModel(text_ids("x"), n_batch=2, seconds=0.05))
    h.load()
    h.worker.generate(request("a long question " * 20))
    h.wait(lambda: bool(h.of(Progress)))
    h.worker.stop()
    finished = h.wait_for(Finished)
    assert finished.reason is FinishReason.STOPPED
    assert finished.tokens == ()
    assert EngineState.GENERATING not in h.states()


def test_stop_at_once_is_never_lost(harness) -> None:
    h = harness(ScriptedModel(next_token=lambda context: 3 + ord("z"), seconds=0.001, n_ctx=100_000))
    h.load()
    for i in range(20):
        h.worker.generate(request("x", max_tokens=-1))
        time.sleep(0.0005 * i)
        h.worker.stop()
        assert h.wait_for(Finished, i + 1).reason is FinishReason.STOPPED


def test_stop_when_idle_does_nothing(harness) -> None:
    h = harness(ScriptedModel(text_ids("ok")))
    h.worker.stop()
    assert h.worker.state is EngineState.EMPTY
    h.load()
    h.worker.stop()
    h.worker.generate(request("x"))
    assert h.wait_for(Finished).reason is FinishReason.END


def test_a_message_sent_while_loading_waits_for_the_model(harness) -> None:
    go = threading.Event()

    def open_engine(path: Path, **options) -> Engine:
        go.wait()
        return engine_of(ScriptedModel(text_ids("ok")))

    h = harness(ScriptedModel(), open_engine)
    h.worker.load(PATH, LoadOptions())
    h.worker.generate(request("x"))
    assert h.worker.state is EngineState.LOADING
    go.set()
    assert h.wait_for(Finished).reason is FinishReason.END
    assert h.text() == "ok"


def test_a_message_that_waited_for_a_stopped_load_is_stopped_too(harness) -> None:
    def open_engine(path: Path, **options) -> Engine:
        while True:
            time.sleep(0.002)
            options["on_progress"]("load", 0, 1, "")

    h = harness(ScriptedModel(), open_engine)
    h.worker.load(PATH, LoadOptions())
    h.worker.generate(request("x"))
    h.worker.stop()
    finished = h.wait_for(Finished)
    assert (finished.reason, finished.message) == (FinishReason.STOPPED, "")
    assert h.states() == [EngineState.LOADING, EngineState.STOPPING, EngineState.EMPTY]


def test_a_signal_handler_may_stop_at_any_moment(harness) -> None:
    h = harness(ScriptedModel(next_token=lambda context: 50, seconds=0.001, n_ctx=100_000))
    h.load()
    h.worker.generate(request("x", max_tokens=-1))
    h.wait(lambda: bool(h.text()))
    with h.worker._lock:  # as when the signal comes in the middle of a poll
        h.worker.stop()
    assert h.wait_for(Finished).reason is FinishReason.STOPPED


def test_stop_text_is_not_shown(harness) -> None:
    h = harness(ScriptedModel(text_ids("Yes.\n\n### Instruction:\n\nMore")))
    h.load()
    h.worker.generate(request("x", stop=("### Instruction:",)))
    finished = h.wait_for(Finished)
    assert finished.reason is FinishReason.STOP_TEXT
    assert h.text() == "Yes.\n\n"
    assert finished.tokens == tuple(text_ids("Yes.\n\n"))


def test_chunks_come_joined() -> None:
    worker = EngineWorker(lambda path, **options: engine_of(ScriptedModel(text_ids("abcdef"))))
    worker.load(PATH, LoadOptions())
    worker.generate(request("x"))
    end = time.monotonic() + 5
    while worker.state.busy and time.monotonic() < end:
        time.sleep(0.005)
    chunks = [event for event in worker.poll() if isinstance(event, TextChunk)]
    assert chunks == [TextChunk("abcdef")]
    assert worker.poll() == []
    worker.close()


def test_the_next_turn_reuses_the_context(harness) -> None:
    model = ScriptedModel(text_ids("yes"))
    h = harness(model)
    h.load()
    first = request("one")
    h.worker.generate(first)
    reply = h.wait_for(Finished)
    turn = (*first.turns[0], Segment("ignored: the tokens count", tokens=reply.tokens, eos=True))
    h.worker.generate(replace(first, turns=(turn, (Segment("two"),))))
    second = h.wait_for(Finished, 2)
    assert second.stats.prompt_tokens == 2 + 3 + 3 + 1 + 3
    assert second.stats.reused_tokens == 2 + 3 + 3
    assert model.cache[8] == EOS


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


# --- the thread --------------------------------------------------------------------------------------------


def test_close_stops_and_frees(harness) -> None:
    model = ScriptedModel(next_token=lambda context: 50, seconds=0.01, n_ctx=100_000)
    h = harness(model)
    h.load()
    h.worker.generate(request("x", max_tokens=-1))
    h.wait(lambda: bool(h.text()))
    begin = time.monotonic()
    h.worker.close()
    assert time.monotonic() - begin < 1.5
    assert model.closed
    h.worker.close()
    h.worker.generate(request("x"))
    h.worker.load(PATH, LoadOptions())  # after close: nothing, and no error


def test_nothing_heavy_is_imported_before_the_first_load() -> None:
    code = (
        "import sys; from alpaca_tui.engine.worker import EngineWorker; w = EngineWorker(); "
        "assert w.state.value == 'empty'; "
        "bad = {'numpy', 'numba', 'textual', 'sentencepiece'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


@pytest.mark.parametrize("close", ["", "w.close()"])
def test_the_program_ends_in_the_middle_of_a_reply(close: str) -> None:
    code = f"""
import time
from tests.engine.test_worker import *
model = ScriptedModel(next_token=lambda context: 50, seconds=0.01, n_ctx=9999)
w = EngineWorker(lambda path, **options: engine_of(model))
w.load(PATH, LoadOptions())
w.generate(request("x", max_tokens=-1))
time.sleep(0.2)
{close}
"""
    begin = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
    assert time.monotonic() - begin < 20
