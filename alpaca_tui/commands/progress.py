"""A progress bar on stderr: one line, written over. Into a file or a pipe nothing is written."""

from __future__ import annotations

import shutil
import sys
import time
from types import TracebackType
from typing import Self, TextIO

from alpaca_tui.tui.eta import TimeLeft

REDRAW_SECONDS = 0.1
PATIENCE_SECONDS = 0.3  # what is done before that needs no bar
WIDTH = 20
_ERASE = "\r\x1b[K"


class Bar:
    """`bar(done, total, what)` for each report; `done` and `total` count bytes, or what `unit` says.

    A context manager: the line is gone at its end, whatever happened.
    """

    def __init__(self, stream: TextIO | None = None, unit: str = "bytes") -> None:
        self._stream = sys.stderr if stream is None else stream
        self._unit = unit
        self._terminal = self._stream.isatty()
        self._time_left = TimeLeft()
        self._begin = self._drawn = time.monotonic()
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def __call__(self, done: int, total: int, what: str = "") -> None:
        if not self._terminal:
            return
        self._time_left.update(self._unit, done, total)
        now = time.monotonic()
        if now - self._begin < PATIENCE_SECONDS or now - self._drawn < REDRAW_SECONDS:
            return
        self._drawn = now
        columns = shutil.get_terminal_size().columns
        line = bar_line(done, total, what, self._unit, self._time_left.seconds)[: columns - 1]
        self._stream.write(_ERASE + line)
        self._stream.flush()
        self._shown = True

    def clear(self) -> None:
        """Takes the line away, so that other words can be written."""
        if self._shown:
            self._stream.write(_ERASE)
            self._stream.flush()
            self._shown = False


def bar_line(done: int, total: int, what: str, unit: str, seconds: float | None) -> str:
    """What the bar shows: "[#####...............]  25 %  1.0/4.0 GiB  0:30 left  what"."""
    share = min(done / total, 1.0) if total > 0 else 0.0
    full = int(share * WIDTH)
    parts = [f"[{'#' * full}{'.' * (WIDTH - full)}] {100 * share:3.0f} %", _amount(done, total, unit)]
    if seconds is not None and done < total:
        parts.append(f"{clock(seconds)} left")
    return "  ".join([*parts, what]).rstrip()


def clock(seconds: float) -> str:
    """0:05, 12:30, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(n_bytes: int) -> str:
    """1.5 GiB, 20.0 MiB, 3.4 KiB, 17 B."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if n_bytes >= unit:
            return f"{n_bytes / unit:.1f} {name}"
    return f"{n_bytes} B"


def _amount(done: int, total: int, unit: str) -> str:
    if unit != "bytes":
        return f"{done}/{total} {unit}".rstrip()
    for scale, name in ((1 << 30, "GiB"), (1 << 20, "MiB")):
        if total >= scale:
            return f"{done / scale:.1f}/{total / scale:.1f} {name}"
    return f"{done}/{total} B"
