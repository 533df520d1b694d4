"""The tree of messages."""

from __future__ import annotations

import pytest

from alpaca_tui.chat.conversation import Conversation, MessageState, Role
from alpaca_tui.engine.protocol import FinishReason


def exchange(conversation: Conversation, question: str, answer: str, tokens: tuple[int, ...] = (1,)) -> None:
    reply = conversation.add_reply(conversation.add_question(question), "m")
    reply.text = answer
    reply.finish(FinishReason.END, None, tokens)


def test_the_path_is_what_was_said() -> None:
    c = Conversation()
    exchange(c, "a", "b")
    exchange(c, "c", "d")
    assert [m.text for m in c.path()] == ["a", "b", "c", "d"]
    assert [m.parent for m in c.path()] == [None, 1, 2, 3]
    assert [(t.question.text, t.reply.text if t.reply else None) for t in c.turns()] == [
        ("a", "b"),
        ("c", "d"),
    ]


def test_an_empty_conversation_has_nothing() -> None:
    c = Conversation()
    assert c.path() == [] and c.last is None and c.last_reply is None and c.turns() == []


def test_a_new_version_stands_beside_the_old_one() -> None:
    c = Conversation()
    exchange(c, "a", "first")
    question = c.path()[0]
    second = c.add_reply(question)
    second.text = "second"
    assert [m.text for m in c.path()] == ["a", "second"]
    assert [m.text for m in c.siblings(second)] == ["first", "second"]
    assert c.choose(second, -1) is c.siblings(second)[0]
    assert [m.text for m in c.path()] == ["a", "first"]
    assert c.choose(c.path()[1], -1) is None


def test_what_follows_a_version_comes_back_with_it() -> None:
    c = Conversation()
    exchange(c, "a", "first")
    exchange(c, "then", "more")
    other = c.add_reply(c.path()[0])
    assert [m.text for m in c.path()] == ["a", ""]
    c.choose(other, -1)
    assert [m.text for m in c.path()] == ["a", "first", "then", "more"]


@pytest.mark.parametrize(
    ("reason", "state", "ended", "continues"),
    [
        (FinishReason.END, MessageState.COMPLETE, True, False),
        (FinishReason.STOP_TEXT, MessageState.COMPLETE, False, False),
        (FinishReason.LENGTH, MessageState.CUT, False, True),
        (FinishReason.STOPPED, MessageState.STOPPED, False, True),
        (FinishReason.CONTEXT, MessageState.CUT, False, True),
        (FinishReason.FAILED, MessageState.FAILED, False, False),
    ],
)
def test_how_a_reply_ends(reason: FinishReason, state: MessageState, ended: bool, continues: bool) -> None:
    c = Conversation()
    reply = c.add_reply(c.add_question("q"))
    reply.text = "text"
    reply.finish(reason, None, (5, 6))
    assert (reply.state, reply.ended, reply.can_continue) == (state, ended, continues)


def test_a_question_that_does_not_fit_at_all_is_a_failure() -> None:
    c = Conversation()
    reply = c.add_reply(c.add_question("q"))
    reply.finish(FinishReason.CONTEXT, None, (), "This message is 12 tokens too long.")
    assert reply.state is MessageState.FAILED and not reply.can_continue


def test_tokens_add_up_over_a_continuation() -> None:
    c = Conversation()
    reply = c.add_reply(c.add_question("q"))
    reply.text = "one"
    reply.finish(FinishReason.STOPPED, None, (1, 2))
    reply.resume()
    assert reply.state is MessageState.STREAMING
    reply.text += " two"
    reply.finish(FinishReason.END, None, (3,))
    assert reply.tokens == (1, 2, 3) and reply.ended


def test_text_without_ids_is_encoded_anew() -> None:
    c = Conversation()
    reply = c.add_reply(c.add_question("q"))
    reply.text = "something"
    reply.finish(FinishReason.STOPPED, None, ())
    assert reply.tokens is None


def test_another_model_cannot_use_the_ids() -> None:
    c = Conversation()
    exchange(c, "a", "b", (7, 8))
    c.forget_tokens()
    assert all(m.tokens is None for m in c.path())


def test_a_complete_reply_cannot_be_opened_again() -> None:
    c = Conversation()
    exchange(c, "a", "b")
    with pytest.raises(ValueError, match="complete"):
        c.path()[1].resume()


def test_a_reply_hangs_under_a_question_only() -> None:
    c = Conversation()
    exchange(c, "a", "b")
    assert c.path()[1].role is Role.ASSISTANT
    with pytest.raises(ValueError, match="question"):
        c.add_reply(c.path()[1])
