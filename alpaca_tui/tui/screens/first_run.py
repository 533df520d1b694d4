"""The page for the first start: what there is to know, and the two choices that cannot be guessed.

Whoever types goes on at once: the page closes, and the character is in the prompt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from alpaca_tui.tui import glyphs
from alpaca_tui.tui.keymap import KeyMap
from alpaca_tui.tui.markdown.inline import clean
from alpaca_tui.tui.screens.dialog import Dialog
from alpaca_tui.tui.strings import Strings

# (id in the key map, or a text that is shown as it is; key of the strings)
LINES = (
    ("Enter", "first_send"),
    ("escape", "first_stop"),
    ("open_model", "first_model"),
    ("chats", "first_chats"),
    ("read", "first_read"),
    ("/", "first_commands"),
    ("help", "first_help"),
)
KEY_CELLS = 14
LOW, TINY = 20, 14  # rows below which the page has no space between, or the choices only


class FirstRunScreen(Dialog[None]):
    DEFAULT_CSS = """
    FirstRunScreen { align: center middle; background: $ground 70%; }
    #first-box {
        width: 78; max-width: 96%; height: auto; max-height: 100%;
        background: $surface; border-left: wide $act; padding: 1 2;
    }
    #first-title { text-style: bold; height: 1; }
    #first-what, #first-end { color: $quiet; height: auto; }
    #first-keys, #first-choices { height: auto; margin: 1 0 0 0; }
    #first-end { margin: 1 0 0 0; }
    FirstRunScreen.low #first-box { padding: 0 2; }
    FirstRunScreen.low #first-what { display: none; }
    FirstRunScreen.low #first-keys, FirstRunScreen.low #first-choices, FirstRunScreen.low #first-end {
        margin: 0;
    }
    FirstRunScreen.tiny #first-keys { display: none; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter", "close", show=False, id="first_close"),
        Binding("left,right", "language", show=False, id="first_language"),
        Binding("up,down", "enter_key", show=False, id="first_enter"),
    ]

    def __init__(
        self,
        strings: Strings,
        keys: KeyMap,
        enter_sends: Callable[[], bool],
        change_language: Callable[[], None],
        change_enter: Callable[[], None],
        typed: Callable[[str], None],
    ) -> None:
        """`typed` takes what belongs into the prompt."""
        super().__init__()
        self._say, self._keys, self._enter_sends = strings, keys, enter_sends
        self._change_language, self._change_enter, self._typed = change_language, change_enter, typed

    def compose(self) -> ComposeResult:
        with Vertical(id="first-box"):
            yield Static("", id="first-title", markup=False)
            yield Static("", id="first-what", markup=False)
            yield Static("", id="first-keys", markup=False)
            yield Static("", id="first-choices")
            yield Static("", id="first-end", markup=False)

    def on_mount(self) -> None:
        self.draw()

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height < LOW, "low")
        self.set_class(event.size.height < TINY, "tiny")

    def draw(self) -> None:
        say = self._say
        lines = []
        for name, text in LINES:
            shown = self._keys.shown(name, 2) if name[0].islower() else name
            if name == "Enter" and not self._enter_sends():
                text = "first_send_newline"
            lines.append(Content.styled(shown.ljust(KEY_CELLS), "$act") + Content(say(text)))
        enter = "first_enter_sends" if self._enter_sends() else "first_enter_newline"
        choices = [
            self._choice("language", glyphs.LEFT_RIGHT, say("first_language"), say("first_language_now")),
            self._choice("enter_key", glyphs.UP_DOWN, say("first_enter"), say(enter)),
        ]
        for name, content in (
            ("title", Content(say("first_title"))),
            ("what", Content(say("first_what"))),
            ("keys", Content("\n").join(lines)),
            ("choices", Content("\n").join(choices)),
            ("end", Content(say("first_end"))),
        ):
            self.query_one(f"#first-{name}", Static).update(content)

    def _choice(self, action: str, keys: str, title: str, now: str) -> Content:
        head = Content.from_markup(f"[$act @click=screen.{action}]$keys[/]", keys=keys.ljust(KEY_CELLS))
        return head + Content(f"{title}: ") + Content.styled(now, "bold")

    def action_language(self) -> None:
        self._change_language()
        self.draw()

    def action_enter_key(self) -> None:
        self._change_enter()
        self.draw()

    def action_close(self) -> None:
        self.dismiss()

    def on_key(self, event: events.Key) -> None:
        if event.is_printable and event.character:
            event.stop()
            self.dismiss()
            self._typed(event.character)

    def on_paste(self, event: events.Paste) -> None:
        event.stop()
        self.dismiss()
        self._typed(clean(event.text.replace("\r\n", "\n").replace("\r", "\n")))
