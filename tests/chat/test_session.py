"""The session: what is asked when, what waits, what a stop does. No screen."""

from __future__ import annotations

from pathlib import Path

import pytest

from alpaca_tui.chat import changes
from alpaca_tui.chat.conversation import MessageState
from alpaca_tui.chat.session import ChatSession
from alpaca_tui.chat.settings import Settings
from alpaca_tui.engine.protocol import Adapter, EngineState, PromptCache, WhenFull
from alpaca_tui.errors import UserError
from tests.tui.scripted_engine import Script, ScriptedEngine

MODEL = Path("model.gguf")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def session(
    script: Script | None = None, explicit: frozenset[str] = frozenset()
) -> tuple[ChatSession, ScriptedEngine]:
    engine = ScriptedEngine(script)
    s = ChatSession(Settings(n_predict=-1), "Below.", explicit=explicit, clock=Clock())
    s.start(MODEL)
    s.attach(engine)
    return s, engine


def ready(script: Script | None = None) -> tuple[ChatSession, ScriptedEngine]:
    s, engine = session(script)
    settle(s, engine)
    return s, engine


def settle(s: ChatSession, engine: ScriptedEngine) -> list[changes.Change]:
    told: list[changes.Change] = []
    for _ in range(20):
        engine.finish_all()
        told += s.pump()
        if not s.busy:
            break
    return told


def texts(s: ChatSession) -> list[str]:
    return [m.text for m in s.conversation.path()]


def test_a_question_asked_while_loading_waits_and_is_then_sent() -> None:
    s, engine = session(Script(load_seconds=5, replies=["answer"]))
    s.submit("early")
    assert s.queue == ["early"] and s.state is EngineState.LOADING and not engine.requests
    settle(s, engine)
    assert texts(s) == ["early", "answer"] and s.queue == []


def test_questions_asked_while_answering_are_answered_in_turn() -> None:
    s, engine = ready(Script(replies=["one", "two"]))
    s.submit("a")
    s.submit("b")
    assert s.queue == ["b"] and len(engine.requests) == 1
    settle(s, engine)
    assert texts(s) == ["a", "one", "b", "two"]
    assert len(engine.requests[1].turns) == 2


def test_a_stop_keeps_the_text_and_holds_the_queue() -> None:
    s, engine = ready(Script(replies=["abcdefgh" * 10], rate=10))
    s.submit("a")
    s.submit("b")
    engine.advance(0.5)
    s.pump()
    assert s.stop()
    s.pump()
    reply = s.conversation.path()[1]
    assert reply.state is MessageState.STOPPED and len(reply.text) == 20
    assert s.queue == ["b"] and s.queue_held and not s.busy
    s.submit("")
    settle(s, engine)
    assert texts(s)[2] == "b"


def test_a_stopped_reply_is_continued_from_where_it_is() -> None:
    s, engine = ready(Script(replies=["abcdefgh", "ijkl"], rate=10))
    s.submit("a")
    engine.advance(0.1)
    s.stop()
    s.pump()
    assert s.can_continue and s.continue_reply()
    assert engine.requests[1].turns[0][-1].text == "abcd"
    assert engine.requests[1].turns[0][-1].tokens == (1000,)
    settle(s, engine)
    reply = s.conversation.path()[1]
    assert reply.text == "abcdijkl" and reply.state is MessageState.COMPLETE and not s.continue_reply()


def test_regenerate_makes_a_version() -> None:
    s, engine = ready(Script(replies=["one", "two"]))
    s.submit("a")
    settle(s, engine)
    assert s.regenerate()
    settle(s, engine)
    assert texts(s) == ["a", "two"]
    assert len(engine.requests[1].turns) == 1
    assert s.choose_version(s.conversation.path()[1], -1) and texts(s) == ["a", "one"]


def test_regenerate_while_answering_stops_first() -> None:
    s, engine = ready(Script(replies=["x" * 400, "two"], rate=10, stop_seconds=1))
    s.submit("a")
    engine.advance(1)
    s.pump()
    assert s.regenerate() and s.state is EngineState.STOPPING and len(engine.requests) == 1
    settle(s, engine)
    assert texts(s) == ["a", "two"]
    assert [m.state for m in s.conversation.siblings(s.conversation.path()[1])] == [
        MessageState.STOPPED,
        MessageState.COMPLETE,
    ]


