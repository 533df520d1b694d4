"""Conversations through the whole application: kept, listed, gone on with, edited."""

from __future__ import annotations

from pathlib import Path

import pytest

from alpaca_tui.chat.store import chats
from alpaca_tui.chat.store.archive import FILE_NAME, Archive
from alpaca_tui.tui.screens.ask import AskScreen
from alpaca_tui.tui.screens.chats import ChatsScreen
from alpaca_tui.tui.widgets.chat_list import ChatList, snippet, when_text
from tests.chat.store.test_saving import talk
from tests.tui.helpers import Chat, chat
from tests.tui.scripted_engine import Script


async def open_list(c: Chat) -> ChatList:
    await c.press("ctrl+s")
    await c.until(
        lambda: isinstance(c.app.screen, ChatsScreen) and bool(c.app.screen.query_one(ChatList).rows)
    )
    await c.settle()
    return c.app.screen.query_one(ChatList)


async def saved(c: Chat) -> None:
    c.app.save_chats()
    assert c.app.recorder.commit(5)


def filled(folder: Path, *pairs: tuple[str, str]) -> Archive:
    archive = Archive(folder)
    for question, answer in pairs:
        archive.run(chats.add, talk((question, answer))).result()
    return archive


TALKS = (
    ("How is the weather?", "Sunny."),
    ("天气怎么样？", "晴，最高气温 25 度。"),
    ("Write a poem", "Roses"),
)


async def test_a_chat_is_opened_from_the_list(tmp_path: Path) -> None:
    async with chat(archive=filled(tmp_path, *TALKS), size=(100, 30)) as c:
        rows = await open_list(c)
        assert [row.title for row in rows.rows] == ["Write a poem", "天气怎么样？", "How is the weather?"]
        await c.press("down", "enter")
        await c.until(lambda: bool(c.path))
        await c.settle()
        assert "晴，最高气温" in c.text() and c.app.prompt.has_focus and not c.app.modal_open
        await c.ask("and tomorrow?")
        rows = await open_list(c)
        assert rows.rows[0].title == "天气怎么样？" and rows.marked is not None
        assert rows.marked.title == "Write a poem"  # not the one that is open


async def test_the_list_is_filtered_as_one_types(tmp_path: Path) -> None:
    async with chat(archive=filled(tmp_path, *TALKS), language="zh", size=(100, 30)) as c:
        rows = await open_list(c)
        await c.type("气温")
        await c.until(lambda: [row.title for row in rows.rows] == ["天气怎么样？"])
        await c.until(lambda: "最高气温 25 度" in c.text())
        await c.press("backspace", "backspace")
        await c.type("no such")
        await c.until(lambda: "没有对话包含" in c.text())
        await c.press("escape")
        assert not c.app.modal_open


async def test_rename_pin_copy_delete_and_bring_back(tmp_path: Path) -> None:
    async with chat(archive=filled(tmp_path, *TALKS), size=(100, 30)) as c:
        rows = await open_list(c)
        await c.press("f2")
        await c.type("Verse")
        await c.press("enter")
        await c.until(lambda: rows.rows[0].title == "Verse")
        await c.press("down", "ctrl+t")
        await c.until(lambda: rows.rows[0].title == "天气怎么样？" and rows.rows[0].pinned)
        assert rows.cursor == 0 and "★" in c.text()
        await c.press("ctrl+y")
        await c.until(lambda: "天气怎么样？ (copy)" in [row.title for row in rows.rows])
        await c.press("delete")
        await c.until(lambda: len(rows.rows) == 3)
        await c.until(lambda: "Ctrl+Z brings it back" in c.text())
        await c.press("ctrl+z")
        await c.until(lambda: len(rows.rows) == 4)
        await c.press("ctrl+z")
        await c.until(lambda: "nothing to bring back" in c.text())


async def test_the_mouse_does_it_too(tmp_path: Path) -> None:
    async with chat(archive=filled(tmp_path, *TALKS), size=(100, 30)) as c:
        rows = await open_list(c)
        y = c.row_of("How is the weather")
        await c.pilot.click(offset=(20, y))
        await c.settle()
        assert rows.cursor == 2
        y = c.row_of("F2 rename")
        await c.pilot.click(offset=(c.lines()[y].index("^T"), y))
        await c.until(lambda: rows.rows[0].title == "How is the weather?")
        y = c.row_of("How is the weather")
        await c.pilot.click(offset=(20, y))
        await c.until(lambda: bool(c.path))
        assert c.path[0].text == "How is the weather?"


