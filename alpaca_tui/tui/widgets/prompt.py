"""Where the user writes: Enter sends, Ctrl+J breaks the line, Up and Down go through what was sent before.

What was not meant to be sent is not: an Enter that comes together with characters of an input method belongs
to it, and one within a burst of keys, where a terminal does not mark what is pasted, is a line end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

from textual import events, on
from textual.binding import BindingType
from textual.message import Message
from textual.timer import Timer
from textual.widgets import TextArea

from alpaca_tui.chat.history import PromptHistory
from alpaca_tui.tui.commands import parse
from alpaca_tui.tui.keymap import PROMPT, bindings
from alpaca_tui.tui.markdown.inline import clean

MAX_PASTE = 1_000_000  # characters
TOGETHER = 0.025  # seconds within which no hand presses two keys: a program sent them, or an input method
AFTER = 0.04  # seconds in which the rest of a text comes that the terminal does not mark as pasted
WIDE = "\u2e80"  # from here on, characters that are typed with an input method


class Prompt(TextArea):
    """Posts `Submitted` on Enter. `history` is fed by the owner; the draft survives looking through it."""

    DEFAULT_CSS = """
    Prompt {
        height: auto;
        min-height: 1;
        max-height: 40vh;
        background: $surface;
        color: $ink;
        padding: 0 1;
        border: none;
        border-left: wide $act;
        scrollbar-size-vertical: 1;
        &:focus { border: none; border-left: wide $act; }
        &.working { border-left: wide $now; }
        & .text-area--placeholder { color: $quiet; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(PROMPT)

    class Submitted(Message):
        """The user sent this text; the prompt is empty again."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Scroll(Message):
        """The transcript is to be moved: "page_up", "page_down", "start" or "end"."""

        def __init__(self, where: str) -> None:
            super().__init__()
            self.where = where

    class Version(Message):
        """Left (-1) or Right (1) in an empty prompt: another version of the last message."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    class Quit(Message):
        """Ctrl+D in an empty prompt."""

    class HeldBack(Message):
        """Enter came together with what was typed, and sent nothing."""

    def __init__(self, history: PromptHistory) -> None:
        super().__init__(
            id="prompt",
            soft_wrap=True,
            show_line_numbers=False,
            tab_behavior="focus",
            highlight_cursor_line=False,
        )
        self.history_of_prompts = history
        self.cursor_blink = False
        self.last_key = 0.0
        self.enter_sends = True  # else Enter begins a new line, and Ctrl+J sends
        self.guarded = False  # look at when keys come: by hand, or all at once
        self.brackets = True  # the terminal marks what is pasted
        self.first: Callable[[str], bool] | None = None  # may take a key before the prompt does
        self.with_key: Callable[[], None] | None = None  # whose changes are to be painted with those of a key
        self._typed_at = -1.0
        self._typed = ""
        self._end_of_burst: Timer | None = None

    def replace_text(self, text: str) -> None:
        """Puts `text` into the prompt, the cursor at its end. Ctrl+Z brings back what was there."""
        self.replace(text, (0, 0), self.document.end)
        self.move_cursor(self.document.end)

    async def _on_key(self, event: events.Key) -> None:
        self.last_key = time.monotonic()
        if self.with_key is not None:
            self.with_key()
        if self._end_of_burst is not None:
            self._end_of_burst.stop()
            self._end_of_burst = None
        if self.first is not None and self.first(event.key):
            event.stop()
            event.prevent_default()
            return
        if event.key == "enter":
            event.stop()
            event.prevent_default()
            self._enter(event.time)
            return
        if event.is_printable:
            self.history_of_prompts.rest()
            self._typed_at, self._typed = event.time, event.character or ""
        elif await self.app._check_bindings(event.key):
            # At once: Textual lets the letters behind a Backspace overtake it, where both came together.
            event.stop()
            event.prevent_default()
            return
        await super()._on_key(event)

    def _enter(self, at: float) -> None:
        row, column = self.cursor_location
        if column and self.document.get_line(row)[column - 1] == "\\" and self.selection.is_empty:
            self.replace("\n", (row, column - 1), (row, column))
            self.move_cursor((row + 1, 0))
        elif not self.enter_sends and parse(self.text) is None:
            self._line_end()
        elif not self.guarded or at - self._typed_at > TOGETHER:
            self.send()
        elif self._typed >= WIDE:
            self.post_message(self.HeldBack())
            self._typed_at = -1.0
        elif self.brackets:
            self.send()
        else:
            self._line_end()
            self._typed_at = at
            self._end_of_burst = self.set_timer(AFTER, self._burst_ended)

    def _burst_ended(self) -> None:
        """Nothing came behind an Enter in a burst: it was meant to send, unless it ended several lines."""
        self._end_of_burst = None
        if self.text.count("\n") == 1 and self.text.endswith("\n"):
            self.replace_text(self.text[:-1])
            self.send()

    def send(self) -> None:
        text = self.text
        self.replace_text("")
        self.history_of_prompts.add(text)
        self.post_message(self.Submitted(text))

    def _line_end(self) -> None:
        self._replace_via_keyboard("\n", *self.selection)

    async def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        text = clean(event.text.replace("\r\n", "\n").replace("\r", "\n"))[:MAX_PASTE]
        self.history_of_prompts.rest()
        if result := self._replace_via_keyboard(text, *self.selection):
            self.move_cursor(result.end_location)

    def action_newline(self) -> None:
        """Ctrl+J: what Enter does not do."""
        self.last_key = time.monotonic()
        if self.enter_sends:
            self._line_end()
        else:
            self.send()

    def action_page(self, direction: int) -> None:
        self.post_message(self.Scroll("page_up" if direction < 0 else "page_down"))

    def action_to_start(self) -> None:
        self.post_message(self.Scroll("start"))

    def action_to_end(self) -> None:
        self.post_message(self.Scroll("end"))

    def action_delete_or_quit(self) -> None:
        if self.text:
            self.action_delete_right()
        else:
            self.post_message(self.Quit())

    def action_cursor_left(self, select: bool = False) -> None:
        if self.text or select:
            super().action_cursor_left(select)
        else:
            self.post_message(self.Version(-1))

    def action_cursor_right(self, select: bool = False) -> None:
        if self.text or select:
            super().action_cursor_right(select)
        else:
            self.post_message(self.Version(1))

    def action_up(self) -> None:
        """In the first row, the message before; else the row above."""
        if self.navigator.is_first_wrapped_line(self.cursor_location):
            self._recall(self.history_of_prompts.back(self.text))
        else:
            self.action_cursor_up()

    def action_down(self) -> None:
        if self.history_of_prompts.recalling and self.navigator.is_last_wrapped_line(self.cursor_location):
            self._recall(self.history_of_prompts.forward())
        else:
            self.action_cursor_down()

    @on(TextArea.Changed)
    @on(events.Resize)
    @on(events.Focus)
    def _moved(self) -> None:
        """The terminal's cursor, where an input method opens, goes to its place in the new layout."""
        self.call_after_refresh(self._park_cursor)

    def _park_cursor(self) -> None:
        if self.has_focus and self.display:
            self.app.cursor_position = self.cursor_screen_offset

    def _recall(self, text: str | None) -> None:
        if text is not None:
            self.replace_text(text)
