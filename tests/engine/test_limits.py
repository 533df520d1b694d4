"""The limits are plausible figures, measured within reach of a stop."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from alpaca_tui.engine import limits
from alpaca_tui.engine.stopped import Stopped
from alpaca_tui.kernels import target


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BUFFER", 8 << 20)
    monkeypatch.setattr(limits, "SMALLEST", 4 << 20)
    monkeypatch.setattr(limits, "BLOCKS", 100)


@pytest.mark.parametrize("free", [None, 0, 1 << 40])
def test_bandwidth(monkeypatch: pytest.MonkeyPatch, free: int | None) -> None:
    monkeypatch.setattr(limits.system, "available_memory", lambda: free)
    assert 1e7 < limits.bandwidth(2) < 1e13


@pytest.mark.parametrize("measure", [limits.dot_peak, limits.fma_peak])
def test_the_peak_of_products(measure: Callable[[int], float | None]) -> None:
    peak = measure(2)
    assert (peak is None) == (target.path() is target.Path.PLAIN)
    assert peak is None or 1e7 < peak < 1e14


def test_a_stop_comes_between_two_rounds() -> None:
    asked = iter([False, True])
    with pytest.raises(Stopped):
        limits.bandwidth(1, lambda: next(asked))
    assert next(asked, None) is None
    if target.path() is not target.Path.PLAIN:
        with pytest.raises(Stopped):
            limits.dot_peak(1, lambda: True)
