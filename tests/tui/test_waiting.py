"""Beside the talk: numbers and plots (F8), the log, word of a reply that ended unseen, the editor."""

from __future__ import annotations

import os
import stat
from contextlib import nullcontext
from pathlib import Path

import pytest
from textual import events

from alpaca_tui import log
from alpaca_tui.chat.config import Config
from alpaca_tui.tui import plot
from alpaca_tui.tui.meter import KEPT, Meter, Outlook, outlook
from alpaca_tui.tui.terminals import Terminal
from tests.tui.helpers import Chat, chat
from tests.tui.scripted_engine import Script

SIZES = ((80, 24), (120, 40), (200, 60))
LONG = "A long reply. " * 100


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


# --- speed -------------------------------------------------------------------------------------------------


def test_the_speed_is_that_of_the_last_seconds() -> None:
    clock = Clock()
    meter = Meter(clock)
    tokens = 0
    for i in range(200):
        clock.now += 0.1
        tokens += 2 if i < 100 else 1
        meter.update(tokens)
        if i == 99:
            assert meter.speed == pytest.approx(20, rel=0.02)
    assert meter.speed == pytest.approx(10, rel=0.02)
    assert max(meter.samples) == pytest.approx(20, rel=0.1) and meter.samples[-1] == pytest.approx(
        10, rel=0.1
    )
    meter.begin()
    assert meter.speed == 0 and not meter.samples


def test_a_reply_that_goes_on_is_never_slower_than_nothing() -> None:
    clock = Clock()
    meter = Meter(clock)
    for tokens in (100, 110, 2, 12, 22):
        clock.now += 0.5
        meter.update(tokens)
        assert meter.speed >= 0
    assert meter.speed == pytest.approx(20)


def test_samples_of_a_very_long_reply_are_thinned_out() -> None:
    clock = Clock()
    meter = Meter(clock)
    for i in range(20_000):
        clock.now += 0.3
        meter.update(i + 1)
    assert KEPT / 4 < len(meter.samples) <= KEPT


def test_what_will_be_cut_is_foreseen() -> None:
    assert outlook(100, 0, "x", -1, False) is Outlook.FITS
    assert outlook(100, 1000, "", 256, False) is Outlook.FITS
    assert outlook(870, 1000, "", 256, False) is Outlook.NEAR
    assert outlook(700, 1000, "a question", 256, False) is Outlook.FITS
    assert outlook(760, 1000, "a question", 256, False) is Outlook.CUTS
    assert outlook(400, 1000, "长" * 400, 256, False) is Outlook.CUTS
    assert outlook(999, 1000, "", 256, True) is Outlook.NEAR


def test_a_plot_fits_its_place() -> None:
    assert plot.bars([1, 2, 4], 10, 1) == ["▂▄█"]
    assert plot.bars([4, 0], 10, 2, top=8) == ["  ", "█ "]
    assert plot.bars([], 5, 2) == ["", ""] and plot.bars([0, 0], 5, 1) == ["  "]
    rows = plot.bars(list(range(1000)), 40, 4, plain=True)
    assert len(rows) == 4 and all(len(row) == 40 for row in rows) and set("".join(rows)) <= set(plot.FEW)


# --- F8 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("language", ["en", "zh"])
async def test_numbers_of_the_chat(size: tuple[int, int], language: str) -> None:
    async with chat(size=size, language=language) as c:
        say = c.app.strings
        await c.press("f8")
        assert say("activity_empty") in c.text()
        await c.press("f8")
        for i in range(3):
            await c.ask(f"question {i}")
        await c.press("f8")
        text = c.text()
        assert say("stat_speed") in text and say("plot_speeds") in text and "█" in text
        await c.press("end")
        assert say("plot_context") in text or say("plot_context") in c.text()
        assert say("stat_replies") in c.text() and say("stat_threads") in c.text()
        await c.press("escape")
        assert not c.app.modal_open


async def test_numbers_change_while_a_reply_comes_and_the_chat_goes_on_behind() -> None:
    async with chat(Script(replies=[LONG], rate=20)) as c:
        await c.send("hello")
        await c.advance(1)
        await c.press("f8")
        before = c.text()
        await c.advance(2)
        c.app.screen.draw()
        await c.settle()
        assert c.text() != before and "20.0 tok/s" in c.text()
        await c.press("ctrl+c")
        assert not c.app.modal_open and c.app.session.busy


async def test_the_log_is_one_key_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "log"
    file.write_text(
        "an old line\n" * 100 + "2026 WARNING numba: [bold] is no markup \x1b[31m\n", encoding="utf-8"
    )
    monkeypatch.setattr(log, "log_file", lambda: file)
    async with chat() as c:
        await c.send("/log")
        assert "WARNING numba: [bold] is no markup" in c.text() and "\x1b" not in c.text()
        with file.open("a", encoding="utf-8") as stream:
            stream.write("the newest\n")
        c.app.screen.draw()
        await c.settle()
        assert "the newest" in c.text()
        await c.press("tab")
        assert "Numbers come" in c.text()


# --- a reply that ended unseen ------------------------------------------------------------------------------


async def told(c: Chat, monkeypatch: pytest.MonkeyPatch, focused: bool) -> list[str]:
    sequences: list[str] = []
    monkeypatch.setattr(c.app, "tell_terminal", sequences.append)
    await c.send("hello")  # a key press tells Textual that the terminal has the focus
    c.app.post_message(events.AppFocus() if focused else events.AppBlur())
    await c.settle()
    await c.finish()
    return sequences


@pytest.mark.parametrize(
    ("notify", "seconds", "focused", "sequences"),
    [
        ("auto", 20, False, ["\x1b]9;alpaca-tui: the reply is there: A long reply."]),
        ("auto", 20, True, []),
        ("auto", 1, False, []),
        ("off", 20, False, []),
        ("bell", 20, False, ["\a"]),
        ("desktop", 20, False, ["\x1b]9;"]),
    ],
)
async def test_word_of_a_long_reply(
    notify: str,
    seconds: int,
    focused: bool,
    sequences: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "config.toml").write_text(f'notify = "{notify}"\n')
    rate = len(LONG) / 4 / seconds
    async with chat(Script(replies=[LONG], rate=rate), config=Config(tmp_path / "config.toml")) as c:
        c.app.terminal = Terminal(notifies="9")
        seen = await told(c, monkeypatch, focused)
        assert len(seen) == len(sequences)
        assert all(s.startswith(begin) for s, begin in zip(seen, sequences, strict=True))


async def test_a_reply_that_was_stopped_is_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat(Script(replies=[LONG], rate=10)) as c:
        sequences: list[str] = []
        monkeypatch.setattr(c.app, "tell_terminal", sequences.append)
        await c.send("hello")
        await c.advance(15)
        c.app.post_message(events.AppBlur())
        await c.settle()
        c.app.session.stop()
        await c.finish()
        assert not sequences


# --- the editor --------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="a script for the shell")
async def test_the_draft_goes_through_the_users_editor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "editor"
    script.write_text('#!/bin/sh\nprintf "%s\\nand more" "$(cat "$1")" > "$1"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("VISUAL", str(script))
    async with chat() as c:
        monkeypatch.setattr(c.app, "suspend", nullcontext)
        c.app.prompt.replace_text("草稿")
        await c.press("ctrl+g")
        assert c.app.prompt.text == "草稿\nand more"
        monkeypatch.setenv("VISUAL", "no-such-editor-anywhere")
        await c.press("ctrl+g")
        assert c.app.prompt.text == "草稿\nand more" and "cannot be used" in c.text()
