"""Asking, reading, going on, asking again: with keys, through the whole application."""

from __future__ import annotations

from alpaca_tui.chat.conversation import MessageState
from alpaca_tui.tui.widgets.notice import QueueView
from tests.tui.helpers import chat
from tests.tui.samples import CHINESE, MIXED
from tests.tui.scripted_engine import Script


async def test_a_question_is_answered_in_a_stream() -> None:
    async with chat(Script(replies=["One two three four."], rate=10)) as c:
        await c.send("hello")
        assert "hello" in c.text() and "You" in c.text()
        await c.advance(0.2)
        assert "One two" in c.text() and "three" not in c.text()
        await c.finish()
        assert "One two three four." in c.text()
        assert "10.0 tok/s" in c.text()


async def test_text_that_is_there_before_the_message_is_shown_comes_once() -> None:
    async with chat(Script(replies=["One two three four."], rate=10)) as c:
        c.app.session.submit("hello")
        c.engine.advance(0.2)  # before anyone looks
        await c.settle()
        await c.finish()
        assert c.text().count("One two") == 1 and "One two three four." in c.text()


async def test_the_prompt_is_empty_and_ready_again_after_sending() -> None:
    async with chat(Script(rate=1)) as c:
        await c.send("hello")
        assert c.app.prompt.text == "" and c.app.prompt.has_focus
        await c.type("next")
        assert c.app.prompt.text == "next"


async def test_markdown_is_drawn() -> None:
    async with chat(Script(replies=[MIXED]), size=(120, 50)) as c:
        await c.ask("how")
        text = c.text()
        assert " 1. Check the files" in text and "**" not in text and "│ 12.6 GiB │" in text


MARKUP = ("[red]x[/red]", "[/]", "[@click=app.quit]x[/]", "$primary [[", "{x} [b")


async def test_markup_is_text_wherever_it_stands() -> None:
    replies = [f"It is {text} indeed." for text in MARKUP]
    async with chat(Script(replies=replies, rate=10, name="model [red]x[/red]"), size=(100, 60)) as c:
        for text in MARKUP:
            c.app.prompt.replace_text(text)
            await c.press("enter")
            c.app.prompt.replace_text(text)
            await c.press("enter")
            assert text in c.lines()[c.row_of("Waiting")]
            c.app.session.take_back()
            await c.finish()
            assert f"▎ {text}" in c.text() and f"It is {text} indeed." in c.text()
        assert "model [red]x[/red]" in c.text()


async def test_chinese_and_emoji() -> None:
    async with chat(Script(replies=[CHINESE]), size=(80, 40), language="zh") as c:
        c.app.prompt.replace_text("怎么转换模型？😀")
        await c.press("enter")
        await c.finish()
        text = c.text()
        assert "怎么转换模型？😀" in text and "校验文件：先运行" in text and "你" in text
        rows = [line.strip("▎ ") for line in c.lines()]
        assert not any(row.startswith(("，", "。", "”", "）")) for row in rows)


async def test_a_stopped_reply_is_marked_and_goes_on_with_f6() -> None:
    async with chat(Script(replies=["First part, ", "second part."], rate=10)) as c:
        await c.send("hello")
        await c.advance(0.2)
        await c.press("escape")
        await c.settle()
        assert "First pa" in c.text() and "Stopped." in c.text() and "F6 goes on" in c.text()
        await c.press("f6")
        await c.finish()
        assert "First pasecond part." in c.text() and "Stopped." not in c.text()
        assert c.path[1].state is MessageState.COMPLETE


async def test_only_the_end_can_be_gone_on_with() -> None:
    async with chat(Script(replies=["word " * 40, "Short."], rate=10)) as c:
        await c.send("hello")
        await c.advance(0.5)
        await c.press("escape")
        await c.ask("next")
        assert "Stopped." in c.text() and "F6 goes on" not in c.text()


