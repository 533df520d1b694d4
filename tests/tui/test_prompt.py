"""Writing a message."""

from __future__ import annotations

from textual import events

from tests.tui.helpers import Chat, chat
from tests.tui.scripted_engine import Script


async def paste(c: Chat, text: str) -> None:
    c.app.prompt.post_message(events.Paste(text))
    await c.settle()


async def test_ctrl_j_breaks_the_line() -> None:
    async with chat() as c:
        await c.type("one")
        await c.press("ctrl+j")
        await c.type("two")
        assert c.app.prompt.text == "one\ntwo"
        await c.press("enter")
        assert c.path[0].text == "one\ntwo"


async def test_a_trailing_backslash_and_enter_break_the_line() -> None:
    async with chat() as c:
        await c.type("one\\")
        await c.press("enter")
        await c.type("two")
        assert c.app.prompt.text == "one\ntwo" and not c.path
        await c.press("enter")
        assert c.path[0].text == "one\ntwo"


async def test_a_backslash_elsewhere_is_a_backslash() -> None:
    async with chat() as c:
        await c.type("a\\b")
        await c.press("enter")
        assert c.path[0].text == "a\\b"


async def test_keys_that_come_all_at_once_keep_their_order() -> None:
    async with chat() as c:
        for key in ("h", "e", "l", "backspace", "backspace", "i", "home", "o", "end", "x", "ctrl+j", "y"):
            c.app.post_message(events.Key(key, key if len(key) == 1 else None))
        await c.settle()
        assert c.app.prompt.text == "ohix\ny"


async def test_an_empty_prompt_sends_nothing() -> None:
    async with chat() as c:
        await c.press("enter")
        await c.type("   ")
        await c.press("enter")
        assert not c.path and not c.engine.requests


async def test_up_and_down_go_through_what_was_sent_and_keep_the_draft() -> None:
    async with chat() as c:
        await c.ask("first")
        await c.ask("second")
        await c.type("draft")
        prompt = c.app.prompt
        await c.press("up")
        assert prompt.text == "second"
        await c.press("up", "up")
        assert prompt.text == "first"
        await c.press("down", "down")
        assert prompt.text == "draft"
        await c.press("down")
        assert prompt.text == "draft"


async def test_up_moves_within_a_text_of_several_lines_first() -> None:
    async with chat() as c:
        await c.ask("sent")
        await c.type("one")
        await c.press("ctrl+j")
        await c.type("two")
        await c.press("up")
        assert c.app.prompt.text == "one\ntwo" and c.app.prompt.cursor_location[0] == 0
        await c.press("up")
        assert c.app.prompt.text == "sent"


async def test_a_recalled_text_can_be_changed_and_sent() -> None:
    async with chat() as c:
        await c.ask("hello")
        await c.press("up")
        await c.type("!")
        await c.ask("")
        assert c.path[-2].text == "hello!"


async def test_pasting_many_lines_sends_nothing() -> None:
    async with chat() as c:
        await paste(c, "one\r\ntwo\rthree\n")
        assert c.app.prompt.text == "one\ntwo\nthree\n" and not c.path


async def test_what_is_pasted_has_no_escape_sequences() -> None:
    async with chat() as c:
        await paste(c, "a\x1b]52;c;x\x07b\tc")
        assert c.app.prompt.text == "a␛]52;c;x␇b\tc"


async def test_a_long_paste_leaves_room_for_the_conversation() -> None:
    async with chat(size=(80, 24)) as c:
        await paste(c, "\n".join(f"line {i}" for i in range(200)))
        assert c.app.prompt.size.height <= 10
        await c.press("enter")
        await c.finish()
        assert c.app.transcript.size.height >= 14
        assert len(c.path[0].text.splitlines()) == 200


async def test_the_prompt_grows_and_shrinks_with_its_text() -> None:
    async with chat(size=(80, 24)) as c:
        low = c.app.prompt.size.height
        await c.type("one")
        await c.press("ctrl+j", "ctrl+j")
        assert c.app.prompt.size.height == low + 2
        await c.press("enter")
        assert c.app.prompt.size.height == low


async def test_chinese_is_typed_wrapped_and_measured() -> None:
    async with chat(size=(60, 24), language="zh") as c:
        text = "这是一个没有空格的很长的中文句子，接着是第二句，还有（括号）。" * 2
        await paste(c, text)
        prompt = c.app.prompt
        rows = prompt.wrapped_document.get_sections(0)
        assert len(rows) >= 3 and not any(row.startswith(("，", "。", "）")) for row in rows)
        await c.press("backspace")
        assert prompt.text == text[:-1]
        await c.press("home", "delete")
        assert prompt.text.endswith(text[:-1][len("".join(rows[:-1])) + 1 :])


async def test_the_terminals_cursor_is_where_the_text_goes() -> None:
    """An input method puts its window there: two cells on for each Chinese character."""
    async with chat(size=(80, 24)) as c:
        x, y = c.app.cursor_position
        c.app.prompt.replace_text("中文a")
        await c.settle()
        assert c.app.cursor_position == (x + 5, y)


async def test_keys_that_scroll_leave_the_text_alone() -> None:
    async with chat(Script(replies=["line\n\n" * 60]), size=(80, 24)) as c:
        await c.ask("hello")
        await c.type("draft")
        end = c.app.transcript.scroll_y
        await c.press("pageup")
        assert c.app.transcript.scroll_y < end and c.app.prompt.text == "draft"
        await c.press("ctrl+home")
        assert c.app.transcript.scroll_y == 0
        await c.press("ctrl+end")
        assert c.app.transcript.scroll_y == end


async def test_a_click_into_the_conversation_leaves_the_focus_in_the_prompt() -> None:
    async with chat(Script(replies=["An answer."])) as c:
        await c.ask("hello")
        await c.pilot.click(offset=(10, c.row_of("An answer")))
        await c.type("typed")
        assert c.app.prompt.text == "typed"
