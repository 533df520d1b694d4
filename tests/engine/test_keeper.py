"""States that the worker keeps: the prompt cache, and conversations that go on in the next run."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from alpaca_tui import system
from alpaca_tui.engine import keeper, worker
from alpaca_tui.engine.protocol import (
    ContextCut,
    Finished,
    FinishReason,
    GenerateRequest,
    LoadOptions,
    PromptCache,
    SamplingParams,
    Segment,
)
from alpaca_tui.engine.state import Identity
from alpaca_tui.engine.state_store import StateStore
from alpaca_tui.engine.worker import EngineWorker
from alpaca_tui.files.state_file import Head, read_head, write_state
from tests.gguf_writer import small_hparams, write_llama

GREEDY = SamplingParams(temp=0.0, repeat_penalty=1.0)
QUESTION = Segment("", tokens=tuple(range(50, 80)))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    h = small_hparams(n_embd=128, n_ff=192, n_layer=2)
    return write_llama(tmp_path_factory.mktemp("small") / "small.gguf", "q4_0", h)


@pytest.fixture(autouse=True)
def everything_is_worth_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(keeper, "WORTH_SECONDS", 0.0)
    monkeypatch.setattr(keeper, "DISK_SPEED", 1e18)
    monkeypatch.setattr(keeper, "LEAST", 0.0)
    monkeypatch.setattr(system, "cache_dir", lambda: tmp_path / "cache")


class Program:
    """One run of the program: a worker with the model, closed at the end."""

    def __init__(self, path: Path, **options) -> None:
        self.worker = EngineWorker()
        self.events: list = []
        self.worker.load(path, LoadOptions(**{"n_ctx": 128, "n_threads": 1, **options}))
        self._wait()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.close()

    def _wait(self) -> None:
        end = time.monotonic() + 60
        while self.worker.state.busy:
            assert time.monotonic() < end
            time.sleep(0.002)
        self.events += self.worker.poll()

    def ask(self, *turns: tuple[Segment, ...], **options) -> Finished:
        request = GenerateRequest((Segment("", bos=True, tokens=(5, 6)),), turns, GREEDY)
        self.events.clear()
        self.worker.generate(replace(request, **{"max_tokens": 6, **options}))
        self._wait()
        return next(event for event in self.events if isinstance(event, Finished))


def answered(question: Segment, finished: Finished) -> tuple[Segment, ...]:
    return question, Segment("", tokens=finished.tokens, eos=True)


# --- --prompt-cache ----------------------------------------------------------------------------------------


def test_a_prompt_cache_is_made_and_used(small: Path, tmp_path: Path) -> None:
    cache = PromptCache(tmp_path / "prompt.state")
    with Program(small) as program:
        first = program.ask((QUESTION,), prompt_cache=cache)
    assert read_head(cache.path).tokens == (1, 5, 6, *range(50, 80))  # the prompt, not the reply
    written = cache.path.stat().st_mtime_ns
    with Program(small) as program:
        again = program.ask((QUESTION,), prompt_cache=cache)
    assert again.tokens == first.tokens
    assert (again.stats.restored_tokens, again.stats.reused_tokens) == (33, 32)
    assert cache.path.stat().st_mtime_ns == written  # nothing new in it
    with Program(small) as program:  # a prompt that goes on otherwise takes what is common
        other = Segment("", tokens=(*range(50, 70), 90, 91))
        finished = program.ask((other,), prompt_cache=replace(cache, read_only=True))
    assert finished.stats.restored_tokens == 23
    assert cache.path.stat().st_mtime_ns == written


def test_all_of_it_is_kept_on_demand(small: Path, tmp_path: Path) -> None:
    cache = PromptCache(tmp_path / "prompt.state", whole=True)
    with Program(small) as program:
        first = program.ask((QUESTION,), prompt_cache=cache)
    assert read_head(cache.path).tokens == (1, 5, 6, *range(50, 80), *first.tokens[:-1])


def test_a_cache_of_another_model_ends_the_request(small: Path, tmp_path: Path) -> None:
    cache = PromptCache(tmp_path / "prompt.state")
    other = write_llama(tmp_path / "other.gguf", "q4_0", small_hparams(n_embd=128, n_layer=2), seed=9)
    with Program(other) as program:
        program.ask((QUESTION,), prompt_cache=cache)
    with Program(small) as program:
        finished = program.ask((QUESTION,), prompt_cache=cache)
        assert finished.reason is FinishReason.FAILED
        assert "was saved with another model" in finished.message
        cache.path.write_text("notes")
        assert "is no saved state" in program.ask((QUESTION,), prompt_cache=cache).message
        nowhere = PromptCache(tmp_path / "absent" / "prompt.state")
        assert "There is no folder" in program.ask((QUESTION,), prompt_cache=nowhere).message
        assert program.ask((QUESTION,)).reason is FinishReason.LENGTH


# --- of its own accord -------------------------------------------------------------------------------------


def states(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "states").glob("*"))


def test_a_conversation_goes_on_in_the_next_run(small: Path, tmp_path: Path) -> None:
    with Program(small, saved_states=True) as program:
        first = program.ask((QUESTION,))
    assert len(states(tmp_path)) == 1
    history = answered(QUESTION, first), (Segment("", tokens=(90, 91)),)
    with Program(small, saved_states=True) as program:
        second = program.ask(*history)
    assert second.stats.restored_tokens == 33 + 5  # the last token of the reply was never evaluated
    assert len(states(tmp_path)) == 1  # the same conversation, now longer
    with Program(small) as program:
        assert program.ask(*history).tokens == second.tokens
    with Program(small, saved_states=True) as program:  # an earlier turn asked anew: evaluated from there
        edited = program.ask((Segment("", tokens=(*range(50, 60), 99)),))
    assert edited.stats.restored_tokens == 13


def test_two_conversations_have_a_state_each(small: Path, tmp_path: Path) -> None:
    others = Segment("", tokens=tuple(range(150, 190)))
    with Program(small, saved_states=True) as program:
        program.ask((QUESTION,))
        program.ask((others,))
        back = program.ask((QUESTION,))
        assert back.stats.restored_tokens >= 33
    assert len(states(tmp_path)) == 2
    with Program(small, saved_states=True) as program:
        assert program.ask((others,)).stats.restored_tokens >= 43


def test_a_cut_is_remembered(small: Path, tmp_path: Path) -> None:
    """Whole turns that have left, and the gap in a long reply."""
    with Program(small, saved_states=True, n_ctx=64) as program:
        first = program.ask((QUESTION,), max_tokens=40)
        (cut,) = (event for event in program.events if isinstance(event, ContextCut))
        assert cut.gap != (0, 0)
    with Program(small, saved_states=True, n_ctx=64) as program:
        history = answered(QUESTION, first), (Segment("", tokens=(90, 91)),)
        second = program.ask(*history, max_tokens=2)
        assert [event for event in program.events if isinstance(event, ContextCut)] == [cut]
        assert second.stats.prompt_tokens - second.stats.reused_tokens <= 4


def test_damaged_states_are_removed(small: Path, tmp_path: Path) -> None:
    with Program(small, saved_states=True) as program:
        first = program.ask((QUESTION,))
    (path,) = states(tmp_path)
    data = bytearray(path.read_bytes())
    data[-50] ^= 1
    path.write_bytes(data)
    with Program(small, saved_states=True) as program:
        again = program.ask((QUESTION,))
        assert (again.reason, again.tokens) == (FinishReason.LENGTH, first.tokens)
        assert again.stats.restored_tokens == 0
        assert not path.exists()


def test_what_is_quickly_evaluated_is_not_kept(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "WORTH_SECONDS", 1e6)
    with Program(small, saved_states=True) as program:
        program.ask((QUESTION,))
    assert not states(tmp_path)


def test_what_comes_in_slowly_is_evaluated(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Program(small, saved_states=True) as program:
        first = program.ask((QUESTION,))
    monkeypatch.setattr("alpaca_tui.files.state_file._SLOW_AFTER", -1.0)
    monkeypatch.setattr(keeper.Keeper, "_budget", lambda self, n, head: 0.0)
    with Program(small, saved_states=True) as program:
        again = program.ask((QUESTION,))
    assert (again.tokens, again.stats.restored_tokens, again.stats.reused_tokens) == (first.tokens, 0, 0)


def test_idle_time_is_used(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "IDLE_SECONDS", 0.05)
    with Program(small, saved_states=True) as program:
        program.ask((QUESTION,))
        end = time.monotonic() + 20
        while not [path for path in states(tmp_path) if path.suffix == ".state"]:
            assert time.monotonic() < end
            time.sleep(0.01)


# --- the store ---------------------------------------------------------------------------------------------


WHO = Identity("m", "d" * 64, {"cache_type": "f16"})


def put(store: StateStore, n_bytes: int, age: float, who: Identity = WHO) -> Path:
    import numpy as np

    path = store.new_path(who)
    head = Head(who.model, who.digest, who.settings, n_bytes, tokens=(1, 2))
    write_state(path, head, [np.zeros(n_bytes, np.uint8)])
    os.utime(path, (time.time() - age, time.time() - age))
    return path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    yield StateStore(tmp_path / "s", limit=100_000)


def test_the_oldest_leave(store: StateStore) -> None:
    paths = [put(store, 30_000, age) for age in (400, 300, 200, 100)]
    store.used(paths[0])
    store.prune()
    assert [path.exists() for path in paths] == [True, False, True, True]
    assert [path for path, _ in store.states(WHO)] == [paths[0], paths[3], paths[2]]
    assert store.fits(100_000) and not store.fits(100_001)


def test_only_states_of_this_model_come_up(store: StateStore) -> None:
    mine = put(store, 100, 0)
    put(store, 100, 0, Identity("m", "e" * 64, WHO.settings))
    put(store, 100, 0, Identity("m", WHO.digest, {"cache_type": "q8_0"}))
    broken = store.new_path(WHO)
    broken.write_bytes(b"?")
    assert [path for path, _ in store.states(WHO)] == [mine]
    assert not broken.exists()


def test_what_a_crash_left_behind_goes(store: StateStore) -> None:
    folder = put(store, 100, 0).parent
    old, new = folder / ".a.state.1.part", folder / ".b.state.2.part"
    for path, age in ((old, 7200), (new, 10)):
        path.write_bytes(b"x")
        os.utime(path, (time.time() - age, time.time() - age))
    store.prune()
    assert (old.exists(), new.exists()) == (False, True)


@pytest.mark.skipif(os.name == "nt", reason="there are no such permissions")
def test_the_folder_is_the_owners_alone(store: StateStore) -> None:
    assert put(store, 100, 0).parent.stat().st_mode & 0o077 == 0
