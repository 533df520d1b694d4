"""Files of every version there was are opened by this one, with all that is in them."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from alpaca_tui.chat.conversation import MessageState
from alpaca_tui.chat.store import chats, search
from alpaca_tui.chat.store.archive import FILE_NAME, Archive, connect
from alpaca_tui.chat.store.schema import MIGRATIONS
from alpaca_tui.chat.store.trouble import Trouble

FILES = Path(__file__).parent / "files"
VERSIONS = range(1, len(MIGRATIONS) + 1)


@pytest.fixture(params=VERSIONS)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A file as the program of each version left it, opened by this one."""
    shutil.copy(FILES / f"v{request.param}.db", tmp_path / FILE_NAME)
    connection = connect(tmp_path / FILE_NAME)
    yield connection
    connection.close()


def schema(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """The columns of each table, and the indexes."""
    names = [
        n for (n,) in connection.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
    ]
    columns = {n: [str(c[1:]) for c in connection.execute(f"PRAGMA table_info ('{n}')")] for n in names}
    return dict(sorted(columns.items()))


def test_it_becomes_what_a_new_file_is(old: sqlite3.Connection, tmp_path: Path) -> None:
    new = connect(tmp_path / "new.db")
    assert schema(old) == schema(new)
    assert old.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert old.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert old.execute("PRAGMA foreign_key_check").fetchall() == []
    new.close()


def test_every_chat_is_there(old: sqlite3.Connection) -> None:
    listed = {chat.title: chat for chat in chats.summaries(old)}
    assert list(listed) == ["天气", "a question while it crashes", "Why does a moving bicycle stay upright?"]
    assert [chat.pinned for chat in listed.values()] == [True, False, False]
    assert listed["Why does a moving bicycle stay upright?"].draft == "an unsent thought 草稿"
    assert chats.undelete(old) is not None
    assert "thrown away" in {chat.title for chat in chats.summaries(old)}


def test_a_conversation_is_whole(old: sqlite3.Connection) -> None:
    weather, crashed, bicycle = (chats.load(old, chat.id) for chat in chats.summaries(old))
    assert weather and crashed and bicycle
    conversation = weather[0]
    assert [m.text for m in conversation.path()] == ["北京的天气怎么样？", "今天天气很好。"]
    reply = conversation.path()[1]
    assert [m.text for m in conversation.siblings(reply)] == ["今天天气很好。", "明天有雨。"]
    assert reply.model == "scripted-7B" and reply.tokens == (1000, 1001) and reply.stats
    assert reply.settings and reply.settings["temp"] == 0.2 and reply.stats.generated_tokens == 2
    assert [m.state for m in crashed[0].path()] == [MessageState.COMPLETE, MessageState.STOPPED]
    assert crashed[0].path()[1].text and crashed[0].waiting == ["waiting one"]
    question = bicycle[0].path()[0]
    assert question.edited and bicycle[0].siblings(question)[0].text == "Why does a bicycle\nstay upright?"
    assert "then what?" not in [m.text for m in bicycle[0]]


def test_what_is_in_it_is_found(old: sqlite3.Connection) -> None:
    assert [chat.title for chat in chats.matching(old, "明天")] == ["天气"]  # looked through
    while search.catch_up(old, 2):
        pass
    assert (
        old.execute("SELECT count(*) FROM messages WHERE indexed = 0 AND deleted IS NULL").fetchone()[0] <= 1
    )
    for words in ("天气", "明天", "bicycle upright", "句子"):
        assert len(chats.matching(old, words)) == 1
    assert not chats.matching(old, "then what")  # deleted


def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    before = path.read_bytes()
    archive = Archive(tmp_path)
    assert archive.run(chats.summaries).result() == []
    archive.close()
    assert archive.trouble is not None and archive.trouble.kind is Trouble.NEWER
    assert path.read_bytes() == before


def test_a_step_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(FILES / "v1.db", tmp_path / FILE_NAME)
    monkeypatch.setattr(
        "alpaca_tui.chat.store.schema.MIGRATIONS", (*MIGRATIONS[:1], (*MIGRATIONS[1], "NONSENSE"))
    )
    with pytest.raises(sqlite3.OperationalError):
        connect(tmp_path / FILE_NAME)
    monkeypatch.undo()
    connection = connect(tmp_path / FILE_NAME)
    assert len(chats.summaries(connection)) == 3
    connection.close()
