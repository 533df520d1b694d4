"""One line to be filled in: a title, a path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from alpaca_tui.tui.screens.dialog import Dialog
from alpaca_tui.tui.strings import Strings


class AskScreen(Dialog[str | None]):
    """Returns what was filled in, None where the user left it with Esc."""

    Then = Callable[[str | None], Awaitable[None]]

    DEFAULT_CSS = """
    AskScreen { align: center middle; background: $ground 70%; }
    #ask-box {
        width: 84; max-width: 96%; height: auto;
        background: $surface; border-left: wide $act; padding: 1 2;
    }
    #ask-label { text-style: bold; height: auto; }
    #ask-field {
        margin: 1 0; border: none; height: 1; padding: 0 1; background: $panel; color: $ink;
        &:focus { border: none; }
    }
    #ask-keys { color: $quiet; height: 1; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "close", show=False, id="ask_close")]

    def __init__(self, label: str, value: str, strings: Strings) -> None:
        super().__init__()
        self._label, self._value, self._strings = label, value, strings

    def compose(self) -> ComposeResult:
        with Vertical(id="ask-box"):
            yield Static(self._label, id="ask-label", markup=False)
            yield Input(self._value, id="ask-field", compact=True, select_on_focus=False)
            yield Static(self._strings("ask_keys"), id="ask-keys", markup=False)

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value)

    def action_close(self) -> None:
        self.dismiss(None)
