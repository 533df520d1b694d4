"""The real program inside tmux: it draws, follows the window's size, and copies into tmux's buffer."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.program.parrot import SENTENCE
from tests.program.terminal import HAND, WAIT_SECONDS, environment

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


class Tmux:
    """A server of its own, with one window of 80x24 that runs the program."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self._socket = str(home / "tmux")
        env = environment(home)
        env.pop("TMUX", None)
        mine = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "PYTHONPATH", "COLORTERM", "PATH")
        variables = [f"{name}={env[name]}" for name in mine if name in env]
        command = ["env", "-u", "COLUMNS", "-u", "LINES", *variables]
        command += [sys.executable, "-m", "alpaca_tui", *arguments]
        self._env = env
        self(
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "80",
            "-y",
            "24",
            "-c",
            str(home),
            shlex.join(command),
        )
        self("set-option", "-s", "set-clipboard", "on")
        self("set-option", "-g", "window-size", "manual")

    def __call__(self, *arguments: str) -> str:
        command = ["tmux", "-S", self._socket, *arguments]
        return subprocess.run(command, env=self._env, check=True, capture_output=True, text=True).stdout

    def wait(self, seen: Callable[[str], object]) -> str:
        end = time.monotonic() + WAIT_SECONDS
        while True:
            text = self("capture-pane", "-p")
            if seen(text):
                return text
            assert time.monotonic() < end, text
            time.sleep(0.1)


@pytest.fixture
def tmux(parrot: Path, tmp_path: Path) -> Iterator[Tmux]:
    program = Tmux(tmp_path, "-m", str(parrot), "-c", "2048", "-n", "60", "--lang", "en")
    yield program
    subprocess.run(["tmux", "-S", str(tmp_path / "tmux"), "kill-server"], check=False, capture_output=True)


def test_it_talks_resizes_and_copies(tmux: Tmux) -> None:
    tmux.wait(lambda text: "ready" in text)
    tmux("send-keys", "-l", "你好 hello")
    tmux.wait(lambda text: "你好 hello" in text)
    time.sleep(HAND)
    tmux("send-keys", "Enter")
    tmux.wait(lambda text: "ready" in text and SENTENCE in text.replace("\n ▎ ", ""))
    for columns, rows in ((120, 40), (60, 20), (200, 60)):
        tmux("resize-window", "-x", str(columns), "-y", str(rows))
        tmux.wait(lambda text, rows=rows: len(text.splitlines()) == rows and "ready" in text.splitlines()[-1])
    tmux("send-keys", "C-y")
    tmux.wait(lambda text: "Copied" in text)
    copied = tmux("show-buffer")
    assert copied.startswith(SENTENCE) and "▎" not in copied
