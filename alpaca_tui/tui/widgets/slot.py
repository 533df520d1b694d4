"""The place of a message in the transcript, whether it is wrapped already or its height is guessed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment

from alpaca_tui.chat.conversation import Conversation, Message, MessageState
from alpaca_tui.tui.markdown.lines import Line
from alpaca_tui.tui.strings import Strings
from alpaca_tui.tui.widgets.message import MessageRows, Painter, text_width


class Slot:
    """An `Entry`. `build()` reads and wraps the message, unless that is done for the width there is."""

    def __init__(self, message: Message, strings: Strings) -> None:
        self.message = message
        self._strings = strings
        self._rows: MessageRows | None = None
        self._conversation: Conversation | None = None  # where it has its siblings
        self._last = True
        self._width = 0  # of the transcript
        self._guess = 3

    def set_version(self, conversation: Conversation) -> None:
        """Takes in which of its siblings the message is."""
        self._conversation = conversation
        if self._rows is not None:
            self._rows.version = self._version()

    def _version(self) -> tuple[int, int]:
        if self._conversation is None:
            return 1, 1
        siblings = self._conversation.siblings(self.message)
        return siblings.index(self.message) + 1, len(siblings)

    def set_last(self, last: bool) -> None:
        self._last = last
        if self._rows is not None:
            self._rows.set_last(last)

    def set_width(self, width: int) -> None:
        """For a transcript of `width` cells; wrapped when it is needed."""
        if width and width != self._width:
            self._width = width
            self._guess = guess(self.message.text, text_width(width))

    @property
    def built(self) -> bool:
        return self._rows is not None and self._rows.wrapped_for == text_width(self._width)

    def build(self) -> MessageRows:
        if self._rows is None:
            self._rows = MessageRows(self.message, self._strings, self._version())
            self._rows.set_last(self._last)
        self._rows.set_width(self._width)
        return self._rows

    def forget(self) -> None:
        """Lets the rows go, which take a hundred times the memory of the text; the height stays."""
        if self.built and self.message.state is not MessageState.STREAMING:
            self._guess = self.height
            self._rows = None

    @property
    def height(self) -> int:
        return self._rows.height if self._rows is not None and self.built else self._guess

    @property
    def lines(self) -> Sequence[Line]:
        return self.build().lines

    def draw(self, y: int, first_line: int, painter: Painter) -> list[Segment]:
        return self.build().draw(y, first_line, painter)


def guess(text: str, width: int) -> int:
    """About how many rows a message takes: a Chinese character is three bytes and two cells."""
    cells = len(text) if text.isascii() else (len(text) + len(text.encode(errors="replace"))) // 2
    return 3 + text.count("\n") + cells // width
