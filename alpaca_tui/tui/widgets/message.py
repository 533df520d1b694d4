"""One message as rows: a coloured bar, a quiet header, the text, and a note where it was stopped or cut.

Not a widget: the transcript draws the rows of all messages itself, so that a reply of thousands of tokens, or
a chat of thousands of messages, costs no more than what is visible of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import takewhile
from typing import Protocol

from rich.segment import Segment
from textual.content import Content
from textual.style import Style

from alpaca_tui.chat.conversation import Message, MessageState, Role
from alpaca_tui.engine.protocol import FinishReason
from alpaca_tui.tui import glyphs
from alpaca_tui.tui.finding import Pattern
from alpaca_tui.tui.markdown.blocks import plain
from alpaca_tui.tui.markdown.inline import clean
from alpaca_tui.tui.markdown.lines import EMPTY, Line, Row
from alpaca_tui.tui.markdown.stream import Document
from alpaca_tui.tui.strings import Strings
from alpaca_tui.tui.widgets.painter import Painter, Place

MAX_TEXT = 96  # cells: 48 Chinese characters a row is as long as reads well
MIN_TEXT = 2
BAR_WIDTH = 3


class Entry(Protocol):
    """A part of the transcript: rows to draw, and lines to select and copy."""

    @property
    def height(self) -> int: ...

    @property
    def lines(self) -> Sequence[Line]: ...

    @property
    def built(self) -> bool:
        """Is `height` certain, and can it be drawn?"""
        ...

    def build(self) -> object: ...

    def forget(self) -> None:
        """Lets go what `build` made, where it can be made again."""
        ...

    def set_width(self, width: int) -> None: ...

    def draw(self, y: int, first_line: int, painter: Painter) -> list[Segment]:
        """Row `y`; `first_line` is the number of its first line in the whole transcript."""
        ...


class MemoryLine:
    """A dashed line: the model has forgotten what stands above."""

    height = 2
    lines: Sequence[Line] = ()
    built = True

    def build(self) -> None:
        """There is nothing to do."""

    def forget(self) -> None:
        """There is nothing to let go."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._width = MAX_TEXT

    def set_width(self, width: int) -> None:
        self._width = min(width, MAX_TEXT + BAR_WIDTH)

    def draw(self, y: int, first_line: int, painter: Painter) -> list[Segment]:
        if y:
            return []
        label = f" {self._text} "
        dashes = max(self._width - Content(label).cell_length - 1, 4)
        text = " " + glyphs.DASH * (dashes // 2) + label + glyphs.DASH * (dashes - dashes // 2)
        return painter.segments(Content.styled(text, "$now").truncate(self._width, ellipsis=True))


class MessageRows:
    """The rows of `message`. `changed()` after its state changed, `grown()` after text was added to it.

    `height` counts the blank row behind it. `lines` are those of its text.
    """

    def __init__(self, message: Message, strings: Strings, version: tuple[int, int] = (1, 1)) -> None:
        self.message = message
        self.version = version
        self.lines: list[Line] = []
        self.rows: list[tuple[int, Row]] = []
        self.document: Document | None = None
        self._strings = strings
        self._first_row: list[int] = []
        self._width = 0
        self._notes: list[Content] = []
        self._last = True
        self._taken = 0  # characters of the message that are in the document
        self._blocks_of: list[Line] | None = None
        self._block_starts: list[int] = []
        self._places_of: tuple[Pattern, int, int] | None = None
        self._places: list[Place] = []
        if message.role is Role.USER:
            self.lines = plain(message.text)
        else:
            self.document = Document()
            self._take_text(self.document)
            if not self._streaming:
                self.document.finish()
            self.lines = self.document.lines

    @property
    def _streaming(self) -> bool:
        return self.message.state is MessageState.STREAMING

    @property
    def _body(self) -> int:
        return max(len(self.rows), int(self._streaming))

    @property
    def height(self) -> int:
        return 1 + self._body + len(self._notes) + 1

    def _take_text(self, document: Document) -> None:
        """By the message, not by what is told of it: news may come late, and more than once."""
        document.append(self.message.text[self._taken :])
        self._taken = len(self.message.text)

    @property
    def wrapped_for(self) -> int:
        """The cells of text in a row, as it is wrapped now; 0: not yet."""
        return self._width

    def set_width(self, width: int) -> None:
        """Wraps for a transcript of `width` cells; 0 as long as it is not on the screen."""
        if not width:
            return
        width = text_width(width)
        if width != self._width:
            self._width = width
            if self.document is not None:
                self.document.set_width(width)
                self.lines = self.document.lines
            self._wrap(0)
            self._write_notes()

    def grown(self) -> int:
        """Takes in what the reply has more than before. Returns the first row that is to be drawn again."""
        if self.document is None:
            return self.height
        self._take_text(self.document)
        self.lines = self.document.lines
        changed = self.document.first_changed
        first = self._first_row[changed] if changed < len(self._first_row) else len(self.rows)
        before = self.rows[first:]
        self._wrap(changed)
        same = sum(1 for _ in takewhile(_same, zip(before, self.rows[first:], strict=False)))
        last = len(self.rows) - 1 if len(self.rows) <= first + same else first + same
        return 1 + max(min(last, first + len(before) - 1), 0)  # the caret was on the last row

    def changed(self) -> None:
        """The reply was finished, or opened again."""
        first = 0
        if self.document is not None:
            if self._streaming:
                self.document.resume()
            else:
                self._take_text(self.document)
                first = self.document.first_changed
                self.document.finish()
            self.lines = self.document.lines
            first = min(first, self.document.first_changed)
        self._wrap(first)
        self._write_notes()

    def set_last(self, last: bool) -> None:
        """Is this the end of the conversation, which is where one can go on?"""
        if last != self._last:
            self._last = last
            self._write_notes()

    def _wrap(self, first: int) -> None:
        """Wraps the lines from `first` on; those before have their rows."""
        if not self._width:
            return
        first = min(first, len(self._first_row))
        if first < len(self._first_row):
            del self.rows[self._first_row[first] :]
            del self._first_row[first:]
        for index in range(first, len(self.lines)):
            self._first_row.append(len(self.rows))
            self.rows += [(index, row) for row in self.lines[index].rows(self._width)]

    def _write_notes(self) -> None:
        note = self._note()
        self._notes = note.wrap(self._width) if note is not None and self._width else []

    # --- drawing -------------------------------------------------------------------------------------------

    def draw(self, y: int, first_line: int, painter: Painter) -> list[Segment]:
        if not 0 <= y < self.height - 1:
            return []
        bar = painter.segments(self._bar(painter.marked))
        if y == 0:
            return bar + painter.segments(self._header(painter.marked))
        if y <= self._body:
            return bar + self._row(y - 1, first_line, painter)
        return bar + painter.segments(self._notes[y - 1 - self._body])

    def _bar(self, marked: bool) -> Content:
        """A click on it takes the message for the keys."""
        if marked:
            return _bar(glyphs.MARKED_BAR, "$now", self.message.id)
        return _bar(glyphs.MESSAGE_BAR, self._colour(), self.message.id)

    def _colour(self) -> str:
        if self._streaming:
            return "$now"
        if self.message.state is MessageState.FAILED:
            return "$loss"
        return "$act" if self.message.role is Role.USER else "$rule"

    def _row(self, index: int, first_line: int, painter: Painter) -> list[Segment]:
        segments: list[Segment] = []
        if index < len(self.rows):
            line, row = self.rows[index]
            base = painter.base + painter.parse(row.fill) if row.fill else painter.base
            own = self.lines[line] if line < len(self.lines) else None
            segments = painter.segments(row.prefix, base)
            segments += painter.text(row, first_line + line, base, own, line)
        used = sum(segment.cell_length for segment in segments)
        if index < len(self.rows) and row.fill:
            return segments + self._behind_code(index, self._width - used, base, painter)
        if self._streaming and index >= len(self.rows) - 1 and used < self._width:
            segments += painter.segments(Content.styled(glyphs.CARET, "$now"))
        return segments

    def _behind_code(self, index: int, space: int, base: Style, painter: Painter) -> list[Segment]:
        """The rest of a row of code; in its first row, a word to click that copies it."""
        line, row = self.rows[index]
        blocks = self._blocks
        label = Content.styled(self._strings("copy_label"), "$act")
        if line not in blocks or row.offset or space < label.cell_length + 2:
            return [Segment(" " * space, base.rich_style)]
        action = f"app.copy_block({self.message.id}, {blocks.index(line)})"
        label = label.stylize(Style.from_meta({"@click": action}))
        left = Segment(" " * (space - label.cell_length - 1), base.rich_style)
        return [left, *painter.segments(label, base), Segment(" ", base.rich_style)]

    @property
    def _blocks(self) -> list[int]:
        """The lines at which blocks of code begin."""
        if self._blocks_of is not self.lines:
            self._blocks_of = self.lines
            self._block_starts = [i for i, line in enumerate(self.lines) if line.begins]
        return self._block_starts

    def places(self, found: Pattern) -> list[Place]:
        """Where in the lines the matches of a search are."""
        if self._places_of != (found, self._taken, len(self.lines)):
            self._places_of = (found, self._taken, len(self.lines))
            self._places = [
                (number, *match.span())
                for number, line in enumerate(self.lines)
                for match in found.finditer(line.plain)
            ]
        return self._places

    def row_of(self, place: Place) -> int:
        """The row, counted from the header, in which a place begins."""
        number, start, _ = place
        if number >= len(self._first_row):
            return 0
        row = first = self._first_row[number]
        while row + 1 < len(self.rows) and self.rows[row + 1][0] == number:
            if self.rows[row + 1][1].offset > start:
                break
            row += 1
        return 1 + (row if self.rows[row][1].offset <= start else first)

    def _header(self, marked: bool = False) -> Content:
        message, say = self.message, self._strings
        if message.role is Role.USER:
            left = Content.styled(say("you"), "bold $now reverse" if marked else "bold $act")
        else:
            name = say("guide_name") if message.by_guide else clean(message.model) or say("assistant")
            left = Content.styled(name, "bold $now reverse" if marked else "bold $quiet")
        if message.edited:
            left += Content.styled(f" · {say('edited')}", "$quiet")
        right = self._info()
        space = self._width - left.cell_length - right.cell_length
        if space < 2:
            return left.truncate(self._width, ellipsis=True)
        return left + Content(" " * space) + right

    def _info(self) -> Content:
        say, stats = self._strings, self.message.stats
        parts: list[Content] = []
        if stats is not None and stats.generated_tokens and stats.generate_speed:
            parts.append(Content.styled(say("speed", speed=f"{stats.generate_speed:.1f}"), "$quiet"))
            if stats.first_token_seconds >= 0.05:
                seconds = f"{stats.first_token_seconds:.1f}"
                parts.append(Content.styled(say("seconds", seconds=seconds), "$quiet"))
        number, count = self.version
        if count > 1:
            before = f"[$act @click=app.version_back({self.message.id})]{glyphs.BEFORE}[/]"
            after = f"[$act @click=app.version_on({self.message.id})]{glyphs.AFTER}[/]"
            markup = f"[$quiet]{number}/{count}[/] {before} {after}"
            parts.append(Content.from_markup(markup))
        return Content.styled(" · ", "$quiet").join(parts)

    def _note(self) -> Content | None:
        message, say = self.message, self._strings
        go_on = Content.from_markup(f"[$act @click=app.continue_reply]{say('note_continue')}[/]")
        anew = Content.from_markup(f"[$act @click=app.regenerate]{say('note_regenerate')}[/]")
        between = Content.styled(" · ", "$quiet")
        if not self._last:
            go_on = anew = between = EMPTY
        match message.state:
            case MessageState.STOPPED:
                text = say("stopped_note") if message.text else say("stopped_empty")
                what = Content.styled(f"{glyphs.STOP} {text} ", "$quiet")
                return what + between.join([go_on, anew] if message.text else [anew])
            case MessageState.CUT:
                text = say("cut_context" if message.reason is FinishReason.CONTEXT else "cut_length")
                return Content.styled(f"{glyphs.CUT} {text} ", "$quiet") + go_on
            case MessageState.FAILED:
                text = say("failed_note", reason=message.note)
                return Content.styled(f"{glyphs.CROSS} {text} ", "$loss") + anew
            case MessageState.COMPLETE if message.role is Role.ASSISTANT and not message.text.strip():
                return Content.styled(f"{say('empty_note')} ", "$quiet") + anew
            case _:
                return None


@lru_cache(maxsize=256)
def _bar(bar: str, colour: str, message_id: int) -> Content:
    """It stands in every row that is drawn, and making it costs as much as the row's text."""
    return Content.from_markup(f"[{colour} @click=app.read_at({message_id})] $bar [/]", bar=bar)


def text_width(width: int) -> int:
    """The cells for text in a row of a transcript of `width` cells."""
    return max(min(width - BAR_WIDTH, MAX_TEXT), MIN_TEXT)


def _same(pair: tuple[tuple[int, Row], tuple[int, Row]]) -> bool:
    """Would two rows be drawn alike?"""
    (_, old), (_, new) = pair
    return old.fill == new.fill and old.prefix.is_same(new.prefix) and old.text.is_same(new.text)
