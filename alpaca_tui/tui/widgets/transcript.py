"""The conversation on screen: its messages, what is selected and found in them, the one that keys act on."""

from __future__ import annotations

from bisect import bisect_right
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.geometry import Offset
from textual.message import Message
from textual.selection import Selection
from textual.strip import Strip

from alpaca_tui.chat.conversation import Conversation, Role
from alpaca_tui.chat.conversation import Message as ChatMessage
from alpaca_tui.tui.finding import Finder, Pattern
from alpaca_tui.tui.keymap import READ, KeyMap, bindings
from alpaca_tui.tui.strings import Strings
from alpaca_tui.tui.widgets.message import MemoryLine, MessageRows
from alpaca_tui.tui.widgets.painter import Painter, Place
from alpaca_tui.tui.widgets.row_list import RowList
from alpaca_tui.tui.widgets.slot import Slot

LINES = 1 << 20  # numbers of lines that each entry has for itself: those of others need not be known


class Transcript(RowList, can_focus=True):
    """Follows its end while text comes, unless the user has scrolled up; at the end it follows again.

    While it has the focus, keys act on one message, the marked one. A click does not take the focus: it
    begins a selection.
    """

    FOCUS_ON_CLICK = False
    BINDINGS: ClassVar[list[BindingType]] = bindings(READ)

    class Typed(Message):
        """A character that is no command here."""

        def __init__(self, character: str) -> None:
            super().__init__()
            self.character = character

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
        self._strings = strings
        self.finder = Finder(self._places)
        self._marked: ChatMessage | None = None
        self._marked_at = LINES  # its place in the path, where it is gone
        self.own_keys = set(KeyMap().keys_of(READ))  # what is no character for the prompt

    # --- what is shown -------------------------------------------------------------------------------------

    @property
    def messages(self) -> list[MessageRows]:
        """All messages, wrapped: for a short chat."""
        return [slot.build() for slot in self._slots]

    @property
    def _slots(self) -> list[Slot]:
        return [entry for entry in self._entries if isinstance(entry, Slot)]

    def _find(self, message: ChatMessage) -> tuple[int, Slot] | None:
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
        width = self._width
        for message in path:
            slot = shown.get(id(message)) or self._make(message, width)
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

    def add(self, message: ChatMessage, conversation: Conversation) -> None:
        """A message at the end, which comes into view."""
        slots = self._slots
        if slots:
            slots[-1].set_last(False)
        slot = self._make(message, self._width)
        slot.set_version(conversation)
        self._entries.append(slot)
        self.following = True
        self._measure()
        self._build()

    def _make(self, message: ChatMessage, width: int) -> Slot:
        slot = Slot(message, self._strings)
        slot.set_width(width)
        return slot

    def grown(self, message: ChatMessage) -> None:
        """Text was added to a reply."""
        if found := self._find(message):
            index, slot = found
            rows = slot.build()
            height = rows.height
            first = rows.grown()
            if rows.height != height:
                self._measure(index)
            self._redraw(index, first)

    def changed(self, message: ChatMessage) -> None:
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

    # --- drawing ------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        base = self.visual_style
        row = y + self.scroll_offset.y
        index = bisect_right(self._starts, row) - 1
        if not 0 <= index < len(self._entries):
            return Strip.blank(width, base.rich_style)
        selection = self.text_selection
        entry, hit = self._entries[index], self.finder.hit
        message = entry.message if isinstance(entry, Slot) else None
        painter = Painter(
            base,
            self.app.stylesheet.parse_style,
            selection.get_span if selection else lambda line: None,
            self.screen.get_visual_style("screen--selection", partial=True),
            marked=self.has_focus and message is not None and message is self.marked,
            found=self.finder.pattern,
            hit=(hit.line, hit.start, hit.end) if hit is not None and hit.message is message else None,
        )
        segments = entry.draw(row - self._starts[index], index * LINES, painter)
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

    def reveal(self, message: ChatMessage, first: int = 0, rows: int = 1) -> None:
        """Brings rows of a message on the screen, the first of them above all."""
        for _ in range(3):  # what is wrapped on the way there moves it
            found = self._find(message)
            if found is None:
                return
            index, slot = found
            self.following = False
            slot.build()
            self._measure(index)
            begin = self._starts[index] + first
            end = min(begin + rows, self._starts[index] + slot.height)
            top, height = int(self.scroll_y), self.size.height
            if begin >= top and end <= top + height:
                break
            to = end - height if end > top + height and end - begin <= height else begin
            if begin < to or begin < top:
                to = begin
            self._move(max(to, 0), at_once=True)
            self._build()
        self.following = self.scroll_y >= self.max_scroll_y
        self.refresh()

    # --- the marked message --------------------------------------------------------------------------------

    @property
    def marked(self) -> ChatMessage | None:
        """The message that keys act on: where that is gone, the one in its place."""
        slots = self._slots
        if not slots:
            return None
        if self._marked is not None and self._find(self._marked) is not None:
            return self._marked
        return slots[min(self._marked_at, len(slots) - 1)].message

    def mark(self, message: ChatMessage) -> None:
        self._take(message)
        found = self._find(message)
        self.reveal(message, 0, found[1].build().height if found else 1)

    def _take(self, message: ChatMessage) -> None:
        path = [slot.message for slot in self._slots]
        self._marked = message
        self._marked_at = next((i for i, m in enumerate(path) if m is message), len(path) - 1)

    def on_focus(self) -> None:
        """Takes the lowest message on the screen, unless the marked one is in view."""
        height, top = self.size.height, self.scroll_offset.y
        found = self._find(self._marked) if self._marked is not None else None
        if found is not None:
            start = self._starts[found[0]]
            if start < top + height and start + found[1].height - 1 > top:
                self.refresh()
                return
        for index in range(self._at(top + height - 1), -1, -1):
            entry = self._entries[index] if self._entries else None
            if isinstance(entry, Slot):
                self._take(entry.message)
                break
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def action_move(self, step: int) -> None:
        path = [slot.message for slot in self._slots]
        marked = self.marked
        if marked is not None:
            at = next(i for i, message in enumerate(path) if message is marked)
            self.mark(path[min(max(at + step, 0), len(path) - 1)])

    def action_ends(self, direction: int) -> None:
        slots = self._slots
        if slots:
            self.mark(slots[0 if direction < 0 else -1].message)
            self.to_start() if direction < 0 else self.to_end()

    def action_page(self, direction: int) -> None:
        self.page(direction)

    def on_key(self, event: events.Key) -> None:
        """What is no command here belongs into the prompt."""
        if event.is_printable and event.character and event.key not in self.own_keys:
            event.stop()
            self.post_message(self.Typed(event.character))

    # --- searching -----------------------------------------------------------------------------------------

    def _places(self, message: ChatMessage, found: Pattern) -> list[Place]:
        slot = self._find(message)
        return slot[1].build().places(found) if slot is not None else []

    def find(self, needle: str) -> None:
        """Marks the matches, and goes to the nearest from the top of the screen on."""
        path = [slot.message for slot in self._slots]
        entry = self._entries[self._at(int(self.scroll_y))] if self._entries else None
        near = next((i for i, m in enumerate(path) if isinstance(entry, Slot) and m is entry.message), 0)
        self.finder.look_for(needle, path, near)
        self._show_hit()

    def find_next(self, direction: int) -> None:
        self.finder.refresh([slot.message for slot in self._slots])
        self.finder.step(direction)
        self._show_hit()

    def forget_search(self) -> None:
        self.finder.clear()
        self.refresh()

    def _show_hit(self) -> None:
        hit = self.finder.hit
        if hit is not None and (found := self._find(hit.message)):
            row = found[1].build().row_of((hit.line, hit.start, hit.end))
            self._take(hit.message)
            self.reveal(hit.message, max(row - 1, 0), 3)
        self.refresh()
