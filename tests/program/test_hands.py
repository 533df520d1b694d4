"""What hands do to the real program: Ctrl+C at every step, pasting, resizing, typing before it is ready."""

from __future__ import annotations

import time
from pathlib import Path

from alpaca_tui.chat.store import chats
from alpaca_tui.chat.store.archive import FILE_NAME, connect
from tests.program.parrot import SENTENCE
from tests.program.terminal import CTRL_C, CTRL_Q, ENTER, ESC, Terminal

ARGUMENTS = ("-c", "65536", "-n", "-1", "--temp", "0", "--lang", "en")
UP, LEFT, BACKSPACE, CTRL_END = "\x1b[A", "\x1b[D", "\x7f", "\x1b[1;5F"
# Keys in one burst are taken for a paste, whose Enter sends nothing: before Enter the tests wait a moment.
PASTE = "\x1b[200~{}\x1b[201~"


def program(parrot: Path, home: Path, size: tuple[int, int] = (24, 80)) -> Terminal:
    return Terminal(["-m", str(parrot), *ARGUMENTS], home, size)


def resize(terminal: Terminal, rows: int, columns: int) -> None:
    terminal.screen.resize(rows, columns)
    terminal.child.setwinsize(rows, columns)


def draft(home: Path) -> str:
    """That of the newest chat in the file."""
    connection = connect(home / "data" / "alpaca-tui" / FILE_NAME)
    text = chats.summaries(connection)[0].draft
    connection.close()
    return text


def test_ctrl_c_step_by_step(parrot: Path, tmp_path: Path) -> None:
    with program(parrot, tmp_path) as terminal:
        terminal.wait("ready")
        terminal.send("first" + ENTER)
        terminal.wait(lambda text: "writing" in text and SENTENCE[:3] in text)
        terminal.send("next" + ENTER)
        terminal.wait("Waiting: next")
        terminal.send("a draft 草稿")
        terminal.wait("a draft 草稿")
        terminal.send("\x1bOP")  # F1
        terminal.wait("Esc close")
        terminal.send(CTRL_C)
        terminal.wait(lambda text: "Esc close" not in text and "a draft" in text)
        time.sleep(1.6)  # else it counts as hammering, which passes over the gentler steps
        terminal.send(CTRL_C)
        terminal.wait(lambda text: "Stopped." in text and "ready" in text and "Held back: next" in text)
        time.sleep(1.6)
        terminal.send(CTRL_C)
        terminal.wait(lambda text: "Held back" not in text and "a draft 草稿" in text)
        time.sleep(1.6)
        terminal.send(CTRL_C)
        terminal.wait(lambda text: "a draft 草稿" not in text)
        terminal.send(UP)
        terminal.wait("a draft 草稿")
        time.sleep(1.6)
        terminal.send(CTRL_C)
        terminal.wait(lambda text: "a draft 草稿" not in text)
        time.sleep(1.6)
        terminal.send(CTRL_C)
        terminal.wait("Ctrl+C again")
        terminal.send(CTRL_C)
        assert terminal.exit_code() == 0
    assert b"Traceback" not in terminal.raw


def test_the_terminal_changes_its_size_while_a_reply_comes(parrot: Path, tmp_path: Path) -> None:
    with program(parrot, tmp_path) as terminal:
        terminal.wait("ready")
        terminal.send("go" + ENTER)
        terminal.wait(lambda text: text.count(SENTENCE[:3]) > 2)
        for rows, columns in ((40, 120), (12, 44), (60, 200), (10, 40), (24, 80)):
            resize(terminal, rows, columns)
            terminal.wait(lambda text: "writing" in text.splitlines()[-1] and SENTENCE[:3] in text)
            seen = terminal.text
            terminal.wait(lambda text, seen=seen: text != seen)  # it goes on
        resize(terminal, 6, 30)
        terminal.wait("too small")
        resize(terminal, 24, 80)
        terminal.wait("writing")
        terminal.send(ESC)
        terminal.wait(lambda text: "Stopped." in text and "ready" in text)
        rows = [line.removeprefix(" ▎ ") for line in terminal.text.splitlines() if line.startswith(" ▎ ")]
        words = "".join(row for row in rows if "羊驼" in row or "alpaca" in row)
        assert SENTENCE in words and "\ufffd" not in terminal.text
        terminal.send(CTRL_Q)
        assert terminal.exit_code() == 0
    assert b"Traceback" not in terminal.raw


def test_100_kb_are_pasted_as_one_draft(parrot: Path, tmp_path: Path) -> None:
    lines = [f"line {i} 第{i}行 {'words ' * 6}" for i in range(2000)]
    text = "\n".join([*lines, "the last line 最后"])
    assert len(text.encode()) > 100_000
    with program(parrot, tmp_path) as terminal:
        terminal.wait("ready")
        terminal.send(PASTE.format(text))
        terminal.wait("the last line 最后", seconds=30)
        terminal.send(" typed behind")
        terminal.wait("最后 typed behind")
        time.sleep(1)
        terminal.read()
        assert draft(tmp_path) == text + " typed behind"  # and none of its lines was sent
        terminal.send(CTRL_C)
        terminal.wait(lambda shown: "最后" not in shown)
        terminal.send(CTRL_Q)
        assert terminal.exit_code() == 0


def test_wide_characters_are_edited_one_by_one(parrot: Path, tmp_path: Path) -> None:
    with program(parrot, tmp_path) as terminal:
        terminal.wait("ready")
        terminal.send("你好世界🦙吗" + LEFT * 2 + BACKSPACE + "，" + BACKSPACE + "们")
        terminal.wait("你好世们🦙吗")
        terminal.read(0.5)
        terminal.send(ENTER)
        terminal.wait(lambda text: "writing" in text and SENTENCE[:3] in text)
        terminal.send(ESC)
        terminal.wait("Stopped.")
        terminal.send(CTRL_Q)
        assert terminal.exit_code() == 0
    connection = connect(tmp_path / "data" / "alpaca-tui" / FILE_NAME)
    assert chats.summaries(connection)[0].title == "你好世们🦙吗"
    connection.close()


def test_what_is_typed_and_sent_while_the_model_loads_is_answered(parrot: Path, tmp_path: Path) -> None:
    with program(parrot, tmp_path) as terminal:
        terminal.wait("▎")  # the first picture: the engine is not even imported
        assert "● ready" not in terminal.text
        terminal.send("sent before it was ready 早")
        terminal.wait("sent before it was ready 早", 10)
        terminal.read(0.5)
        terminal.send(ENTER)
        terminal.wait(lambda text: "sent before it was ready 早" not in text.splitlines()[-2])
        terminal.send("and a draft")
        terminal.wait(lambda text: SENTENCE[:3] in text and "and a draft" in text)
        terminal.send(ESC)
        terminal.wait("Stopped.")
        terminal.send(CTRL_Q)
        assert terminal.exit_code() == 0
