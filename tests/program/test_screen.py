"""The full-screen chat as a program in a terminal: type Chinese, stream, stop, change a setting, quit."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.program.terminal import CTRL_C, CTRL_Q, ENTER, ESC, Terminal

BACKSPACE, RIGHT, F4, F6 = "\x7f", "\x1b[C", "\x1bOS", "\x1b[17~"
ALTERNATE_SCREEN_LEFT = b"\x1b[?1049l"


def chat(home: Path, *arguments: str, size: tuple[int, int] = (40, 120)) -> Terminal:
    return Terminal([*arguments], home, size)


def count(text: str) -> int:
    return text.count("羊驼说")


def test_a_visit_in_chinese(parrot: Path, tmp_path: Path) -> None:
    arguments = ["-m", str(parrot), "-c", "65536", "-n", "-1", "--lang", "zh"]
    with chat(tmp_path, *arguments, size=(40, 90)) as terminal:
        terminal.wait("就绪")
        terminal.send("你好吗吗" + BACKSPACE)
        terminal.wait(lambda text: re.search(r"你好吗\n", text))
        terminal.send(ENTER)
        terminal.wait(lambda text: "生成中" in text and count(text) > 5)
        seen = terminal.text
        terminal.wait(lambda text: count(text) > count(seen))  # it streams: more comes while it is written
        assert "\ufffd" not in terminal.text  # a llama is four tokens, and one character
        terminal.send(ESC)
        asked = time.monotonic()
        terminal.wait(lambda text: "已停止" in text and "就绪" in text, seconds=10)
        assert time.monotonic() - asked < 5
        stopped = terminal.text
        terminal.read(0.5)
        assert terminal.text == stopped  # and no more does

        terminal.send(F4)  # below 100 columns it opens over the conversation
        terminal.wait(lambda text: re.search(r"温度 •? +0\.80 ", text))
        terminal.send(RIGHT)
        terminal.wait(lambda text: re.search(r"温度 •? +0\.85 ", text))
        terminal.wait("0 到 5")
        terminal.send(ENTER + "99" + ENTER)
        terminal.wait("99 超出范围")
        terminal.send(ESC)
        terminal.wait(lambda text: re.search(r"温度 •? +0\.85 ", text))

        terminal.send(F4)
        terminal.wait(lambda text: "温度" not in text)
        terminal.send(F6)
        terminal.wait(lambda text: "生成中" in text and "已停止" not in text)
        terminal.send(CTRL_C)
        terminal.wait(lambda text: "已停止" in text and "就绪" in text, seconds=10)
        terminal.send(CTRL_Q)
        assert terminal.exit_code() == 0
        assert ALTERNATE_SCREEN_LEFT in terminal.raw
        assert b"Traceback" not in terminal.raw


def test_a_file_that_is_no_model_is_said_on_the_screen_and_nothing_typed_is_lost(tmp_path: Path) -> None:
    (tmp_path / "picture.gguf").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with chat(tmp_path, "picture.gguf", "--lang", "en") as terminal:
        terminal.send("kept as it is")
        terminal.wait("picture (PNG)")
        terminal.wait("kept as it is")
        terminal.send(CTRL_Q)
        assert terminal.exit_code() == 0


def test_a_terminal_too_small_says_so_until_it_is_larger(parrot: Path, tmp_path: Path) -> None:
    with chat(tmp_path, "-m", str(parrot), "-c", "512", "--lang", "en", size=(8, 38)) as terminal:
        terminal.wait("too small")
        terminal.screen.resize(30, 100)
        terminal.child.setwinsize(30, 100)
        terminal.wait(lambda text: "ready" in text and "too small" not in text)
        terminal.send(CTRL_Q)
        assert terminal.exit_code() == 0


@pytest.mark.parametrize("size", [(24, 80), (10, 40)])
def test_a_small_terminal_is_enough_to_talk(parrot: Path, tmp_path: Path, size: tuple[int, int]) -> None:
    arguments = ["-m", str(parrot), "-c", "512", "-n", "39", "--lang", "en"]
    with chat(tmp_path, *arguments, size=size) as terminal:
        terminal.wait("ready")
        terminal.send("你好" + ENTER)
        terminal.wait(lambda text: count(text) >= 2)
        terminal.wait("ready")
        terminal.send(CTRL_C)
        terminal.send(CTRL_C)
        assert terminal.exit_code() == 0


def test_without_a_model_the_guide_opens_and_answers(tmp_path: Path) -> None:
    with chat(tmp_path, "--lang", "en", "--temp", "0", "-n", "60") as terminal:
        terminal.wait(lambda text: "tiny model that ships with the program" in text and "ready" in text)
        terminal.send("How do I quit?" + ENTER)
        answered = re.compile(r"tok/s[^\n]*\n +▎ +\S+ \S+")  # under the reply's header, its words
        terminal.wait(lambda text: "ready" in text and answered.search(text))
        terminal.send(CTRL_Q)
        assert terminal.exit_code() == 0
