"""Keys that come while nobody reads them: kept for the next prompt, and not shown in the middle of a reply.

A terminal that collects lines shows what is typed at once, and its Ctrl+D says nothing to a program that
reads key by key later.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


@contextmanager
def keys_kept(source: TextIO) -> Iterator[None]:
    """Inside, the terminal `source` hands keys over one by one, and shows none. Ctrl+C still interrupts.

    A Windows console keeps keys anyway.
    """
    if sys.platform == "win32":
        yield
        return
    import termios

    try:
        before = termios.tcgetattr(source)
    except (termios.error, OSError, ValueError):  # no terminal after all
        yield
        return
    during = [*before[:3], before[3] & ~(termios.ICANON | termios.ECHO), *before[4:6], [*before[6]]]
    during[6][termios.VMIN], during[6][termios.VTIME] = b"\1", b"\0"
    termios.tcsetattr(source, termios.TCSANOW, during)
    try:
        yield
    finally:
        termios.tcsetattr(source, termios.TCSANOW, before)
