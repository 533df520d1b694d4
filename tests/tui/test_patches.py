"""What is changed in Textual and Rich does what it is for, and nothing where there is nothing to change."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static, TextArea

from alpaca_tui.tui import patches
from alpaca_tui.tui.wrap import WORD

TEXT = "Hello 这是一个没有空格的很长的中文句子，第二句。"


@pytest.fixture
def patched() -> None:
    patches.apply({})


@pytest.mark.usefixtures("patched")
def test_widgets_wrap_chinese_between_characters() -> None:
    lines = [line.plain for line in Content(TEXT).wrap(16)]
    assert lines[0] == "Hello 这是一个没"
    assert not any(line.startswith(("，", "。")) for line in lines)


@pytest.mark.usefixtures("patched")
def test_english_wraps_as_before() -> None:
    assert [line.plain for line in Content("the quick brown fox").wrap(10)] == [
        "the quick ",
        "brown fox",
    ] or [line.plain for line in Content("the quick brown fox").wrap(10)] == ["the quick", "brown fox"]


@pytest.mark.usefixtures("patched")
async def test_the_prompt_wraps_chinese_between_characters() -> None:
    class Editor(App[None]):
        def compose(self) -> ComposeResult:
            yield TextArea(TEXT, soft_wrap=True)

    async with Editor().run_test(size=(22, 10)) as pilot:
        area = pilot.app.query_one(TextArea)
        sections = area.wrapped_document.get_sections(0)
        assert len(sections[0]) > 8 and not any(section.startswith(("，", "。")) for section in sections)


def test_nothing_is_touched_where_nothing_is() -> None:
    assert not patches.replace_pattern("textual._no_such_module", "re_chunk", WORD)
    assert not patches.replace_pattern("textual._wrap", "no_such_pattern", WORD)
    assert not patches.replace_pattern("textual._wrap", "chunks", WORD)  # there, but no pattern


def test_the_places_are_there_in_this_version() -> None:
    for module, name, pattern in patches.PATTERNS:
        assert patches.replace_pattern(module, name, pattern) and isinstance(pattern, re.Pattern)


def test_iterm_keeps_the_plain_keyboard(monkeypatch: pytest.MonkeyPatch) -> None:
    from textual import constants

    monkeypatch.setattr(constants, "DISABLE_KITTY_KEY", False)
    patches.apply({"TERM_PROGRAM": "xterm"})
    assert not constants.DISABLE_KITTY_KEY
    patches.apply({"TERM_PROGRAM": "iTerm.app"})
    assert constants.DISABLE_KITTY_KEY


class Page(App[None]):
    def __init__(self, screen: type[Screen[None]]) -> None:
        super().__init__()
        self._screen = screen

    def get_default_screen(self) -> Screen[None]:
        return self._screen(id="_default")

    def compose(self) -> ComposeResult:
        yield Static("here", id="here")


@contextmanager
def detached(widget: Widget) -> Iterator[None]:
    """As between the removal of a widget and the next layout."""
    parent = widget._parent
    assert parent is not None
    widget._detach()
    try:
        yield
    finally:
        widget._attach(parent)


async def test_a_removed_widget_is_not_under_the_mouse() -> None:
    async with Page(patches.AttachedScreen).run_test(size=(20, 5)) as pilot:
        screen = pilot.app.screen
        widget = screen.query_one("#here")
        assert screen.get_widget_and_offset_at(1, 0)[0] is widget
        press = events.MouseDown(None, 1, 0, 0, 0, 1, False, False, False, 1, 0)
        with detached(widget):
            assert screen.get_widget_and_offset_at(1, 0) == (None, None)
            screen._forward_event(press)  # does not raise


async def test_textual_itself_still_crashes_there() -> None:
    """When this fails, the change can go."""
    async with Page(Screen).run_test(size=(20, 5)) as pilot:
        screen = pilot.app.screen
        widget = screen.query_one("#here")
        press = events.MouseDown(None, 1, 0, 0, 0, 1, False, False, False, 1, 0)
        with detached(widget), pytest.raises(AttributeError):
            screen._forward_event(press)
