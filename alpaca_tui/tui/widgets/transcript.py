"""The conversation on screen.

One widget draws all messages: a virtual list of rows, of which only the visible ones are made. Textual lays
out every child of a container again whenever one of them grows; here a reply that grows changes one number.

A message is read and wrapped when it comes near to the screen; until then its height is a guess, so that a
chat of thousands of messages opens as fast as a short one. When a guess turns out wrong, what is on screen
stays where it is.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from textual import events
from textual.geometry import Offset, Region, Size
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from alpaca_tui.chat.conversation import Conversation, Message, Role
from alpaca_tui.tui.strings import Strings
from alpaca_tui.tui.widgets.message import Entry, MemoryLine, MessageRows, Painter
from alpaca_tui.tui.widgets.slot import Slot

TOP = 1  # blank rows above the first message
MAX_ROUNDS = 8  # of building what came into view because what was built is lower than was guessed
LINES = 1 << 20  # numbers of lines that each entry has for itself: those of others need not be known


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
        self._building = False

    # --- what is shown -------------------------------------------------------------------------------------

    @property
    def messages(self) -> list[MessageRows]:
        """All messages, wrapped: for a short chat."""
        return [slot.build() for slot in self._slots]

    @property
    def _slots(self) -> list[Slot]:
        return [entry for entry in self._entries if isinstance(entry, Slot)]

    def _find(self, message: Message) -> tuple[int, Slot] | None:
        """A message, and the index of its entry; newest first, since that is the one that changes."""
        for index in range(len(self._entries) - 1, -1, -1):
            entry = self._entries[index]
            if isinstance(entry, Slot) and entry.message is message:
                return index, entry
        return None

    def show_path(self, conversation: Conversation) -> None:
        """Draws another path. What both have in common at the beginning stays as it is."""
        shown = {id(slot.message): slot for slot in self._slots}
        path = conversation.path()
        self._entries = []
        for message in path:
            slot = shown.get(id(message)) or self._make(message)
            slot.set_version(conversation)
            slot.set_last(message is path[-1])
            self._entries.append(slot)
        if not any(id(message) in shown for message in path):
            self.following = True  # another conversation
        self.screen.clear_selection()
        self._measure()
        self._build()
        self.refresh()

    def show_anew(self, conversation: Conversation) -> None:
        """Draws everything again, as in another language."""
        self._entries = []
        self.show_path(conversation)

    def add(self, message: Message, conversation: Conversation) -> None:
        """A message at the end, which comes into view."""
        slots = self._slots
        if slots:
            slots[-1].set_last(False)
        slot = self._make(message)
        slot.set_version(conversation)
        self._entries.append(slot)
        self.following = True
        self._measure()
        self._build()

    def _make(self, message: Message) -> Slot:
        slot = Slot(message, self._strings)
        slot.set_width(self._width)
        return slot

    def grown(self, message: Message) -> None:
        """Text was added to a reply."""
        if found := self._find(message):
            index, slot = found
            rows = slot.build()
            height = rows.height
            first = rows.grown()
            if rows.height != height:
                self._measure(index)
            self._redraw(index, first)

    def changed(self, message: Message) -> None:
        """The state of a message changed."""
        if found := self._find(message):
            index, slot = found
            slot.build().changed()
            self._measure(index)
            self._redraw(index, 0)

    def mark_memory(self, question_id: int | None) -> None:
        """Puts the memory line before a question, or before a reply whose beginning is forgotten; or takes
        it away.
        """
        self._entries = [entry for entry in self._entries if not isinstance(entry, MemoryLine)]
        for index, entry in enumerate(self._entries):
            if isinstance(entry, Slot) and entry.message.id == question_id:
                what = "memory_begins" if entry.message.role is Role.USER else "memory_gap"
                line = MemoryLine(self._strings(what))
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
        start = self._starts[index] if index else TOP
        self._starts[index:] = accumulate((entry.height for entry in entries), initial=start)
        self.virtual_size = Size(self._width, self._starts[-1])
        if self.following or self.scroll_y > self.max_scroll_y:
            self._move(self.max_scroll_y)

    def _at(self, row: int) -> int:
        """The index of the entry that a row belongs to."""
        return max(min(bisect_right(self._starts, row) - 1, len(self._entries) - 1), 0)

    def _build(self) -> None:
        """Wraps the messages in view and a screenful above and below. The top row stays what it is."""
        height = self.size.height
        if self._building or not height or not self._width:
            return
        self._building = True
        try:
            for _ in range(MAX_ROUNDS):
                top = int(self.max_scroll_y if self.following else self.scroll_y)
                first, last = self._at(top - height), self._at(top + 2 * height)
                todo = [entry for entry in self._entries[first : last + 1] if not entry.built]
                if not todo:
                    return
                index = self._at(top)
                guessed, share = not self._entries[index].built, self._share(index, top)
                inside = top - self._starts[index]
                for entry in todo:
                    entry.set_width(self._width)
                    entry.build()
                self._measure(first)
                if not self.following:
                    if guessed:
                        inside = round(share * self._entries[index].height)
                    self._move(self._starts[index] + inside, at_once=True)
        finally:
            self._building = False

    def _redraw(self, index: int, first: int) -> None:
        """Draws the rows of an entry from `first` on, and what is below them."""
        top = self._starts[index] + first - self.scroll_offset.y
        height = self.size.height
        if top < height:
            self.refresh(Region(0, max(top, 0), self.size.width, height - max(top, 0)))

    def on_resize(self) -> None:
        """Wraps for the new width. What was at the top stays there, unless the end is followed."""
        row = self.scroll_offset.y
        index = self._at(row)
        share = self._share(index, row)
        for entry in self._entries:
            entry.set_width(self._width)
        self._measure()
        if not self.following and self._entries:
            height = self._entries[index].height
            self._move(self._starts[index] + round(share * height), at_once=True)
        self._build()
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
        segments = self._entries[index].draw(row - self._starts[index], index * LINES, painter)
        return Strip(segments).adjust_cell_length(width, base.rich_style)

    # --- selecting -----------------------------------------------------------------------------------------

    def _plain_lines(self, first: int, last: int) -> list[str]:
        """The lines with these numbers and between; a blank one behind each message but the last."""
        lines: list[str] = []
        for index in range(first // LINES, min(last // LINES + 1, len(self._entries))):
            begin = first % LINES if index == first // LINES else 0
            end = last % LINES if index == last // LINES else LINES
            own = [line.plain for line in self._entries[index].lines]
            lines += [*own, ""][begin : end + 1]
        return lines

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        if not self._entries:
            return None
        start = selection.start or Offset(0, 0)
        bottom = len(self._entries) - 1
        end = selection.end or Offset(LINES, bottom * LINES + len(self._entries[bottom].lines) - 1)
        picked = self._plain_lines(start.y, end.y)  # lines that are gone meanwhile select nothing
        if not picked:
            return None
        index = end.y // LINES
        if index <= bottom and end.y % LINES <= len(self._entries[index].lines):
            picked[-1] = picked[-1][: end.x]
        picked[0] = picked[0][start.x :]
        return "\n".join(picked), "\n"

    def select_lines(self, first: int, last: int) -> None:
        """Selects whole lines, by their numbers: those of entry `i` begin at `i * LINES`."""
        lines = self._plain_lines(first, last)
        if lines:
            self.screen.selections = {self: Selection(Offset(0, first), Offset(len(lines[-1]), last))}

    async def on_click(self, event: events.Click) -> None:
        """A double click selects a paragraph, a triple one a message (and not the whole conversation)."""
        event.prevent_default()
        if event.chain > 1:
            event.stop()
            _, offset = self.screen.get_widget_and_offset_at(event.screen_x, event.screen_y)
            if offset is not None:
                index = offset.y // LINES
                if event.chain == 2:
                    self.select_lines(offset.y, offset.y)
                elif index < len(self._entries):
                    lines = len(self._entries[index].lines)
                    self.select_lines(index * LINES, index * LINES + lines - 1)
        await self.broker_event("click", event)

    # --- moving --------------------------------------------------------------------------------------------

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if not self._building:
            self.following = new_value >= self.max_scroll_y
            self._build()
        self.screen.set_class(not self.following, "scrolled-up")

    def _move(self, y: float, at_once: bool = False) -> None:
        """Forced: whether there is a scroll bar is known only after the next layout."""
        self.scroll_to(y=y, animate=False, force=True, immediate=at_once)

    def page(self, direction: int) -> None:
        self._move(self.scroll_y + direction * max(self.size.height - 2, 1))

    def to_start(self) -> None:
        self._move(0)

    def to_end(self) -> None:
        self._move(self.max_scroll_y)
