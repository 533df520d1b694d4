"""How fast a reply comes, smoothed; and whether something of the conversation is about to be cut."""

from __future__ import annotations

import enum
import time
from collections import deque
from collections.abc import Callable

SECONDS = 3.0  # over which the speed is taken
SAMPLE = 0.25  # seconds between two samples
KEPT = 600  # samples of a reply, thinned out beyond that
NEAR = 0.85  # of the context, from which on it is called near its end


class Meter:
    """`update(tokens)` at each look at the engine, `begin()` with each reply."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._recent: deque[tuple[float, int]] = deque()
        self.samples: list[float] = []
        self.begin()

    def begin(self) -> None:
        self._recent.clear()
        self.samples = []
        self._next = 0.0
        self._every = SAMPLE

    def update(self, tokens: int) -> None:
        """Takes in how many tokens the reply has so far."""
        now = self._clock()
        if not tokens or (self._recent and now - self._recent[-1][0] < SAMPLE / 4):
            return
        if self._recent and tokens < self._recent[-1][1]:
            self._recent.clear()  # a reply that goes on is counted anew
        self._recent.append((now, tokens))
        while len(self._recent) > 2 and now - self._recent[1][0] >= SECONDS:
            self._recent.popleft()
        speed = self.speed
        if speed and now >= self._next:
            self._next = now + self._every
            self.samples.append(speed)
            if len(self.samples) > KEPT:
                self.samples = self.samples[::2]
                self._every *= 2

    @property
    def speed(self) -> float:
        """Tokens per second over the last seconds; 0 as long as there is no telling."""
        if len(self._recent) < 2:
            return 0.0
        (begin, first), (end, last) = self._recent[0], self._recent[-1]
        return (last - first) / (end - begin) if end > begin else 0.0


class Outlook(enum.Enum):
    """What becomes of the context: `FITS`; `NEAR` its end; `CUTS`: with the next reply, old turns leave."""

    FITS = "fits"
    NEAR = "near"
    CUTS = "cuts"


def outlook(n_past: int, n_ctx: int, draft: str, n_predict: int, replying: bool) -> Outlook:
    """Looks ahead, so that nothing is cut unannounced. `n_predict` < 0: as long as the model likes."""
    if not n_ctx:
        return Outlook.FITS
    ahead = n_past if replying else n_past + (estimate(draft) if draft else 0)
    reply = 0 if replying or not draft else min(max(n_predict, 0), n_ctx // 4)
    if ahead + reply >= n_ctx:
        return Outlook.CUTS
    return Outlook.NEAR if ahead >= NEAR * n_ctx else Outlook.FITS


def estimate(text: str) -> int:
    """About how many tokens a text has, without a vocabulary: rather too many than too few."""
    wide = sum(1 for c in text if ord(c) > 0x2E80)
    return 16 + wide * 3 // 2 + (len(text) - wide) // 3
