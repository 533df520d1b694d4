"""The real program in a pseudo-terminal, seen as a person sees it: a screen of characters, and keys."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pexpect
import pyte

ROOT = Path(__file__).resolve().parent.parent.parent
WAIT_SECONDS = 120  # the first of these tests may have to compile kernels, on a busy machine
HAND = 0.3  # seconds between a text and Enter: the program may be held up, and still see that they are two
ENTER, ESC, CTRL_C, CTRL_D, CTRL_Q = "\r", "\x1b", "\x03", "\x04", "\x11"


def environment(home: Path, **more: str) -> dict[str, str]:
    """Of a person whose settings and conversations are all below `home`; compiled kernels are shared."""
    # Without the size of the terminal that the tests themselves run in.
    theirs = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    return {
        **theirs,
        "PYTHONPATH": str(ROOT),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_DATA_HOME": str(home / "data"),
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        **more,
    }


def introduced(home: Path) -> None:
    """As if the program had been started before: without the page for the first start."""
    file = home / "data" / "alpaca-tui" / "remembered.json"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('{"introduced": true, "models": []}', encoding="utf-8")


class Terminal:
    """`alpaca-tui`, or another module, with `arguments` in a terminal of `size` (rows, columns)."""

    def __init__(
        self,
        arguments: Sequence[str],
        home: Path,
        size: tuple[int, int] = (40, 120),
        program: str = "alpaca_tui",
        first_start: bool = False,
        **env: str,
    ) -> None:
        if not first_start:
            introduced(home)
        rows, columns = size
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.child = pexpect.spawn(
            sys.executable,
            ["-X", "faulthandler", "-m", program, *arguments],
            cwd=str(home),
            env=environment(home, **env),
            dimensions=size,
            timeout=WAIT_SECONDS,
        )
        self.child.delaybeforesend = None

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        self.child.close(force=True)

    @property
    def text(self) -> str:
        """What is on the screen, line by line, without the spaces at their ends."""
        return "\n".join(self.line(y) for y in range(self.screen.lines))

    def line(self, y: int) -> str:
        """Row `y`. (pyte's own `display` trips over a wide character that was half overwritten.)"""
        return "".join(self.screen.buffer[y][x].data for x in range(self.screen.columns)).rstrip()

    def read(self, seconds: float = 0.05) -> bool:
        """Takes in what the program writes for so long; False once it has ended."""
        try:
            data = self.child.read_nonblocking(1 << 16, seconds)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.raw += data
        self.stream.feed(data)
        return True

    def wait(self, what: str | Callable[[str], object], seconds: float = WAIT_SECONDS) -> str:
        """Reads until `what` is on the screen (or true of its text), and returns the text."""
        end = time.monotonic() + seconds
        while True:
            text = self.text
            if what in text if isinstance(what, str) else what(text):
                return text
            alive = self.read()
            if not alive and self.text == text:
                raise AssertionError(f"The program ended before {what!r} was seen:\n{text}")
            if time.monotonic() > end:
                raise AssertionError(f"{what!r} was not seen within {seconds} s:\n{text}")

    def send(self, keys: str) -> None:
        """Types. Enter comes a little after the rest, as from a hand and unlike from an input method."""
        text = keys.removesuffix(ENTER)
        if text != keys:
            self.child.send(text.encode("utf-8"))
            time.sleep(HAND)
            keys = ENTER
        self.child.send(keys.encode("utf-8"))

    def send_at_once(self, keys: str) -> None:
        self.child.send(keys.encode("utf-8"))

    def exit_code(self, seconds: float = 20) -> int:
        """Waits for the end of the program; where it does not come, shows what each of its threads does."""
        end = time.monotonic() + seconds
        while self.read():
            if time.monotonic() > end:
                before = len(self.raw)
                self.child.kill(signal.SIGABRT)
                while self.read(1):
                    pass
                stacks = self.raw[before:].decode("utf-8", "replace")
                raise AssertionError(f"The program did not end within {seconds} s:\n{self.text}\n{stacks}")
        self.child.wait()
        if self.child.signalstatus is not None:
            return 128 + int(self.child.signalstatus)  # as a shell says it
        return int(self.child.exitstatus)
