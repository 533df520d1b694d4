"""Texts that the model continues, over a scripted engine: alone, and by turns with the user."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from alpaca_tui.commands.running import Running
from alpaca_tui.commands.terminal import Terminal
from alpaca_tui.commands.text import Text, Turns
from alpaca_tui.engine import protocol as p
from alpaca_tui.errors import UserError
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

FULL, FAILED, STOP_TEXT = p.FinishReason.CONTEXT, p.FinishReason.FAILED, p.FinishReason.STOP_TEXT
PROMPT = p.Segment("Once", bos=True, space_prefix=True)


class Scene:
    """`typed` as by a person at a terminal, else from a pipe. `code` is the exit code."""

    def __init__(
        self,
        *replies: Sequence[Any],
        typed: str = "",
        tty: bool = False,
        turns: Turns | None = None,
        color: str = "off",
        request: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        kind = Tty if tty else io.StringIO
        self.out, self.notices = kind(), kind()
        self.engine = ScriptedEngine([p.Loaded(INFO)], *replies)
        terminal = Terminal(kind(typed), self.out, self.notices, color=color)
        self.running = Running(self.engine, terminal)
        assert self.running.load(Path("m.gguf"), p.LoadOptions()) is INFO
        wanted = p.GenerateRequest((), (), max_tokens=9, **(request or {}))
        self.code = Text(self.running, terminal, wanted, "Once", turns=turns, **options).run()

    @property
    def shown(self) -> str:
        return self.out.getvalue()

    def said(self, i: int) -> list[str]:
        """The texts of request i, behind one another."""
        request = self.engine.requests[i]
        return [s.text for s in (*request.prefix, *(s for turn in request.turns for s in turn))]


def reverse(text: str, index: int = 0) -> list[p.Event]:
    return [p.TextChunk(text), finished(STOP_TEXT, 7, stop=index)]


@pytest.mark.parametrize("tty", [True, False])
def test_a_prompt_that_cannot_be_continued_is_not_shown(tty: bool) -> None:
    for reply in (finished(FAILED, message="too long"), finished(FULL, message="too long")):
        scene = Scene.__new__(Scene)
        with pytest.raises(UserError, match="too long"):
            scene.__init__([reply], tty=tty)  # type: ignore[misc]
        assert scene.shown == ""


def test_an_error_in_the_middle_begins_on_a_line_of_its_own_on_a_terminal() -> None:
    for tty, shown in ((True, "Once upon\n"), (False, "Once upon")):
        scene = Scene.__new__(Scene)
        with pytest.raises(UserError, match="out of memory"):
            failed = finished(FAILED, message="out of memory")
            scene.__init__([p.TextChunk(" upon"), failed], tty=tty)  # type: ignore[misc]
        assert scene.shown == shown


def test_what_is_too_long_does_not_end_a_conversation_by_turns() -> None:
    turns = Turns(("U:",))
    failed = [finished(FAILED, message="too long")]
    scene = Scene(reverse("hi "), failed, answer("yes", 5), typed="long\nshort\n", tty=True, turns=turns)
    assert "(too long)" in scene.notices.getvalue()
    assert scene.said(1) == ["Once", "hi U:", "long\n"]
    assert scene.said(2) == ["Once", "hi U:", "short\n"]


def test_ctrl_c_ends_a_load() -> None:
    running = Running(ScriptedEngine([press_ctrl_c, None]), Terminal(io.StringIO(), Tty(), Tty()))
    with pytest.raises(KeyboardInterrupt):
        running.load(Path("m.gguf"), p.LoadOptions())


def test_a_load_is_told_of_and_its_end_said(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(x * 0.7 for x in range(100))
    monkeypatch.setattr("alpaca_tui.commands.terminal.time.monotonic", lambda: next(clock))
    events = [p.Progress(p.EngineState.LOADING, n, 4, "blk.0") for n in range(5)]
    terminal = Terminal(io.StringIO(), io.StringIO(), Tty())
    with pytest.raises(UserError, match="no such layout"):
        Running(ScriptedEngine([*events, p.LoadFailed("no such layout")]), terminal).load(
            Path("m"), p.LoadOptions()
        )
    assert isinstance(terminal.notices, Tty)
    assert "Loading blk.0 100 %" in terminal.notices.getvalue()
    assert terminal.notices.getvalue().endswith("\r\x1b[K")


# --- alone -------------------------------------------------------------------------------------------------


def test_stdout_holds_the_prompt_and_what_follows() -> None:
    scene = Scene(answer(" upon", 5))
    assert (scene.code, scene.shown) == (0, "Once upon\n")
    assert scene.notices.getvalue() == " [end of text]\n"
    (request,) = scene.engine.requests
    assert (request.prefix, request.turns) == ((), ((PROMPT,),))  # a prompt that does not fit is refused
    assert (request.keep, request.max_tokens, request.stop) == (0, 9, ())


def test_the_prompt_can_be_left_out_and_kept() -> None:
    scene = Scene([p.TextChunk(" upon\n"), finished(LENGTH, 5)], show_prompt=False, keep=-1)
    assert scene.shown == " upon\n"
    (request,) = scene.engine.requests
    assert (request.prefix, request.turns, request.keep) == ((PROMPT,), ((), ()), -1)


def test_guidance_has_its_prompt_in_the_place_of_ours() -> None:
    scene = Scene(answer(" upon", 5), request={"negative": (p.Segment("no"),)})
    assert scene.engine.requests[0].prefix == (PROMPT,)


def test_ctrl_c_ends_a_text_with_130() -> None:
    scene = Scene([p.TextChunk(" up"), press_ctrl_c, None, finished(STOPPED, 5)])
    assert (scene.code, scene.shown, scene.engine.stops) == (130, "Once up\n", 1)


def test_a_full_context_is_said_and_one_that_was_never_free_is_an_error() -> None:
    scene = Scene([p.TextChunk(" up"), finished(FULL, 5, message="The context is full.")])
    assert (scene.code, scene.shown) == (0, "Once up\n")
    assert scene.notices.getvalue() == "(The context is full.)\n"
    for reason in (FULL, FAILED):
        with pytest.raises(UserError, match="too long"):
            Scene([finished(reason, message="too long")])


def test_colours_are_there_where_they_are_wanted() -> None:
    scene = Scene(answer(" upon", 5), color="on")
    assert scene.shown == "\x1b[33mOnce\x1b[0m upon\n"
    assert "\x1b" not in Scene(answer(" upon", 5), color="auto").shown


# --- by turns ----------------------------------------------------------------------------------------------


def test_a_reverse_prompt_is_shown_and_gives_the_turn_to_the_user() -> None:
    scene = Scene(reverse("\nB: hi\n", 1), reverse(" well\n", 0), typed="how?\n", turns=Turns(("A:", "B:")))
    assert scene.code == 0
    assert scene.shown == "Once\nB: hi\nB: well\nA:\n"
    assert scene.said(1) == ["Once", "\nB: hi\nB:", "how?\n"]
    request = scene.engine.requests[1]
    assert request.turns == ((), (p.Segment("\nB: hi\nB:"), p.Segment("how?\n")))  # all of it is new
    assert request.stop == ("A:", "B:")


def test_prefix_and_suffix_stand_around_what_is_typed() -> None:
    turns = Turns(("A:",), in_prefix=" ", in_suffix="B:", in_prefix_bos=True)
    scene = Scene(reverse("\n"), reverse("."), typed="x/\n", turns=turns)
    assert scene.shown == "Once\nA: B:.A: \n"
    assert scene.engine.requests[1].turns[1][1] == p.Segment(" xB:", bos=True)


def test_an_empty_line_goes_on_with_the_text() -> None:
    cut = [p.TextChunk(" upon"), finished(LENGTH, 5, 6)]
    scene = Scene(cut, answer(" a", 7), typed="\n", turns=Turns())
    assert scene.said(1) == ["Once", " upon"]
    assert scene.engine.requests[1].turns == ((PROMPT, p.Segment(" upon", tokens=(5, 6)))[1:], ())


def test_the_user_may_begin() -> None:
    scene = Scene(answer(" a", 7), typed="hi\n", turns=Turns(first=True))
    assert scene.said(0) == ["Once", "hi\n"]
    assert Scene(typed="", turns=Turns(first=True)).engine.requests == []


def test_where_the_model_ends_its_text_the_first_reverse_prompt_stands() -> None:
    scene = Scene(answer(" a", 7), answer("ok\n", 8), typed="hi\n", turns=Turns(("Q:",)))
    assert scene.shown == "Once a\nQ:ok\nQ:\n"
    assert scene.said(1) == ["Once", " a", "\nQ:", "hi\n"]


def test_ctrl_c_gives_the_turn_to_a_person_and_ends_a_pipe() -> None:
    stopped = [p.TextChunk(" up"), press_ctrl_c, None, finished(STOPPED, 5)]
    scene = Scene(stopped, answer(".", 7), typed="hi\n", tty=True, turns=Turns())
    assert (scene.code, scene.shown) == (0, "Once up\n.\n")
    assert scene.said(1) == ["Once", " up", "hi\n"]
    assert Scene(stopped, typed="hi\n", turns=Turns()).code == 130


def test_numbers_add_up() -> None:
    stats = p.Stats(
        prompt_tokens=10, reused_tokens=4, prompt_seconds=2, generated_tokens=3, generate_seconds=1.5,
        sample_seconds=0.5,
    )  # fmt: skip
    reply = [p.TextChunk("."), p.Finished(LENGTH, stats, (5,))]
    scene = Scene(reply, reply, typed="\n", turns=Turns())
    timings = scene.running.timings
    assert (timings.n_prompt, timings.prompt, timings.n_sample, timings.sample) == (12, 4, 6, 1)
    assert (timings.n_eval, timings.eval) == (4, 2)
