"""What Ctrl+C does, as one pure function: the first step of the ladder whose condition holds.

Stopping stands above the draft, so that nobody loses a typed message to a stop. Whoever hammers on the key
gets out: from the third press within `WINDOW` seconds copying, taking back and clearing are passed over.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass

WINDOW = 1.5  # seconds in which presses count as hammering
ARMED = 2.0  # seconds in which a second press quits
PATIENCE = 2.0  # seconds of stopping after which quitting is offered


class Step(enum.Enum):
    COPY = "copy"
    CLOSE = "close"
    STOP = "stop"
    WAIT = "wait"  # a stop was asked for and comes at any moment
    OFFER_QUIT_BUSY = "offer_quit_busy"
    TAKE_BACK = "take_back"
    CLEAR = "clear"
    OFFER_QUIT = "offer_quit"
    QUIT = "quit"


@dataclass(frozen=True)
class Situation:
    """All that the ladder looks at. `stopping_seconds` > 0: a stop was asked for so long ago."""

    selection: bool = False
    modal: bool = False
    busy: bool = False
    stopping_seconds: float = 0.0
    queued: bool = False
    draft: bool = False


class Ladder:
    """Remembers the last presses. `press(situation, now)` says what to do."""

    def __init__(self) -> None:
        self._presses: deque[float] = deque(maxlen=3)
        self._armed_until = -1.0

    def press(self, situation: Situation, now: float) -> Step:
        self._presses.append(now)
        hammering = len(self._presses) == 3 and now - self._presses[0] <= WINDOW
        step = self._step(situation, now, hammering)
        armed = step in (Step.OFFER_QUIT, Step.OFFER_QUIT_BUSY)
        self._armed_until = now + ARMED if armed else -1.0
        return step

    def _step(self, s: Situation, now: float, hammering: bool) -> Step:
        armed = now <= self._armed_until
        if s.selection and not hammering:
            return Step.COPY
        if s.modal:
            return Step.CLOSE
        if s.busy and not s.stopping_seconds:
            return Step.STOP
        if armed:
            return Step.QUIT
        if s.busy:
            return Step.OFFER_QUIT_BUSY if s.stopping_seconds > PATIENCE or hammering else Step.WAIT
        if s.queued and not hammering:
            return Step.TAKE_BACK
        if s.draft and not hammering:
            return Step.CLEAR
        return Step.OFFER_QUIT
