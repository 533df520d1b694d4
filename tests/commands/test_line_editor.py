"""The line editor with keys from a pipe: what is one message, what a key ends, what is no text."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from alpaca_tui.commands.line_editor import LineEditor, well_formed
from alpaca_tui.commands.line_history import MOST, MOST_BYTES, LineHistory

PASTE = "\x1b[200~{}\x1b[201~"
UP, ALT_ENTER, BACKSPACE, LEFT = "\x1b[A", "\x1b\r", "\x7f", "\x1b[D"


@pytest.fixture
def keys() -> Iterator[PipeInput]:
    with create_pipe_input() as keys:
        yield keys


def type_when_loaded(edit: LineEditor, keys: PipeInput, text: str) -> None:
    """Once two earlier messages are there, which is a moment after the prompt."""

    def wait() -> None:
        while len(edit._session.default_buffer._working_lines) < 3:
            time.sleep(0.01)
        keys.send_text(text)

    Thread(target=wait, daemon=True).start()


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
    type_when_loaded(edit, keys, UP + UP + "\r")
    assert edit.read("> ") == "一"


def test_earlier_messages_come_back_in_another_session(keys: PipeInput, tmp_path: Path) -> None:
    def reopened() -> LineEditor:
        return LineEditor(io.StringIO(), history=path, keys=keys, output=DummyOutput())

    path = tmp_path / "data" / "typed.jsonl"
    edit = reopened()
    keys.send_text("一\r" + PASTE.format("two\nlines") + "\r")
    assert [edit.read("> ") for _ in range(2)] == ["一", "two\nlines"]
    edit = reopened()
    type_when_loaded(edit, keys, UP + UP + UP + "\r")  # a line of the two each
    assert edit.read("> ") == "一"
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o600


def test_the_history_on_disk_is_bounded_and_survives_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "typed.jsonl"
    lines = [f'"{i}"\n'.encode() for i in range(MOST)]
    path.write_bytes(b'"cut o\n{}\n\xff\n' + b"".join(lines))
    assert list(LineHistory(path).load_history_strings())[::999] == ["999", "0"]
    with path.open("ab") as file:
        file.write(b'"more"\n')
    assert next(iter(LineHistory(path).load_history_strings())) == "more"
    assert path.read_bytes().splitlines()[0] == b'"501"'
    LineHistory(path).store_string("羊\udce9" + "x" * MOST_BYTES)
    assert path.stat().st_size < MOST * 8
    path.unlink()
    path.mkdir()
    assert list(LineHistory(path).load_history_strings()) == []
    LineHistory(path).store_string("lost, and nobody hurt")


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
