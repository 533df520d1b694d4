"""What a command may become, over the prompt: chosen with Up and Down, taken with Tab or a click."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from alpaca_tui.tui.commands import SHOWN, Completion

COLUMN = 26  # cells of the first column


class CompletionList(Static):
    DEFAULT_CSS = """
    CompletionList {
        height: auto; background: $surface; color: $ink; padding: 0 1 0 2; display: none; pointer: pointer;
    }
    """
    ALLOW_SELECT = False

    class Clicked(Message):
        """A row was clicked; it is the chosen one now."""

    def __init__(self) -> None:
        super().__init__("", id="completions", markup=False)
        self.found: Sequence[Completion] = ()
        self.at = 0
        self._rows = SHOWN

    @property
    def open(self) -> bool:
        return bool(self.found)

    @property
    def chosen(self) -> Completion | None:
        return self.found[self.at] if self.found else None

    def show(self, found: Sequence[Completion], rows: int = SHOWN) -> None:
        """At most `rows` at a time."""
        if [c.line for c in found] != [c.line for c in self.found]:
            self.at = 0
        self.found, self._rows = found, max(min(rows, SHOWN), 1)
        self.display = bool(found)
        if found:
            self._draw()

    def move(self, step: int) -> None:
        self.at = (self.at + step) % len(self.found)
        self._draw()

    @property
    def _first(self) -> int:
        return max(0, min(self.at - self._rows // 2, len(self.found) - self._rows))

    def _draw(self) -> None:
        lines = []
        for i, c in enumerate(self.found[self._first : self._first + self._rows], self._first):
            name = Content(c.line.strip()).truncate(60, ellipsis=True)
            gap = Content(" " * max(COLUMN - name.cell_length, 2))
            line = name + gap + Content.styled(c.about, "$quiet")
            lines.append(line.stylize("bold $act", 0, len(name)) if i == self.at else line)
        width = max(self.size.width - 3, 20) if self.size.width else 76
        self.update(Content("\n").join(line.truncate(width, ellipsis=True) for line in lines))

    def on_click(self, event: events.Click) -> None:
        row = self._first + event.y
        if 0 <= row < len(self.found):
            self.at = row
            self.post_message(self.Clicked())
