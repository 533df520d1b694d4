"""A reply of 4,000 tokens, and a chat of many messages, cost no more at their end than at their beginning.

Held by counting, not by the clock: characters parsed, rows wrapped, widgets there, rows drawn.
"""

from __future__ import annotations

from unittest.mock import patch

from textual.widget import Widget

from alpaca_tui.tui.markdown.lines import Line
from alpaca_tui.tui.markdown.stream import LONG as LONG_PARAGRAPH
from alpaca_tui.tui.widgets.message import MessageRows
from alpaca_tui.tui.widgets.transcript import Transcript
from tests.tui.helpers import chat
from tests.tui.samples import LONG
from tests.tui.scripted_engine import Script


def widgets(root: Widget) -> int:
    return sum(1 for _ in root.walk_children())


async def test_4000_tokens_stream_within_a_budget() -> None:
    assert len(LONG) / 4 > 4000
    wrapped = drawn = mounted = 0
    rows, render_line, mount = Line.rows, Transcript.render_line, Widget.mount

    def counting_rows(self: Line, width: int) -> object:
        nonlocal wrapped
        wrapped += 1
        return rows(self, width)

    def counting_render(self: Transcript, y: int) -> object:
        nonlocal drawn
        drawn += 1
        return render_line(self, y)

    def counting_mount(self: Widget, *args: object, **kwargs: object) -> object:
        nonlocal mounted
        mounted += 1
        return mount(self, *args, **kwargs)  # type: ignore[arg-type]

    async with chat(Script(replies=[LONG], rate=100), size=(100, 30)) as c:
        await c.send("hello")
        document = c.shown[-1].document
        assert document is not None
        before, flushes = widgets(c.app.screen), 0
        with (
            patch.object(Line, "rows", counting_rows),
            patch.object(Transcript, "render_line", counting_render),
            patch.object(Widget, "mount", counting_mount),
        ):
            while c.app.session.busy:
                wrapped = drawn = 0
                await c.advance(1.0)  # a hundred tokens at once, as after a stall
                flushes += 1
                if c.app.session.busy:
                    assert document.parsed < 4 * LONG_PARAGRAPH + 4 * 100
                    assert wrapped < 120 and drawn < 3 * 30
        assert flushes > 40 and mounted == 0 and widgets(c.app.screen) == before
        assert c.path[1].text == LONG


async def test_the_finished_reply_is_the_markdown_of_its_text() -> None:
    from alpaca_tui.tui.markdown.blocks import render

    async with chat(Script(replies=[LONG], rate=1000)) as c:
        await c.ask("hello")
        assert [line.plain for line in c.shown[-1].lines] == [line.plain for line in render(LONG)]


async def test_a_chat_of_many_messages_costs_what_is_visible() -> None:
    wrapped = drawn = 0
    rows, draw = Line.rows, MessageRows.draw

    def counting_rows(self: Line, width: int) -> object:
        nonlocal wrapped
        wrapped += 1
        return rows(self, width)

    def counting_draw(self: MessageRows, *args: object) -> object:
        nonlocal drawn
        drawn += 1
        return draw(self, *args)  # type: ignore[arg-type]

    async with chat(Script(replies=["- a\n- b\n\n```\ncode\n```\n"]), size=(80, 24)) as c:
        before = widgets(c.app.screen)
        for i in range(300):
            c.app.session.submit(f"question {i}")
            c.engine.finish_all()
            c.app.pump()
        await c.settle()
        assert len(c.shown) == 600 and widgets(c.app.screen) == before
        with patch.object(Line, "rows", counting_rows), patch.object(MessageRows, "draw", counting_draw):
            await c.send("x")
            await c.finish()
            assert wrapped < 60 and drawn < 10 * 24
            drawn = 0
            await c.press("pageup")
            assert drawn <= 3 * 24
        await c.press("ctrl+home")
        assert "question 0" in c.text()


async def test_the_screen_is_looked_after_at_most_25_times_a_second() -> None:
    async with chat(Script(replies=[LONG], rate=2000)) as c:
        await c.send("hello")
        assert c.app._timer is not None and c.app._timer._interval >= 1 / 30
        await c.finish()
        await c.until(lambda: c.app._timer is not None and not c.app._timer._active.is_set())


async def test_while_the_user_types_the_screen_is_redrawn_less_often() -> None:
    from alpaca_tui.tui.app import TICK_TYPING

    async with chat(Script(replies=[LONG], rate=100)) as c:
        await c.send("hello")
        await c.type("x")
        c.app._next_tick = 0.0
        c.app._tick()
        import time

        assert c.app._next_tick - time.monotonic() > TICK_TYPING / 2
