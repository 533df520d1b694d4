"""The conversation on screen.

One widget draws all messages: a virtual list of rows, of which only the visible ones are made. Textual lays
out every child of a container again whenever one of them grows; here a reply that grows changes one number.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from textual import events
from textual.geometry import Offset, Region, Size
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from alpaca_tui.chat.conversation import Conversation, Message
from alpaca_tui.tui.strings import Strings
from alpaca_tui.tui.widgets.message import Entry, MemoryLine, MessageRows, Painter

TOP = 1  # blank rows above the first message


class Transcript(ScrollView, can_focus=False):
    """Follows its end while text comes, unless the user has scrolled up; at the end it follows again."""

    DEFAULT_CSS = """
    Transcript {
        background: $ground;
        color: $ink;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        scrollbar-gutter: stable;
    }
    """

    def __init__(self, strings: Strings) -> None:
        super().__init__(id="transcript")
        self.following = True
        self._strings = strings
        self._entries: list[Entry] = []
        self._starts: list[int] = [TOP]  # the first row of each entry, and the row behind the last
        self._first_lines: list[int] = [0]  # the number of the first line of each, and of one more

    # --- what is shown -------------------------------------------------------------------------------------

    @property
    def messages(self) -> list[MessageRows]:
        return [entry for entry in self._entries if isinstance(entry, MessageRows)]

    def _find(self, message: Message) -> tuple[int, MessageRows] | None:
        """A message, and the index of its entry; newest first, since that is the one that changes."""
        for index in range(len(self._entries) - 1, -1, -1):
            entry = self._entries[index]
            if isinstance(entry, MessageRows) and entry.message is message:
                return index, entry
        return None

    def show_path(self, conversation: Conversation) -> None:
        """Draws another path. What both have in common at the beginning stays as it is."""
        shown = {id(rows.message): rows for rows in self.messages}
        path = conversation.path()
        self._entries = [shown.get(id(m)) or self._make(m, conversation) for m in path]
        for rows in self.messages:
            rows.set_last(rows.message is path[-1])
        self.screen.clear_selection()
        self._measure()

    def show_anew(self, conversation: Conversation) -> None:
        """Draws everything again, as in another language."""
        self._entries = []
        self.show_path(conversation)

    def add(self, message: Message, conversation: Conversation) -> None:
        """A message at the end, which comes into view."""
        if self.messages:
            self.messages[-1].set_last(False)
        self._entries.append(self._make(message, conversation))
        self.following = True
        self._measure()

    def _make(self, message: Message, conversation: Conversation) -> MessageRows:
        siblings = conversation.siblings(message)
        rows = MessageRows(message, self._strings, (siblings.index(message) + 1, len(siblings)))
        rows.set_width(self._width)
        return rows

    def grown(self, message: Message) -> None:
        """Text was added to a reply."""
        if found := self._find(message):
            index, rows = found
            height, lines = rows.height, len(rows.lines)
            first = rows.grown()
            if (rows.height, len(rows.lines)) != (height, lines):
                self._measure(index)
            self._redraw(index, first)

    def changed(self, message: Message) -> None:
        """The state of a message changed."""
        if found := self._find(message):
            index, rows = found
            rows.changed()
            self._measure(index)
            self._redraw(index, 0)

    def mark_memory(self, question_id: int | None) -> None:
        """Puts the memory line before a question, or takes it away."""
        self._entries = [entry for entry in self._entries if not isinstance(entry, MemoryLine)]
        for index, entry in enumerate(self._entries):
            if isinstance(entry, MessageRows) and entry.message.id == question_id:
                line = MemoryLine(self._strings("memory_begins"))
                line.set_width(self._width)
                self._entries.insert(index, line)
                break
        self._measure()
        self.refresh()

    # --- rows ----------------------------------------------------------------------------------------------

    @property
    def _width(self) -> int:
        return self.scrollable_content_region.width

    def _measure(self, index: int = 0) -> None:
        """Counts the rows from an entry on, and goes to the end where that is followed."""
        entries = self._entries[index:]
        start, line = (self._starts[index], self._first_lines[index]) if index else (TOP, 0)
        self._starts[index:] = accumulate((entry.height for entry in entries), initial=start)
        lines = (len(entry.lines) + 1 for entry in entries)  # a blank line between two
        self._first_lines[index:] = accumulate(lines, initial=line)
        self.virtual_size = Size(self._width, self._starts[-1])
        if self.following or self.scroll_y > self.max_scroll_y:
            self._move(self.max_scroll_y)

    def _redraw(self, index: int, first: int) -> None:
        """Draws the rows of an entry from `first` on, and what is below them."""
        top = self._starts[index] + first - self.scroll_offset.y
        height = self.size.height
        if top < height:
            self.refresh(Region(0, max(top, 0), self.size.width, height - max(top, 0)))

    def on_resize(self) -> None:
        """Wraps for the new width. What was at the top stays there, unless the end is followed."""
        row = self.scroll_offset.y
        index = max(min(bisect_right(self._starts, row) - 1, len(self._entries) - 1), 0)
        share = self._share(index, row)
        for entry in self._entries:
            entry.set_width(self._width)
        self._measure()
        if not self.following and self._entries:
            height = self._entries[index].height
            self._move(self._starts[index] + round(share * height))
        self.refresh()

    def _share(self, index: int, row: int) -> float:
        if not self._entries:
            return 0.0
        return (row - self._starts[index]) / self._entries[index].height

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        base = self.visual_style
        row = y + self.scroll_offset.y
        index = bisect_right(self._starts, row) - 1
        if not 0 <= index < len(self._entries):
            return Strip.blank(width, base.rich_style)
        selection = self.text_selection
        painter = Painter(
            base,
            self.app.stylesheet.parse_style,
            selection.get_span if selection else lambda line: None,
            self.screen.get_visual_style("screen--selection", partial=True),
        )
        segments = self._entries[index].draw(row - self._starts[index], self._first_lines[index], painter)
        return Strip(segments).adjust_cell_length(width, base.rich_style)

    # --- selecting -----------------------------------------------------------------------------------------

    def _plain_lines(self) -> list[str]:
        lines: list[str] = []
        for entry in self._entries:
            lines += [line.plain for line in entry.lines]
            lines.append("")
        return lines

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        lines = self._plain_lines()
        if not lines:
            return None
        start = selection.start or Offset(0, 0)
        end = selection.end or Offset(len(lines[-1]), len(lines) - 1)
        picked = lines[start.y : end.y + 1]  # lines that are gone meanwhile select nothing
        if not picked:
            return None
        if end.y < len(lines):
            picked[-1] = picked[-1][: end.x]
        picked[0] = picked[0][start.x :]
        return "\n".join(picked), "\n"

    def select_lines(self, first: int, last: int) -> None:
        """Selects whole lines, by their numbers in the transcript."""
        lines = self._plain_lines()
        last = min(last, len(lines) - 1)
        if 0 <= first <= last:
            self.screen.selections = {self: Selection(Offset(0, first), Offset(len(lines[last]), last))}

    async def on_click(self, event: events.Click) -> None:
        """A double click selects a paragraph, a triple one a message (and not the whole conversation)."""
        event.prevent_default()
        if event.chain > 1:
            event.stop()
            _, offset = self.screen.get_widget_and_offset_at(event.screen_x, event.screen_y)
            if offset is not None:
                index = bisect_right(self._first_lines, offset.y) - 1
                if event.chain == 2:
                    self.select_lines(offset.y, offset.y)
                else:
                    self.select_lines(self._first_lines[index], self._first_lines[index + 1] - 2)
        await self.broker_event("click", event)

    # --- moving --------------------------------------------------------------------------------------------

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self.following = new_value >= self.max_scroll_y
        self.screen.set_class(not self.following, "scrolled-up")

    def _move(self, y: float) -> None:
        """Forced: whether there is a scroll bar is known only after the next layout."""
        self.scroll_to(y=y, animate=False, force=True)

    def page(self, direction: int) -> None:
        self._move(self.scroll_y + direction * max(self.size.height - 2, 1))

    def to_start(self) -> None:
        self._move(0)

    def to_end(self) -> None:
        self._move(self.max_scroll_y)
