"""Editing, branching, deleting, and going from one conversation to another. No screen, nothing saved."""

from __future__ import annotations

from pathlib import Path

from alpaca_tui.chat import changes
from alpaca_tui.chat.conversation import Conversation, MessageState
from tests.chat.test_session import ready, session, settle, texts
from tests.tui.scripted_engine import Script


def test_an_edited_question_is_asked_beside_the_old_one() -> None:
    s, engine = ready(Script(replies=["one", "two", "three"]))
    s.submit("a")
    settle(s, engine)
    s.submit("b")
    settle(s, engine)
    first = s.conversation.path()[0]
    assert s.edit(first, "anew")
    settle(s, engine)
    assert texts(s) == ["anew", "three"] and s.conversation.path()[0].edited
    assert len(engine.requests[-1].turns) == 1
    assert s.choose_version(s.conversation.path()[0], -1) and texts(s) == ["a", "one", "b", "two"]
    assert [m.text for m in s.conversation.siblings(first)] == ["a", "anew"]


def test_an_edited_reply_is_what_the_model_said() -> None:
    s, engine = ready(Script(replies=["one", "two"]))
    s.submit("a")
    settle(s, engine)
    assert s.edit(s.conversation.path()[1], "mine") and len(engine.requests) == 1
    assert texts(s) == ["a", "mine"] and s.conversation.path()[1].stats is None
    s.submit("b")
    settle(s, engine)
    segment = engine.requests[-1].turns[0][-1]
    assert (segment.text, segment.tokens, segment.eos) == ("mine", None, True)


def test_an_edited_reply_that_was_stopped_can_be_continued() -> None:
    s, engine = ready(Script(replies=["abcdefgh", "!"], rate=10))
    s.submit("a")
    engine.advance(0.1)
    s.stop()
    s.pump()
    assert s.edit(s.conversation.path()[1], "ABC") and s.can_continue
    assert s.continue_reply()
    settle(s, engine)
    assert texts(s) == ["a", "ABC!"]


def test_without_a_model_an_edited_question_waits_for_an_answer() -> None:
    s, engine = session(Script(load_error="no"))
    settle(s, engine)
    s.conversation.add_question("a")
    assert s.edit(s.conversation.path()[0], "b") and texts(s) == ["b"] and not engine.requests


def test_what_cannot_be_edited_now() -> None:
    s, engine = ready(Script(rate=1))
    s.submit("a")
    question = s.conversation.path()[0]
    assert not s.edit(question, "b") and not s.remove(question) and not s.branch(question)
    settle(s, engine)
    assert not s.edit(question, "  ") and not s.undo_remove()


def test_what_was_removed_comes_back() -> None:
    s, engine = ready(Script(replies=["one", "two"]))
    for text in "ab":
        s.submit(text)
        settle(s, engine)
    _, reply, question, _ = s.conversation.path()
    assert s.remove(question) and texts(s) == ["a", "one"] and changes.PathChanged() in s.pump()
    assert s.remove(reply) and texts(s) == ["a"] and not s.remove(reply)
    assert s.undo_remove() and s.undo_remove() and texts(s) == ["a", "one", "b", "two"]
    assert len(s.conversation) == 4


def test_removing_a_version_shows_the_one_beside_it() -> None:
    s, engine = ready(Script(replies=["one", "two", "three"]))
    s.submit("a")
    settle(s, engine)
    for _ in range(2):
        s.regenerate()
        settle(s, engine)
    s.choose_version(s.conversation.path()[1], -1)
    s.remove(s.conversation.path()[1])
    assert texts(s) == ["a", "three"]
    s.remove(s.conversation.path()[1])
    assert texts(s) == ["a", "one"]
    s.undo_remove()
    s.undo_remove()
    assert [m.text for m in s.conversation.siblings(s.conversation.path()[1])] == ["one", "two", "three"]


def test_a_branch_is_a_new_conversation_with_the_way_up_to_it() -> None:
    s, engine = ready(Script(replies=["one", "two", "three"]))
    for text in "ab":
        s.submit(text)
        settle(s, engine)
    old = s.conversation
    assert s.branch(old.path()[1]) and s.conversation is not old and texts(s) == ["a", "one"]
    s.submit("c")
    settle(s, engine)
    assert texts(s) == ["a", "one", "c", "three"] and len(old.path()) == 4
    assert not s.branch(old.path()[0])


def test_another_conversation_brings_its_queue_and_settings() -> None:
    s, engine = ready(Script(replies=["one"]))
    s.change_setting("top_k", 7)
    s.submit("a")
    settle(s, engine)
    left = s.conversation
    s.new_chat()
    s.change_setting("top_k", 9)
    other = Conversation()
    other.waiting = ["held"]
    s.open_chat(other)
    assert s.queue == ["held"] and s.queue_held and s.settings["top_k"] == 9
    s.open_chat(left)
    assert s.queue == [] and s.settings["top_k"] == 7
    told = s.pump()
    assert changes.SettingsChanged() in told and changes.PathChanged() in told


def test_tokens_of_another_model_are_not_sent() -> None:
    s, engine = ready(Script(replies=["one"]))
    c = Conversation()
    for model in ("scripted-7B", "another"):
        reply = c.add_reply(c.add_question("q"), model)
        reply.text, reply.tokens, reply.state = "r", (1, 2), MessageState.COMPLETE
    s.open_chat(c)
    s.submit("next")
    turns = engine.requests[-1].turns
    assert [turn[-1].tokens for turn in turns[:2]] == [(1, 2), None]


def test_a_conversation_opened_before_the_model_is_there() -> None:
    s, engine = session(Script(load_seconds=1))
    c = Conversation()
    reply = c.add_reply(c.add_question("q"), "another")
    reply.tokens, reply.state = (1, 2), MessageState.COMPLETE
    s.open_chat(c)
    settle(s, engine)
    assert c[2].tokens is None and s.model_path == Path("model.gguf")


def test_a_continued_reply_has_the_numbers_of_all_of_it() -> None:
    s, engine = ready(Script(replies=["abcdefgh", "ijkl"], rate=10))
    s.submit("a")
    engine.advance(0.1)
    s.stop()
    s.pump()
    s.continue_reply()
    settle(s, engine)
    stats = s.conversation.path()[1].stats
    assert stats is not None and stats.generated_tokens == 2 and round(stats.generate_seconds, 3) == 0.2
    assert s.conversation.path()[1].settings == s.settings.as_dict()