async def test_a_reply_cut_at_the_limit_says_so_and_goes_on() -> None:
    async with chat(Script(replies=["abcdefghij", "klm"], rate=10)) as c:
        c.app.change_setting("n_predict", 2)
        await c.ask("hello")
        assert "Cut off at the reply limit" in c.text() and c.path[1].state is MessageState.CUT
        await c.press("f6")
        await c.finish()
        assert "abcdefghklm" in c.text()


async def test_f6_without_anything_to_go_on_with_says_so() -> None:
    async with chat() as c:
        await c.press("f6")
        assert "no stopped or cut reply" in c.app.notice.text


async def test_regenerating_keeps_both_versions() -> None:
    async with chat(Script(replies=["The first answer.", "The second answer."])) as c:
        await c.ask("hello")
        await c.press("ctrl+r")
        await c.finish()
        assert "The second answer." in c.text() and "The first" not in c.text() and "2/2" in c.text()
        c.app.action_version_of_last(-1)
        await c.settle()
        assert "The first answer." in c.text() and "The second" not in c.text() and "1/2" in c.text()


async def test_versions_are_switched_by_a_click() -> None:
    async with chat(Script(replies=["The first answer.", "The second answer."])) as c:
        await c.ask("hello")
        await c.press("f5")
        await c.finish()
        row = c.row_of("‹")
        await c.pilot.click(offset=(c.lines()[row].index("‹"), row))
        await c.settle()
        assert "The first answer." in c.text() and "1/2" in c.text()


async def test_a_new_chat_is_empty() -> None:
    async with chat(Script(replies=["An answer."])) as c:
        await c.ask("hello")
        await c.press("ctrl+n")
        assert "An answer." not in c.text() and "Try one of these" in c.text() and not c.path
        await c.ask("again")
        assert "again" in c.text() and "Try one of these" not in c.text()


async def test_a_new_chat_while_the_old_reply_still_runs() -> None:
    async with chat(Script(replies=["old " * 50, "Fresh."], rate=10, stop_seconds=1)) as c:
        await c.send("hello")
        await c.advance(1)
        await c.press("ctrl+n")
        await c.send("anew")
        await c.finish()
        assert [m.text for m in c.path] == ["anew", "Fresh."]
        assert "old" not in c.text() and len(c.shown) == 2


async def test_messages_wait_in_view_and_are_sent_in_turn() -> None:
    async with chat(Script(replies=["One.", "Two."], rate=10)) as c:
        await c.send("first")
        await c.send("second")
        assert "Waiting: second" in c.text() and c.app.main.query_one(QueueView).display
        await c.finish()
        assert [m.text for m in c.path] == ["first", "One.", "second", "Two."]
        assert not c.app.main.query_one(QueueView).display


async def test_a_failure_is_said_under_the_message() -> None:
    async with chat(Script(replies=["abcdefgh"], fail_after=4)) as c:
        await c.ask("hello")
        assert "abcd" in c.text() and "Failed: the script says so." in c.text()
        await c.press("ctrl+r")
        assert len(c.engine.requests) == 2


async def test_an_empty_reply_is_said_to_be_one() -> None:
    async with chat(Script(replies=[""])) as c:
        await c.ask("hello")
        assert "ended its reply without a word" in c.text()


async def test_an_example_is_asked_by_pressing_it() -> None:
    async with chat(Script(replies=["Because."])) as c:
        row = c.row_of("bicycle")
        await c.pilot.click(offset=(c.lines()[row].index("bicycle"), row))
        await c.settle()
        await c.finish()
        assert "bicycle" in c.path[0].text and "Because." in c.text()


async def test_keys_in_the_status_line_can_be_clicked() -> None:
    async with chat(Script(replies=["word " * 50], rate=10), size=(120, 30)) as c:
        await c.send("hello")
        await c.advance(0.5)
        last = c.lines()[-1]
        await c.pilot.click(offset=(last.index("Esc"), 29))
        await c.settle()
        assert c.engine.stops == 1 and "ready" in c.lines()[-1]
        await c.pilot.click(offset=(c.lines()[-1].index("F6"), 29))
        await c.settle()
        assert len(c.engine.requests) == 2


