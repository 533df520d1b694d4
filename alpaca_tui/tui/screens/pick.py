"""Choosing one of a few: presets, colours, languages. What is highlighted can be tried out at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from alpaca_tui.tui import glyphs
from alpaca_tui.tui.screens.dialog import Dialog

AROUND = 6  # rows of the dialog that are not the list


@dataclass(frozen=True)
class Pick:
    """`about` stands beside the title; `key` is what the screen returns."""

    key: str
    title: str
    about: str = ""


class PickScreen(Dialog[str]):
    """Returns the key of what was chosen; None after Esc. `tried` hears of each one that is highlighted."""

    DEFAULT_CSS = """
    PickScreen { align: center middle; background: $ground 70%; }
    PickScreen.see-through { background: transparent; align: right middle; }
    #pick-box {
        width: 72; max-width: 96%; height: auto; max-height: 96%;
        background: $surface; border-left: wide $act; padding: 1 2;
    }
    PickScreen.see-through #pick-box { width: 62; }
    #pick-title { text-style: bold; height: 1; margin: 0 0 1 0; }
    #pick-list {
        height: auto; border: none; background: $surface; padding: 0; scrollbar-size-vertical: 1;
        text-wrap: nowrap; text-overflow: ellipsis;
        &:focus { border: none; }
    }
    #pick-keys { color: $quiet; height: auto; margin: 1 0 0 0; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", show=False, id="pick_cancel")]

    def __init__(
        self,
        title: str,
        picks: Sequence[Pick],
        current: str,
        keys: str,
        tried: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__()
        self.picks = list(picks)
        self.current = current
        self._title = title
        self._keys = keys
        self._tried = tried
        self.set_class(tried is not None, "see-through")

    def compose(self) -> ComposeResult:
        with Vertical(id="pick-box"):
            yield Static(self._title, id="pick-title", markup=False)
            yield OptionList(*self.options(), id="pick-list", markup=False, compact=True)
            yield from self.compose_more()
            yield Static(self._keys, id="pick-keys", markup=False)

    def compose_more(self) -> ComposeResult:
        yield from ()

    @property
    def list(self) -> OptionList:
        return self.query_one("#pick-list", OptionList)

    def options(self) -> Sequence[Option]:
        widest = max((Content(pick.title).cell_length for pick in self.picks), default=0)
        return [Option(self._row(pick, widest)) for pick in self.picks]

    def _row(self, pick: Pick, widest: int) -> Content:
        title = Content(pick.title)
        mark = Content.styled(f"{glyphs.DOT} ", "$act") if pick.key == self.current else Content("  ")
        row = mark + title
        if pick.about:
            row += Content(" " * (widest - title.cell_length + 2)) + Content.styled(pick.about, "$quiet")
        return row

    def on_mount(self) -> None:
        at = next((i for i, pick in enumerate(self.picks) if pick.key == self.current), 0)
        with self.prevent(OptionList.OptionHighlighted):
            self.list.highlighted = at if self.picks else None
        self.list.focus()

    def on_resize(self, event: events.Resize) -> None:
        self.list.styles.max_height = max(event.size.height - AROUND - 2, 2)

    @property
    def highlighted(self) -> Pick | None:
        at = self.list.highlighted
        return self.picks[at] if at is not None and at < len(self.picks) else None

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        if self._tried is not None and event.option_index < len(self.picks):
            self._tried(self.picks[event.option_index].key)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(self.picks[event.option_index].key)

    def action_cancel(self) -> None:
        self.dismiss(None)
