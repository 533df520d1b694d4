"""A row of the sidebar that does something: what it is about, what is so now, and Enter or a click."""

from __future__ import annotations

from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from alpaca_tui.tui.strings import Strings


class ActionRow(Widget, can_focus=True):
    """`row_<name>` of the strings at the left, `value` at the right; `about` is said while it is in focus."""

    DEFAULT_CSS = """
    ActionRow {
        height: 1; width: 1fr; color: $ink; padding: 0 1; pointer: pointer;
        &:hover { background: $panel; }
        &:focus { background: $panel; text-style: $focus-text-style; }
    }
    """
    ALLOW_SELECT = False

    class Pressed(Message):
        def __init__(self, row: ActionRow) -> None:
            super().__init__()
            self.row = row

        @property
        def control(self) -> ActionRow:
            return self.row

    class Looked(Message):
        """This row is in focus."""

        def __init__(self, row: ActionRow) -> None:
            super().__init__()
            self.row = row

    sign: reactive[str] = reactive("")  # before the label
    value: reactive[str] = reactive("")

    def __init__(self, name: str, strings: Strings) -> None:
        super().__init__(id=f"row-{name}", classes="sidebar-row")
        self._key = name
        self._strings = strings

    @property
    def about(self) -> str:
        return self._strings(f"about_{self._key}")

    def render(self) -> Content:
        width = self.content_size.width
        text = self._strings(f"row_{self._key}")
        label = Content.styled(f"{self.sign} {text}".lstrip(), "" if self.value else "$act")
        value = Content.styled(self.value, "$act").truncate(
            max(width - label.cell_length - 2, 4), ellipsis=True
        )
        space = width - label.cell_length - value.cell_length
        return label + Content(" " * max(space, 1)) + value if self.value else label

    def key_enter(self) -> None:
        self.post_message(self.Pressed(self))

    key_space = key_enter

    def key_up(self) -> None:
        self.screen.focus_previous(".sidebar-row")

    def key_down(self) -> None:
        self.screen.focus_next(".sidebar-row")

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.post_message(self.Pressed(self))

    def on_focus(self) -> None:
        self.post_message(self.Looked(self))
