"""Tables: column widths that fit the screen, cells wrapped inside them."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from alpaca_tui.tui.markdown.lines import EMPTY, Line, Row, TableLine
from alpaca_tui.tui.wrap import WORD, break_offsets

BETWEEN = Content.styled(" │ ", "$rule")
CROSSING = "─┼─"
MIN_COLUMN = 4
HEAD = "bold"


def table_lines(
    rows: Sequence[Sequence[Content]], align: Sequence[str], first: Content = EMPTY, rest: Content = EMPTY
) -> list[Line]:
    """The lines of a table: head, rule, body. `rows[0]` is the head; short rows are filled up."""
    count = max((len(row) for row in rows), default=0)
    filled = [[*row, *[EMPTY] * (count - len(row))] for row in rows]
    columns = tuple(_measure([row[i] for row in filled]) for i in range(count))
    alignment = tuple(align[i] if i < len(align) else "" for i in range(count))

    def line(cells: Sequence[Content], rule: bool = False) -> TableLine:
        text = EMPTY if rule else Content(" | ").join(cells)
        return TableLine(text, first, rest, "", False, tuple(cells), columns, alignment, rule)

    head = [cell.stylize_before(HEAD) for cell in filled[0]] if filled else []
    return [line(head), line([], rule=True), *(line(row) for row in filled[1:])]


def table_rows(line: TableLine, width: int) -> list[Row]:
    """The screen rows of one line of a table."""
    inner = width - max(line.first.cell_length, line.rest.cell_length)
    widths = fit(line.columns, inner - BETWEEN.cell_length * (len(line.columns) - 1))
    if line.rule:
        return [Row(line.first, Content.styled(CROSSING.join("─" * w for w in widths), "$rule"))]
    wrapped = [_wrap(cell, w) for cell, w in zip(line.cells, widths, strict=True)]
    rows: list[Row] = []
    for i in range(max((len(parts) for parts in wrapped), default=0)):
        parts = [
            _pad(cell[i] if i < len(cell) else EMPTY, w, how)
            for cell, w, how in zip(wrapped, widths, line.align, strict=True)
        ]
        rows.append(Row(line.first if i == 0 else line.rest, BETWEEN.join(parts)))
    return rows


def fit(columns: Sequence[tuple[int, int]], width: int) -> list[int]:
    """Column widths of at most `width` in all: natural ones where they fit, else the widest give first."""
    widths = [natural for natural, _ in columns]
    floors = [min(smallest, MIN_COLUMN * 4) for _, smallest in columns]
    for floor in (floors, [MIN_COLUMN] * len(widths)):
        while sum(widths) > width:
            able = [i for i, w in enumerate(widths) if w > floor[i]]
            if not able:
                break
            widest = max(able, key=lambda i: widths[i])
            others = [widths[i] for i in able if widths[i] < widths[widest]]
            target = max(max(others, default=floor[widest]), floor[widest])
            widths[widest] -= max(1, min(widths[widest] - target, sum(widths) - width))
    return [max(w, 1) for w in widths]


def _measure(cells: Sequence[Content]) -> tuple[int, int]:
    natural = max((cell.cell_length for cell in cells), default=0)
    words = [Content(m.group().strip()).cell_length for cell in cells for m in WORD.finditer(cell.plain)]
    return max(natural, 1), max(max(words, default=1), MIN_COLUMN)


def _wrap(cell: Content, width: int) -> list[Content]:
    offsets = break_offsets(cell.plain, width)
    return [part.rstrip() for part in cell.divide(offsets)] if offsets else [cell]


def _pad(cell: Content, width: int, how: str) -> Content:
    if cell.cell_length > width:
        cell = cell.truncate(width)
    space = width - cell.cell_length
    left = {"right": space, "center": space // 2}.get(how, 0)
    return Content(" " * left) + cell + Content(" " * (space - left))
