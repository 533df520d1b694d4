"""The page of the first start: once, in the way of nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual import events

from alpaca_tui.chat.config import Config
from alpaca_tui.chat.remembered import Remembered
from alpaca_tui.tui.screens.first_run import FirstRunScreen
from tests.tui.helpers import Chat, chat

SIZES = ((40, 10), (80, 24), (120, 40), (200, 60))


def shown(c: Chat) -> bool:
    return isinstance(c.app.screen, FirstRunScreen)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(tmp_path / "config.toml")


async def test_it_comes_once(tmp_path: Path) -> None:
    file = tmp_path / "remembered.json"
    async with chat(remembered=Remembered(file)) as c:
        assert shown(c) and "Welcome" in c.text()
        await c.press("enter")
        assert not shown(c) and not c.engine.requests
    async with chat(remembered=Remembered(file)) as c:
        assert not shown(c)
        await c.send("/tour")
        assert shown(c)


async def test_typing_goes_on_in_the_prompt() -> None:
    async with chat(remembered=Remembered()) as c:
        c.app.action_first_run()
        await c.settle()
        await c.press(*"hello")
        assert not shown(c) and c.app.prompt.text == "hello"


async def test_an_input_method_and_a_paste_go_there_whole() -> None:
    async with chat() as c:
        c.app.action_first_run()
        await c.settle()
        for character in "你好":
            c.app.post_message(events.Key(character, character))
        await c.settle()
        assert not shown(c) and c.app.prompt.text == "你好"
        c.app.action_first_run()
        await c.settle()
        c.app.post_message(events.Paste("two\r\nlines\x1b[31m"))
        await c.settle()
        assert not shown(c) and c.app.prompt.text == "你好two\nlines␛[31m"


async def test_its_two_choices_take_effect_at_once_and_are_kept(config: Config) -> None:
    async with chat(config=config) as c:
        c.app.action_first_run()
        await c.press("right")
        assert "欢迎" in c.text() and Config(config.path)["language"] == "zh"
        await c.press("left")
        assert "Welcome" in c.text()
        await c.press("down")
        assert Config(config.path)["enter"] == "newline" and not c.app.prompt.enter_sends
        await c.press("escape")
        await c.press("a", "enter", "b", "ctrl+j")
        assert c.path[0].text == "a\nb"


async def test_ctrl_c_and_the_mouse_close_and_change_it() -> None:
    async with chat() as c:
        c.app.action_first_run()
        await c.settle()
        row = c.row_of("Language:")
        await c.pilot.click(offset=(c.lines()[row].index("←"), row))
        await c.settle()
        assert "欢迎" in c.text()
        await c.press("ctrl+c")
        assert not shown(c) and not c.app._exit


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("language", ["en", "zh"])
async def test_it_fits(size: tuple[int, int], language: str) -> None:
    async with chat(size=size, language=language) as c:
        c.app.action_first_run()
        await c.settle()
        say = c.app.strings
        assert say("first_title") in c.text() and say("first_language_now") in c.text()
        if size[1] > 10:
            assert say("first_end")[:12] in c.text()
