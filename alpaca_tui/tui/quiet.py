"""Nothing but the program writes on the screen while it is there.

What Python code prints goes to the log by way of Textual. Libraries in C write to file descriptor 2, which is
the terminal, and where Textual draws: while the screen is on, descriptor 2 is the log file, and Textual has a
copy of what it was.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


@contextlib.contextmanager
def quiet(to: Path) -> Iterator[None]:
    """Sends what is written to descriptor 2 into a file; everything is as before where that cannot be."""
    if os.name != "posix":  # on Windows libraries have C runtimes of their own, with descriptors of their own
        yield
        return
    try:
        log = os.open(to, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError:
        yield
        return
    saved = os.dup(2)
    screen = open(saved, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    before = sys.__stderr__, sys.stderr
    _use(screen, screen)
    os.dup2(log, 2)
    os.close(log)
    try:
        yield
    finally:
        screen.flush()
        os.dup2(saved, 2)
        _use(*before)
        screen.close()
        os.close(saved)


def _use(original: TextIO | None, now: TextIO) -> None:
    """`sys.__stderr__` is what Textual draws on."""
    vars(sys).update(__stderr__=original, stderr=now)
    if faulthandler.is_enabled() and now is not None:
        faulthandler.enable(file=now)