def test_there_is_nothing_to_regenerate_or_continue_at_first() -> None:
    s, _ = ready()
    assert not s.regenerate() and not s.continue_reply() and not s.stop()


def test_a_new_chat_leaves_the_old_reply_behind() -> None:
    s, engine = ready(Script(replies=["x" * 400, "fresh"], rate=10, stop_seconds=1))
    s.submit("a")
    s.submit("waiting")
    engine.advance(1)
    s.pump()
    assert s.new_chat() == ["waiting"]
    s.submit("b")
    settle(s, engine)
    assert texts(s) == ["b", "fresh"] and s.queue == []


def test_what_the_model_forgot_is_told_by_the_question() -> None:
    s, engine = ready(Script(replies=["r"], cut=0))
    for text in "abc":
        s.submit(text)
        settle(s, engine)
    assert s.memory_start is None
    engine.script.cut = 2
    s.submit("d")
    told = settle(s, engine)
    question = s.conversation.turns()[2].question
    assert s.memory_start == question.id and changes.MemoryBegins(question.id) in told
    engine.script.cut = 0
    s.submit("e")
    assert changes.MemoryBegins(None) in settle(s, engine)
    # A reply that fills the context alone loses its own beginning: its id, not the question's.
    engine.script.cut, engine.script.gap = 5, (10, 60)
    s.submit("f")
    told = settle(s, engine)
    assert s.conversation.last is not None
    assert changes.MemoryBegins(s.conversation.last.id) in told


def test_a_failure_keeps_the_text_and_says_why() -> None:
    s, engine = ready(Script(replies=["abcdefgh"], fail_after=4))
    s.submit("a")
    settle(s, engine)
    reply = s.conversation.path()[1]
    assert (reply.text, reply.state, reply.note) == ("abcd", MessageState.FAILED, "the script says so.")
    assert s.ready


def test_a_refused_load_says_why_and_loses_nothing() -> None:
    s, engine = session(Script(load_error="The file is empty."))
    s.submit("early")
    told = settle(s, engine)
    assert changes.LoadRefused("The file is empty.") in told
    assert s.model is None and s.load_error == "The file is empty." and s.queue == ["early"]
    engine.script.load_error = ""
    assert s.load(Path("good.gguf"))
    settle(s, engine)
    assert texts(s)[0] == "early" and s.load_error == ""


def test_a_load_can_be_cancelled_and_begun_again() -> None:
    s, engine = session(Script(load_seconds=10))
    engine.advance(2)
    s.pump()
    assert s.stop()
    told = settle(s, engine)
    assert changes.LoadCancelled() in told and not s.loading and s.model is None and s.load_error == ""
    assert s.reload()
    settle(s, engine)
    assert s.model is not None


def test_another_model_may_be_chosen_while_one_loads() -> None:
    s, engine = session(Script(load_seconds=10))
    engine.advance(2)
    s.pump()
    engine.script.load_seconds = 0
    assert s.load(Path("other.gguf"))
    told = settle(s, engine)
    assert s.model_path == Path("other.gguf") and s.model is not None and not s.loading
    assert not any(isinstance(change, changes.LoadRefused | changes.LoadCancelled) for change in told)


def test_a_stop_before_there_is_an_engine_cancels_the_load() -> None:
    s = ChatSession(Settings(), "")
    s.start(MODEL)
    assert s.stop()
    engine = ScriptedEngine()
    s.attach(engine)
    assert changes.LoadCancelled() in s.pump() and not engine.loads


def test_the_first_load_takes_what_only_it_was_told() -> None:
    engine = ScriptedEngine()
    settings = Settings(n_ctx=512, n_threads=3, n_batch=64)
    settings.other_loading = {"loras": (Adapter(Path("lora.bin")),), "cache_type": "q8_0"}
    settings.other_request = {"prompt_cache": PromptCache(Path("c")), "when_full": WhenFull.STOP}
    s = ChatSession(settings, "")
    s.start(MODEL, norm_eps=1e-5, tokenizer=Path("tokenizer.model"))
    s.attach(engine)
    options = engine.loads[0][1]
    assert (options.n_ctx, options.n_threads, options.n_batch) == (512, 3, 64)
    assert (options.norm_eps, options.tokenizer) == (1e-5, Path("tokenizer.model"))
    assert (options.loras, options.cache_type) == ((Adapter(Path("lora.bin")),), "q8_0")
    settle(s, engine)
    s.reload()
    assert engine.loads[1][1].loras
    settle(s, engine)
    s.load(Path("other.gguf"))
    options = engine.loads[2][1]
    assert (options.tokenizer, options.loras, options.cache_type) == (None, (), "q8_0")
    assert settings.other_request == {"when_full": WhenFull.STOP}
    settle(s, engine)
    assert s.model_path == Path("other.gguf")


