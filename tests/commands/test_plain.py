"""The plain-terminal chat over a scripted engine: what goes in, what comes out where, and Ctrl+C."""

from __future__ import annotations

import io
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from alpaca_tui.chat.session import ChatSession
from alpaca_tui.chat.settings import Settings
from alpaca_tui.commands.plain import PlainChat, Terminal
from alpaca_tui.engine import protocol as p
from alpaca_tui.errors import UserError
from alpaca_tui.tui.eta import TimeLeft
from tests.commands.scripted import (
    INFO,
    LENGTH,
    STOPPED,
    ScriptedEngine,
    Tty,
    answer,
    finished,
    press_ctrl_c,
)


class Scene:
    """A chat over memory streams; `typed` as by a person at a terminal, else from a pipe."""

    def __init__(
        self,
        typed: str,
        *replies: Sequence[Any],
        load: Sequence[p.Event] = (p.Loaded(INFO),),
        tty: bool = False,
        **settings: Any,
    ) -> None:
        kind = Tty if tty else io.StringIO
        self.out, self.notices = kind(), kind()
        self.engine = ScriptedEngine(load, *replies)
        session = ChatSession(Settings(**settings), "Be brief.", explicit=frozenset(settings))
        self.chat = PlainChat(session, Terminal(kind(typed), self.out, self.notices, color="off"))
        self.chat.load(self.engine, Path("m.gguf"), p.LoadOptions())


def test_each_piped_line_is_answered_and_the_conversation_stays_in_context() -> None:
    scene = Scene("你好\n\nwhat?\r\n", answer("好！", 7, 8), answer("yes\n", 9), temp=0.2, n_predict=33)
    assert scene.chat.converse() == 0
    assert scene.out.getvalue() == "好！\nyes\n"
    assert scene.notices.getvalue() == ""
    request = scene.engine.requests[1]
    assert request.prefix == (p.Segment("Be brief.", bos=True, space_prefix=True),)
    first, second = request.turns
    assert first == (
        p.Segment("\n\n### Instruction:\n\n", bos=True),
        p.Segment("你好\n"),
        p.Segment("\n\n### Response:\n\n"),
        p.Segment("好！", tokens=(7, 8), eos=True),
    )
    assert [segment.text for segment in second] == [
        "\n\n### Instruction:\n\n",
        "what?\n",
        "\n\n### Response:\n\n",
    ]
    assert request.stop == ("### Instruction:",)
    assert (request.max_tokens, request.sampling.temp) == (33, 0.2)


def test_a_backslash_at_the_end_of_a_line_joins_the_next() -> None:
    scene = Scene("one\\\ntwo\\\nthree\nfour\\\n", answer("a", 1), answer("b", 2))
    assert scene.chat.converse() == 0
    assert [r.turns[-1][1].text for r in scene.engine.requests] == ["one\ntwo\nthree\n", "four\n"]


def test_one_answer_is_all_that_stdout_gets() -> None:
    scene = Scene("ignored\n", answer("42", 1))
    assert scene.chat.answer_once("six times seven?") == 0
    assert (scene.out.getvalue(), scene.notices.getvalue()) == ("42\n", "")


def test_ctrl_c_in_a_reply_comes_back_to_the_prompt_and_an_empty_line_goes_on() -> None:
    stopped = [p.TextChunk("half"), press_ctrl_c, None, finished(STOPPED, 5)]
    scene = Scene("tell\n\nnext\n", stopped, answer(" done", 6), answer("ok", 7), tty=True)
    assert scene.chat.converse() == 0
    assert scene.engine.stops == 1
    assert scene.out.getvalue() == "> half\n>  done\n> ok\n> "
    assert "stopped" in scene.notices.getvalue()
    continued, later = scene.engine.requests[1:]
    assert continued.turns[0][3] == p.Segment("half", tokens=(5,), eos=False)
    assert later.turns[0][3] == p.Segment("half done", tokens=(5, 6), eos=True)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_in_a_pipe_ends_with_130() -> None:
    stopped = [p.TextChunk("half"), press_ctrl_c, None, finished(STOPPED, 5)]
    scene = Scene("a\nb\n", stopped)
    assert scene.chat.converse() == 130
    assert scene.out.getvalue() == "half\n"
    scene = Scene("", [press_ctrl_c, None, finished(STOPPED)])
    assert scene.chat.answer_once("a") == 130


def test_ctrl_c_at_the_prompt_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def press(self: Terminal) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(Terminal, "read_message", press)
    assert Scene("", tty=True).chat.converse() == 130


def test_a_third_ctrl_c_ends_a_program_that_does_not_stop() -> None:
    scene = Scene("", [press_ctrl_c, press_ctrl_c, press_ctrl_c])
    with pytest.raises(KeyboardInterrupt):
        scene.chat.answer_once("a")


def test_an_empty_line_after_a_finished_reply_means_nothing() -> None:
    scene = Scene("a\n\n \n", answer("b", 1), tty=True)
    assert scene.chat.converse() == 0
    assert len(scene.engine.requests) == 1


def test_words_about_the_chat_go_to_stderr_and_only_to_a_person() -> None:
    scene = Scene("a\n", [p.TextChunk("b"), finished(LENGTH, 1)], tty=True)
    assert scene.chat.converse() == 0
    notices = scene.notices.getvalue()
    for word in ("Tiny", "Ctrl+C", "512 tokens"):
        assert word in notices
    assert scene.out.getvalue() == "> b\n> "


def test_what_the_model_forgot_is_said_once() -> None:
    cut = [p.ContextCut(1), *answer("a", 1)]
    scene = Scene("1\n2\n3\n", answer("a", 1), cut, cut)
    scene.chat.converse()
    assert scene.notices.getvalue().count("knows the first message)") == 1


def test_a_model_that_does_not_load_is_a_users_mistake() -> None:
    with pytest.raises(UserError, match="no such layout"):
        Scene("", load=[p.LoadFailed("no such layout")])


@pytest.mark.parametrize("reason", [p.FinishReason.FAILED, p.FinishReason.CONTEXT])
def test_a_reply_that_cannot_be_made_ends_a_pipe_but_not_a_conversation(reason: p.FinishReason) -> None:
    failed = [finished(reason, message="too long")]
    with pytest.raises(UserError, match="too long"):
        Scene("a\n", failed).chat.converse()
    scene = Scene("a\nb\n", failed, answer("c", 1), tty=True)
    assert scene.chat.converse() == 0
    assert "(too long)" in scene.notices.getvalue()
    assert scene.out.getvalue() == "> > c\n> "
    assert len(scene.engine.requests[1].turns) == 1  # what failed is not in the conversation


def test_a_full_context_is_said() -> None:
    scene = Scene("a\n", [p.TextChunk("b"), finished(p.FinishReason.CONTEXT, 1)])
    assert scene.chat.converse() == 0
    assert "context is full" in scene.notices.getvalue()


def test_progress_is_shown_to_a_person_when_it_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(x * 0.7 for x in range(100))
    monkeypatch.setattr("alpaca_tui.commands.terminal.time.monotonic", lambda: next(clock))
    second = iter(range(100))
    monkeypatch.setattr(TimeLeft.__init__, "__defaults__", (lambda: next(second),))
    events = [p.Progress(p.EngineState.COMPILING, n, 4, "matmul") for n in range(5)]
    for tty in (True, False):
        scene = Scene("", load=[*events, p.Loaded(INFO)], tty=tty)
        assert ("Preparing (first run only) matmul 100 %" in scene.notices.getvalue()) is tty
        assert "  0 %" not in scene.notices.getvalue()
        assert (" left" in scene.notices.getvalue()) is tty
