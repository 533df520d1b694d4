"""Copying: the terminal first, and what the computer has beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from alpaca_tui.tui.clipboard import _feed, copy_text, native_command
from tests.tui.helpers import chat


@pytest.mark.parametrize(
    ("environ", "there", "command"),
    [
        ({"TMUX": "/tmp/x"}, ["tmux", "xclip"], "tmux"),
        ({"TMUX": "/tmp/x", "SSH_CONNECTION": "1"}, ["tmux"], "tmux"),
        ({"DISPLAY": ":0"}, ["xclip"], "xclip"),
        ({"DISPLAY": ":0", "WAYLAND_DISPLAY": "w"}, ["xclip", "wl-copy"], "wl-copy"),
        ({"DISPLAY": ":0", "SSH_CONNECTION": "1"}, ["xclip", "pbcopy"], None),
        ({}, ["pbcopy"], "pbcopy"),
        ({}, ["xclip"], None),
        ({"TMUX": "/tmp/x"}, [], None),
    ],
)
def test_which_program_takes_it(
    environ: dict[str, str], there: list[str], command: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: name if name in there else None)
    found = native_command(environ)
    assert (found[0] if found else None) == command


def test_the_text_reaches_it_whole(tmp_path: Path) -> None:
    target = tmp_path / "clipboard"
    _feed(["tee", str(target)], "中文 [x] 😀\n")
    assert target.read_text(encoding="utf-8") == "中文 [x] 😀\n"


def test_a_program_that_fails_is_no_error() -> None:
    _feed(["no-such-program-anywhere"], "x")


async def test_the_terminal_is_told() -> None:
    async with chat() as c:
        copy_text(c.app, "copied", {})
        assert c.app.clipboard == "copied"
