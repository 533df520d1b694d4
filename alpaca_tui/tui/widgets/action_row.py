"""A row of the sidebar that does something: what it is about, what is so now, and Enter or a click."""

from __future__ import annotations

from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget


class ActionRow(Widget, can_focus=True):
    """`label` at the left, `value` at the right. Posts `Pressed`; `help` is said while it is in focus."""

    DEFAULT_CSS = """
    ActionRow {
        height: 1; width: 1fr; color: $ink; padding: 0 1; pointer: pointer;
        &:hover { background: $panel; }
        &:focus { background: $panel; text-style: bold; }
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

    label: reactive[str] = reactive("")
    value: reactive[str] = reactive("")

    def __init__(self, label: str, row_id: str, help_text: str) -> None:
        super().__init__(id=row_id, classes="sidebar-row")
        self.set_reactive(ActionRow.label, label)
        self.help_text = help_text

    def render(self) -> Content:
        width = self.content_size.width
        label = Content.styled(self.label, "" if self.value else "$act")
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
