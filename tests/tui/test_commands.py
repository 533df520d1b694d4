"""Slash commands: the table, what a line means, what it may become, and what happens to it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from alpaca_tui.tui.app import AlpacaApp
from alpaca_tui.tui.commands import COMMANDS, Takes, completions, literal, parse
from alpaca_tui.tui.keymap import BY_ID, KEYS
from tests.tui.helpers import chat
from tests.tui.scripted_engine import Script


def test_every_command_is_there_and_named_once() -> None:
    names = [name for command in COMMANDS for name in (command.name, *command.aliases)]
    assert len(names) == len(set(names))
    for command in COMMANDS:
        assert command.needs or hasattr(AlpacaApp, f"action_{command.action}")
        assert command.takes is Takes.NOTHING or hasattr(AlpacaApp, f"with_{command.action}")
        assert not command.key or command.key in BY_ID


def test_every_action_of_the_program_with_a_key_has_a_command() -> None:
    without = {"interrupt"}  # it does whatever comes first
    named = {command.key for command in COMMANDS}
    assert {key.id for key in KEYS if key.group == "group_program" or key.where == "app"} <= (
        named | without | {"delete_or_quit"}
    )


@pytest.mark.parametrize(
    ("text", "name", "argument"),
    [
        ("/regen", "regen", ""),
        ("/SET temp 0.2 ", "SET", "temp 0.2"),
        ("/set  temp=1\n", "set", "temp=1"),
        ("/rename 第一 次", "rename", "第一 次"),
    ],
)
def test_a_line_is_taken_apart(text: str, name: str, argument: str) -> None:
    call = parse(text)
    assert call is not None and call.command is not None
    assert (call.name, call.argument) == (name, argument)


@pytest.mark.parametrize("text", ["hello", " /regen", "//regen", "a/b", "/regen\n/stop", "/etc/x\nroot", ""])
def test_what_is_no_command(text: str) -> None:
    assert parse(text) is None


def test_the_nearest_is_named() -> None:
    call = parse("/regne")
    assert call is not None and call.command is None and call.nearest == "regen"
    call = parse("/usr/bin/env what is it?")
    assert call is not None and call.command is None


def test_a_slash_that_is_meant() -> None:
    assert literal("//help me") == "/help me" and literal("/") == "/"
    assert literal("// comment\ncode()") == "// comment\ncode()"  # pasted code stays as it is


def choices(takes: Takes, argument: str) -> Sequence[tuple[str, str]]:
    return {
        Takes.SETTING: [("temp", "Temperature"), ("top_k", "Top-k")],
        Takes.THEME: [("dusk", ""), ("paper", ""), ("tokyo-night", "")],
    }.get(takes, [])


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("/re", "/regen"),
        ("/fork", "/branch"),
        ("/xpor", "/export"),
        ("/set", "/set "),
        ("/set te", "/set temp"),
        ("/theme night", "/theme tokyo-night"),
        ("/theme ", "/theme dusk"),
    ],
)
def test_completion(text: str, first: str) -> None:
    assert completions(text, choices)[0].line == first


@pytest.mark.parametrize("text", ["//", "hello", "/theme dusk", "/zzz", "/find wor", "/a\nb"])
def test_nothing_to_complete(text: str) -> None:
    assert completions(text, choices) == []


async def test_commands_do_what_their_keys_do() -> None:
    async with chat(Script(replies=["One.", "Two."])) as c:
        await c.ask("hello")
        await c.ask("/regen")
        assert [m.text for m in c.path] == ["hello", "Two."]
        await c.press(*"/new", "enter")
        assert not c.path
        await c.press(*"/help", "enter")
        assert "Help" in c.text()


async def test_set_changes_and_says_and_refuses() -> None:
    async with chat() as c:
        await c.press(*"/set temp 0.2", "enter")
        assert c.app.session.settings["temp"] == 0.2 and "0.20" in c.app.notice.text
        await c.press(*"/set top-k=7", "enter")
        assert c.app.session.settings["top_k"] == 7
        await c.press(*"/set temp 99", "enter")
        assert c.app.session.settings["temp"] == 0.2 and "0 to 5" in c.app.notice.text
        assert c.app.prompt.text == "/set temp 99"  # it can be put right
        await c.press("ctrl+c", *"/set temp default", "enter")
        assert c.app.session.settings["temp"] == 0.8
        await c.press(*"/set enter newline", "enter")
        assert c.app.config["enter"] == "newline" and not c.app.prompt.enter_sends


async def test_an_unknown_command_is_explained_and_neither_sent_nor_lost() -> None:
    async with chat() as c:
        await c.press(*"/usr/bin/env what is it", "enter")
        assert not c.path and c.app.prompt.text == "/usr/bin/env what is it"
        assert "no command /usr/bin/env" in c.app.notice.text and "//" in c.app.notice.text
        await c.press("home", "/", "end")
        await c.ask("?")
        assert c.path[0].text == "/usr/bin/env what is it?"


async def test_a_command_with_too_much_or_too_little() -> None:
    async with chat() as c:
        await c.press(*"/new one please", "enter")
        assert "stands alone" in c.app.notice.text and c.app.prompt.text == "/new one please"


async def test_several_lines_are_a_message() -> None:
    async with chat() as c:
        await c.press(*"/regen", "ctrl+j", *"/stop")
        await c.ask("")
        assert c.path[0].text == "/regen\n/stop"


async def test_the_list_over_the_prompt() -> None:
    async with chat(size=(80, 24)) as c:
        await c.type("/re")
        await c.settle()
        assert "/regen" in c.text() and "/reset" in c.text() and "answer anew" in c.text()
        await c.press("down", "tab")
        assert c.app.prompt.text.startswith("/re") and c.app.prompt.text != "/re"
        await c.press("ctrl+c", *"/thr", "escape")
        assert c.app.prompt.text == "/thr" and not c.app.completion_list.open
        await c.press("backspace", "backspace", *"heme pap", "tab", "enter")
        assert c.app.theme == "paper" and c.app.prompt.text == ""


async def test_half_a_command_is_completed_by_enter_and_not_run() -> None:
    async with chat() as c:
        await c.press(*"/qui", "enter")
        assert c.app.prompt.text == "/quit" and not c.app._exit
        await c.pilot.press("enter")
        await c.pilot.pause()
        assert c.app._exit


async def test_a_completion_can_be_clicked() -> None:
    async with chat(Script(replies=["One."])) as c:
        await c.type("/hel")
        await c.settle()
        row = c.row_of("/help")
        await c.pilot.click(offset=(6, row))
        await c.settle()
        assert "Esc closes" in c.text()


async def test_language_and_preset_by_name() -> None:
    async with chat() as c:
        await c.press(*"/lang zh", "enter")
        assert "就绪" in c.text()
        await c.press(*"/lang klingon", "enter")
        assert "en" in c.app.notice.text and c.app.strings.language == "zh"
        await c.press("ctrl+c", *"/preset precise", "enter")
        assert c.app.session.settings["temp"] < 0.5
