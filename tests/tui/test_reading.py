"""Keys that act on one message: moving, copying, editing, branching, deleting; and the way back."""

from __future__ import annotations

import pytest

from alpaca_tui.chat.conversation import MessageState
from tests.tui.helpers import Chat, chat
from tests.tui.samples import LONG, MIXED
from tests.tui.scripted_engine import Script

TWO_BLOCKS = "First:\n\n```python\nx = 1\n```\n\nThen:\n\n1. so\n\n   ```sh\n   ls -l\n   ```\n\nDone."


async def talked(c: Chat, *questions: str) -> None:
    for question in questions or ("one", "two", "three"):
        await c.ask(question)


async def test_esc_or_shift_tab_and_back_by_enter_i_or_esc() -> None:
    async with chat() as c:
        await talked(c)
        for there in ("escape", "shift+tab"):
            for back in ("enter", "i", "escape", "shift+tab"):
                await c.press(there)
                assert c.app.reading and "message 6/6" in c.text() and "y copy" in c.text()
                await c.press(back)
                assert c.app.prompt.has_focus and "message 6/6" not in c.text()


async def test_nothing_to_read_yet() -> None:
    async with chat() as c:
        await c.press("escape")
        assert c.app.prompt.has_focus
        await c.press("shift+tab")
        assert c.app.prompt.has_focus and "no message yet" in c.app.notice.text


async def test_a_draft_stays_where_esc_is_pressed_and_esc_after_a_stop_does_nothing_more() -> None:
    async with chat(Script(replies=[LONG], rate=50)) as c:
        await c.send("hello")
        await c.press("escape", "escape")
        assert c.path[1].state is MessageState.STOPPED and c.app.prompt.has_focus
        await c.type("draft")
        c.app._stopped_at = -10.0
        await c.press("escape")
        assert c.app.prompt.has_focus and c.app.prompt.text == "draft"
        await c.press("shift+tab")
        assert c.app.reading
        await c.press("z")
        assert c.app.prompt.has_focus and c.app.prompt.text == "draftz"


async def test_moving_and_copying() -> None:
    async with chat(Script(replies=["First.", "Second.", "Third."]), size=(80, 24)) as c:
        await talked(c)
        await c.press("escape", "y")
        assert c.app.clipboard == "Third."
        await c.press("k", "k", "y")
        assert c.app.clipboard == "Second."
        await c.press("up", "up", "up", "up", "up", "y")
        assert c.app.clipboard == "one"
        await c.press("j", "down", "y")
        assert c.app.clipboard == "two"
        await c.press("G", "y", "g", "y")
        assert c.app.clipboard == "one" and "message 1/6" in c.text()


async def test_the_marked_message_is_seen() -> None:
    async with chat(Script(replies=["First.", "Second."]), size=(80, 24)) as c:
        await talked(c, "one", "two")
        await c.press("escape")
        row = c.row_of("Second.")
        assert "█" in c.lines()[row] and "█" not in c.lines()[c.row_of("First.")]


async def test_moving_in_a_long_chat_brings_each_message_into_view() -> None:
    async with chat(Script(replies=[MIXED]), size=(80, 24)) as c:
        await talked(c, *(f"question {i}" for i in range(12)))
        await c.press("escape")
        for i in range(11, -1, -1):
            await c.press("k")
            assert f"question {i}" in c.text() and c.app.transcript.marked.text == f"question {i}"
            await c.press("k")
        assert not c.app.transcript.following
        await c.press("G")
        assert c.app.transcript.following


async def test_code_blocks_one_after_the_other() -> None:
    async with chat(Script(replies=[TWO_BLOCKS])) as c:
        await talked(c, "one")
        await c.press("escape", "c")
        assert c.app.clipboard == "x = 1" and "1 of 2" in c.app.notice.text
        await c.press("c")
        assert c.app.clipboard == "ls -l"
        await c.press("c")
        assert c.app.clipboard == "x = 1"
        await c.press("k", "c")
        assert "no code" in c.app.notice.text
        await c.press("escape", *"/code 2", "enter")
        assert c.app.clipboard == "ls -l"
        await c.press(*"/code 3", "enter")
        assert "no block of code 3" in c.app.notice.text