def test_a_reload_takes_the_new_context_and_keeps_the_chat() -> None:
    s, engine = ready(Script(replies=["one"]))
    s.submit("a")
    settle(s, engine)
    assert not s.needs_reload
    s.change_setting("n_ctx", 4096)
    assert s.needs_reload and s.reload()
    settle(s, engine)
    assert engine.loads[-1][1].n_ctx == 4096 and s.model is not None and s.model.n_ctx == 4096
    assert texts(s) == ["a", "one"] and not s.needs_reload
    assert s.conversation.path()[1].tokens is not None


def test_another_model_reads_the_chat_as_text() -> None:
    s, engine = ready(Script(replies=["one"]))
    s.submit("a")
    settle(s, engine)
    s.load(Path("other.gguf"))
    settle(s, engine)
    assert s.conversation.path()[1].tokens is None


def test_nothing_loads_while_something_runs() -> None:
    s, engine = ready(Script(rate=1))
    s.submit("a")
    assert (
        not s.load(Path("other.gguf"))
        and not s.reload()
        and not s.choose_version(s.conversation.path()[0], 1)
    )
    assert len(engine.loads) == 1


@pytest.mark.parametrize(
    ("guide", "explicit", "temp"), [(True, False, 0.2), (True, True, 0.8), (False, False, 0.8)]
)
def test_the_guide_is_sober_unless_told_otherwise(guide: bool, explicit: bool, temp: float) -> None:
    s, engine = session(Script(guide=guide), frozenset({"temp"} if explicit else ()))
    settle(s, engine)
    assert s.settings["temp"] == temp


def test_a_temperature_that_the_user_chose_stays() -> None:
    s, engine = session(Script(guide=True))
    settle(s, engine)
    s.change_setting("temp", 0.5)
    engine.script.guide = False
    s.load(Path("other.gguf"))
    settle(s, engine)
    assert s.settings["temp"] == 0.5


def test_the_real_model_after_the_guide_gets_its_own_temperature() -> None:
    s, engine = session(Script(guide=True))
    settle(s, engine)
    engine.script.guide = False
    s.load(Path("other.gguf"))
    settle(s, engine)
    assert s.settings["temp"] == 0.8


def test_when_settings_reach_the_engine() -> None:
    s, engine = ready(Script(rate=1, replies=["x" * 40]))
    s.submit("a")
    s.change_setting("top_k", "7")
    assert engine.samplings[-1].top_k == 7
    s.change_setting("n_threads", 3)
    assert engine.threads == [3]
    s.change_setting("n_threads", 0)
    assert engine.threads[-1] >= 1
    s.change_setting("n_predict", 5)
    assert engine.requests[-1].max_tokens == -1
    s.stop()
    settle(s, engine)
    s.submit("b")
    assert engine.requests[-1].max_tokens == 5 and engine.requests[-1].sampling.top_k == 7


def test_a_senseless_value_changes_nothing() -> None:
    s, engine = ready()
    with pytest.raises(UserError):
        s.change_setting("temp", "warm")
    assert s.settings["temp"] == 0.8 and not engine.samplings


def test_a_queued_message_can_be_taken_back() -> None:
    s, engine = ready(Script(rate=1))
    for text in ("a", "b", "c"):
        s.submit(text)
    assert s.take_back() == "c" and s.take_back() == "b" and s.take_back() is None
    settle(s, engine)
    assert len(engine.requests) == 1


def test_blank_messages_are_not_sent() -> None:
    s, engine = ready()
    s.submit("  \n ")
    assert not engine.requests and not s.queue


def test_stopping_is_seen_and_timed() -> None:
    s, engine = ready(Script(replies=["x" * 400], rate=10, stop_seconds=5))
    clock = s._clock
    assert isinstance(clock, Clock)
    s.submit("a")
    assert s.stopping_seconds == 0.0
    s.stop()
    clock.now += 3
    assert s.state is EngineState.STOPPING and s.stopping_seconds == 3
    settle(s, engine)
    assert s.state is EngineState.IDLE and s.stopping_seconds == 0.0
