"""Engine on files and the real kernels: known runs, and what must not change a single token."""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from alpaca_tui import system
from alpaca_tui.engine import Engine, Sampling
from alpaca_tui.engine.lookup import Account
from alpaca_tui.engine.protocol import (
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
    TextChunk,
)
from alpaca_tui.engine.worker import EngineWorker
from alpaca_tui.errors import UserError
from alpaca_tui.files.model_file import open_model
from tests.gguf_writer import small_hparams, write_llama
from tests.reference_model import logits, weights_of
from tests.test_reference_model import GREEDY_T, PROMPT_T

GREEDY = Sampling(temp=0.0, repeat_penalty=1.0)
PROMPT = [1, *range(40, 75)]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "small-q4_0.gguf"
    return write_llama(path, "q4_0", small_hparams(n_embd=128, n_ff=192, n_layer=3))


@pytest.fixture(scope="module")
def engine(small: Path) -> Iterator[Engine]:
    with Engine.load(small, n_threads=2, n_batch=64) as engine:
        yield engine


def ids_of(engine: Engine, prompt: list[int], sampling: Sampling, **options) -> list[int]:
    return [token.id for token in engine.generate(prompt, sampling, **options)]


def test_model_t_greedy(model_t: Path) -> None:
    """The 24 tokens that llama.cpp of April 2023 and today's both give (spec/tests.md, 4)."""
    seen: list[str] = []
    with Engine.load(
        model_t, n_ctx=64, n_threads=2, on_progress=lambda stage, done, total, what: seen.append(stage)
    ) as engine:
        assert ids_of(engine, PROMPT_T, GREEDY, max_tokens=24) == GREEDY_T
        last = engine.logits(PROMPT_T)[-1]
        assert last.argmax() == 31326
        assert last.max() == pytest.approx(12.9951, abs=6e-3)
        assert ids_of(engine, PROMPT_T, GREEDY, max_tokens=24) == GREEDY_T
        assert engine.stats.reused_tokens == 4
        assert engine.model.description == "llama 15M f16, ggjt v1"
        assert not engine.model.guide
    assert set(seen) == {"load", "compile"}