async def test_notes_under_a_message_can_be_clicked() -> None:
    async with chat(Script(replies=["word " * 50, "more"], rate=10)) as c:
        await c.send("hello")
        await c.advance(0.5)
        await c.press("escape")
        row = c.row_of("F6 goes on")
        await c.pilot.click(offset=(c.lines()[row].index("F6"), row))
        await c.finish()
        assert c.path[1].text.endswith("more")


async def test_copying_the_last_reply() -> None:
    async with chat(Script(replies=["An **answer**."])) as c:
        await c.press("ctrl+y")
        assert "nothing to copy" in c.app.notice.text
        await c.ask("hello")
        await c.press("ctrl+y")
        assert c.app.clipboard == "An **answer**." and "Copied the last reply" in c.app.notice.text


async def test_copying_a_selection_with_the_mouse() -> None:
    async with chat(Script(replies=["Select these words, please."])) as c:
        await c.ask("hello")
        row = c.row_of("Select")
        x = c.lines()[row].index("these")
        await c.pilot.mouse_down(offset=(x, row))
        await c.pilot.hover(offset=(x + 10, row))
        await c.pilot.mouse_up(offset=(x + 10, row))
        await c.settle()
        await c.press("ctrl+y")
        assert c.app.clipboard == "these words"


async def test_a_selection_over_wrapped_chinese_has_no_breaks_in_it() -> None:
    text = "这是一个很长的句子" * 12
    async with chat(Script(replies=[text]), size=(60, 30)) as c:
        await c.ask("hello")
        row = c.row_of("这是一个")
        await c.pilot.double_click(offset=(10, row + 1))
        assert c.app.screen.get_selected_text() == text


async def test_three_clicks_select_a_message_and_no_more() -> None:
    async with chat(Script(replies=["One.\n\nTwo."])) as c:
        await c.ask("hello")
        await c.pilot.triple_click(offset=(5, c.row_of("Two.")))
        assert c.app.screen.get_selected_text() == "One.\n\nTwo."


async def test_a_selection_over_several_messages() -> None:
    async with chat(Script(replies=["First answer.", "Second answer."])) as c:
        await c.ask("one")
        await c.ask("two")
        first, last = c.row_of("First"), c.row_of("Second")
        await c.pilot.mouse_down(offset=(c.lines()[first].index("answer"), first))
        await c.pilot.hover(offset=(c.lines()[last].index("answer") - 2, last))
        await c.pilot.mouse_up(offset=(c.lines()[last].index("answer") - 2, last))
        await c.press("ctrl+c")
        assert c.app.clipboard == "answer.\n\ntwo\n\nSecond"


async def test_the_palette_has_every_command() -> None:
    async with chat(language="zh", size=(120, 40)) as c:
        titles = {command.title for command in c.app.get_system_commands(c.app.screen)}
        assert {"新对话", "重新回答，成为另一个版本", "退出"} <= titles
        await c.press("ctrl+p")
        await c.until(lambda: "打开模型" in c.text())
        await c.press(*"新对话")
        await c.until(lambda: "搜索命令" not in c.text())


async def test_a_command_of_the_palette_is_done() -> None:
    async with chat(Script(replies=["An answer."]), size=(120, 40)) as c:
        await c.ask("hello")
        await c.press("ctrl+p")
        await c.type("new chat")
        await c.until(lambda: "Ctrl+N" in c.text())
        await c.press("enter")
        await c.until(lambda: not c.path)


async def test_help_shows_the_keys_in_both_languages() -> None:
    for language, words in (("en", ["Ctrl+R", "go on with a stopped"]), ("zh", ["Ctrl+R", "继续被停止"])):
        async with chat(language=language, size=(100, 40)) as c:
            await c.press("f1")
            assert all(word in c.text() for word in words)
            await c.press("escape")
            assert "Ctrl+R" not in c.text() and c.app.prompt.has_focus
