"""The prompt as the model is given it: every token, where one ends and the next begins, and how many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import ClassVar

from textual import events, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from alpaca_tui.engine.protocol import PromptToken
from alpaca_tui.errors import UserError
from alpaca_tui.tui import glyphs
from alpaca_tui.tui.markdown.inline import clean
from alpaca_tui.tui.screens.dialog import Dialog
from alpaca_tui.tui.strings import Strings

MAX_SHOWN = 16_384  # tokens; of a longer prompt the end
AROUND = 8


class RawPromptScreen(Dialog[None]):
    """`tokens` gives what the model reads; it takes a while and is called in a thread. `n_ctx` are its
    context."""

    DEFAULT_CSS = """
    RawPromptScreen { align: center middle; background: $ground 70%; }
    #raw-box {
        width: 100; max-width: 96%; height: auto; max-height: 96%;
        background: $surface; border-left: wide $act; padding: 1 2;
    }
    #raw-title { text-style: bold; height: 1; }
    #raw-counts { color: $quiet; height: auto; margin: 0 0 1 0; }
    #raw-scroll { height: auto; scrollbar-size-vertical: 1; background: $ground; padding: 0 1; }
    .raw-part { height: auto; color: $ink; }
    .raw-name { height: 1; color: $quiet; text-style: bold; }
    #raw-keys { color: $quiet; height: 1; margin: 1 0 0 0; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", show=False, id="raw_close"),
        Binding("i", "ids", show=False, id="raw_ids"),
        Binding("up,k", "scroll(-1)", show=False),
        Binding("down,j", "scroll(1)", show=False),
        Binding("pageup", "scroll(-12)", show=False),
        Binding("pagedown,space", "scroll(12)", show=False),
        Binding("home", "scroll(-1000000)", show=False),
        Binding("end", "scroll(1000000)", show=False),
    ]

    class _Read(Message):
        def __init__(self, tokens: Sequence[PromptToken], problem: str) -> None:
            super().__init__()
            self.tokens, self.problem = tokens, problem

    def __init__(self, strings: Strings, tokens: Callable[[], Sequence[PromptToken]], n_ctx: int) -> None:
        super().__init__()
        self._strings = strings
        self._read_tokens = tokens
        self._n_ctx = n_ctx
        self._tokens: Sequence[PromptToken] = ()
        self._ids = False

    def compose(self) -> ComposeResult:
        say = self._strings
        with Vertical(id="raw-box"):
            yield Static(say("raw_title"), id="raw-title", markup=False)
            yield Static(say("raw_reading"), id="raw-counts", markup=False)
            yield VerticalScroll(id="raw-scroll", can_focus=False)
            yield Static(say("raw_keys"), id="raw-keys", markup=False)

    def on_mount(self) -> None:
        self._look()

    def on_resize(self, event: events.Resize) -> None:
        self.query_one("#raw-scroll").styles.max_height = max(event.size.height - AROUND - 2, 2)

    @work(thread=True, exit_on_error=False)
    def _look(self) -> None:
        try:
            self.post_message(self._Read(self._read_tokens(), ""))
        except UserError as error:
            self.post_message(self._Read((), str(error)))

    async def on_raw_prompt_screen__read(self, event: _Read) -> None:
        self._tokens = event.tokens
        counts = self.query_one("#raw-counts", Static)
        counts.update(event.problem or counts_text(event.tokens, self._n_ctx, self._strings))
        await self._draw()

    async def _draw(self) -> None:
        scroll = self.query_one("#raw-scroll", VerticalScroll)
        await scroll.remove_children()
        shown = self._tokens[-MAX_SHOWN:]
        parts: list[Static] = []
        mark = "reverse" if self.app.native_ansi_color else "on $panel"
        for part, tokens in groupby(shown, key=lambda token: token.part):
            name = self._strings("raw_turn", n=part) if part else self._strings("raw_instruction")
            parts.append(Static(name, classes="raw-name", markup=False))
            parts.append(Static(tokens_text(list(tokens), self._ids, mark), classes="raw-part"))
        await scroll.mount_all(parts)
        scroll.scroll_end(animate=False)

    async def action_ids(self) -> None:
        """With the tokens' numbers, or without."""
        self._ids = not self._ids
        await self._draw()

    def action_scroll(self, rows: int) -> None:
        self.query_one("#raw-scroll").scroll_relative(y=rows, animate=False)

    def action_close(self) -> None:
        self.dismiss()


def counts_text(tokens: Sequence[PromptToken], n_ctx: int, say: Strings) -> str:
    """How many tokens the instruction, the turns and all have."""
    parts = Counter(token.part for token in tokens)
    turns = len(tokens) - parts[0]
    text = say("raw_counts", total=len(tokens), n_ctx=n_ctx, prefix=parts[0], turns=turns)
    return text + (" " + say("raw_last", n=MAX_SHOWN) if len(tokens) > MAX_SHOWN else "")


def tokens_text(tokens: Sequence[PromptToken], ids: bool = False, mark: str = "on $panel") -> Content:
    """The tokens, every other one with the style `mark`; a line end is shown and breaks the line."""
    pieces: list[tuple[str, str]] = []
    for index, token in enumerate(tokens):
        ground = mark if index % 2 else ""
        text = token.text if token.special else clean(token.text)
        style = f"$now {ground}".strip() if token.special else f"$ink {ground}".strip()
        pieces.append((text.replace("\n", glyphs.LINE_END + "\n"), style))
        if ids:
            pieces.append((f"{token.id} ", f"$quiet {ground}".strip()))
    return Content.assemble(*pieces)
