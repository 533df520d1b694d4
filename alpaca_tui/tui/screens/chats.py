"""The list of chats: filter by typing, open, rename, pin, copy, delete and bring back, export."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from alpaca_tui.chat.store import chats, search
from alpaca_tui.chat.store.archive import Archive
from alpaca_tui.chat.store.chats import Summary
from alpaca_tui.chat.store.trouble import StoreTroubleError
from alpaca_tui.chat.transfer import FORMATS, file_name
from alpaca_tui.tui.screens.dialog import Dialog
from alpaca_tui.tui.strings import Strings
from alpaca_tui.tui.widgets.chat_list import ChatList, one_line

AROUND = 10  # rows of the screen that are not chats
WIDTH, BESIDE = 100, 5  # columns of the page, and of it those beside its text
SNIPPETS = 200  # rows for which it is looked up where the words stand

# (key shown, action, key of the strings)
HINTS = (
    ("Enter", "open", "chats_open"),
    ("F2", "rename", "chats_rename"),
    ("^T", "pin", "chats_pin"),
    ("^Y", "duplicate", "chats_duplicate"),
    ("Del", "delete", "chats_delete"),
    ("^Z", "undelete", "chats_undelete"),
    ("^E", "export", "chats_export"),
    ("Esc", "close", "chats_close"),
)


class ChatsScreen(Dialog[None]):
    """Posts to the application what concerns the conversation that is open or to be opened; all else it has
    the archive do itself."""

    DEFAULT_CSS = """
    ChatsScreen { align: center middle; background: $ground 70%; }
    #chats-box {
        width: 100; max-width: 98%; height: auto; max-height: 98%;
        background: $surface; border-left: wide $act; padding: 1 1 0 1;
    }
    #chats-title { text-style: bold; height: 1; padding: 0 1; }
    #chats-filter, #chats-field {
        margin: 1 0; border: none; height: 1; padding: 0 1; background: $panel; color: $ink;
        &:focus { border: none; }
    }
    #chats-list { height: 1; }
    #chats-field { display: none; margin: 1 0 0 0; }
    #chats-label { display: none; height: 1; color: $quiet; padding: 0 1; margin: 1 0 0 0; }
    #chats-note { height: auto; min-height: 1; color: $now; padding: 0 1; }
    #chats-keys { height: auto; color: $quiet; padding: 0 1; margin: 0 0 1 0; }
    ChatsScreen.asking #chats-field, ChatsScreen.asking #chats-label { display: block; }
    ChatsScreen.low #chats-box { padding: 0 1; }
    ChatsScreen.low #chats-filter { margin: 0; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", show=False, id="chats_close"),
        Binding("enter", "open", show=False, id="chats_open"),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("ctrl+home", "move(-1000000)", show=False),
        Binding("ctrl+end", "move(1000000)", show=False),
        Binding("f2", "rename", show=False, priority=True, id="chats_rename"),
        Binding("ctrl+t", "pin", show=False, priority=True, id="chats_pin"),
        Binding("ctrl+y", "duplicate", show=False, priority=True, id="chats_duplicate"),
        Binding("delete", "delete", show=False, priority=True, id="chats_delete"),
        Binding("ctrl+z", "undelete", show=False, priority=True, id="chats_undelete"),
        Binding("ctrl+e", "export", show=False, priority=True, id="chats_export"),
        Binding("ctrl+n", "new", show=False, priority=True, id="chats_new"),
    ]

    @dataclass
    class Open(Message):
        """A chat is to be opened; None: a new one."""

        chat: int | None

    @dataclass
    class Deleted(Message):
        key: str

    @dataclass
    class Renamed(Message):
        key: str
        title: str

    @dataclass
    class Export(Message):
        """A chat is to be written to a file."""

        chat: int
        path: str

    def __init__(self, strings: Strings, archive: Archive, current: str, folder: Path) -> None:
        super().__init__()
        self._strings = strings
        self._archive = archive
        self._current = current
        self._folder = folder
        self._asking: tuple[str, Summary] | None = None  # what the second field is for, and which chat
        self._asked = 0  # queries so far: only the last one's answer is shown
        self._all: list[Summary] = []
        self.chats = ChatList(strings, current)

    def compose(self) -> ComposeResult:
        say = self._strings
        with Vertical(id="chats-box"):
            yield Static(say("chats_title"), id="chats-title", markup=False)
            yield Input(id="chats-filter", placeholder=say("chats_filter"), compact=True)
            yield self.chats
            yield Static("", id="chats-label", markup=False)
            yield Input(id="chats-field", compact=True)
            yield Static("", id="chats-note", markup=False)
            yield Static("", id="chats-keys")

    def on_mount(self) -> None:
        self._filter.focus()
        self.look()

    def on_resize(self, event: events.Resize) -> None:
        low = event.size.height < 20
        self.set_class(low, "low")
        self.chats.styles.height = max(event.size.height - AROUND + 3 * low, 1)
        self._write_hints(min(event.size.width * 98 // 100, WIDTH) - BESIDE)

    def _write_hints(self, width: int) -> None:
        """The keys with their words; a row ends between two of them."""
        text, used = Content(), 0
        for key, action, word in HINTS:
            hint = Content.from_markup(f"[$act @click=screen.{action}]{key}[/] {self._strings(word)}")
            fits = used + 2 + hint.cell_length <= width
            text += Content("  " if fits else "\n") + hint if used else hint
            used = (used + 2 if fits and used else 0) + hint.cell_length
        self.query_one("#chats-keys", Static).update(text)

    @property
    def _filter(self) -> Input:
        return self.query_one("#chats-filter", Input)

    @property
    def _field(self) -> Input:
        return self.query_one("#chats-field", Input)

    def note(self, text: str) -> None:
        self.query_one("#chats-note", Static).update(text)

    # --- what is listed ------------------------------------------------------------------------------------

    @on(Input.Changed, "#chats-filter")
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._asked += 1
        self.run_worker(self._filter_rows(self._asked, None, ""), exit_on_error=False)

    def look(self, keep: int | None = None, note: str = "") -> None:
        """Reads all chats anew; then marks chat `keep` and says `note`."""
        self._asked += 1
        self.run_worker(self._look(self._asked, keep, note), exit_on_error=False)

    async def _look(self, number: int, keep: int | None, note: str) -> None:
        rows = await self._done(self._archive.run(chats.summaries))
        if rows is None:
            return
        self._all = rows
        if number == 1:  # to go on with the chat before is two keys
            keep = next((row.id for row in rows if row.key != self._current), None)
        await self._filter_rows(self._asked, keep, note)

    async def _filter_rows(self, number: int, keep: int | None, note: str) -> None:
        """Shows those of the chats that have the words of the filter."""
        words = self._filter.value
        rows = self._all
        found: dict[int, int] = {}
        if words.strip():
            found = await self._done(self._archive.run(search.find, words)) or {}
            if number != self._asked:
                return
            rows = [row for row in rows if row.id in found]
        self.chats.show(rows, found, keep)
        if not rows and not note:
            note = self._strings("chats_none" if words.strip() else "chats_empty")
        self.note(note)
        messages = [found[row.id] for row in rows[:SNIPPETS]] if found else []
        if messages:
            texts = await self._done(self._archive.run(chats.texts, messages))
            if texts and number == self._asked:
                self.chats.show_snippets(texts, words)

    async def _done(self, future: Future[Any]) -> Any:
        """What the archive answers; None, and a note, where it cannot."""
        try:
            return await asyncio.wrap_future(future)
        except StoreTroubleError as trouble:
            self.note(trouble_text(trouble, self._strings))
            return None

    # --- keys ----------------------------------------------------------------------------------------------

    def action_move(self, rows: int) -> None:
        self.chats.move(rows)

    def action_page(self, direction: int) -> None:
        self.chats.move(direction * max(self.chats.size.height - 1, 1))

    def action_close(self) -> None:
        """Leaves the second field, or the screen."""
        if self._asking is not None:
            self._ask_no_more()
        else:
            self.dismiss()

    @on(ChatList.Chosen)
    def action_open(self) -> None:
        chat = self.chats.marked
        if chat is not None:
            self.dismiss()
            self.app.post_message(self.Open(chat.id))

    def action_new(self) -> None:
        self.dismiss()
        self.app.post_message(self.Open(None))

    def action_pin(self) -> None:
        if chat := self.chats.marked:
            self._do(self._archive.run(chats.pin, chat.id, not chat.pinned), chat.id)

    def action_duplicate(self) -> None:
        if chat := self.chats.marked:
            title = self._strings("chats_copy_of", title=one_line(chat.title) or self._strings("new_chat"))
            self._do(self._archive.run(chats.duplicate, chat.id, title), chat.id)

    def action_delete(self) -> None:
        """In the text of the filter Del deletes a character, as everywhere."""
        field = self.focused
        if isinstance(field, Input) and field.cursor_position < len(field.value):
            field.action_delete_right()
            return
        chat = self.chats.marked
        if chat is None or self._asking is not None:
            return
        below = self.chats.cursor + 1
        keep = self.chats.rows[below].id if below < len(self.chats.rows) else None
        title = one_line(chat.title or chat.draft)
        note = self._strings("chats_deleted", title=title, days=chats.KEPT_DAYS)
        self._do(self._archive.run(chats.delete, chat.id), keep, note)
        self.app.post_message(self.Deleted(chat.key))

    def action_undelete(self) -> None:
        self._do(self._archive.run(chats.undelete), None, "", self._strings("chats_nothing_deleted"))

    def _do(self, future: Future[Any], keep: int | None, note: str = "", none: str = "") -> None:
        """Shows the list as it is after something was done to a chat."""

        async def follow() -> None:
            result = await self._done(future)
            self.look(keep if result is None else result, note or (none if result is None else ""))

        self.run_worker(follow(), exit_on_error=False)

    # --- the second field ----------------------------------------------------------------------------------

    def action_rename(self) -> None:
        if chat := self.chats.marked:
            self._ask("rename", chat, self._strings("chats_new_title"), chat.title)

    def action_export(self) -> None:
        if chat := self.chats.marked:
            path = self._folder / file_name(chat.title or self._strings("new_chat"), ".md")
            label = self._strings("chats_export_to", formats=", ".join(FORMATS))
            self._ask("export", chat, label, str(path))

    def _ask(self, what: str, chat: Summary, label: str, value: str) -> None:
        self._asking = (what, chat)
        self.add_class("asking")
        self.query_one("#chats-label", Static).update(label)
        self._field.value = value
        self._field.cursor_position = len(value)
        self._field.focus()

    def _ask_no_more(self) -> None:
        self._asking = None
        self.remove_class("asking")
        self._filter.focus()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self._asking is None:
            self.action_open()
            return
        what, chat = self._asking
        self._ask_no_more()
        if what == "rename":
            title = " ".join(event.value.split())
            self._do(self._archive.run(chats.rename, chat.id, title), chat.id)
            self.app.post_message(self.Renamed(chat.key, title))
        else:
            self.app.post_message(self.Export(chat.id, event.value))

    def on_key(self, event: events.Key) -> None:
        """Typing goes to the filter, wherever the focus is."""
        field = self._field if self._asking else self._filter
        if event.is_printable and event.character and not field.has_focus:
            event.stop()
            field.focus()
            field.insert_text_at_cursor(event.character)


def trouble_text(trouble: StoreTroubleError, say: Strings) -> str:
    return say(f"trouble_{trouble.kind.value}", path=trouble.path, detail=trouble.detail)
