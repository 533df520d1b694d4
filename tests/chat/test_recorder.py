"""When what is written, and what happens where it cannot be."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from alpaca_tui.chat import rescue
from alpaca_tui.chat.conversation import Conversation
from alpaca_tui.chat.read_export import read_chats
from alpaca_tui.chat.recorder import PAUSE, RETRY, Recorder
from alpaca_tui.chat.session import ChatSession
from alpaca_tui.chat.settings import Settings
from alpaca_tui.chat.store import archive as archive_module
from alpaca_tui.chat.store import chats
from alpaca_tui.chat.store.archive import FILE_NAME, Archive, connect
from alpaca_tui.chat.store.trouble import Trouble
from tests.chat.test_session import Clock
from tests.tui.scripted_engine import Script, ScriptedEngine


class Desk:
    """A session whose conversations are saved, with a clock and an engine that a test moves."""

    def __init__(self, folder: Path | None, script: Script | None = None) -> None:
        self.clock = Clock()
        self.archive = Archive(folder)
        self.recorder = Recorder(self.archive, self.clock)
        self.engine = ScriptedEngine(script)
        self.session = ChatSession(Settings(n_predict=-1), "Below.", recorder=self.recorder, clock=self.clock)
        self.session.start(Path("model.gguf"))
        self.session.attach(self.engine)
        self.settle()

    def settle(self) -> None:
        self.engine.finish_all()
        self.session.pump()
        assert self.recorder.commit(5)

    def wait(self) -> None:
        """Lets a write that has begun end."""
        self.archive.run(lambda connection: None).result()
        self.session.pump()

    def saved(self) -> list[str]:
        """The messages of the newest chat, as another program would read them."""
        assert self.archive.path is not None
        connection = connect(self.archive.path)
        listed = chats.summaries(connection)
        loaded = chats.load(connection, listed[0].id) if listed else None
        connection.close()
        return [message.text for message in loaded[0].path()] if loaded else []


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path, Script(replies=["abcd" * 100], rate=10))
    yield made
    made.archive.close()


def test_a_question_is_saved_before_its_reply_is_begun(tmp_path: Path) -> None:
    class Engine(ScriptedEngine):
        def generate(self, request: object) -> None:
            seen.append(desk.saved())
            super().generate(request)  # type: ignore[arg-type]

    seen: list[list[str]] = []
    desk = Desk(tmp_path)
    desk.session.attach(Engine())
    desk.session.load(Path("m.gguf"))
    assert isinstance(desk.session._engine, Engine)
    desk.session._engine.finish_all()
    desk.session.pump()
    desk.session.submit("你好")
    assert seen == [["你好", ""]]
    desk.archive.close()


def test_a_reply_is_saved_twice_a_second_while_it_grows(desk: Desk) -> None:
    desk.session.submit("q")
    for seconds in (0.3, 0.3, 0.3):
        desk.engine.advance(seconds)
        desk.session.pump()  # at first it is noted, later written
        desk.clock.now += PAUSE
        desk.session.pump()
        desk.wait()
        assert desk.saved() == ["q", desk.session.conversation.path()[1].text]
    desk.engine.advance(0.1)
    desk.session.pump()
    desk.wait()
    assert len(desk.saved()[1]) == 36 and len(desk.session.conversation.path()[1].text) == 40
    desk.session.stop()
    desk.session.pump()
    desk.wait()
    assert len(desk.saved()[1]) == 40  # the end is not waited for


def test_waiting_messages_versions_and_edits_are_saved(desk: Desk) -> None:
    desk.engine.script.replies = ["one", "two", "three"]
    session = desk.session
    session.submit("q")
    session.submit("waits")
    desk.recorder.commit(5)
    [summary] = desk.archive.run(chats.summaries).result()
    loaded = desk.archive.run(chats.load, summary.id).result()
    assert loaded and loaded[0].waiting == ["waits"]
    session.take_back()
    desk.settle()
    session.regenerate()
    desk.settle()
    assert desk.saved() == ["q", "two"]
    session.choose_version(session.conversation.path()[1], -1)
    desk.settle()
    assert desk.saved() == ["q", "one"]
    session.edit(session.conversation.path()[0], "p")
    desk.settle()
    assert desk.saved() == ["p", "three"]
    session.remove(session.conversation.path()[1])
    desk.settle()
    assert desk.saved() == ["p"]
    session.undo_remove()
    desk.settle()
    assert desk.saved() == ["p", "three"]


def test_a_chat_that_is_left_gets_the_end_of_its_reply(desk: Desk) -> None:
    desk.engine.script.stop_seconds = 1
    desk.session.submit("q")
    desk.engine.advance(1)
    desk.session.pump()
    left = desk.session.conversation
    desk.session.new_chat()
    assert desk.session.held(left.key) is left
    desk.settle()
    assert desk.saved() == ["q", "abcd" * 10] and desk.session.conversation is not left
    assert desk.session.held(left.key) is left


def test_the_end_of_the_program_stops_and_saves(desk: Desk) -> None:
    desk.session.submit("q")
    desk.engine.advance(1.2)
    desk.session.close()
    assert rescue.close(desk.recorder) == ""
    assert desk.saved() == ["q", "abcd" * 12]
    connection = connect(desk.archive.path or "")
    assert chats.unfinished(connection) is None
    connection.close()


def test_a_full_disk_is_told_and_tried_again(desk: Desk) -> None:
    desk.session.submit("q")
    desk.settle()
    desk.archive.run(lambda c: c.execute("PRAGMA max_page_count = 1").fetchall()).result()
    desk.engine.script.replies = ["x" * 100_000]
    desk.session.submit("more")
    desk.engine.finish_all()
    desk.session.pump()
    assert not desk.recorder.commit(5)
    assert desk.recorder.trouble is not None and desk.recorder.trouble.kind is Trouble.FULL
    assert len(desk.saved()[3]) == 0 and len(desk.session.conversation.path()[3].text) == 100_000
    assert desk.recorder.find(desk.session.conversation.key) is desk.session.conversation
    desk.session.pump()
    desk.archive.run(lambda c: c.execute("PRAGMA max_page_count = 100000").fetchall()).result()
    assert not desk.recorder.idle
    desk.clock.now += RETRY
    desk.session.pump()
    desk.wait()
    assert desk.recorder.idle and desk.recorder.trouble is None
    assert [len(text) for text in desk.saved()] == [1, 400, 4, 100_000]


def test_what_a_full_disk_did_not_take_goes_elsewhere(desk: Desk, tmp_path: Path) -> None:
    desk.archive.run(lambda c: c.execute("PRAGMA max_page_count = 1").fetchall()).result()
    desk.session.submit("q" * 200_000)
    desk.engine.finish_all()
    desk.session.pump()
    home = tmp_path / "home"
    home.mkdir()
    assert "full" in rescue.close(desk.recorder, [home])
    [rescued] = read_chats(next(home.iterdir()))
    assert [len(m.text) for m in rescued.path()] == [200_000, 400]


def test_a_locked_file_is_told_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "BUSY_SECONDS", 0.05)
    desk = Desk(tmp_path)
    desk.archive.run(lambda connection: connection.execute("PRAGMA busy_timeout = 50")).result()
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    desk.session.submit("q")
    assert desk.recorder.trouble is not None and desk.recorder.trouble.kind is Trouble.LOCKED
    desk.engine.finish_all()
    desk.session.pump()
    other.execute("ROLLBACK")
    other.close()
    assert desk.recorder.commit(5) and desk.recorder.trouble is None
    assert desk.saved() == ["q", "Hello from the script."]
    desk.archive.close()


@pytest.mark.parametrize("content", [b"no database at all " * 100, b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_damaged_file_stays_and_the_chat_goes_on_in_memory(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    desk = Desk(tmp_path)
    desk.session.submit("q")
    desk.settle()
    assert desk.archive.trouble is not None and desk.archive.trouble.kind is Trouble.DAMAGED
    assert str(tmp_path) in desk.archive.trouble.sentence() and not desk.archive.first
    assert [s.title for s in desk.archive.run(chats.summaries).result()] == ["q"]
    home = tmp_path / "home"
    home.mkdir()
    sentence = rescue.close(desk.recorder, [tmp_path / "none", home])
    assert (tmp_path / FILE_NAME).read_bytes() == content
    [path] = home.iterdir()
    assert str(path) in sentence and "damaged" in sentence
    [rescued] = read_chats(path)
    assert [m.text for m in rescued.path()] == ["q", "Hello from the script."]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    desk = Desk(tmp_path / "file" / "data")
    desk.session.submit("q")
    desk.settle()
    assert desk.archive.trouble is not None
    assert [s.title for s in desk.archive.run(chats.summaries).result()] == ["q"]
    desk.archive.close()


def test_the_second_program_leaves_what_the_first_has_unfinished(tmp_path: Path) -> None:
    one, two = Archive(tmp_path), Archive(tmp_path)
    conversation = Conversation()
    conversation.draft = "still typing"
    one.run(chats.add, conversation).result()
    first = one.run(chats.begin, lambda: one.first).result()
    second = two.run(chats.begin, lambda: two.first).result()
    assert first.unfinished is not None and second.unfinished is None
    one.close()
    three = Archive(tmp_path)
    assert three.run(chats.begin, lambda: three.first).result().unfinished is not None
    two.close()
    three.close()


def test_a_chat_that_was_removed_meanwhile_is_saved_whole(desk: Desk) -> None:
    desk.session.submit("q")
    desk.settle()
    desk.archive.run(lambda c: c.execute("DELETE FROM chats")).result()
    desk.engine.script.replies = ["", "again"]
    desk.session.submit("more")
    desk.settle()
    assert desk.saved() == ["q", "abcd" * 100, "more", "again"]


def test_without_anything_new_nothing_is_written(desk: Desk) -> None:
    desk.session.new_chat()
    desk.recorder.head(desk.session.conversation)
    assert desk.recorder.commit(5) and desk.recorder.idle and not desk.recorder.unsaved()
    assert desk.saved() == []
