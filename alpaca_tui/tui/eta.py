"""How long still: a guess from how fast a count has been going."""

from __future__ import annotations

import time
from collections.abc import Callable

FIRST_SECONDS = 0.6  # before that, a guess is worth nothing
SMOOTHING = 0.3


class TimeLeft:
    """`update(done, total)` on each report, with a `key` that changes when something else is counted."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._key: object = None
        self._begin = 0.0
        self._first = 0
        self._guess: float | None = None
        self._guessed_at = 0.0

    def update(self, key: object, done: int, total: int) -> None:
        now = self._clock()
        if key != self._key or done < self._first:
            self._key, self._begin, self._first, self._guess = key, now, done, None
            return
        elapsed, progress = now - self._begin, done - self._first
        if elapsed < FIRST_SECONDS or progress <= 0:
            return
        guess = elapsed / progress * max(total - done, 0)
        previous = self.seconds
        self._guess = guess if previous is None else previous + SMOOTHING * (guess - previous)
        self._guessed_at = now

    @property
    def seconds(self) -> float | None:
        """Seconds left, counting down between reports; None while there is no telling."""
        if self._guess is None:
            return None
        return max(self._guess - (self._clock() - self._guessed_at), 0.0)
