"""The worker thread: its states and events in order, stops at every moment, and what it says of failures."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from alpaca_tui.engine.engine import Engine
from alpaca_tui.engine.protocol import (
    Adapter,
    ContextCut,
    EngineState,
    Finished,
    FinishReason,
    Loaded,
    LoadFailed,
    LoadOptions,
    Progress,
    RopeOptions,
    Segment,
    StateChanged,
    TextChunk,
)
from alpaca_tui.engine.worker import EngineWorker
from alpaca_tui.errors import UserError
from tests.engine.fakes import EOS, ScriptedModel, engine_of, text_ids
from tests.engine.harness import PATH, request


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


def test_a_long_chunk_shows_how_far_it_is(harness) -> None:
    model = ScriptedModel(text_ids("x"), n_batch=100, seconds=0.2)
    h = harness(model)
    h.load()
    h.worker.generate(request("q" * 148))  # 150 tokens, in two chunks
    h.wait(lambda: h.worker.state is EngineState.GENERATING)
    progress = h.of(Progress)
    assert all(event.state is EngineState.PREFILL and event.total == 150 for event in progress)
    done = [event.done for event in progress]
    assert done == sorted(set(done))
    assert {0, 100, 150} <= set(done)
    assert len([n for n in done if 0 < n < 100]) >= 3
    assert len([n for n in done if 100 < n < 150]) >= 3
    # Between replies, and while words are being made, there is nothing to tell.
    h.events.clear()
    model.progress = 0.5
    h.wait_for(Finished)
    assert not h.of(Progress)


def test_load_options_reach_the_engine(harness) -> None:
    seen: dict = {}

    def open_engine(path: Path, **options) -> Engine:
        seen.update(options, path=path)
        options["on_progress"]("load", 1, 2, "blk.0")
        options["on_progress"]("compile", 3, 4, "matmul_q4_0")
        return engine_of(ScriptedModel())

    h = harness(ScriptedModel(), open_engine)
    h.worker.load(
        PATH,
        LoadOptions(
            n_ctx=99,
            n_threads=3,
            n_batch=7,
            norm_eps=1e-5,
            tokenizer=Path("t"),
            rope=RopeOptions(freq_scale=0.5),
            loras=(Adapter(Path("l"), 0.5),),
            lora_base=Path("b"),
        ),
    )
    h.wait_for(Loaded)
    wanted = {
        "path": PATH,
        "n_ctx": 99,
        "n_threads": 3,
        "n_batch": 7,
        "norm_eps": 1e-5,
        "tokenizer": Path("t"),
        "rope": RopeOptions(freq_scale=0.5),
        "loras": (Adapter(Path("l"), 0.5),),
        "lora_base": Path("b"),
    }
    assert seen.items() >= wanted.items()
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
from alpaca_tui.engine.protocol import LoadOptions
from alpaca_tui.engine.worker import EngineWorker
from tests.engine.fakes import ScriptedModel, engine_of
from tests.engine.harness import PATH, request
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