async def test_code_is_copied_by_a_click_while_it_streams_too() -> None:
    async with chat(Script(replies=[TWO_BLOCKS], rate=100), size=(80, 24)) as c:
        await c.send("one")
        await c.advance(0.07)  # in the middle of the first block
        row = c.row_of("x =")
        await c.pilot.click(offset=(c.lines()[row].index("copy") + 1, row))
        assert c.app.clipboard.startswith("x =")
        await c.finish()
        row = c.row_of("ls -l")
        await c.pilot.click(offset=(c.lines()[row].index("copy") + 1, row))
        assert c.app.clipboard == "ls -l"


async def test_edit_makes_a_version() -> None:
    async with chat(Script(replies=["First.", "Second.", "Third."])) as c:
        await talked(c, "one", "two")
        await c.press("escape", "g", "e")
        assert c.app.prompt.has_focus and c.app.prompt.text == "one"
        await c.press("!", "enter")
        await c.finish()
        assert [m.text for m in c.path] == ["one!", "Third."]
        await c.press("escape", "g", "left")
        assert [m.text for m in c.path] == ["one", "First.", "two", "Second."]
        await c.press("right")
        assert c.path[0].text == "one!" and "message 1/2" in c.text()


async def test_any_reply_can_be_answered_anew() -> None:
    async with chat(Script(replies=["First.", "Second.", "Third."])) as c:
        await talked(c, "one", "two")
        await c.press("escape", "g", "j", "r")
        await c.finish()
        assert [m.text for m in c.path] == ["one", "Third."]


async def test_branch_from_a_message() -> None:
    async with chat(Script(replies=["First.", "Second."])) as c:
        await talked(c, "one", "two")
        key = c.app.session.conversation.key
        await c.press("escape", "g", "j", "b")
        assert [m.text for m in c.path] == ["one", "First."] and c.app.session.conversation.key != key
        assert c.app.prompt.has_focus


async def test_delete_and_undo() -> None:
    async with chat(Script(replies=["First.", "Second."])) as c:
        await talked(c, "one", "two")
        await c.press("escape", "g", "j", "j", "d")
        assert [m.text for m in c.path] == ["one", "First."] and c.app.reading
        assert "message 2/2" in c.text()
        await c.press("u")
        assert [m.text for m in c.path] == ["one", "First.", "two", "Second."]
        await c.press("g", "d")
        assert not c.path and c.app.prompt.has_focus


@pytest.mark.parametrize("key", ["e", "d", "r"])
async def test_while_a_reply_streams_nothing_of_that_is_done(key: str) -> None:
    async with chat(Script(replies=["First.", LONG], rate=50)) as c:
        await c.ask("one")
        await c.send("two")
        await c.press("shift+tab", "g", key)
        assert len(c.path) == 4 and "Not while the model works" in c.app.notice.text
        await c.press("y")
        assert c.app.clipboard == "one"
        await c.press("escape")
        assert c.path[-1].state is MessageState.STOPPED


async def test_hints_and_messages_can_be_clicked() -> None:
    async with chat(Script(replies=["First.", "Second."]), size=(100, 30)) as c:
        await talked(c, "one", "two")
        await c.pilot.click(offset=(1, c.row_of("First.")))  # its bar
        assert c.app.reading and c.app.transcript.marked.text == "First."
        await c.settle()
        await c.pilot.click(offset=(c.lines()[-1].index("y copy"), c.app.size.height - 1))
        assert c.app.clipboard == "First."


async def test_in_chinese_and_narrow() -> None:
    async with chat(Script(replies=["答。"]), size=(40, 10), language="zh") as c:
        await talked(c, "问")
        await c.press("escape")
        assert "消息 2/2" in c.lines()[-1] and "复制" in c.lines()[-1]
