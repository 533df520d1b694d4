"""Opening a model by its path: completed with Tab, refused in place, the chat behind it untouched."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from alpaca_tui.tui.completion import PathSuggester, complete
from alpaca_tui.tui.strings import Strings

FOLDERS = (".", "models", "zh-models", "../models", "../zh-models")
MAX_FOUND = 20
MAX_ROWS = 10  # of the list of models
AROUND = 14  # rows of the dialog that are not that list


def found_models(folders: tuple[str, ...] = FOLDERS) -> list[Path]:
    """Model files in the usual folders around here, one level deep."""
    found: list[Path] = []
    for folder in map(Path, folders):
        for pattern in ("*.gguf", "*/*.gguf", "ggml-*.bin", "*/ggml-*.bin"):
            try:
                found += [path for path in sorted(folder.glob(pattern))[:MAX_FOUND] if path.is_file()]
            except OSError:
                continue
    unique = {path.resolve(): path for path in reversed(found)}
    return sorted(unique.values())[:MAX_FOUND]


def refusal(text: str, say: Strings) -> str:
    """Why this cannot be a model file, as far as the file system tells; empty where it may be one."""
    if not text.strip():
        return say("open_empty")
    path = Path(text.strip()).expanduser()
    try:
        if path.is_dir():
            return say("open_folder", path=path)
        if not path.exists():
            return say("open_missing", path=path)
        with path.open("rb"):
            return ""
    except (OSError, ValueError) as error:
        return say("open_unreadable", path=path, reason=getattr(error, "strerror", None) or error)


class OpenModelScreen(ModalScreen[None]):
    """Posts `Chosen` with a path that can be read; stays open until `done()` or `refused(why)`."""

    DEFAULT_CSS = """
    OpenModelScreen { align: center middle; background: $ground 70%; }
    #open-box {
        width: 84; max-width: 96%; height: auto; max-height: 96%;
        background: $surface; border-left: wide $act; padding: 1 2;
    }
    #open-title { text-style: bold; height: 1; }
    #open-label, #open-keys, #open-found-title, #open-setup { color: $quiet; height: auto; }
    #open-path {
        margin: 1 0; border: none; height: 1; padding: 0 1; background: $panel; color: $ink;
        &:focus { border: none; }
    }
    #open-note { height: auto; color: $loss; display: none; margin: 0 0 1 0; }
    #open-note.loading { color: $now; }
    #open-found {
        height: auto; border: none; background: $surface; padding: 0; margin: 0 0 1 0;
        scrollbar-size-vertical: 1;
        &:focus { border: none; }
    }
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

    def __init__(self, strings: Strings, guide: Path | None = None, error: str = "") -> None:
        super().__init__()
        self._strings = strings
        self._paths = [*found_models(), *([guide] if guide else [])]
        self._guide = guide
        self._error = error
        self.waiting = False  # a path was chosen, and the engine has not said anything yet

    def compose(self) -> ComposeResult:
        say = self._strings
        with Vertical(id="open-box"):
            yield Static(say("open_title"), id="open-title", markup=False)
            yield Static(say("open_label"), id="open-label", markup=False)
            yield Input(
                id="open-path", placeholder=say("open_placeholder"), suggester=PathSuggester(), compact=True
            )
            yield Static("", id="open-note", markup=False)
            if self._paths:
                yield Static(say("open_found"), id="open-found-title", markup=False)
                yield OptionList(*map(self._option, self._paths), id="open-found", markup=False, compact=True)
            yield Static(
                Content.from_markup("[$act @click=app.setup]F9[/] $text", text=say("open_setup")),
                id="open-setup",
            )
            yield Static(say("open_keys"), id="open-keys", markup=False)

    def _option(self, path: Path) -> Option:
        return Option(self._strings("open_guide") if path is self._guide else Content(str(path)))

    @property
    def folder(self) -> str:
        """The folder that was typed, if it is one."""
        text = self.query_one(Input).value.strip()
        try:
            return text if text and Path(text).expanduser().is_dir() else ""
        except (OSError, ValueError):
            return ""

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        if self._error:
            self.refused(self._error)

    def on_resize(self, event: events.Resize) -> None:
        for found in self.query(OptionList):
            found.styles.max_height = max(min(event.size.height - AROUND, MAX_ROWS), 1)

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
        event.stop()
        self._choose(event.value)

    @on(Input.Changed)
    def _changed(self) -> None:
        self._note("")

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._choose(str(self._paths[event.option_index]))

    def action_complete(self) -> None:
        field = self.query_one(Input)
        suggestion = complete(field.value)
        if suggestion and suggestion != field.value:
            field.value = suggestion
            field.cursor_position = len(suggestion)

    def action_found(self) -> None:
        if self._paths:
            self.query_one(OptionList).focus()

    def action_path(self) -> None:
        self.query_one(Input).focus()

    def action_close(self) -> None:
        self.dismiss()

    def on_key(self, event: events.Key) -> None:
        """Typing goes to the path, wherever the focus is."""
        field = self.query_one(Input)
        if event.is_printable and event.character and not field.has_focus:
            event.stop()
            field.focus()
            field.insert_text_at_cursor(event.character)
