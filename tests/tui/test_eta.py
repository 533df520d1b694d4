"""Guessing how long still."""

from __future__ import annotations

import pytest

from alpaca_tui.tui.eta import TimeLeft


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def run(steps: list[tuple[float, int]], total: int = 100) -> tuple[TimeLeft, Clock]:
    clock = Clock()
    left = TimeLeft(clock)
    for at, done in steps:
        clock.now = at
        left.update("load", done, total)
    return left, clock


def test_a_steady_rate() -> None:
    left, _ = run([(0, 0), (1, 10), (2, 20), (3, 30)])
    assert left.seconds == pytest.approx(7.0)


def test_nothing_is_said_too_early() -> None:
    assert run([])[0].seconds is None
    assert run([(0, 0)])[0].seconds is None
    assert run([(0, 0), (0.3, 50)])[0].seconds is None
    assert run([(0, 5), (2, 5)])[0].seconds is None


def test_it_counts_down_between_reports_and_not_below_nothing() -> None:
    left, clock = run([(0, 0), (1, 10)])
    clock.now = 4
    assert left.seconds == pytest.approx(6.0)
    clock.now = 99
    assert left.seconds == 0.0


def test_another_thing_begins_anew() -> None:
    left, clock = run([(0, 0), (1, 10)])
    clock.now = 2
    left.update("compile", 1, 20)
    assert left.seconds is None


def test_a_jump_is_smoothed() -> None:
    left, _ = run([(0, 0), (1, 10), (1.1, 60)])
    assert left.seconds is not None and 4 < left.seconds < 9
