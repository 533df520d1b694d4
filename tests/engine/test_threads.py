"""The number of threads: the cores that may be used, or what was asked for."""

from __future__ import annotations

import pytest

from alpaca_tui import system
from alpaca_tui.chat.settings import BY_KEY
from alpaca_tui.engine import Engine
from alpaca_tui.engine.protocol import MAX_THREADS
from alpaca_tui.engine.threads import thread_count
from alpaca_tui.engine.worker import EngineWorker
from alpaca_tui.errors import UserError
from alpaca_tui.kernels import team


def test_by_default_one_for_each_usable_core(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, expected in ((1, 1), (3, 3), (192, MAX_THREADS)):
        monkeypatch.setattr(system, "usable_cores", lambda cores=cores: cores)
        assert thread_count(None) == thread_count(0) == expected
        assert thread_count(5) == 5  # more than there are, but asked for


@pytest.mark.parametrize("wanted", [-1, MAX_THREADS + 1, 10**9])
def test_what_cannot_be_is_one_sentence(wanted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "usable_cores", lambda: 4)
    worker = EngineWorker()
    try:
        for call in (
            lambda: thread_count(wanted),
            lambda: Engine.load("no-such.gguf", n_threads=wanted),
            lambda: worker.set_threads(wanted),
        ):
            with pytest.raises(UserError) as caught:
                call()
            assert str(caught.value) == (
                f"{wanted} threads cannot be: it takes 1 to 64, or 0 for one for each of the 4 cores that "
                "this program may use."
            )
    finally:
        worker.close()


def test_everyone_means_the_same_most() -> None:
    assert team.MAX_THREADS == MAX_THREADS == BY_KEY["n_threads"].high