async def test_deleting_the_open_chat_leaves_an_empty_one(tmp_path: Path) -> None:
    async with chat(archive=filled(tmp_path)) as c:
        await c.ask("hello")
        rows = await open_list(c)
        assert len(rows.rows) == 1
        await c.press("delete", "escape")
        await c.until(lambda: not c.path)


async def test_exporting_from_the_list_and_from_the_chat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with chat(archive=filled(tmp_path / "data", *TALKS), language="zh", size=(100, 30)) as c:
        await open_list(c)
        await c.press("ctrl+e", "enter")
        await c.until(lambda: (tmp_path / "Write a poem.md").exists())
        await c.until(lambda: "已导出到" in c.text())
        await c.press("escape")
        c.app.action_export_chat()
        await c.settle()
        assert "还没有可以导出" in c.app.notice.text
        c.app.prompt.replace_text("你好？")
        await c.press("enter")
        await c.finish()
        c.app.action_export_chat()
        await c.until(lambda: isinstance(c.app.screen, AskScreen))
        await c.press("enter")
        await c.until(lambda: (tmp_path / "你好？.md").exists())
        assert "## 你\n\n你好？" in (tmp_path / "你好？.md").read_text("utf-8")


async def test_a_start_offers_the_newest_chats(tmp_path: Path) -> None:
    async with chat(archive=filled(tmp_path, *TALKS), size=(100, 40)) as c:
        await c.until(lambda: "Go on with" in c.text())
        row = c.row_of("› 天气怎么样")
        await c.pilot.click(offset=(c.lines()[row].index("天"), row))
        await c.until(lambda: bool(c.path))
        await c.press("up")
        assert c.app.prompt.text == "Write a poem"  # what was asked in earlier chats


async def test_a_draft_comes_back_with_its_chat_and_after_a_crash(tmp_path: Path) -> None:
    async with chat(archive=Archive(tmp_path)) as c:
        await c.ask("first chat")
        await c.type("half a thou")
        await saved(c)
        await open_list(c)
        await c.press("ctrl+n")
        await c.until(lambda: not c.path)
        assert c.app.prompt.text == "half a thou"  # a draft comes along into a new chat
        await saved(c)
        c.app.archive.close()  # and no more is heard of this program
    async with chat(archive=Archive(tmp_path)) as c:
        await c.until(lambda: c.app.prompt.text == "half a thou")
        await open_list(c)
        await c.press("down", "enter")
        await c.until(lambda: bool(c.path))
        assert c.app.prompt.text == ""
        await open_list(c)
        await c.press("enter")
        await c.until(lambda: not c.path and c.app.prompt.text == "half a thou")


async def test_an_edited_question_is_a_version(tmp_path: Path) -> None:
    async with chat(Script(replies=["One.", "Two."]), archive=Archive(tmp_path)) as c:
        await c.ask("questoin")
        await c.type("draft")
        c.app.action_edit_last()
        await c.settle()
        assert c.app.prompt.text == "questoin" and "Editing" in c.app.notice.text
        await c.press("escape")
        assert c.app.prompt.text == "draft" and not c.app.notice.text
        c.app.action_edit_last()
        c.app.prompt.replace_text("question")
        await c.press("enter")
        await c.finish()
        assert [m.text for m in c.path] == ["question", "Two."] and c.app.prompt.text == "draft"
        assert "2/2" in c.text() and "edited" in c.text()
        c.app.prompt.replace_text("")
        await c.press("left")
        assert [m.text for m in c.path] == ["questoin", "One."] and "1/2" in c.text()
        await c.press("right")
        assert [m.text for m in c.path] == ["question", "Two."]


