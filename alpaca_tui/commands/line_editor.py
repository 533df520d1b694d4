"""The line editor of the plain terminal: prompt_toolkit, with the keys that `main` had.

It knows the width of Chinese characters, keeps a history, and takes pasted text of several lines as one
message.
"""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from prompt_toolkit import PromptSession
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import ColorDepth, Output
from prompt_toolkit.output.defaults import create_output
from prompt_toolkit.styles import Style
from prompt_toolkit.utils import get_cwidth

from alpaca_tui.commands.line_history import LineHistory


class LineEditor:
    """`history` is the file with what was typed before, if there is one. `keys` and `output` stand in for
    the terminal in tests.
    """

    def __init__(
        self,
        screen: TextIO,
        *,
        colours: bool = False,
        multiline: bool = False,
        history: Path | None = None,
        keys: Input | None = None,
        output: Output | None = None,
    ) -> None:
        self._multiline = multiline
        output = output or create_output(stdout=screen)
        if hasattr(output, "enable_cpr"):
            output.enable_cpr = (
                False  # nothing is drawn below the line; and terminals that do not answer are asked
            )
        self._session: PromptSession[str] = PromptSession(
            multiline=True,
            history=LineHistory(history) if history else InMemoryHistory(),
            key_bindings=self._bindings(),
            style=Style.from_dict({"": "ansigreen bold", "prompt": "noinherit"} if colours else {}),
            color_depth=None if colours else ColorDepth.DEPTH_1_BIT,
            prompt_continuation=lambda width, line, wrapped: " " * min(width, 2),
            enable_open_in_editor=False,
            input=keys,
            output=output,
        )

    def read(self, prompt: str, drawn: bool = False) -> str:
        """What is typed until it is sent. Raises KeyboardInterrupt at Ctrl+C, EOFError at Ctrl+D.

        `drawn`: the prompt stands on the cursor's line already, and is drawn over; where it takes more than
        that line, typing begins on the next.
        """
        if drawn and prompt:
            output = self._session.output
            fits = get_cwidth(prompt) < output.get_size().columns
            output.write_raw("\r" if fits else "\r\n")
            prompt = prompt if fits else ""
        return well_formed(self._session.prompt(prompt))

    def _bindings(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("enter")
        @keys.add("c-j")  # what was typed before the prompt was there comes with \n
        def _(event: KeyPressEvent) -> None:
            buffer = event.current_buffer
            continued = buffer.document.current_line_before_cursor.endswith("\\")
            if continued:
                buffer.delete_before_cursor()
            self._end_line(buffer, sends=continued == self._multiline)

        @keys.add("escape", "enter")
        def _(event: KeyPressEvent) -> None:
            self._end_line(event.current_buffer, sends=self._multiline)

        return keys

    @staticmethod
    def _end_line(buffer: Buffer, sends: bool) -> None:
        if sends:
            buffer.validate_and_handle()
        else:
            buffer.newline(copy_margin=False)


def well_formed(text: str) -> str:
    """`text` with U+FFFD for bytes that are no UTF-8 and for lone halves of surrogate pairs; pairs become
    one.
    """
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
