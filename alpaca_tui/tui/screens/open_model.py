"""Opening a model: those that were found, the last ones first, or any file by its path.

The folders are searched and the heads of the files are read in threads; the list is there at once and fills.
Typing goes to the path, which Tab completes and which filters the list. What is refused is said in place, and
the chat behind stays as it is.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import get_current_worker

from alpaca_tui.chat.model_places import Found
from alpaca_tui.engine.protocol import ModelHead
from alpaca_tui.errors import UserError
from alpaca_tui.tui.completion import PathSuggester, complete
from alpaca_tui.tui.screens.dialog import Dialog
from alpaca_tui.tui.screens.model_rows import Entry, about, heading, name_of, row, shown
from alpaca_tui.tui.strings import Strings

MAX_ROWS = 14  # of the list of models
AROUND = 16  # rows of the dialog that are not that list


def refusal(text: str, say: Strings) -> str:
    """Why this cannot be a model file, as far as the file system tells; empty where it may be one."""
    if not text.strip():
        return say("open_empty")
    path = Path(text.strip()).expanduser()
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return say("open_folder", path=path)
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for somebody to write into it
            return say("open_no_file", path=path)
        with path.open("rb"):
            return ""
    except FileNotFoundError:
        return say("open_missing", path=path)
    except (OSError, ValueError) as error:
        return say("open_unreadable", path=path, reason=getattr(error, "strerror", None) or error)


class OpenModelScreen(Dialog[None]):
    """Posts `Chosen` with a path that can be read; stays open until it is dismissed or `refused(why)`.

    `find` gives the models there are, and `describe` reads the head of one; both take a while and are called
    in threads. `free` bytes of memory may be taken. `now` is the file of the model that is open.
    """

    DEFAULT_CSS = """
    OpenModelScreen { align: center middle; background: $ground 70%; }
    #open-box {
        width: 96; max-width: 96%; height: auto; max-height: 96%;
        background: $surface; border-left: wide $act; padding: 1 2;
    }
    #open-title { text-style: bold; height: 1; }
    #open-keys, #open-found-title, #open-setup { color: $quiet; height: auto; }
    #open-found-title { height: 1; }
    #open-path {
        margin: 1 0; border: none; height: 1; padding: 0 1; background: $panel; color: $ink;
        &:focus { border: none; }
    }
    #open-note { height: auto; color: $loss; display: none; margin: 0 0 1 0; }
    #open-note.loading { color: $now; }
    #open-found {
        height: auto; border: none; background: $surface; padding: 0; margin: 0;
        scrollbar-size-vertical: 1; scrollbar-gutter: stable;
        &:focus { border: none; }
    }
    #open-about { height: auto; min-height: 2; max-height: 4; color: $quiet; margin: 1 0; }
    OpenModelScreen.low #open-path, OpenModelScreen.low #open-about { margin: 0; }
    OpenModelScreen.low #open-setup { display: none; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", show=False, id="open_close"),
        Binding("tab", "complete", show=False, priority=True, id="open_complete"),
        Binding("down", "found", show=False),
        Binding("up", "path", show=False),
    ]

    class Chosen(Message):
        def __init__(self, path: Path) -> None:
            super().__init__()
            self.path = path

    class _Found(Message):
        """The folders were searched."""

        def __init__(self, found: Sequence[Found]) -> None:
            super().__init__()
            self.found = found

    class _Read(Message):
        """The head of a file was read, or refused."""

        def __init__(self, entry: Entry, head: ModelHead | None, problem: str) -> None:
            super().__init__()
            self.entry, self.head, self.problem = entry, head, problem

    def __init__(
        self,
        strings: Strings,
        find: Callable[[], Sequence[Found]],
        describe: Callable[[Found], ModelHead],
        free: int | None = None,
        now: Path | None = None,
        error: str = "",
    ) -> None:
        super().__init__()
        self._strings = strings
        self._find, self._describe = find, describe
        self._free = free
        self._now = now
        self._error = error
        self._entries: list[Entry] = []
        self._listed: list[Entry] = []  # those that the typed text leaves
        self.waiting = False  # a path was chosen, and the engine has not said anything yet

    def compose(self) -> ComposeResult:
        say = self._strings
        with Vertical(id="open-box"):
            yield Static(say("open_title"), id="open-title", markup=False)
            yield Input(
                id="open-path", placeholder=say("open_label"), suggester=PathSuggester(), compact=True
            )
            yield Static("", id="open-note", markup=False)
            yield Static("", id="open-found-title")
            yield OptionList(id="open-found", markup=False, compact=True)
            yield Static(say("open_looking"), id="open-about", markup=False)
            yield Static(
                Content.from_markup("[$act @click=app.setup]F9[/] $text", text=say("open_setup")),
                id="open-setup",
            )
            yield Static(say("open_keys"), id="open-keys", markup=False)

    @property
    def folder(self) -> str:
        """The folder that was typed, if it is one."""
        text = self._field.value.strip()
        try:
            return text if text and Path(text).expanduser().is_dir() else ""
        except (OSError, ValueError):
            return ""

    @property
    def _field(self) -> Input:
        return self.query_one(Input)

    @property
    def _list(self) -> OptionList:
        return self.query_one(OptionList)

    def on_mount(self) -> None:
        self._field.focus()
        if self._error:
            self.refused(self._error)
        self._look()

    def on_resize(self, event: events.Resize) -> None:
        low = event.size.height < 30
        self.set_class(low, "low")
        around = AROUND - 5 if low else AROUND
        self._list.styles.max_height = max(min(event.size.height - around, MAX_ROWS), 1)
        self.call_after_refresh(self._show)

    # --- finding and reading -------------------------------------------------------------------------------

    @work(thread=True, exit_on_error=False)
    def _look(self) -> None:
        worker = get_current_worker()
        found = self._find()
        if not worker.is_cancelled:
            self.post_message(self._Found(found))

    @on(_Found)
    def _looked(self, event: _Found) -> None:
        self._entries = [Entry(found) for found in event.found]
        self._show()
        self._read_heads()

    @work(thread=True, exit_on_error=False)
    def _read_heads(self) -> None:
        """One after the other, in the order of the list."""
        worker = get_current_worker()
        for entry in list(self._entries):
            if worker.is_cancelled:
                return
            try:
                self.post_message(self._Read(entry, self._describe(entry.found), ""))
            except UserError as error:
                self.post_message(self._Read(entry, None, str(error)))

    @on(_Read)
    def _was_read(self, event: _Read) -> None:
        entry = event.entry
        entry.head, entry.problem = event.head, event.problem
        if entry in self._listed:
            at = self._listed.index(entry)
            self._list.replace_option_prompt_at_index(at, self._row(entry))
            if at == (self._list.highlighted or 0):
                self._tell_about()

    # --- the list ------------------------------------------------------------------------------------------

    def _row(self, entry: Entry) -> Content:
        width = self._list.scrollable_content_region.width or 60
        return row(entry, width, self._free, entry.found.path.absolute() == self._now, self._strings)

    def _show(self) -> None:
        """Draws the list for the width there is and the text that was typed."""
        words = self._field.value.strip().lower()
        kept = self._list.highlighted
        self._listed = [
            entry
            for entry in self._entries
            if words in str(entry.found.path).lower() or words in name_of(entry, self._strings).lower()
        ]
        self._list.clear_options()
        self._list.add_options(Option(self._row(entry)) for entry in self._listed)
        if self._listed:
            self._list.highlighted = min(kept or 0, len(self._listed) - 1)
        width = self._list.scrollable_content_region.width or 60
        title = self.query_one("#open-found-title", Static)
        title.update(heading(width, self._strings))
        title.display = self._list.display = bool(self._listed)
        self._tell_about()

    @on(OptionList.OptionHighlighted)
    def _tell_about(self) -> None:
        at = self._list.highlighted
        text = Content("")
        if at is not None and at < len(self._listed):
            text = about(self._listed[at], self._free, self._strings)
        self.query_one("#open-about", Static).update(text)

    # --- choosing ------------------------------------------------------------------------------------------

    def refused(self, why: str) -> None:
        self.waiting = False
        self._note(why)

    def opening(self, name: str) -> None:
        self._note(self._strings("open_loading", name=name), loading=True)

    def _note(self, text: str, loading: bool = False) -> None:
        note = self.query_one("#open-note", Static)
        note.set_class(loading, "loading")
        note.display = bool(text)
        note.update(text)

    def _choose(self, text: str) -> None:
        why = refusal(text, self._strings)
        if why:
            self.refused(why)
            return
        path = Path(text.strip()).expanduser()
        self.opening(path.name)
        self.waiting = True
        self.post_message(self.Chosen(path))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        """The path that was typed; where it is none, the one model that the text leaves in the list."""
        event.stop()
        text = event.value
        if text.strip() and len(self._listed) == 1 and refusal(text, self._strings):
            text = str(self._listed[0].found.path)
        self._choose(text)

    @on(Input.Changed)
    def _changed(self) -> None:
        self._note("")
        self._show()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._choose(str(self._listed[event.option_index].found.path))

    def action_complete(self) -> None:
        """The path as far as it is clear; from the list, the path of the model that is highlighted."""
        at = self._list.highlighted
        if self._list.has_focus and at is not None:
            suggestion: str | None = shown(self._listed[at].found.path)
            self._field.focus()
        else:
            suggestion = complete(self._field.value)
        if suggestion and suggestion != self._field.value:
            self._field.value = suggestion
            self._field.cursor_position = len(suggestion)

    def action_found(self) -> None:
        if self._listed:
            self._list.focus()

    def action_path(self) -> None:
        self._field.focus()

    def action_close(self) -> None:
        self.dismiss()

    def on_key(self, event: events.Key) -> None:
        """Typing goes to the path, wherever the focus is."""
        if event.is_printable and event.character and not self._field.has_focus:
            event.stop()
            self._field.focus()
            self._field.insert_text_at_cursor(event.character)
