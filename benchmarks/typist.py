"""Keys typed into the program in a pseudo-terminal, and how soon each of them shows."""

from __future__ import annotations

import os
import random
import time

LETTERS = [chr(code) for code in range(0x1401, 0x166D)]  # Canadian syllabics: no model writes them
LINE_OF_KEYS = 60  # typed before the prompt is emptied again
EMPTY_PROMPT = "\x15" * 3
LATE = 1.0  # second after which a key that did not show is lost
SEAM = 16  # bytes: a letter may come in two pieces


class Typist:
    """Types `rate` keys a second, unevenly, every key another letter. Times are of `time.perf_counter`.

    `echoes` are the seconds from writing a key into the terminal to reading it back.
    """

    def __init__(self, fd: int) -> None:
        self.echoes: list[float] = []
        self.next_key = float("inf")  # when; never, before `begin`
        self._fd = fd
        self._rate = 0.0
        self._random = random.Random(1)
        self._n_typed = 0
        self._waiting: dict[bytes, float] = {}  # letters, and when they were typed
        self._tail = b""

    def begin(self, rate: float, now: float) -> None:
        """From now on, and with nothing seen before."""
        self.echoes = []
        self._waiting.clear()
        self._rate = rate
        self.next_key = now if rate else float("inf")

    def type(self, now: float) -> None:
        """Types the key that is due, if one is; every so often the prompt is emptied instead."""
        if now < self.next_key:
            return
        self._n_typed += 1
        if self._n_typed % LINE_OF_KEYS == 0:
            self.write(EMPTY_PROMPT)
        else:
            letter = LETTERS[self._n_typed % len(LETTERS)].encode()
            self._waiting[letter] = now
            os.write(self._fd, letter)
        self.next_key = now + self._random.uniform(0.5, 1.5) / self._rate

    def write(self, keys: str) -> None:
        """Other keys, which empty the prompt: what had no time to show does not count."""
        now = time.perf_counter()
        self._waiting = {letter: typed for letter, typed in self._waiting.items() if typed < now - LATE}
        os.write(self._fd, keys.encode())

    def see(self, data: bytes, now: float) -> None:
        """Output of the program, and when it came."""
        self._tail = self._tail[-SEAM:] + data
        for letter in [letter for letter in self._waiting if letter in self._tail]:
            self.echoes.append(now - self._waiting.pop(letter))

    def lost(self, now: float) -> int:
        """How many keys never showed."""
        return sum(typed < now - LATE for typed in self._waiting.values())


def percentiles(echoes: list[float]) -> tuple[float, float]:
    """The median and the 99th of 100, in seconds; 0 where there are none."""
    ordered = sorted(echoes) or [0.0]
    return ordered[int(0.5 * (len(ordered) - 1))], ordered[int(0.99 * (len(ordered) - 1))]
