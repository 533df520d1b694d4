"""The empty conversation: who answers, what it can do, three questions to press."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from alpaca_tui.tui import glyphs

EXAMPLES = 3
NEWEST = 3


class Welcome(VerticalScroll, can_focus=False):
    DEFAULT_CSS = """
    Welcome {
        width: 1fr;
        height: 1fr;
        padding: 2 3 0 3;
        scrollbar-size-vertical: 1;
        Static { height: auto; margin: 0 0 1 0; max-width: 76; }
        #welcome-who { text-style: bold; }
        #welcome-what, #welcome-real { color: $quiet; }
        #welcome-try, #welcome-newest { color: $quiet; margin: 1 0 0 0; }
        .example {
            color: $act; margin: 0; padding: 0 1; pointer: pointer;
            &:hover { background: $panel; }
        }
    }
    """

    def __init__(self) -> None:
        super().__init__(id="welcome")
        self._parts = {
            name: Static("", id=f"welcome-{name}", markup=False) for name in ("who", "what", "real", "try")
        }
        self._links = [Static("", classes="example") for _ in range(EXAMPLES)]
        self._examples: list[str] = []
        self._newest_title = Static("", id="welcome-newest", markup=False)
        self._newest = [Static("", classes="example") for _ in range(NEWEST)]

    def compose(self) -> ComposeResult:
        yield from self._parts.values()
        yield from self._links
        yield self._newest_title
        yield from self._newest

    def show(
        self,
        who: str,
        what: str = "",
        real: Content | str = "",
        title: str = "",
        examples: Sequence[str] = (),
    ) -> None:
        for name, text in (("who", who), ("what", what), ("real", real), ("try", title)):
            self._parts[name].update(text)
            self._parts[name].display = bool(text)
        self._examples = list(examples)
        for index, link in enumerate(self._links):
            link.display = index < len(self._examples)
            if link.display:
                markup = f"[@click=app.example({index})]{glyphs.AFTER} $text[/]"
                link.update(Content.from_markup(markup, text=self._examples[index]))

    def show_newest(self, title: str, chats: Sequence[tuple[int, str]]) -> None:
        """Offers chats to go on with: their ids and titles."""
        self._newest_title.update(title)
        self._newest_title.display = bool(chats)
        for index, link in enumerate(self._newest):
            link.display = index < len(chats)
            if link.display:
                chat, text = chats[index]
                markup = f"[@click=app.open_chat({chat})]{glyphs.AFTER} $text[/]"
                link.update(Content.from_markup(markup, text=text))

    def example(self, index: int) -> str:
        return self._examples[index] if index < len(self._examples) else ""
