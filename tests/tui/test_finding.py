"""Finding words in the chat, in any language, also in messages that were never on the screen."""

from __future__ import annotations

import pytest

from alpaca_tui.chat.conversation import Conversation, Message
from alpaca_tui.tui.finding import Finder, pattern, searchable
from tests.tui.helpers import chat
from tests.tui.samples import CHINESE, MIXED
from tests.tui.scripted_engine import Script


def conversation(*texts: str) -> list[Message]:
    chat = Conversation()
    for i, text in enumerate(texts):
        if i % 2 == 0:
            chat.add_question(text)
        else:
            reply = chat.add_reply(chat.path()[-1])
            reply.text = text
    return chat.path()


def finder() -> Finder:
    def places(message: Message, found: object) -> list[tuple[int, int, int]]:
        lines = searchable(message).split("\n")
        return [
            (n, *m.span())
            for n, line in enumerate(lines)
            for m in found.finditer(line)  # type: ignore[attr-defined]
        ]

    return Finder(places)


@pytest.mark.parametrize(
    ("needle", "text", "found"),
    [
        ("Hello", "hello HELLO", 2),
        ("天气", "今天天气很好，天气。", 2),
        ("a.b", "axb a.b", 1),
        ("two  words", "two words", 1),
        ("[x]", "[x] x", 1),
        ("ß", "STRASSE straße", 1),
        ("", "text", 0),
        ("   ", "text", 0),
    ],
)
def test_what_matches(needle: str, text: str, found: int) -> None:
    looked = pattern(needle)
    assert (len(looked.findall(text)) if looked else 0) == found


def test_marks_of_markdown_do_not_hide_words() -> None:
    question, reply = conversation("**x**", "## A **bold** `word`\n- item\n> quoted")
    assert searchable(reply) == "A bold word\nitem\nquoted" and searchable(question) == "**x**"


def test_stepping_goes_round_in_both_directions() -> None:
    path = conversation("cat", "a cat and a cat", "dog", "a cat")
    f = finder()
    f.look_for("cat", path, 0)
    assert (f.ordinal, f.total) == (1, 4)
    seen = []
    for _ in range(5):
        f.step(1)
        seen.append(f.ordinal)
    assert seen == [2, 3, 4, 1, 2]
    f.step(-1)
    f.step(-1)
    assert f.ordinal == 4 and f.hit is not None and f.hit.message is path[3]


def test_it_begins_near_what_is_on_the_screen() -> None:
    path = conversation("cat", "x", "cat", "y")
    f = finder()
    f.look_for("cat", path, 1)
    assert f.hit is not None and f.hit.message is path[2]
    f.look_for("cat", path, 3)
    assert f.hit is not None and f.hit.message is path[0]


def test_a_match_in_the_source_only_is_passed_over() -> None:
    path = conversation("x", "see [here](http://cat.example)", "the cat")
    f = Finder(lambda message, found: [(0, 4, 7)] if "the" in message.text else [])
    f.look_for("cat", path, 0)
    assert f.hit is not None and f.hit.message is path[2]
    f.look_for("nothing", path, 0)
    assert f.hit is None and f.ordinal == 0
    f.step(1)
    assert f.hit is None


async def test_find_as_one_types_and_step_through() -> None:
    async with chat(Script(replies=[MIXED, CHINESE, "An end."]), size=(80, 24)) as c:
        for question in ("one", "two", "three"):
            await c.ask(question)
        await c.press("ctrl+f", *"quantis")
        assert "of 2" in c.text() and "quantis" in c.text()
        await c.press("enter")
        first = c.app.transcript.finder.ordinal
        await c.press("down")
        assert c.app.transcript.finder.ordinal != first
        await c.press("escape")
        assert c.app.prompt.has_focus and c.app.transcript.finder.pattern is None


async def test_chinese_words_of_two_characters_are_found_and_marked() -> None:
    async with chat(Script(replies=[MIXED, CHINESE]), size=(80, 24), language="zh") as c:
        await c.ask("one")
        await c.ask("two")
        await c.press("ctrl+f", *"标点")
        assert "没有找到" in c.text()
        await c.press("ctrl+u", *"排版")
        assert "第 1 处，共 1 处" in c.text() and "检查排版" in c.text()
        row = c.row_of("检查排版")
        strip = c.app.screen._compositor.render_strips()[row]
        assert any("排版" in segment.text and segment.style.bold for segment in strip)


async def test_a_match_that_is_wrapped_over_two_rows_is_marked_on_both() -> None:
    async with chat(Script(replies=["字" * 37 + "羊驼在这里" + "字" * 20]), size=(80, 24)) as c:
        await c.ask("one")
        await c.press("ctrl+f", *"羊驼在这里")
        strips = c.app.screen._compositor.render_strips()
        marked = "".join(
            s.text for strip in strips[:10] for s in strip if s.style and s.style.bold and "字" not in s.text
        )
        assert "羊驼在这里" in marked.replace(" ", "")


async def test_in_reading_slash_n_and_capital_n() -> None:
    async with chat(Script(replies=["An apple.", "A pear.", "Apples again."]), size=(80, 24)) as c:
        for question in ("one", "two", "three"):
            await c.ask(question)
        await c.press("escape", "slash", *"apple", "enter")
        assert c.app.reading
        before = c.app.transcript.finder.ordinal
        await c.press("n")
        assert c.app.transcript.finder.ordinal != before
        await c.press("N")
        assert c.app.transcript.finder.ordinal == before
        assert "apple" in c.app.transcript.marked.text.lower()
        await c.press("escape")
        assert not c.app.find_bar.open and c.app.reading
        await c.press("escape")
        assert c.app.prompt.has_focus


async def test_matches_in_tables_and_in_a_reply_that_streams() -> None:
    async with chat(Script(replies=[MIXED], rate=100), size=(80, 24)) as c:
        await c.send("one")
        await c.press("ctrl+f", *"12.6")
        await c.finish()
        await c.press("enter")
        assert c.app.transcript.finder.total == 1 and "12.6 GiB" in c.text()
        await c.press("ctrl+n")
        assert c.app._exception is None


async def test_find_by_command_with_words() -> None:
    async with chat(Script(replies=["An apple."])) as c:
        await c.ask("one")
        await c.press(*"/find apple", "enter")
        assert "1 of 1" in c.text() and c.app.find_bar.field.value == "apple"
