"""Ctrl+C, step by step: pure, without a screen."""

from __future__ import annotations

import pytest

from alpaca_tui.tui.ladder import ARMED, PATIENCE, Ladder, Situation, Step

EVERYTHING = {"selection": True, "modal": True, "busy": True, "queued": True, "draft": True}


@pytest.mark.parametrize(
    ("gone", "step"),
    [
        ((), Step.COPY),
        (("selection",), Step.CLOSE),
        (("selection", "modal"), Step.STOP),
        (("selection", "modal", "busy"), Step.TAKE_BACK),
        (("selection", "modal", "busy", "queued"), Step.CLEAR),
        (("selection", "modal", "busy", "queued", "draft"), Step.OFFER_QUIT),
    ],
)
def test_the_first_that_holds(gone: tuple[str, ...], step: Step) -> None:
    situation = Situation(**{key: value for key, value in EVERYTHING.items() if key not in gone})
    assert Ladder().press(situation, 10.0) is step


def test_idle_and_empty_a_second_press_quits() -> None:
    ladder = Ladder()
    assert ladder.press(Situation(), 10.0) is Step.OFFER_QUIT
    assert ladder.press(Situation(), 10.0 + ARMED) is Step.QUIT


def test_too_late_is_a_first_press_again() -> None:
    ladder = Ladder()
    ladder.press(Situation(), 10.0)
    assert ladder.press(Situation(), 10.1 + ARMED) is Step.OFFER_QUIT


def test_a_draft_typed_in_between_is_cleared_not_lost_by_quitting() -> None:
    ladder = Ladder()
    ladder.press(Situation(), 10.0)
    assert ladder.press(Situation(selection=True), 11.0) is Step.COPY
    assert ladder.press(Situation(), 14.0) is Step.OFFER_QUIT


def test_while_stopping_it_waits_and_then_offers_to_quit() -> None:
    ladder = Ladder()
    assert ladder.press(Situation(busy=True), 10.0) is Step.STOP
    assert ladder.press(Situation(busy=True, stopping_seconds=0.5), 10.5) is Step.WAIT
    late = Situation(busy=True, stopping_seconds=PATIENCE + 1)
    assert ladder.press(late, 13.0) is Step.OFFER_QUIT_BUSY
    assert ladder.press(late, 14.0) is Step.QUIT


def test_hammering_always_gets_out() -> None:
    ladder = Ladder()
    stuck = Situation(selection=True, busy=True, stopping_seconds=0.1, queued=True, draft=True)
    steps = [ladder.press(stuck, 10.0 + i * 0.2) for i in range(4)]
    assert steps[-2:] == [Step.OFFER_QUIT_BUSY, Step.QUIT]


def test_hammering_passes_over_the_draft_and_the_queue() -> None:
    ladder = Ladder()
    full = Situation(queued=True, draft=True)
    assert [ladder.press(full, 10.0 + i * 0.2) for i in range(4)] == [
        Step.TAKE_BACK,
        Step.TAKE_BACK,
        Step.OFFER_QUIT,
        Step.QUIT,
    ]
