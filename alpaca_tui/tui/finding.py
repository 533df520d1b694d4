"""Finding words in the conversation: which messages have them, and which place is the present one.

Messages are looked through by their source, without the signs of Markdown; where exactly a match stands is
asked of the lines that a message is drawn with, and only when the search gets there: a chat of thousands of
messages is searched with each key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from alpaca_tui.chat.conversation import Message, Role
from alpaca_tui.tui.markdown.inline import clean

Pattern = re.Pattern[str]
_MARKS = re.compile(r"\\(?=[^\w\s])|[*`~]+|^[ \t]*(?:#{1,6} |>+ ?|[-+] )", re.MULTILINE)


def pattern(needle: str) -> Pattern | None:
    """Upper and lower case are the same; any space stands for any others. None for an empty needle."""
    words = needle.split()
    if not words:
        return None
    return re.compile(r"\s+".join(re.escape(word) for word in words), re.IGNORECASE)


def searchable(message: Message) -> str:
    """A message about as it is read."""
    return clean(message.text) if message.role is Role.USER else _MARKS.sub("", clean(message.text))


@dataclass(frozen=True)
class Hit:
    """The `number`-th match in a message, which stands in this line of it, from `start` to `end`."""

    message: Message
    number: int
    line: int
    start: int
    end: int


Places = Callable[[Message, Pattern], Sequence[tuple[int, int, int]]]
"""(line, start, end) of each match in a message as it is drawn."""


class Finder:
    """`look_for`, then `step`; `hit` is the present match. `places` looks into one message."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._texts: dict[int, tuple[int, str]] = {}
        self.clear()

    def clear(self) -> None:
        self.needle = ""
        self.pattern: Pattern | None = None
        self.hit: Hit | None = None
        self._path: Sequence[Message] = ()
        self._counts: list[tuple[int, int]] = []  # (index in the path, matches) of those that have any

    def look_for(self, needle: str, path: Sequence[Message], near: int) -> None:
        """Goes to the first match from the message with the index `near` on, else to the first of all."""
        self.needle, self.pattern, self.hit = needle, pattern(needle), None
        self._search(path)
        begin = next((k for k, (index, _) in enumerate(self._counts) if index >= near), 0)
        self._go(begin, 1)

    def refresh(self, path: Sequence[Message]) -> None:
        """The conversation changed."""
        self._search(path)
        if self.hit is not None and not any(self.hit.message is message for message in path):
            self.hit = None

    def _search(self, path: Sequence[Message]) -> None:
        self._path = path
        found = self.pattern
        self._counts = []
        if found is None:
            return
        for index, message in enumerate(path):
            if count := sum(1 for _ in found.finditer(self._text(message))):
                self._counts.append((index, count))

    def _text(self, message: Message) -> str:
        length, text = self._texts.get(id(message), (-1, ""))
        if length != len(message.text):
            text = searchable(message)
            self._texts[id(message)] = len(message.text), text
        return text

    def step(self, direction: int) -> None:
        """To the next match (1) or the one before (-1); behind the last comes the first."""
        if self.hit is None:
            self._go(0 if direction > 0 else len(self._counts) - 1, direction)
            return
        places = self._in(self.hit.message)
        number = self.hit.number + direction
        if 0 <= number < len(places):
            self.hit = Hit(self.hit.message, number, *places[number])
            return
        at = next((k for k, (i, _) in enumerate(self._counts) if self._path[i] is self.hit.message), 0)
        self._go(at + direction, direction)

    def _go(self, at: int, direction: int) -> None:
        """To the first (going back: the last) match of the nearest message that really shows one."""
        n = len(self._counts)
        for k in range(n):
            message = self._path[self._counts[(at + k * direction) % n][0]]
            if places := self._in(message):
                number = 0 if direction > 0 else len(places) - 1
                self.hit = Hit(message, number, *places[number])
                return
        self.hit = None

    def _in(self, message: Message) -> Sequence[tuple[int, int, int]]:
        return self._places(message, self.pattern) if self.pattern is not None else ()

    @property
    def total(self) -> int:
        return sum(count for _, count in self._counts)

    @property
    def ordinal(self) -> int:
        """The number of the present match among all, from 1; 0 without one."""
        if self.hit is None:
            return 0
        before = 0
        for index, count in self._counts:
            if self._path[index] is self.hit.message:
                return min(before + self.hit.number + 1, self.total)
            before += count
        return 0
