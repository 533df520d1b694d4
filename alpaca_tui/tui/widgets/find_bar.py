"""Where the words to find are typed: how many matches there are, and which one is shown."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from alpaca_tui.tui import glyphs
from alpaca_tui.tui.strings import Strings


class FindBar(Horizontal):
    DEFAULT_CSS = """
    FindBar {
        height: 1; width: 1fr; background: $panel; display: none; padding: 0 1 0 2;
        #find-label, #find-count, #find-keys { width: auto; height: 1; color: $quiet; }
        #find-field {
            width: 1fr; height: 1; border: none; padding: 0 1; background: $panel; color: $ink;
            &:focus { border: none; }
        }
    }
    """

    class Field(Input):
        BINDINGS: ClassVar[list[BindingType]] = [
            Binding("enter", "app.find_enter", show=False, id="find_enter"),
            Binding("down", "app.find_on", show=False, id="find_next"),
            Binding("up,shift+enter", "app.find_back", show=False, id="find_previous"),
        ]

    class Changed(Message):
        def __init__(self, needle: str) -> None:
            super().__init__()
            self.needle = needle

    def __init__(self, strings: Strings) -> None:
        super().__init__(id="find")
        self._strings = strings
        self.field = self.Field(id="find-field", compact=True)
        self._label = Static("", id="find-label", markup=False)
        self._count = Static("", id="find-count", markup=False)
        self._keys = Static("", id="find-keys")

    def compose(self) -> ComposeResult:
        yield self._label
        yield self.field
        yield self._count
        yield self._keys

    @property
    def open(self) -> bool:
        return bool(self.display)

    def show(self, needle: str | None) -> None:
        """Opens with these words (None: those of last time), all of them selected."""
        say = self._strings
        self._label.update(say("find_label"))
        signs = (("find_back", glyphs.BEFORE), ("find_on", glyphs.AFTER), ("close_find", "Esc"))
        keys = "  ".join(f"[$act @click=app.{does}]{sign}[/]" for does, sign in signs)
        self._keys.update(Content.from_markup(f"  {keys}"))
        self.display = True
        if needle is not None:
            with self.prevent(Input.Changed):
                self.field.value = needle
        self.field.action_select_all()
        self.field.focus()

    def count(self, ordinal: int, total: int) -> None:
        say, words = self._strings, self.field.value.strip()
        none = say("find_none") if words else ""
        self._count.update(say("find_count", at=ordinal, total=total) if total else none)

    def hide(self) -> None:
        self.display = False

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(event.value))

    def on_click(self, event: events.Click) -> None:
        event.stop()
