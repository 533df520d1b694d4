"""F1: what has the focus, the keys, the commands, and what is peculiar to the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from alpaca_tui.tui.commands import COMMANDS
from alpaca_tui.tui.keymap import GROUPS, KeyMap
from alpaca_tui.tui.markdown.lines import Line
from alpaca_tui.tui.screens.dialog import Dialog
from alpaca_tui.tui.strings import Strings

PAGE_WIDTH = 76
KEY_WIDTH, LEAST_WIDTH = 22, 20
BOX = 6  # cells of the page that are no text: its bar, its padding, the scrollbar
OTHERWISE = {"do_send": "do_newline", "do_newline": "do_send"}  # where Enter begins a new line
AROUND, AROUND_LOW = 8, 2  # rows of the page that are not keys
LOW = 18  # rows of a screen on which there is room for the keys only


class HelpScreen(Dialog[None]):
    DEFAULT_CSS = """
    HelpScreen { align: center middle; background: $ground 70%; }
    #help-box {
        width: 76; max-width: 96%; height: auto; max-height: 100%;
        background: $surface; border-left: wide $act; padding: 1 2;
    }
    #help-title { text-style: bold; height: 1; }
    #help-intro, #help-plain, #help-close { color: $quiet; height: auto; }
    #help-keys { height: auto; margin: 1 0; scrollbar-size-vertical: 1; }
    HelpScreen.low #help-box { padding: 0 2; }
    HelpScreen.low #help-keys { margin: 0; }
    HelpScreen.low #help-intro, HelpScreen.low #help-plain { display: none; }
    .help-group { color: $quiet; text-style: bold; margin: 0; }
    .help-rows { height: auto; margin: 0 0 1 0; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1,escape,q", "close", show=False, id="help_close"),
        Binding("up,k", "scroll(-1)", show=False),
        Binding("down,j", "scroll(1)", show=False),
        Binding("home,g", "scroll(-1000)", show=False),
        Binding("end,G", "scroll(1000)", show=False),
        Binding("pageup", "scroll(-10)", show=False),
        Binding("pagedown,space", "scroll(10)", show=False),
    ]

    def __init__(
        self,
        strings: Strings,
        keys: KeyMap,
        topic: str = "",
        groups: tuple[str, ...] = GROUPS,
        terminal: Sequence[str] = (),
        enter_sends: bool = True,
    ) -> None:
        super().__init__()
        self._strings, self._keys = strings, keys
        self._otherwise = {} if enter_sends else OTHERWISE
        self._topic, self._groups, self._terminal = topic, groups, terminal

    def compose(self) -> ComposeResult:
        say = self._strings
        with Vertical(id="help-box"):
            yield Static(say("help_title"), id="help-title", markup=False)
            if not self._topic:
                yield Static(say("help_intro"), id="help-intro", markup=False)
            with VerticalScroll(id="help-keys", can_focus=False):
                if self._topic:
                    yield Static(say("help_topic"), classes="help-group", markup=False)
                    yield Static(self._topic, classes="help-rows", id="help-topic", markup=False)
                for group in self._groups:
                    yield Static(say(group), classes="help-group", markup=False)
                    yield Static("", classes="help-rows", id=f"help-{group}")
                yield Static(say("help_more"), classes="help-group", markup=False)
                yield Static(self._more(), classes="help-rows")
            yield Static(say("help_plain"), id="help-plain", markup=False)
            yield Static(say("help_close"), id="help-close", markup=False)

    def _rows(self, rows: Sequence[tuple[str, str]], width: int) -> Content:
        """The keys at the left, as many as have room; what they do at the right, wrapped there."""
        cells = KEY_WIDTH if width > 2 * KEY_WIDTH else width // 2
        lines: list[Content] = []
        for keys, text in rows:
            shown = keys
            while len(shown) > cells - 2 and "  " in shown:
                shown = shown.rpartition("  ")[0]
            does = Content(self._strings(self._otherwise.get(text, text)))
            head = Content.styled(shown.ljust(cells), "$act")
            line = Line(does).indented(head, Content(" " * cells))
            lines += [row.prefix + row.text for row in line.rows(width)]
        return Content("\n").join(lines)

    def _more(self) -> Content:
        """Commands, and what this terminal does otherwise than one might expect."""
        say = self._strings
        names = "  ".join(f"/{command.name}" for command in COMMANDS)
        lines = [say("help_commands"), names, "", *self._terminal]
        return Content("\n").join(Content(line) for line in lines).rstrip()

    def on_resize(self, event: events.Resize) -> None:
        """What does not fit is scrolled; title and foot stay."""
        low = event.size.height < LOW
        self.set_class(low, "low")
        around = AROUND_LOW if low else AROUND
        self.query_one("#help-keys").styles.max_height = max(event.size.height - around, 1)
        width = max(min(PAGE_WIDTH, event.size.width * 96 // 100) - BOX, LEAST_WIDTH)
        for group, rows in self._keys.help_rows(self._groups):
            self.query_one(f"#help-{group}", Static).update(self._rows(rows, width))

    def action_close(self) -> None:
        self.dismiss()

    def action_scroll(self, rows: int) -> None:
        self.query_one("#help-keys").scroll_relative(y=rows, animate=False)
