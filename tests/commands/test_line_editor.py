"""The line editor with keys from a pipe: what is one message, what a key ends, what is no text."""

from __future__ import annotations

import io
from collections.abc import Iterator
from threading import Timer

import pytest
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from alpaca_tui.commands.line_editor import LineEditor, well_formed

PASTE = "\x1b[200~{}\x1b[201~"
UP, ALT_ENTER, BACKSPACE, LEFT = "\x1b[A", "\x1b\r", "\x7f", "\x1b[D"


@pytest.fixture
def keys() -> Iterator[PipeInput]:
    with create_pipe_input() as keys:
        yield keys


def editor(keys: PipeInput, multiline: bool = False) -> LineEditor:
    return LineEditor(io.StringIO(), multiline=multiline, keys=keys, output=DummyOutput())


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("hello\r", "hello"),
        ("typed before the prompt\n", "typed before the prompt"),
        ("一二三" + BACKSPACE + LEFT + "〇\r", "一〇二"),
        ("one\\\rtwo\r", "one\ntwo"),
        ("one" + ALT_ENTER + "two\r", "one\ntwo"),
        (PASTE.format("one\ntwo\n三") + "\r", "one\ntwo\n三"),
        (PASTE.format("one\r\ntwo") + " three\r", "one\ntwo three"),
        ("a\\b\r", "a\\b"),
        ("\r", ""),
    ],
)
def test_a_message(typed: str, message: str, keys: PipeInput) -> None:
    keys.send_text(typed)
    assert editor(keys).read("> ") == message


def test_with_multiline_enter_begins_a_new_line(keys: PipeInput) -> None:
    keys.send_text("one\rtwo\\\rthree" + ALT_ENTER)
    edit = editor(keys, multiline=True)
    assert edit.read("> ") == "one\ntwo"
    assert edit.read("> ") == "three"


def test_earlier_messages_come_back(keys: PipeInput) -> None:
    edit = editor(keys)
    keys.send_text("一\r二\r")
    assert [edit.read("> ") for _ in range(2)] == ["一", "二"]
    Timer(0.2, keys.send_text, (UP + UP + "\r",)).start()  # the history is there a moment after the prompt
    assert edit.read("> ") == "一"


def test_ctrl_c_and_ctrl_d(keys: PipeInput) -> None:
    edit = editor(keys)
    keys.send_text("typed\x03")
    with pytest.raises(KeyboardInterrupt):
        edit.read("> ")
    keys.send_text("\x04")
    with pytest.raises(EOFError):
        edit.read("> ", drawn=True)


def test_bytes_that_are_no_utf8_and_halves_of_characters() -> None:
    assert well_formed("羊\udce9") == "羊\ufffd"
    assert well_formed("\ud83e\udd99") == "🦙"
    assert well_formed("\ud83e") == "\ufffd"
    assert well_formed("\ufeffa🦙") == "\ufeffa🦙"


def test_bytes_that_are_no_utf8_are_typed(keys: PipeInput) -> None:
    keys.send_bytes(b"a\xff\xe7\xbe\x8a\r")
    assert editor(keys).read("> ") == "a\ufffd羊"
