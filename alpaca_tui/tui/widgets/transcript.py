"""The conversation on screen: the views of the active path, and where the model's memory begins."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.geometry import Offset
from textual.widget import Widget
from textual.widgets import Static

from alpaca_tui.chat.conversation import Conversation, Message
from alpaca_tui.tui import glyphs
from alpaca_tui.tui.strings import Strings
from alpaca_tui.tui.widgets.message import MAX_TEXT, MessageView


class MemoryLine(Widget):
    """A dashed line: the model has forgotten what stands above."""

    DEFAULT_CSS = """
    MemoryLine { height: 1; margin: 0 1 1 1; color: $now; }
    """
    ALLOW_SELECT = False

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def render(self) -> Content:
        width = min(self.content_size.width, MAX_TEXT + 3)
        label = Content(f" {self._text} ")
        dashes = max(width - label.cell_length, 4)
        line = Content(glyphs.DASH * (dashes // 2)) + label + Content(glyphs.DASH * (dashes - dashes // 2))
        return line.truncate(self.content_size.width, ellipsis=True)


class Transcript(VerticalScroll, can_focus=False):
    """Follows its end while text comes, unless the user has scrolled up; scrolling down follows again."""

    DEFAULT_CSS = """
    Transcript {
        layout: stream;
        background: $ground;
        padding: 1 0 0 0;
        scrollbar-size-vertical: 1;
        scrollbar-gutter: stable;
    }
    """

    def __init__(self, strings: Strings, empty: Widget) -> None:
        super().__init__(id="transcript")
        self._strings = strings
        self._empty = empty
        self._views: dict[int, MessageView] = {}

    def compose(self) -> ComposeResult:
        yield self._empty

    @property
    def scroll_offset(self) -> Offset:
        """A conversation shorter than the screen begins at its top; an anchored container would end there."""
        return Offset(super().scroll_offset.x, max(super().scroll_offset.y, 0))

    @property
    def views(self) -> list[MessageView]:
        return list(self._views.values())

    @property
    def following(self) -> bool:
        return not self._anchor_released or self.scroll_y >= self.max_scroll_y

    def view_of(self, message: Message) -> MessageView | None:
        view = self._views.get(message.id)
        return view if view is not None and view.message is message else None

    def show_path(self, conversation: Conversation) -> None:
        """Draws another path. What both paths have in common at the beginning stays."""
        path = conversation.path()
        wanted = {message.id: message for message in path}
        gone = [v for i, v in self._views.items() if wanted.get(i) is not v.message]
        for view in gone:
            del self._views[view.message.id]
            view.remove()
        for message in path:
            if message.id not in self._views:
                self.add(message, conversation)
        self._empty.display = not self._views
        if not self._views:
            self.anchor(False)
            self.scroll_home(animate=False)

    def add(self, message: Message, conversation: Conversation) -> None:
        siblings = conversation.siblings(message)
        view = MessageView(message, self._strings, (siblings.index(message) + 1, len(siblings)))
        self._views[message.id] = view
        self._empty.display = False
        self.mount(view)
        self.anchor()

    def mark_memory(self, question_id: int | None) -> None:
        """Puts the memory line before a question, or takes it away."""
        for line in self.query(MemoryLine):
            line.remove()
        view = self._views.get(question_id) if question_id is not None else None
        if view is not None:
            self.mount(MemoryLine(self._strings("memory_begins")), before=view)

    def release_anchor(self) -> None:
        """Scrolling down at the very end moves nothing, and must not end the following."""
        super().release_anchor()
        self.call_after_refresh(self._follow_at_end)

    def _follow_at_end(self) -> None:
        if self.is_anchored and self.scroll_target_y >= self.max_scroll_y > 0:
            self.anchor()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self.screen.set_class(bool(self._views) and not self.following, "scrolled-up")

    def page(self, direction: int) -> None:
        if direction < 0:
            self.scroll_page_up(animate=False)
        else:
            self.scroll_page_down(animate=False)

    def to_start(self) -> None:
        self.scroll_home(animate=False)

    def to_end(self) -> None:
        if self._views:
            self.anchor()
        else:
            self.scroll_end(animate=False)


EXAMPLES = 3


class Welcome(VerticalScroll, can_focus=False):
    """The empty conversation: who answers, what it can do, three questions to press."""

    DEFAULT_CSS = """
    Welcome {
        height: auto;
        max-width: 78;
        margin: 1 3 0 3;
        Static { height: auto; margin: 0 0 1 0; }
        #welcome-who { text-style: bold; }
        #welcome-what, #welcome-real, #welcome-try { color: $quiet; }
        #welcome-try { margin: 1 0 0 0; }
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
        self._examples: list[str] = []
        self._links = [Static("", classes="example") for _ in range(EXAMPLES)]

    def compose(self) -> ComposeResult:
        yield from self._parts.values()
        yield from self._links

    def show(
        self, who: str, what: str = "", real: str = "", title: str = "", examples: Sequence[str] = ()
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

    def example(self, index: int) -> str:
        return self._examples[index] if index < len(self._examples) else ""
