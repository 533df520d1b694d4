"""Where colours, prompts and lines go."""

from __future__ import annotations

import io

import pyte
import pytest

from alpaca_tui.commands.terminal import Terminal
from alpaca_tui.engine import protocol as p
from tests.commands.scripted import Tty


def terminal(typed: str = "", tty: bool = False, **options: object) -> Terminal:
    kind = Tty if tty else io.StringIO
    return Terminal(kind(typed), kind(), kind(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("color", "tty", "variables", "wanted"),
    [
        ("auto", True, {}, True),
        ("auto", False, {}, False),
        ("auto", True, {"NO_COLOR": "1"}, False),
        ("auto", True, {"NO_COLOR": ""}, True),
        ("auto", True, {"TERM": "dumb"}, False),
        ("on", False, {"NO_COLOR": "1"}, True),  # it was asked for
        ("off", True, {}, False),
    ],
)
def test_colours(
    color: str, tty: bool, variables: dict[str, str], wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert terminal(tty=tty, color=color).colours is wanted


def test_an_escape_is_written_where_the_colour_changes() -> None:
    t = terminal(color="on")
    for name in ("prompt", "prompt", "default", "default", "user", "error"):
        t.colour(name)
    assert isinstance(t.out, io.StringIO)
    assert t.out.getvalue() == "\x1b[33m\x1b[0m\x1b[1m\x1b[32m\x1b[1m\x1b[31m"


def test_lines_of_a_message() -> None:
    t = terminal("one\\\r\ntwo\\\nthree\nfour/\n\nfive\\\n")
    assert [t.read_message() for _ in range(5)] == ["one\ntwo\nthree", "four/", "", "five", None]
    t = terminal("one\ntwo\\\nthree/\nfour", multiline=True)
    assert [t.read_message(slash=True) for _ in range(4)] == ["one\ntwo", "three/", "four", None]


def test_prompts_are_seen_where_the_text_is_and_a_drawn_one_is_not_repeated() -> None:
    t = terminal("a\\\nb\nc\n", tty=True)
    t.read_message()
    t.read_message("Q:", drawn=True)
    assert isinstance(t.out, Tty)
    assert t.out.getvalue() == ">   "
    t.out = io.StringIO()  # a file
    t.screen = t.notices
    t.source = Tty("d\n")
    t.read_message("Q:", drawn=True)
    assert isinstance(t.notices, Tty)
    assert (t.out.getvalue(), t.notices.getvalue()) == ("", "Q:")


def test_progress_is_drawn_below_text_that_stands_on_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alpaca_tui.commands.terminal.PATIENCE_SECONDS", -1.0)
    screen = pyte.Screen(60, 5)
    t = terminal(tty=True)
    t.notices = t.out
    t.write("\n" * 9 + "Once upon")
    for done in (1, 2):
        t.progress(p.Progress(p.EngineState.PREFILL, done, 4))
    feed = pyte.Stream(screen).feed
    assert isinstance(t.out, Tty)
    feed(t.out.getvalue().replace("\n", "\r\n"))
    assert screen.display[3].rstrip() == "Once upon" and screen.display[4].startswith("Reading")
    t.out.truncate(0)
    t.write(" a time\n")
    feed(t.out.getvalue().replace("\n", "\r\n").lstrip("\0"))
    assert [line.rstrip() for line in screen.display[3:]] == ["Once upon a time", ""]
