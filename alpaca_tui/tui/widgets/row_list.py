"""A virtual list of rows: only those on the screen are made.

Textual lays out every child of a container again whenever one of them grows; here a reply that grows changes
one number. A message is read and wrapped when it comes near to the screen; until then its height is a guess,
so that a chat of thousands of messages opens as fast as a short one. What was made goes when it is far away
again. When a guess turns out wrong, what is on screen stays where it is.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView

from alpaca_tui.tui.widgets.message import Entry

TOP = 1  # blank rows above the first message
FAR = 6  # entries from the screen, from which on they are let go
MAX_ROUNDS = 8  # of building what came into view because what was built is lower than was guessed


class RowList(ScrollView):
    """`_entries` are what is shown; `_measure` counts their rows, `_build` wraps those near the screen."""

    class AtEnd(Message):
        """The end came into view, or left it."""

        def __init__(self, at_end: bool) -> None:
            super().__init__()
            self.at_end = at_end

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self.following = True  # the end stays in view
        self._told = True
        self._entries: list[Entry] = []
        self._starts: list[int] = [TOP]  # the first row of each entry, and the row behind the last
        self._building = False
        self._near = range(0)  # the entries that were near the screen when far ones were let go last

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
                    self._forget_far(first, last)
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

    def _forget_far(self, first: int, last: int) -> None:
        """Once in a while, since it looks at every entry."""
        if first in self._near and last in self._near:
            return
        self._near = range(max(first - FAR, 0), last + FAR + 1)
        for index, entry in enumerate(self._entries):
            if index not in self._near:
                entry.forget()

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
        width = self._width
        for entry in self._entries:
            entry.set_width(width)
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

    # --- moving --------------------------------------------------------------------------------------------

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if not self._building:
            self.following = new_value >= self.max_scroll_y
            self._build()
        if self.following != self._told:
            self._told = self.following
            self.post_message(self.AtEnd(self.following))

    def _move(self, y: float, at_once: bool = False) -> None:
        """Forced: whether there is a scroll bar is known only after the next layout."""
        self.scroll_to(y=y, animate=False, force=True, immediate=at_once)

    def page(self, direction: int) -> None:
        self._move(self.scroll_y + direction * max(self.size.height - 2, 1))

    def to_start(self) -> None:
        self._move(0)

    def to_end(self) -> None:
        self._move(self.max_scroll_y)
