"""What is written of a conversation is what is read again, also where two programs write."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest

from alpaca_tui.chat.conversation import Conversation, Message, MessageState, Role
from alpaca_tui.chat.store import chats
from alpaca_tui.chat.store.archive import connect
from alpaca_tui.chat.store.saving import GoneError, Place, as_new, pack, save, unpack
from alpaca_tui.engine.protocol import FinishReason, Stats


@pytest.fixture
def file(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = connect(tmp_path / "chats.db")
    yield connection
    connection.close()


def talk(*pairs: tuple[str, str]) -> Conversation:
    conversation = Conversation()
    for question, answer in pairs:
        reply = conversation.add_reply(conversation.add_question(question), "m", settings={"temp": 0.2})
        reply.text = answer
        reply.finish(FinishReason.END, Stats(generated_tokens=3, seed=7), (1, 2, 3))
    return conversation


def write(connection: sqlite3.Connection, conversation: Conversation, place: Place, *new: Message) -> None:
    parents = {message.parent for message in new}
    shown = tuple((parent, conversation.chosen(parent)) for parent in parents)
    save(connection, replace(as_new(conversation), place=place, messages=new, shown=shown))


def read(connection: sqlite3.Connection, chat: int) -> tuple[Conversation, Place]:
    loaded = chats.load(connection, chat)
    assert loaded is not None
    return loaded


def test_everything_comes_back(file: sqlite3.Connection) -> None:
    c = talk(("你好", "一"), ("second", "two"))
    reply = c.add_reply(c.path()[2])
    reply.text, reply.note = "failed so far", "no memory"
    reply.finish(FinishReason.FAILED, None, (), "no memory")
    c.choose(reply, -1)
    c.title, c.pinned, c.draft, c.waiting = "标题", True, "draft", ["one", "two"]
    c.choices = {"settings": {"top_k": 3}}
    again, _ = read(file, chats.add(file, c))
    for field in fields(Message):
        assert [getattr(m, field.name) for m in again] == [getattr(m, field.name) for m in c]
    assert [m.id for m in again.path()] == [m.id for m in c.path()] == [1, 2, 3, 4]
    for name in ("key", "title", "pinned", "created", "draft", "waiting", "choices"):
        assert getattr(again, name) == getattr(c, name)


def test_only_what_is_new_is_written_and_the_rest_stays(file: sqlite3.Connection) -> None:
    c = talk(("a", "b"))
    chat = chats.add(file, c)
    again, place = read(file, chat)
    question = again.add_question("more")
    write(file, again, place, question)
    assert [m.text for m in read(file, chat)[0].path()] == ["a", "b", "more"]


def test_a_reply_that_nobody_finished_is_stopped_and_can_be_continued(file: sqlite3.Connection) -> None:
    c = Conversation()
    reply = c.add_reply(c.add_question("q"))
    reply.text = "half a sen"
    again, _ = read(file, chats.add(file, c))
    last = again.path()[1]
    assert (last.text, last.state, last.tokens) == ("half a sen", MessageState.STOPPED, None)
    assert last.can_continue


def test_two_programs_write_into_one_chat(file: sqlite3.Connection, tmp_path: Path) -> None:
    chat = chats.add(file, talk(("a", "b")))
    other = connect(tmp_path / "chats.db")
    (one, place_one), (two, place_two) = read(file, chat), read(other, chat)
    for connection, conversation, place, text in (
        (file, one, place_one, "one"),
        (other, two, place_two, "two"),
    ):
        question = conversation.add_question(f"from {text}")
        write(connection, conversation, place, question)
        reply = conversation.add_reply(question)
        reply.text = f"answer {text}"
        write(connection, conversation, place, reply)
        reply.finish(FinishReason.END)
        write(connection, conversation, place, reply)
    both, _ = read(file, chat)
    versions = both.siblings(both.path()[2])
    assert [m.text for m in versions] == ["from one", "from two"]
    assert [m.text for m in both.path()] == ["a", "b", "from two", "answer two"]
    both.choose(versions[1], -1)
    assert [m.text for m in both.path()] == ["a", "b", "from one", "answer one"]
    other.close()


def test_a_chat_that_another_program_removed_is_saved_again(file: sqlite3.Connection) -> None:
    chat = chats.add(file, talk(("a", "b")))
    c, place = read(file, chat)
    file.execute("DELETE FROM chats")
    assert not file.execute("SELECT * FROM messages").fetchall()
    question = c.add_question("still here")
    with pytest.raises(GoneError):
        write(file, c, place, question)
    save(file, replace(as_new(c), place=place))
    [summary] = chats.summaries(file)
    assert [m.text for m in read(file, summary.id)[0].path()] == ["a", "b", "still here"]


def test_a_chat_that_was_deleted_comes_back_with_a_message(file: sqlite3.Connection) -> None:
    chat = chats.add(file, talk(("a", "b")))
    c, place = read(file, chat)
    chats.delete(file, chat)
    assert not chats.summaries(file)
    write(file, c, place, c.add_question("more"))
    assert len(chats.summaries(file)) == 1


def test_a_removed_message_takes_along_what_follows_and_comes_back_with_it(file: sqlite3.Connection) -> None:
    chat = chats.add(file, talk(("a", "b"), ("c", "d")))
    c, place = read(file, chat)
    for out, left in ((True, ["a", "b"]), (False, ["a", "b", "c", "d"])):
        empty = replace(as_new(c), place=place, messages=(), shown=((2, None if out else 3),))
        save(file, replace(empty, removed=((3, out),)))
        again, _ = read(file, chat)
        assert [m.text for m in again] == [m.text for m in again.path()] == left
    again.remove(again[4])
    assert again.add_question("e").id == 5


def test_an_empty_chat_leaves_no_row_and_a_draft_does(file: sqlite3.Connection) -> None:
    c, place = Conversation(), Place()
    write(file, c, place)
    assert not chats.summaries(file)
    c.draft = "half a thou"
    write(file, c, place)
    assert [s.draft for s in chats.summaries(file)] == ["half a thou"]
    c.draft = ""
    write(file, c, place)
    assert not chats.summaries(file) and place.chat is None
    write(file, c, place, c.add_question("now"))
    assert [s.title for s in chats.summaries(file)] == ["now"]


def test_a_write_that_fails_leaves_the_place_as_it_was(file: sqlite3.Connection) -> None:
    c, place = talk(("a", "b")), Place()
    file.execute("CREATE TRIGGER no BEFORE INSERT ON messages BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(sqlite3.IntegrityError):
        save(file, replace(as_new(c), place=place))
    assert place == Place() and not chats.summaries(file)
    file.execute("DROP TRIGGER no")
    save(file, replace(as_new(c), place=place))
    assert len(chats.summaries(file)) == 1


def test_halves_of_characters_are_no_reason_to_lose_the_rest(file: sqlite3.Connection) -> None:
    c = talk(("a\ud800b", "c"))
    c.draft, c.waiting, c.choices = "\udfff", ["\ud800"], {"x": "\ud800"}
    again, _ = read(file, chats.add(file, c))
    assert again.path()[0].text == "a?b" and again.draft == "?"


def test_equal_settings_are_kept_once(file: sqlite3.Connection) -> None:
    chats.add(file, talk(("a", "b"), ("c", "d")))
    assert file.execute("SELECT count(*) FROM settings").fetchone() == (1,)


def test_tokens_are_packed() -> None:
    tokens = (0, 1, 31999, 2**32 - 1)
    assert unpack(pack(tokens)) == tokens and pack((258,)) == b"\x02\x01\0\0"
    assert unpack(pack(())) == () and unpack(pack(None)) is None and unpack(b"abc") is None


def test_what_was_left_unfinished_is_known(file: sqlite3.Connection) -> None:
    assert chats.unfinished(file) is None
    chats.add(file, talk(("a", "b")))
    assert chats.unfinished(file) is None
    c = Conversation()
    c.add_reply(c.add_question("q")).text = "half"
    chat = chats.add(file, c)
    assert chats.unfinished(file) == chat
    chats.settle(file)
    assert chats.unfinished(file) is None and read(file, chat)[0].path()[1].text == "half"
    assert chats.matching(file, "half")
    for change in ({"draft": "d"}, {"waiting": ["w"]}, {"choices": {"editing": {"id": 1, "text": "t"}}}):
        c = talk(("x", "y"))
        vars(c).update(change)
        chat = chats.add(file, c)
        assert chats.unfinished(file) == chat


def test_what_was_deleted_goes_after_a_week(file: sqlite3.Connection) -> None:
    kept = chats.add(file, talk(("keep 天气", "b")))
    gone = chats.add(file, talk(("lose 天空", "b")))
    chats.rename(file, gone, "a title")
    chats.delete(file, gone)
    chats.settle(file)
    assert chats.undelete(file) == gone
    chats.delete(file, gone)
    file.execute("UPDATE chats SET deleted = deleted - 8 * 86400 WHERE deleted IS NOT NULL")
    chats.settle(file)
    assert chats.undelete(file) is None and [s.id for s in chats.summaries(file)] == [kept]
    rows = file.execute("SELECT count(*) FROM messages").fetchone()
    assert rows == (2,) and not chats.matching(file, "lose") and not chats.matching(file, "title")
    assert file.execute("SELECT count(*) FROM words WHERE words MATCH 'lose OR title'").fetchone() == (0,)


def test_chats_are_listed_pinned_first_then_newest(file: sqlite3.Connection) -> None:
    ids = [chats.add(file, talk((text, "b"))) for text in "abc"]
    for number, chat in enumerate(ids):
        file.execute("UPDATE chats SET updated = ? WHERE id = ?", (100 + number, chat))
    chats.pin(file, ids[0], True)
    chats.rename(file, ids[1], "renamed")
    assert [s.title for s in chats.summaries(file)] == ["a", "c", "renamed"]
    assert [s.title for s in chats.newest(file)] == ["c", "renamed", "a"]
    assert chats.newest_but(file, chats.summaries(file)[1].key) == ids[1]
    chats.rename(file, ids[1], "")
    assert [s.title for s in chats.summaries(file)] == ["a", "c", "b"]


def test_a_copy_is_a_chat_of_its_own(file: sqlite3.Connection) -> None:
    chat = chats.add(file, talk(("a", "b")))
    copied = chats.duplicate(file, chat, "a (copy)")
    assert copied is not None
    again, place = read(file, copied)
    assert again.title == "a (copy)" and again.key != read(file, chat)[0].key
    write(file, again, place, again.add_question("only here"))
    assert len(read(file, chat)[0]) == 2 and chats.duplicate(file, 999, "") is None


def test_questions_are_remembered_for_the_prompt(file: sqlite3.Connection) -> None:
    chats.add(file, talk(("first", "x"), ("second", "y")))
    chats.add(file, talk(("third", "z")))
    assert chats.recent_questions(file) == ["first", "second", "third"]


def test_what_the_file_says_wrongly_is_no_crash(file: sqlite3.Connection) -> None:
    chat = chats.add(file, talk(("a", "b")))
    file.execute("UPDATE chats SET waiting = '{', choices = '[1]', shown = 77")
    file.execute("UPDATE messages SET stats = '{\"seed\": 5, \"unknown\": 1}', tokens = x'0102'")
    c, _ = read(file, chat)
    assert c.waiting == [] and c.choices == {} and c[2].tokens is None and c[2].role is Role.ASSISTANT
    assert c[2].stats == Stats(seed=5) and c.path()[0].text == "a"
