"""One message: a coloured bar, a quiet header, the text, and a note where it was stopped or cut.

The whole message is one widget that draws row by row, so that a reply of thousands of tokens costs no more
than its visible rows, and one that is written only the rows that change.
"""

from __future__ import annotations

from itertools import takewhile

from rich.segment import Segment
from textual.content import Content
from textual.geometry import Region, Size
from textual.selection import Selection
from textual.strip import Strip
from textual.style import Style
from textual.widget import Widget

from alpaca_tui.chat.conversation import Message, MessageState, Role
from alpaca_tui.engine.protocol import FinishReason
from alpaca_tui.tui import glyphs
from alpaca_tui.tui.markdown.blocks import plain
from alpaca_tui.tui.markdown.inline import clean
from alpaca_tui.tui.markdown.lines import Line, Row
from alpaca_tui.tui.markdown.stream import Document
from alpaca_tui.tui.strings import Strings

MAX_TEXT = 96  # cells: 48 Chinese characters a row is as long as reads well


class MessageView(Widget):
    """A view of `message`. `changed()` after its state changed, `grown(text)` after text was added."""

    DEFAULT_CSS = """
    MessageView {
        height: auto;
        width: 1fr;
        margin: 0 1 1 1;
        padding: 0 1;
        border-left: wide $rule;
        &.user { border-left: wide $act; }
        &.streaming { border-left: wide $now; }
        &.failed { border-left: wide $loss; }
    }
    """

    def __init__(self, message: Message, strings: Strings, version: tuple[int, int] = (1, 1)) -> None:
        super().__init__(classes=message.role.value)
        self.message = message
        self.version = version
        self._strings = strings
        self._document: Document | None = None
        self._lines: list[Line] = []
        self._rows: list[tuple[int, Row]] = []
        self._first_row: list[int] = []
        self._width = 0
        if message.role is Role.USER:
            self._lines = plain(message.text)
        else:
            self._document = Document()
            self._document.append(message.text)
            if message.state is not MessageState.STREAMING:
                self._document.finish()
            self._lines = self._document.lines
        self._classify()

    @property
    def document(self) -> Document | None:
        return self._document

    # --- what happened -------------------------------------------------------------------------------------

    def grown(self, text: str) -> None:
        """`text` was added to the reply."""
        if self._document is None:
            return
        self._document.append(text)
        self._update(self._document.first_changed)

    def changed(self) -> None:
        """The reply was finished, or opened again."""
        if self._document is not None:
            if self.message.state is MessageState.STREAMING:
                self._document.resume()
            else:
                self._document.finish()
        self._classify()
        self._update(0, layout=True)

    def _classify(self) -> None:
        self.set_class(self.message.state is MessageState.STREAMING, "streaming")
        self.set_class(self.message.state is MessageState.FAILED, "failed")

    def _update(self, first_changed: int, layout: bool = False) -> None:
        assert self._document is not None
        self._lines = self._document.lines
        if not self._width:
            self.refresh(layout=True)
            return
        height = len(self._rows)
        first = self._first_row[first_changed] if first_changed < len(self._first_row) else height
        before = self._rows[first:]
        self._wrap(first_changed)
        if layout or len(self._rows) != height:
            self.refresh(layout=True)
            return
        same = sum(1 for _ in takewhile(_same, zip(before, self._rows[first:], strict=False)))
        top = min(first + same, max(height - 1, 0))  # the last row in any case: the caret is on it
        self.refresh(Region(0, 1 + top, self.content_size.width, height - top))

    # --- rows ----------------------------------------------------------------------------------------------

    def _wrap(self, first: int) -> None:
        """Wraps the lines from `first` on; those before have their rows."""
        first = min(first, len(self._first_row))
        if first < len(self._first_row):
            del self._rows[self._first_row[first] :]
            del self._first_row[first:]
        for index in range(first, len(self._lines)):
            self._first_row.append(len(self._rows))
            self._rows += [(index, row) for row in self._lines[index].rows(self._width)]

    def _set_width(self, width: int) -> None:
        width = max(min(width, MAX_TEXT), 2)
        if width != self._width:
            self._width = width
            if self._document is not None:
                self._document.set_width(width)
                self._lines = self._document.lines
            self._wrap(0)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        # Textual's stream layout takes only the gutter off `width`: the margins are still in it, and a text
        # wrapped for that much would lose its last rows.
        self._set_width(width - self.styles.margin.width)
        return 1 + max(len(self._rows), self._streaming) + len(self._notes(self._width))

    @property
    def _streaming(self) -> bool:
        return self.message.state is MessageState.STREAMING

    # --- drawing -------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        width = self.content_size.width
        self._set_width(width)
        base = self.visual_style
        rows = max(len(self._rows), self._streaming)
        if y == 0:
            segments = self._segments(self._header(min(width, MAX_TEXT)), base)
        elif y <= rows:
            segments = self._row_segments(y - 1, base)
        else:
            notes = self._notes(width)
            segments = self._segments(notes[y - 1 - rows], base) if y - 1 - rows < len(notes) else []
        return Strip(segments).adjust_cell_length(width, base.rich_style)

    def _row_segments(self, index: int, base: Style) -> list[Segment]:
        segments: list[Segment] = []
        if index < len(self._rows):
            line_index, row = self._rows[index]
            style = base + Style.parse(row.fill) if row.fill else base
            segments = self._segments(row.prefix, style) if row.prefix else []
            x = row.offset
            for text, own in self._selected(row, line_index).render(
                style, end="", parse_style=self.app.stylesheet.parse_style
            ):
                segments.append(Segment(text, (style + own).rich_style_with_offset(x, line_index)))
                x += len(text)
            if row.fill:
                used = sum(segment.cell_length for segment in segments)
                segments.append(Segment(" " * (self._width - used), style.rich_style))
                return segments
        if self._streaming and index >= len(self._rows) - 1:
            caret = Content.styled(glyphs.CARET, "$now")
            if sum(segment.cell_length for segment in segments) < self._width:
                segments += self._segments(caret, base)
        return segments

    def _segments(self, content: Content, base: Style) -> list[Segment]:
        rendered = content.render(base, end="", parse_style=self.app.stylesheet.parse_style)
        return [Segment(text, (base + style).rich_style) for text, style in rendered]

    def _selected(self, row: Row, line_index: int) -> Content:
        """The text of a row, with what of it is selected marked."""
        selection = self.text_selection
        span = selection.get_span(line_index) if selection else None
        if span is None:
            return row.text
        start, end = span
        start = max(start - row.offset, 0)
        end = len(row.text) if end == -1 else min(end - row.offset, len(row.text))
        if start >= end:
            return row.text
        return row.text.stylize(self.screen.get_visual_style("screen--selection", partial=True), start, end)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        try:
            return selection.extract("\n".join(line.plain for line in self._lines)), "\n"
        except IndexError:  # the reply became shorter since
            return None

    # --- header and notes ----------------------------------------------------------------------------------

    def _header(self, width: int) -> Content:
        message, say = self.message, self._strings
        user = message.role is Role.USER
        name = say("you") if user else clean(message.model) or say("assistant")
        if message.by_guide:
            name = say("guide_name")
        left = Content.styled(name, "bold $act" if user else "bold $quiet")
        right = self._info()
        space = width - left.cell_length - right.cell_length
        if space < 2:
            return left.truncate(width, ellipsis=True)
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

    def _notes(self, width: int) -> list[Content]:
        """The lines under the text, wrapped."""
        note = self._note()
        return note.wrap(min(width, MAX_TEXT)) if note else []

    def _note(self) -> Content | None:
        message, say = self.message, self._strings
        go_on = Content.from_markup(f"[$act @click=app.continue_reply]{say('note_continue')}[/]")
        anew = Content.from_markup(f"[$act @click=app.regenerate]{say('note_regenerate')}[/]")
        between = Content.styled(" · ", "$quiet")
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


def _same(pair: tuple[tuple[int, Row], tuple[int, Row]]) -> bool:
    """Would two rows be drawn alike?"""
    (_, old), (_, new) = pair
    return old.fill == new.fill and old.prefix.is_same(new.prefix) and old.text.is_same(new.text)
