"""From content to the segments of a row: theme colours, the mouse's selection, and what a search found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.segment import Segment
from textual.content import Content
from textual.style import Style

from alpaca_tui.tui.finding import Pattern
from alpaca_tui.tui.markdown.lines import Line, Row, TableLine

Span = tuple[int, int]
Place = tuple[int, int, int]  # line, start, end
FOUND, HIT = "reverse", "bold $ground on $now"


@dataclass(frozen=True)
class Painter:
    """Turns content into segments. `selected(line)` is the selected part of a line, end -1: to its end."""

    base: Style
    parse: Callable[[str | Style], Style]
    selected: Callable[[int], Span | None]
    selection: Style
    marked: bool = False  # the message that keys act on
    found: Pattern | None = None
    hit: Place | None = None  # the match that the search is at

    def segments(self, content: Content, base: Style | None = None) -> list[Segment]:
        base = base or self.base
        rendered = content.render(base, end="", parse_style=self.parse)
        return [Segment(text, (base + style).rich_style) for text, style in rendered if text]

    def text(self, row: Row, line: int, base: Style, own: Line | None, number: int) -> list[Segment]:
        """The text of a row, each piece with its place in the line, which mouse selection goes by.

        `line` is counted in the whole transcript, `number` in the message, whose line it is: `own`.
        """
        segments: list[Segment] = []
        x = row.offset
        content = self._selected(row, line, self._found(row, own, number))
        for text, style in content.render(base, end="", parse_style=self.parse):
            segments.append(Segment(text, (base + style).rich_style_with_offset(x, line)))
            x += len(text)
        return segments

    @property
    def hit_line(self) -> int:
        return self.hit[0] if self.hit is not None else -1

    def _found(self, row: Row, own: Line | None, number: int) -> Content:
        """The row with its matches marked. Rows of a table are looked at as they are laid out."""
        if self.found is None or own is None:
            return row.text
        text, offset = row.text, row.offset
        table = isinstance(own, TableLine)
        if table:
            own, offset = Line(text), 0
        for match in self.found.finditer(own.plain):
            at_hit = self.hit == (number, *match.span()) or (table and self.hit_line == number)
            start, end = max(match.start() - offset, 0), min(match.end() - offset, len(text))
            if start < end:
                text = text.stylize(HIT if at_hit else FOUND, start, end)
        return text

    def _selected(self, row: Row, line: int, text: Content) -> Content:
        span = self.selected(line)
        if span is None:
            return text
        start = max(span[0] - row.offset, 0)
        end = len(text) if span[1] == -1 else min(span[1] - row.offset, len(text))
        return text.stylize(self.selection, start, end) if start < end else text
