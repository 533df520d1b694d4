"""The progress bar: what it shows, where it keeps quiet, and that it leaves nothing behind."""

from __future__ import annotations

import io

import pytest

from alpaca_tui.commands import progress
from alpaca_tui.commands.progress import Bar, bar_line, clock, size


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_line() -> None:
    assert bar_line(1 << 30, 4 << 30, "wq", "bytes", 30.2) == (
        "[#####...............]  25 %  1.0/4.0 GiB  0:30 left  wq"
    )
    assert bar_line(3, 3, "", "chunks", 0.0) == "[####################] 100 %  3/3 chunks"
    assert bar_line(0, 0, "x", "", None) == "[....................]   0 %  0/0  x"


@pytest.mark.parametrize(("seconds", "text"), [(4.6, "0:05"), (750, "12:30"), (3723, "1:02:03")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(("n", "text"), [(17, "17 B"), (3500, "3.4 KiB"), (3 << 29, "1.5 GiB")])
def test_size(n: int, text: str) -> None:
    assert size(n) == text


def test_shown_on_a_terminal_and_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", -1)
    monkeypatch.setattr(progress, "REDRAW_SECONDS", -1)
    monkeypatch.setenv("COLUMNS", "40")
    screen = Screen()
    with pytest.raises(KeyboardInterrupt), Bar(screen) as bar:
        bar(5, 10, "a very long name of something " * 3)
        assert screen.getvalue().startswith("\r\x1b[K[##########..........]  50 %  5/10 B")
        assert len(screen.getvalue().removeprefix("\r\x1b[K")) == 39
        raise KeyboardInterrupt
    assert screen.getvalue().endswith("\r\x1b[K")


def test_quick_work_and_pipes_see_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    with Bar(screen) as bar:
        bar(5, 10, "quick")
    assert screen.getvalue() == ""
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", -1)
    monkeypatch.setattr(progress, "REDRAW_SECONDS", -1)
    pipe = io.StringIO()
    with Bar(pipe) as bar:
        bar(5, 10, "to a file")
    assert pipe.getvalue() == ""
