"""Lines (what was written) and rows (what is drawn).

A line is one paragraph, one line of code, one row of a table: what selection and copying count in. Wrapped at
a width it gives rows. Both are immutable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content

from alpaca_tui.tui.wrap import break_offsets

EMPTY = Content("")
MIN_TEXT_WIDTH = 8


@dataclass(frozen=True)
class Row:
    """One screen row: a prefix that is drawn but never selected, then text.

    `offset` is the index of the text in its line. `fill` is the style of the whole row, the space behind the
    text too.
    """

    prefix: Content
    text: Content
    offset: int = 0
    fill: str = ""


@dataclass(frozen=True)
class Line:
    """`first` stands before the first row, `rest` before the following ones (a hanging indent).

    `begins`: a block of code begins with this line.
    """

    text: Content
    first: Content = EMPTY
    rest: Content = EMPTY
    fill: str = ""
    begins: bool = False

    @property
    def plain(self) -> str:
        return self.text.plain

    def indented(self, first: Content, rest: Content) -> Line:
        """The same line inside something that puts its own prefixes before it."""
        return Line(self.text, first + self.first, rest + self.rest, self.fill, self.begins)

    def rows(self, width: int) -> list[Row]:
        """The rows for `width` cells. A prefix that leaves no room for text is cut short."""
        first, rest = _room(self.first, width), _room(self.rest, width)
        inner = width - max(first.cell_length, rest.cell_length)
        offsets = break_offsets(self.text.plain, inner)
        if not offsets:
            return [Row(first, self.text, 0, self.fill)]
        parts = self.text.divide(offsets)
        return [
            Row(first if i == 0 else rest, part.rstrip(), offset, self.fill)
            for i, (part, offset) in enumerate(zip(parts, [0, *offsets], strict=False))
        ]


@dataclass(frozen=True)
class TableLine(Line):
    """One line of a table, laid out with all the others: `columns` is shared by the lines of a table."""

    cells: tuple[Content, ...] = ()
    columns: tuple[tuple[int, int], ...] = ()  # (natural, smallest) width of each
    align: tuple[str, ...] = ()
    rule: bool = False

    def indented(self, first: Content, rest: Content) -> TableLine:
        return TableLine(
            self.text,
            first + self.first,
            rest + self.rest,
            self.fill,
            False,
            self.cells,
            self.columns,
            self.align,
            self.rule,
        )

    def rows(self, width: int) -> list[Row]:
        from alpaca_tui.tui.markdown.table import table_rows

        return table_rows(self, width)


BLANK = Line(EMPTY)


def rows_of(lines: Sequence[Line], width: int) -> list[tuple[int, Row]]:
    """All rows of `lines`, each with the index of its line."""
    return [(index, row) for index, line in enumerate(lines) for row in line.rows(width)]


def _room(prefix: Content, width: int) -> Content:
    room = max(width - MIN_TEXT_WIDTH, 0)
    return prefix if prefix.cell_length <= room else prefix.truncate(room)
