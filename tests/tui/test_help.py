"""F1 says what has the focus, in both languages, and has everything: keys, commands, the plain mode."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from alpaca_tui.chat.config import Config
from alpaca_tui.tui import screens
from alpaca_tui.tui.commands import COMMANDS
from alpaca_tui.tui.screens.help import HelpScreen
from alpaca_tui.tui.topics import DIALOGS
from tests.tui.helpers import Chat, chat

SIZES = ((80, 24), (120, 40), (200, 60))


async def help_text(c: Chat) -> str:
    """All of the help page, wherever it is scrolled to."""
    await c.press("f1")
    assert isinstance(c.app.screen, HelpScreen)
    text = "\n".join(str(widget.render()) for widget in c.app.screen.query("Static"))
    await c.press("f1")
    assert not isinstance(c.app.screen, HelpScreen)
    return text


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("language", ["en", "zh"])
async def test_what_has_the_focus(size: tuple[int, int], language: str) -> None:
    async with chat(size=size, language=language) as c:
        say = c.app.strings
        await c.ask("hello")
        await c.press("f1")
        assert say("help_topic") in c.text() and say("topic_prompt")[:20] in c.text()
        await c.press("f1", "shift+tab")
        text = await help_text(c)
        assert say("topic_read")[:20] in text
        assert text.index(say("group_read")) < text.index(say("group_talk"))
        await c.press("escape", "ctrl+f")
        assert say("topic_find")[:10] in await help_text(c)


async def test_a_setting_is_explained_by_the_table_of_settings() -> None:
    async with chat(size=(120, 40)) as c:
        c.app.main.set_focus(c.app.sidebar.row("temp"))
        await c.settle()
        assert "Temperature: " in await help_text(c)


async def test_dialogs_are_explained_and_come_back() -> None:
    async with chat() as c:
        for key, words in (("f2", "Models found"), ("f3", "All chats"), ("f8", "How fast replies")):
            await c.press(key)
            below = c.app.screen
            assert words in await help_text(c)
            assert c.app.screen is below
            await c.press("escape")
            assert not c.app.modal_open


def test_every_dialog_has_its_words() -> None:
    names = {path.stem for path in Path(screens.__file__).parent.glob("*.py")}
    found = {
        name
        for stem in names
        for name, value in vars(import_module(f"{screens.__name__}.{stem}")).items()
        if name.endswith("Screen") and value.__module__ == f"{screens.__name__}.{stem}"
    }
    assert found - {"HelpScreen"} == set(DIALOGS)


async def test_commands_and_plain_mode_are_in_it() -> None:
    async with chat() as c:
        text = await help_text(c)
        assert all(f"/{command.name}" in text for command in COMMANDS)
        assert "alpaca-tui main" in text


async def test_keys_and_what_they_do_keep_apart_at_any_width() -> None:
    for size in ((40, 24), (60, 24), (120, 60)):
        async with chat(size=size) as c:
            await c.press("f1")
            for _ in range(3):
                assert "Ctrl+J" not in c.text() or "Ctrl+J " in c.text()
                assert not any("Enternew" in line for line in c.lines())
                await c.press("pagedown")


async def test_where_enter_begins_a_line_everything_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('enter = "newline"\n')
    async with chat(config=Config(tmp_path / "config.toml"), size=(100, 60)) as c:
        assert "Enter begins a new line, Ctrl+J sends" in c.text()
        await c.press("f1")
        assert re.search(r" Enter +new line", c.text()) and re.search(r" Ctrl\+J .*  send", c.text())
        await c.press("escape")
        await c.send("/set enter send")
        assert "Enter sends, Ctrl+J begins" in c.text()
