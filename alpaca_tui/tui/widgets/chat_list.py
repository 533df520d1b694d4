"""The rows of the list of chats: ten thousand are no more work than those in view."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.segment import Segment
from textual import events
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from alpaca_tui.chat.store.chats import Summary
from alpaca_tui.tui import glyphs
from alpaca_tui.tui.markdown.inline import clean
from alpaca_tui.tui.strings import Strings

TITLE = 200  # characters of a title that are looked at
SNIPPET, BEFORE = 160, 12  # characters shown around what was found, of them before it


class ChatList(ScrollView, can_focus=False):
    """Posts `Chosen` for the row that is clicked while it is marked; `cursor` is the marked row."""

    DEFAULT_CSS = """
    ChatList { background: $surface; color: $ink; overflow-x: hidden; scrollbar-size-vertical: 1; }
    """
    ALLOW_SELECT = False

    cursor: reactive[int] = reactive(0, init=False)

    class Chosen(Message):
        """A chat is to be opened."""

    def __init__(self, strings: Strings, current: str) -> None:
        super().__init__(id="chats-list")
        self.rows: Sequence[Summary] = ()
        self.found: Mapping[int, int] = {}  # by a chat's id, that of a message that has the words
        self.snippets: dict[int, str] = {}  # by the id of the message that was found
        self._strings = strings
        self._current = current

    @property
    def marked(self) -> Summary | None:
        return self.rows[self.cursor] if self.cursor < len(self.rows) else None

    def show(self, rows: Sequence[Summary], found: Mapping[int, int], keep: int | None = None) -> None:
        """Shows these; marks the chat with the id `keep` where it is among them, else the first."""
        self.rows, self.found = rows, found
        self.snippets = {}
        self.virtual_size = Size(self.size.width, len(rows))
        self.cursor = next((i for i, row in enumerate(rows) if row.id == keep), 0)
        self._follow()
        self.refresh()

    def show_snippets(self, texts: Mapping[int, str], words: str) -> None:
        """Shows where in these messages the words stand."""
        self.snippets = {row: snippet(text, words) for row, text in texts.items()}
        self.refresh()

    def move(self, rows: int) -> None:
        self.cursor = max(min(self.cursor + rows, len(self.rows) - 1), 0)

    def watch_cursor(self) -> None:
        self._follow()
        self.refresh()

    def _follow(self) -> None:
        self.scroll_to_region(Region(0, self.cursor, 1, 1), animate=False, force=True)

    def on_resize(self) -> None:
        self.virtual_size = Size(self.size.width, len(self.rows))
        self._follow()

    def on_click(self, event: events.Click) -> None:
        """The first click marks a row, one on the marked row opens it."""
        event.stop()
        row = event.y + self.scroll_offset.y
        if row < len(self.rows):
            if row == self.cursor:
                self.post_message(self.Chosen())
            self.cursor = row

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        row = y + self.scroll_offset.y
        base = self.visual_style
        if row >= len(self.rows):
            return Strip.blank(self.size.width, base.rich_style)
        marked = row == self.cursor
        style = base + self.app.stylesheet.parse_style("$ink on $panel") if marked else base
        content = self._row(self.rows[row], self.size.width - 1, marked)
        rendered = content.render(style, end="", parse_style=self.app.stylesheet.parse_style)
        segments = [Segment(text, (style + part).rich_style) for text, part in rendered if text]
        return Strip(segments).adjust_cell_length(self.size.width, style.rich_style)

    def _row(self, chat: Summary, width: int, marked: bool) -> Content:
        say = self._strings
        sign = glyphs.PIN if chat.pinned else glyphs.DOT if chat.key == self._current else " "
        left = Content.styled(f" {sign} ", "$act")
        if chat.title:
            title = Content.styled(one_line(chat.title), "bold" if marked else "")
        else:
            title = Content.styled(say("chats_draft", text=one_line(chat.draft)), "$quiet")
        when = Content.styled(f"  {when_text(chat.updated, time.time())} ", "$quiet")
        room = width - left.cell_length - when.cell_length
        found = self.snippets.get(self.found.get(chat.id, 0), "")
        if found and room > 30:
            title = title.truncate(room // 2, ellipsis=True)
            title += Content.styled(f"  {found}", "$quiet")
        title = title.truncate(max(room, 1), ellipsis=True)
        return left + title + Content(" " * (room - title.cell_length)) + when


def one_line(text: str) -> str:
    return " ".join(clean(text[:TITLE]).split())


def snippet(text: str, words: str) -> str:
    """The part of a text where the first of the words stands that is in it."""
    text = " ".join(clean(text).split())
    folded = text.casefold()
    places = (folded.find(word) for word in words.casefold().split())
    at = next((place for place in places if place >= 0), 0)
    begin = max(at - BEFORE, 0)
    return ("…" if begin else "") + text[begin : begin + SNIPPET]


def when_text(then: float, now: float) -> str:
    """The time of today, the day of this year, else the date: the same in all languages."""
    a: Any = time.localtime(then)
    b: Any = time.localtime(now)
    if (a.tm_year, a.tm_yday) == (b.tm_year, b.tm_yday):
        return time.strftime("%H:%M", a)
    return time.strftime("%m-%d" if a.tm_year == b.tm_year else "%Y-%m-%d", a)
