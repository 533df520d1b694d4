"""Finding: words of Latin letters by their beginnings, Chinese by any two characters."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from alpaca_tui.chat.store import chats, search
from alpaca_tui.chat.store.archive import connect
from alpaca_tui.chat.store.saving import as_new, save
from tests.chat.store.test_saving import read, talk, write

TALKS = {
    "weather": ("今天北京的天气怎么样？", "晴，最高气温 25 度。"),
    "model": ("How do I quantize Ａlpaca-7B to q4_0?", "Run alpaca-tui quantize. Ünïcode ПРИВЕТ"),
    "poem": ("写一首关于天空的诗", "気分はいい。한국어도 됩니다. 100% \\ fun 🦙"),
}
FOUND = [
    ("天气", "weather"), ("天", "poem weather"), ("气温", "weather"), ("北京的天气", "weather"),
    ("样", "weather"), ("天空 诗", "poem"), ("天气 天空", ""), ("气天", ""),
    ("quant", "model"), ("QUANTIZE", "model"), ("uantize", ""),
    ("q4_0", "model"), ("alpaca", "model"), ("7b", "model"), ("25", "weather"), ("unicode", "model"),
    ("привет", "model"), ("気分", "poem"), ("어도", "poem"),
    ("🦙", "poem"), ("100%", "poem"), ("%", "poem"), ("\\", "poem"),
    ("ａｌｐａｃａ", "model"), ("no such words", ""), ("天气怎么样 25", "weather"), ("'\"*", ""),
]  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = connect(tmp_path / "chats.db")
    yield connection
    connection.close()


@pytest.fixture
def full(file: sqlite3.Connection) -> sqlite3.Connection:
    for title, (question, answer) in TALKS.items():
        conversation = talk((question, answer))
        conversation.title = title
        chats.add(file, conversation)
    return file


def titles(connection: sqlite3.Connection, words: str) -> str:
    return " ".join(sorted(chat.title for chat in chats.matching(connection, words)))


@pytest.mark.parametrize(("words", "found"), FOUND)
def test_what_is_found(full: sqlite3.Connection, words: str, found: str) -> None:
    assert titles(full, words) == found


def test_a_word_may_stand_in_one_message_and_another_elsewhere(full: sqlite3.Connection) -> None:
    assert titles(full, "北京 气温") == titles(full, "weather 气温") == "weather"


def test_the_message_that_has_it_is_told(full: sqlite3.Connection) -> None:
    [message] = search.find(full, "气温").values()
    assert chats.texts(full, [message, 12345]) == {message: TALKS["weather"][1]}


def test_a_title_is_found_as_it_is_now(full: sqlite3.Connection) -> None:
    [chat] = chats.matching(full, "poem")
    chats.rename(full, chat.id, "诗歌集")
    assert titles(full, "poem") == "" and titles(full, "诗歌") == "诗歌集"
    chats.rename(full, chat.id, "")
    assert titles(full, "诗歌") == ""


def test_a_text_that_changed_is_found_by_what_it_is_now(file: sqlite3.Connection) -> None:
    chat = chats.add(file, talk(("question", "before")))
    c, place = read(file, chat)
    c[2].text = "after"
    write(file, c, place, c[2])
    write(file, c, place, c[2])
    assert not chats.matching(file, "before") and chats.matching(file, "after")


def test_a_reply_in_the_making_is_found(file: sqlite3.Connection) -> None:
    c = talk(("q", "r"))
    c.add_reply(c.path()[0]).text = "unfinished business"
    save(file, as_new(c))
    assert chats.matching(file, "business")


def test_without_the_index_the_texts_are_looked_through(
    full: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(search, "available", lambda: False)
    other = connect(tmp_path / "chats.db")  # a Python whose SQLite was built without FTS5
    for words, found in (
        ("天气", "weather"),
        ("QUANTIZE", "model"),
        ("天空 诗", "poem"),
        ("weather", "weather"),
    ):
        assert titles(other, words) == found
    conversation = talk(("only looked through: 月亮", "x"))
    conversation.title = "moon"
    chats.add(other, conversation)
    assert titles(other, "月亮") == "moon" and not search.catch_up(other)
    other.close()
    monkeypatch.undo()
    again = connect(tmp_path / "chats.db")  # the index is not what the texts are, and is made anew
    while search.catch_up(again):
        pass
    assert titles(again, "月亮") == "moon" and titles(again, "天气") == "weather"
    assert again.execute("SELECT count(*) FROM words WHERE words MATCH '\"月亮\"'").fetchone() == (1,)
    again.close()


def test_terms() -> None:
    assert search.terms("天气好 Hello, hello q4_0") == ["天气", "气好", "好", "hello", "q4_0"]
    assert search.terms("x" * 1000) == ["x" * search.MAX_TERM]
    assert search.query("天气好7b") == '"天气" AND "气好" AND "7b" *' and search.query("?!") == ""
