"""Terminals that are not at hand, by what they say of themselves in the environment."""

from __future__ import annotations

import pytest
from textual import _border
from textual.scrollbar import ScrollBarRender

from alpaca_tui.tui import glyphs
from alpaca_tui.tui.commands import COMMANDS
from alpaca_tui.tui.keymap import BY_ID, KeyMap
from alpaca_tui.tui.strings import LANGUAGES, Strings
from alpaca_tui.tui.terminals import Terminal, notification, terminal
from alpaca_tui.tui.topics import terminal_lines
from tests.tui.helpers import chat
from tests.tui.scripted_engine import Script

MACOS = {"TERM_PROGRAM": "Apple_Terminal", "TERM": "xterm-256color"}
VSCODE = {"TERM_PROGRAM": "vscode", "TERM": "xterm-256color"}
WINDOWS = {"WT_SESSION": "{0}"}
CONSOLE = {"TERM": "linux"}


@pytest.mark.parametrize(
    ("environ", "platform", "name"),
    [
        (WINDOWS, "win32", "Windows Terminal"),
        ({**WINDOWS, "WSL_DISTRO_NAME": "Ubuntu"}, "linux", "Windows Terminal"),
        ({}, "win32", "Windows console"),
        (MACOS, "darwin", "macOS Terminal"),
        (VSCODE, "linux", "VS Code"),
        ({"TERM_PROGRAM": "iTerm.app"}, "darwin", "iTerm2"),
        ({"TERM_PROGRAM": "tmux", "LC_TERMINAL": "iTerm2", "TMUX": "x"}, "darwin", "tmux in iTerm2"),
        ({"TERM": "xterm-kitty"}, "linux", "kitty"),
        ({"VTE_VERSION": "7600"}, "linux", "GNOME Terminal"),
        (CONSOLE, "linux", "Linux console"),
        ({"TERM": "screen", "STY": "1"}, "linux", "screen in terminal"),
        ({"TERM": "xterm-256color"}, "linux", "terminal"),
    ],
)
def test_which_terminal_it_is(environ: dict[str, str], platform: str, name: str) -> None:
    assert terminal(environ, platform).name == name


def test_what_they_cannot_do() -> None:
    assert terminal(WINDOWS, "win32").osc52 and terminal(VSCODE).osc52
    assert not terminal(MACOS).osc52 and not terminal(CONSOLE).osc52
    assert not terminal({}, "win32").brackets and terminal(WINDOWS, "win32").brackets
    assert terminal(CONSOLE).few_signs and not terminal(MACOS).few_signs


@pytest.mark.parametrize("environ", [WINDOWS, MACOS, VSCODE, {**VSCODE, "TMUX": "x"}, {"TMUX": "x"}])
def test_where_the_terminal_keeps_all_keys_of_an_action_the_help_names_the_command(
    environ: dict[str, str],
) -> None:
    keeps = set(terminal(environ).keeps)
    assert not any(name in keeps for name in ("ctrl+c", "escape", "enter", "up", "down", "ctrl+q"))
    lines = " ".join(terminal_lines(terminal(environ), KeyMap(), Strings("en")))
    for command in COMMANDS:
        keys = BY_ID[command.key].keys.split(",") if command.key else []
        if keys and set(keys) <= keeps:
            assert f"(/{command.name})" in lines


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_help_says_what_this_terminal_does_otherwise(language: str) -> None:
    say = Strings(language)
    lines = "\n".join(terminal_lines(terminal(VSCODE), KeyMap(), say))
    assert "F1 (/help)" in lines and "Ctrl+P (/commands)" in lines and "Shift" in lines
    lines = "\n".join(terminal_lines(terminal(MACOS), KeyMap(), say))
    assert "Fn" in lines and "macOS Terminal" in lines
    moved = KeyMap({"help": "f10", "command_palette": "f10"})
    assert "/help" not in "\n".join(terminal_lines(terminal(VSCODE), moved, say))


def test_notifications() -> None:
    def seen(known: Terminal) -> str:
        return notification(known, "Done", "a; b\x1b]0;c\a\n中文")

    assert seen(Terminal()) == "\a"
    assert seen(Terminal(notifies="9")) == "\x1b]9;Done: a; b ]0;c 中文\a"
    assert seen(Terminal(notifies="777")) == "\x1b]777;notify;Done;a, b ]0,c 中文\x1b\\"
    assert seen(Terminal(notifies="99")).count("\x1b\\") == 2
    wrapped = seen(Terminal(notifies="9", tmux=True))
    assert wrapped.startswith("\x1bPtmux;\x1b\x1b]9;") and wrapped.endswith("\a\x1b\\")


def test_signs_of_old_text_screens() -> None:
    before = glyphs.DOT
    try:
        glyphs.use_few(True)
        signs = "".join(v for k, v in vars(glyphs).items() if k.isupper() and isinstance(v, str))
        for sign in set(signs) - set(
            "•↑↓←→"
        ):  # these are in the font, too: in the place of control characters
            sign.encode("cp437")
    finally:
        glyphs.use_few(False)
    assert before == glyphs.DOT


async def test_copying_says_where_the_text_does_not_get_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    for name in ("TMUX", "WT_SESSION"):
        monkeypatch.delenv(name, raising=False)
    for program, inside in (("Apple_Terminal", True), ("vscode", False)):
        monkeypatch.setenv("TERM_PROGRAM", program)
        async with chat() as c:
            await c.ask("hello")
            await c.press("ctrl+y")
            assert ("this program only" in c.text()) is inside


async def test_the_linux_console_gets_what_its_font_has(monkeypatch: pytest.MonkeyPatch) -> None:
    for table in (_border.BORDER_CHARS, _border.BORDER_LOCATIONS):
        monkeypatch.setitem(table, "wide", table["wide"])
    monkeypatch.setattr(ScrollBarRender, "VERTICAL_BARS", ScrollBarRender.VERTICAL_BARS)
    _border.get_box.cache_clear()
    for name, value in {"TERM": "linux", "LANG": "zh_CN.UTF-8"}.items():
        monkeypatch.setenv(name, value)
    for name in ("LC_ALL", "LC_MESSAGES", "TMUX", "STY", "WT_SESSION", "VTE_VERSION", "TERM_PROGRAM"):
        monkeypatch.delenv(name, raising=False)
    try:
        async with chat(Script(replies=["- one\n  - two\n\n> three"]), language="", size=(120, 40)) as c:
            await c.ask("hello")
            for key in ("f1", "f8", "f2"):
                for sign in set(c.text()) - set("•↑↓←→\n–…"):
                    sign.encode("cp437")
                await c.press("escape", key)
            assert c.app.strings.language == "en" and c.app.animation_level == "none"
    finally:
        glyphs.use_few(False)
        _border.get_box.cache_clear()