def test_logits_are_those_of_the_reference(engine: Engine, small: Path) -> None:
    with open_model(small) as file:
        expected = logits(weights_of(file), file.hparams, PROMPT)
    made = engine.logits(PROMPT)
    assert made.shape == expected.shape
    log_p = expected - np.logaddexp.reduce(expected, axis=1, keepdims=True)
    log_q = made - np.logaddexp.reduce(made, axis=1, keepdims=True)
    assert float((np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean()) < 1e-3


@pytest.mark.parametrize(
    "sampling", [GREEDY, Sampling(seed=6, temp=1.2), Sampling(seed=4, top_k=0, top_p=0.9)]
)
def test_batches_threads_and_reuse_change_no_token(engine: Engine, sampling: Sampling) -> None:
    """Not one: whoever notes a seed down gets the same reply on another machine."""
    engine.set_threads(1)
    engine.logits([5])  # another context
    expected = ids_of(engine, PROMPT, sampling, max_tokens=40)
    assert len(expected) > 4
    for n_threads, n_batch in ((1, 1), (2, 7), (3, 16), (2, 64)):
        engine.set_threads(n_threads)
        engine.logits([5])
        assert ids_of(engine, PROMPT, sampling, max_tokens=40, n_batch=n_batch) == expected
        assert ids_of(engine, PROMPT, sampling, max_tokens=40) == expected
        assert engine.stats.reused_tokens == len(PROMPT) - 1


@pytest.mark.parametrize(
    "sampling", [GREEDY, Sampling(seed=6, temp=0.05, repeat_penalty=1.0), Sampling(seed=4, temp=0.1, top_k=0)]
)
def test_drafts_change_no_token(engine: Engine, monkeypatch: pytest.MonkeyPatch, sampling: Sampling) -> None:
    """Batches of every size, accepted in whole, in part and not at all, give what single tokens give."""
    prompt = [1, *([*range(40, 50)] * 3)]
    accepted = 0
    for n_threads in (1, 3):
        engine.set_threads(n_threads)
        engine.logits([5])
        expected = ids_of(engine, prompt, sampling, max_tokens=90, lookup=False)
        for length in (1, 3, 7, 15, 31):
            monkeypatch.setattr(Account, "length", length)
            engine.logits([5])
            assert ids_of(engine, prompt, sampling, max_tokens=90) == expected
            accepted += engine.stats.accepted_tokens
    assert accepted > 20 or sampling.repeat_penalty > 1  # nothing is said twice then


def test_stop_in_the_middle_of_a_prompt(model_t: Path) -> None:
    with Engine.load(model_t, n_ctx=2048, n_threads=2) as engine:
        prompt = [1, *range(1000, 2500)]
        stopped: list[float] = []

        def on_progress(done: int, total: int) -> None:
            if done:
                engine.stop()
                stopped.append(time.monotonic())

        assert list(engine.generate(prompt, GREEDY, n_batch=100, on_progress=on_progress)) == []
        assert time.monotonic() - stopped[0] < 1
        assert len(stopped) == 1
        assert engine.finish_reason is FinishReason.STOPPED
        assert engine.stats.n_past == 100
        # What was evaluated stays, and is right.
        short = prompt[:120]
        warm = ids_of(engine, short, GREEDY, max_tokens=5)
        assert engine.stats.reused_tokens == 100
        engine.logits([1])
        assert ids_of(engine, short, GREEDY, max_tokens=5) == warm


def test_too_little_memory_says_what_would_fit(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "available_memory", lambda: 2**21)
    with pytest.raises(UserError) as caught:
        Engine.load(small, n_ctx=100_000)
    message = str(caught.value)
    assert "small-q4_0.gguf with a context of 100000 needs" in message
    assert "only 2 MiB are free" in message
    fits = int(message.split("-c ")[1].split()[0])
    assert 8 <= fits < 100_000
    with Engine.load(small, n_ctx=fits) as engine:
        assert engine.model.memory < 2**21
    monkeypatch.setattr(system, "available_memory", lambda: 1000)
    with pytest.raises(UserError, match="no context is small enough"):
        Engine.load(small)


def test_a_batch_for_which_there_is_no_memory(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Engine.load(small, n_threads=1, n_batch=8) as engine:
        seen: list[int] = []
        for free in (1000, None):
            monkeypatch.setattr(system, "available_memory", lambda free=free: free)
            engine.logits([5])
            seen.clear()
            list(
                engine.generate(
                    PROMPT, GREEDY, n_batch=32, max_tokens=1, on_progress=lambda d, n: seen.append(d)
                )
            )
            assert seen == ([0, 8, 16, 24, 32, 36] if free else [0, 32, 36])


def test_default_context_is_the_model_s_at_most_2048(tmp_path: Path) -> None:
    for trained, expected in ((128, 128), (4096, 2048)):
        path = write_llama(tmp_path / "m.gguf", h=small_hparams(n_ctx_train=trained))
        with Engine.load(path, n_threads=1) as engine:
            assert (engine.model.n_ctx, engine.model.n_ctx_train) == (expected, trained)


@pytest.mark.parametrize("kind", ["empty", "picture", "folder", "truncated"])
def test_files_that_are_no_models(small: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.gguf"
    content = {
        "empty": b"",
        "picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "truncated": small.read_bytes()[:5000],
    }
    if kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(content[kind])
    with pytest.raises(UserError) as caught:
        Engine.load(path)
    assert "x.gguf" in str(caught.value)
    assert "\n" not in str(caught.value)


# --- the worker on the real thing --------------------------------------------------------------------------


def events_until(worker: EngineWorker, kinds: tuple[type, ...]) -> list[Event]:
    events: list[Event] = []
    end = time.monotonic() + 60
    while not any(isinstance(event, kinds) for event in events) or worker.state.busy:
        assert time.monotonic() < end, events
        events += worker.poll()
        time.sleep(0.002)
    return events + list(worker.poll())


def test_worker_loads_answers_and_fails_in_words(small: Path, tmp_path: Path) -> None:
    worker = EngineWorker()
    try:
        worker.load(small, LoadOptions(n_ctx=128, n_threads=2))
        events = events_until(worker, (Loaded, LoadFailed))
        loaded = next(event for event in events if isinstance(event, Loaded)).model
        assert (loaded.n_ctx, loaded.n_threads, loaded.n_vocab) == (128, 2, 320)
        assert any(isinstance(event, Progress) for event in events)

        request = GenerateRequest(
            prefix=(Segment("Below is an instruction.", bos=True, space_prefix=True),),
            turns=((Segment("\n\n### Instruction:\n\n", bos=True), Segment("你好\n")),),
            sampling=SamplingParams(temp=0.0),
            max_tokens=20,
        )
        runs = []
        for _ in range(2):
            worker.generate(request)
            events = events_until(worker, (Finished,))
            finished = next(event for event in events if isinstance(event, Finished))
            text = "".join(event.text for event in events if isinstance(event, TextChunk))
            runs.append((finished.reason, finished.tokens, text))
        assert runs[0] == runs[1]
        assert runs[0][0] in (FinishReason.LENGTH, FinishReason.END)

        model = weakref.ref(worker._engine._executor)
        worker.load(tmp_path / "missing.gguf", LoadOptions())
        events = events_until(worker, (Loaded, LoadFailed))
        failed = next(event for event in events if isinstance(event, LoadFailed))
        assert "missing.gguf" in failed.message
        assert model() is None  # its memory is free for the next one
    finally:
        worker.close()