async def test_an_edit_survives_a_crash(tmp_path: Path) -> None:
    async with chat(Script(replies=["One."]), archive=Archive(tmp_path)) as c:
        await c.ask("question")
        c.app.action_edit_last()
        await c.type(" and more")
        await saved(c)
        c.app.archive.close()
    async with chat(Script(replies=["Two."]), archive=Archive(tmp_path)) as c:
        await c.until(lambda: c.app.prompt.text == "question and more")
        await c.press("enter")
        await c.finish()
        assert [m.text for m in c.path] == ["question and more", "Two."]


async def test_deleting_messages_and_bringing_them_back(tmp_path: Path) -> None:
    async with chat(Script(replies=["One.", "Two."]), archive=Archive(tmp_path)) as c:
        await c.ask("first")
        await c.ask("second")
        c.app.action_delete_last()
        await c.settle()
        assert "second" not in c.text() and "Deleted" in c.app.notice.text
        c.app.action_undo_delete()
        await c.settle()
        assert "second" in c.text() and "Two." in c.text()


async def test_a_branch_goes_on_in_a_new_chat(tmp_path: Path) -> None:
    async with chat(Script(replies=["One.", "Two.", "Three."]), archive=Archive(tmp_path)) as c:
        await c.ask("first")
        await c.ask("second")
        c.app.action_branch(c.path[1].id)
        await c.settle()
        assert [m.text for m in c.path] == ["first", "One."]
        await c.ask("other")
        await saved(c)
        rows = await open_list(c)
        assert [row.title for row in rows.rows] == ["first", "first"]


async def test_trouble_is_said_once_and_the_chat_goes_on(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"damaged" * 1000)
    async with chat(archive=Archive(tmp_path), size=(100, 40)) as c:
        await c.until(lambda: "is damaged" in c.app.notice.text)
        assert "goes on in memory" in c.app.notice.text and "not saved" in c.text()
        await c.ask("hello")
        assert "Hello from the script." in c.text()
        rows = await open_list(c)
        assert [row.title for row in rows.rows] == ["hello"]


async def test_a_long_chat_draws_what_is_near(tmp_path: Path) -> None:
    pairs = [(f"question {i}", f"answer **{i}**\n\n- one\n- two") for i in range(400)]
    archive = Archive(tmp_path)
    archive.run(chats.add, talk(*pairs)).result()
    async with chat(archive=archive, size=(80, 30)) as c:
        await open_list(c)
        await c.press("enter")
        await c.until(lambda: "answer 399" in c.text())
        transcript = c.app.transcript
        assert sum(slot.built for slot in transcript._slots) < 60
        rows = []
        for _ in range(30):
            top = c.lines()[5:8]
            transcript.scroll_to(y=transcript.scroll_y - 3, animate=False, force=True, immediate=True)
            await c.settle()
            rows.append(top == c.lines()[8:11])
        assert all(rows)  # what is in view moves by three rows, whatever is found out about what is not
        transcript.to_start()
        await c.until(lambda: "question 0" in c.text())
        await c.press("ctrl+y")
        assert c.app.clipboard.startswith("answer **399**")


@pytest.mark.parametrize("size", [(40, 10), (80, 24), (200, 60)])
@pytest.mark.parametrize("language", ["en", "zh"])
async def test_the_list_fits_any_screen(tmp_path: Path, size: tuple[int, int], language: str) -> None:
    archive = filled(tmp_path, *((f"标题 {i} " + "很长" * 60, "x") for i in range(40)))
    async with chat(archive=archive, size=size, language=language) as c:
        rows = await open_list(c)
        await c.press("pagedown", "pagedown", "pageup", "ctrl+end")
        assert rows.cursor == 39 and "标题 0" in c.text() and "Esc" in c.text()


def test_where_something_was_found() -> None:
    text = "今天我们来看一看北京这一个星期的天气预报\n以及明天的"
    assert snippet(text, "没有 天气").startswith("…") and "天气预报 以及" in snippet(text, "天气")
    assert snippet("Short", "sh") == "Short" and snippet("a[b]c", "[b]") == "a[b]c"


def test_times() -> None:
    day = 86400.0
    now = 1_780_000_000.0
    assert len(when_text(now - 60, now)) == 5 and ":" in when_text(now - 60, now)
    assert when_text(now - 3 * day, now).count("-") == 1 and when_text(now - 400 * day, now).count("-") == 2
