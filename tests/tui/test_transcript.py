"""Scrolling, following, resizing, clicking while text streams; the memory line."""

from __future__ import annotations

from alpaca_tui.tui.widgets.message import MessageRows
from tests.tui.helpers import Chat, chat
from tests.tui.samples import CHINESE, LONG, MIXED
from tests.tui.scripted_engine import Script

LINES = "\n\n".join(f"paragraph number {i}" for i in range(200))


async def test_a_short_conversation_begins_at_the_top() -> None:
    async with chat(Script(replies=["Short."])) as c:
        await c.ask("hello")
        assert c.row_of("You") <= 3


async def test_the_view_follows_the_end() -> None:
    async with chat(Script(replies=[LINES], rate=50), size=(80, 24)) as c:
        await c.send("hello")
        for _ in range(6):
            await c.advance(2)
            assert c.app.transcript.following
            last = [line for line in c.lines()[: c.app.transcript.size.height] if "paragraph" in line][-1]
            assert last.split()[-1].rstrip("▌") in c.path[1].text[-14:]


async def test_it_stays_where_the_user_scrolled_and_follows_again_at_the_end() -> None:
    async with chat(Script(replies=[LINES], rate=50), size=(80, 24)) as c:
        await c.send("hello")
        await c.advance(5)
        await c.press("pageup")
        at, seen = c.app.transcript.scroll_y, c.lines()[2]
        await c.advance(5)
        assert c.app.transcript.scroll_y == at and c.lines()[2] == seen and "more below" in c.text()
        for _ in range(20):
            await c.press("pagedown")
        assert c.app.transcript.following and "more below" not in c.text()
        await c.advance(5)
        assert c.app.transcript.following and c.app.transcript.scroll_y > at


async def test_the_wheel_does_the_same() -> None:
    async with chat(Script(replies=[LINES], rate=50), size=(80, 24)) as c:
        await c.send("hello")
        await c.advance(5)
        transcript = c.app.transcript
        transcript.scroll_relative(y=-4, animate=False)
        await c.settle()
        at = transcript.scroll_y
        await c.advance(2)
        assert transcript.scroll_y == at
        await c.pilot.click("#more")
        await c.settle()
        assert transcript.following


async def test_a_new_question_goes_to_the_end() -> None:
    async with chat(Script(replies=[LINES, "Short."]), size=(80, 24)) as c:
        await c.ask("hello")
        await c.press("ctrl+home")
        await c.ask("again")
        assert "Short." in c.text()


async def test_the_place_where_memory_begins_is_marked() -> None:
    async with chat(Script(replies=["Answer."], cut=0), size=(100, 40)) as c:
        for text in ("one", "two", "three"):
            await c.ask(text)
        assert "memory begins here" not in c.text()
        c.engine.script.cut = 2
        await c.ask("four")
        row = c.row_of("memory begins here")
        assert c.row_of("two") < row < c.row_of("three")
        c.engine.script.cut = 3
        await c.ask("five")
        assert c.text().count("memory begins here") == 1 and c.row_of("memory begins here") > c.row_of(
            "three"
        )
        c.engine.script.gap = (5, 50)
        await c.ask("six")
        assert "memory begins here" not in c.text()
        assert c.row_of("three") < c.row_of("no longer sees the first part") < c.row_of("five")
        await c.press("ctrl+n")
        assert "no longer sees" not in c.text()


async def test_resizing_while_streaming_keeps_all_text() -> None:
    async with chat(Script(replies=[MIXED + CHINESE], rate=100), size=(120, 50)) as c:
        await c.send("hello")
        for size in ((80, 24), (200, 60), (45, 12), (61, 33), (120, 50)):
            await c.advance(0.5)
            await c.pilot.resize_terminal(*size)
            await c.settle()
        await c.finish()
        await c.pilot.resize_terminal(200, 70)
        await c.settle()
        text = c.text()
        assert "Three steps:" in text and "quantise" in text and "引号" in text and "│ 12.6 GiB │" in text


async def test_a_resized_view_is_what_a_fresh_one_would_be() -> None:
    async with chat(Script(replies=[MIXED]), size=(200, 60)) as c:
        await c.ask("hello")
        for width in (40, 60, 80, 120):
            await c.pilot.resize_terminal(width, 60)
            await c.settle()
            fresh = MessageRows(c.path[-1], c.app.strings)
            fresh.set_width(c.app.transcript.scrollable_content_region.width)
            assert [row.text.plain for _, row in fresh.rows] == [r.text.plain for _, r in c.shown[-1].rows]


async def click_everywhere(c: Chat) -> None:
    width, height = c.app.size
    for y in range(1, height - 1, 5):
        for x in (3, width // 3):
            await c.pilot.mouse_down(offset=(x, y))
            await c.pilot.mouse_up(offset=(x, y))


async def test_clicks_and_drags_while_a_list_streams_do_no_harm() -> None:
    async with chat(Script(replies=[LONG], rate=200), size=(80, 24)) as c:
        await c.send("hello")
        for _ in range(2):
            await c.advance(2)
            await click_everywhere(c)
            await c.pilot.mouse_down(offset=(5, 4))
            await c.advance(0.3)
            await c.pilot.hover(offset=(40, 12))
            await c.advance(0.3)
            await c.pilot.mouse_up(offset=(40, 12))
        await c.press("ctrl+y", "ctrl+r")
        await c.advance(0.5)
        await click_everywhere(c)
        assert c.app._exception is None


async def test_a_selection_in_a_reply_that_is_then_shortened() -> None:
    async with chat(Script(replies=[MIXED, "x"], rate=100)) as c:
        await c.send("hello")
        await c.advance(2)
        c.app.transcript.select_lines(2, 9)
        await c.press("ctrl+r")
        await c.finish()
        assert c.app.screen.get_selected_text() in (None, "")
