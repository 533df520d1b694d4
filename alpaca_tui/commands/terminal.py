"""Three streams and who is at the other end of each: where words, prompts, notices and colours go."""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, TextIO

from alpaca_tui import system
from alpaca_tui.commands.progress import clock
from alpaca_tui.commands.typing_ahead import keys_kept
from alpaca_tui.engine import protocol as p
from alpaca_tui.tui.eta import TimeLeft

if TYPE_CHECKING:
    from alpaca_tui.commands.line_editor import LineEditor

HISTORY = "typed.jsonl"  # in the data folder
PATIENCE_SECONDS = 1.0  # what takes longer than this is reported while it lasts
ROOM_BELOW = "\x1bD\x1b[A"  # makes sure that there is a line below the cursor
ESCAPES = {
    "prompt": "\x1b[33m",
    "user": "\x1b[1m\x1b[32m",
    "error": "\x1b[1m\x1b[31m",
    "default": "\x1b[0m",
}
WORDS = {
    p.EngineState.LOADING: "Loading",
    p.EngineState.COMPILING: "Preparing (first run only)",
    p.EngineState.PREFILL: "Reading",
}


class Terminal:
    """Text goes to `out`, all that is about it to `notices`.

    `color`: "on", "off", or "auto" for colours where `out` is a terminal and NO_COLOR is not set. With
    `simple_io` lines are read as they come, without an editor. `multiline`: Enter begins a new line and `\\`
    before it ends the message; else the other way round.
    """

    def __init__(
        self,
        source: TextIO,
        out: TextIO,
        notices: TextIO,
        *,
        color: str = "auto",
        simple_io: bool = False,
        multiline: bool = False,
    ) -> None:
        self.source, self.out, self.notices = source, out, notices
        self.asks = source.isatty()  # a person types: prompts, notices, and Ctrl+C comes back to the prompt
        self.multiline = multiline
        self.colours = color == "on" or (color == "auto" and out.isatty() and _wants_colours())
        # where prompts and what is typed are seen: not in a file that the text goes to
        self.screen = out if out.isatty() else notices
        self.edits = not simple_io and self.asks and source is sys.stdin and self.screen.isatty()
        self._editor: LineEditor | None = None
        self._colour = "default"
        self._since: float | None = None  # what is under way
        self._time_left = TimeLeft()
        self._line_shown = False
        self._inside = False  # does text stand before the cursor?

    # --- out -----------------------------------------------------------------------------------------------

    def write(self, text: str) -> None:
        self.clear_progress()
        self.out.write(text)
        self.out.flush()
        if text and self.out.isatty():
            self._inside = not text.endswith("\n")

    def colour(self, name: str) -> None:
        """From here on, text is a "prompt", what the "user" types, an "error", or "default"."""
        if self.colours and name != self._colour:
            self.write(ESCAPES[name])
        self._colour = name

    def notice(self, text: str) -> None:
        self.clear_progress()
        print(text, file=self.notices, flush=True)

    def hint(self, text: str) -> None:
        """A notice for a person at the keyboard only."""
        if self.asks:
            self.notice(text)

    def progress(self, event: p.Progress) -> None:
        """One line that is written over, from the moment on when something takes long; not into files."""
        self._since = self._since or time.monotonic()
        self._time_left.update(event.state, event.done, event.total)
        if not self.notices.isatty() or time.monotonic() - self._since < PATIENCE_SECONDS:
            return
        share = f"{100 * event.done // event.total:3d} %" if event.total > 0 else ""
        seconds = self._time_left.seconds
        left = f" {clock(seconds)} left" if seconds is not None and event.done < event.total else ""
        if not self._line_shown and self._inside:
            self.notices.write(ROOM_BELOW)
        line = f"{WORDS.get(event.state, '')} {event.what} {share}{left}".rstrip()
        self._draw(line[: shutil.get_terminal_size().columns - 1])
        self._line_shown = True

    def clear_progress(self) -> None:
        self._since, self._time_left = None, TimeLeft()
        if self._line_shown:
            self._draw("")
            self._line_shown = False

    def _draw(self, line: str) -> None:
        """On this line of the screen, or below it where text stands on it."""
        below, back = ("\x1b7\x1b[B", "\x1b8") if self._inside else ("", "")
        self.notices.write(f"{below}\r\x1b[K{line}{back}")
        self.notices.flush()

    # --- in ------------------------------------------------------------------------------------------------

    def talking(self) -> AbstractContextManager[None]:
        """For a conversation: what is typed while the model writes waits for the next prompt."""
        return keys_kept(self.source) if self.edits else nullcontext()

    def read_message(self, prompt: str = "> ", *, slash: bool = False, drawn: bool = False) -> str | None:
        r"""The next message, without its last newline; None at the end of input.

        `\` at a line's end joins the next; with `slash`, `/` there ends a message in any case, and stays.
        `drawn`: the prompt was written already, and stands where it is typed behind it.
        """
        self.clear_progress()
        self._inside = False
        if self.edits:
            return self._edit(prompt, drawn and self.screen is self.out)
        lines: list[str] = []
        first = "" if drawn and self.screen is self.out else prompt
        while (line := self._read_line(first if not lines else " " * min(len(prompt), 2))) is not None:
            ends = not self.multiline
            if slash and line.endswith("/"):
                ends = True
            elif line.endswith("\\"):
                line, ends = line[:-1], not ends
            lines.append(line)
            if ends:
                break
        return "\n".join(lines) if lines else None

    def _read_line(self, prompt: str) -> str | None:
        if self.asks:
            self.screen.write(prompt)
            self.screen.flush()
        line = self.source.readline()
        return line.removesuffix("\n").removesuffix("\r") if line else None

    def _edit(self, prompt: str, drawn: bool) -> str | None:
        if self._editor is None:
            from alpaca_tui.commands.line_editor import LineEditor

            self._editor = LineEditor(
                self.screen,
                colours=self.colours,
                multiline=self.multiline,
                history=system.data_dir() / HISTORY,
            )
        try:
            return self._editor.read(prompt, drawn)
        except EOFError:
            return None


def _wants_colours() -> bool:
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
