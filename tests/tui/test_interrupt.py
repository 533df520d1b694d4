"""Esc and Ctrl+C in every state."""

from __future__ import annotations

from alpaca_tui.chat.conversation import MessageState
from alpaca_tui.engine.protocol import EngineState
from alpaca_tui.tui.screens.help import HelpScreen
from tests.tui.helpers import Chat, chat
from tests.tui.scripted_engine import Script

TALKING = Script(replies=["word " * 100], rate=10)


def slow(**values: object) -> Script:
    return Script(replies=["word " * 100], rate=10, **values)  # type: ignore[arg-type]


async def test_escape_stops_at_once_and_keeps_what_is_there() -> None:
    async with chat(slow()) as c:
        await c.send("hello")
        await c.advance(0.5)
        await c.type("a draft")
        await c.pilot.press("escape")
        assert c.engine.stops == 1  # with the key press itself, not with a later look at the engine
        await c.settle()
        assert c.path[1].state is MessageState.STOPPED and c.path[1].text.startswith("word word")
        assert c.app.prompt.text == "a draft"


async def test_escape_stops_the_prefill() -> None:
    async with chat(slow(prefill_seconds=10)) as c:
        await c.send("hello")
        await c.advance(2)
        assert "Reading the prompt" in c.text()
        await c.press("escape")
        assert c.path[1].state is MessageState.STOPPED and "Stopped before the first word" in c.text()


async def test_escape_does_nothing_to_a_draft() -> None:
    async with chat() as c:
        await c.type("a draft")
        await c.press("escape", "escape")
        assert c.app.prompt.text == "a draft" and c.app._exit is False


async def test_escape_in_the_help_closes_it_and_stops_the_reply() -> None:
    async with chat(slow()) as c:
        await c.send("hello")
        await c.advance(0.5)
        await c.press("f1")
        assert isinstance(c.app.screen, HelpScreen)
        await c.press("escape")
        assert c.engine.stops == 1 and not c.app.modal_open


async def test_escape_in_the_sidebar_stops_and_goes_back_to_the_prompt() -> None:
    async with chat(slow(), size=(120, 40)) as c:
        await c.send("hello")
        c.app.main.set_focus(c.app.sidebar.rows[0])
        await c.press("5")
        await c.press("escape")
        assert c.engine.stops == 1 and c.app.sidebar.rows[0].typed is None


async def test_ctrl_c_copies_a_selection_first() -> None:
    async with chat(slow()) as c:
        await c.send("hello")
        await c.advance(0.5)
        c.app.transcript.select_lines(0, 0)
        await c.press("ctrl+c")
        assert c.app.clipboard == "hello" and c.engine.stops == 0 and "Copied" in c.app.notice.text
        await c.press("ctrl+c")
        assert c.engine.stops == 1


async def test_ctrl_c_copies_what_is_selected_in_the_prompt() -> None:
    async with chat() as c:
        await c.type("draft")
        await c.press("shift+home", "ctrl+c")
        assert c.app.clipboard == "draft" and c.app.prompt.text == "draft"


async def test_ctrl_c_closes_what_is_open_before_it_stops() -> None:
    async with chat(slow()) as c:
        await c.send("hello")
        await c.press("f1", "ctrl+c")
        assert not c.app.modal_open and c.engine.stops == 0
        await c.press("ctrl+c")
        assert c.engine.stops == 1


async def test_ctrl_c_stops_and_never_touches_the_draft() -> None:
    async with chat(slow()) as c:
        await c.send("hello")
        await c.type("draft")
        await c.press("ctrl+c")
        assert c.path[1].state is MessageState.STOPPED and c.app.prompt.text == "draft"


async def test_ctrl_c_cancels_a_load() -> None:
    async with chat(Script(load_seconds=10), loaded=False) as c:
        await c.advance(2)
        await c.press("ctrl+c")
        await c.settle()
        assert c.app.session.model is None and "Loading was cancelled." in c.text()


async def test_then_it_takes_back_the_last_waiting_message() -> None:
    async with chat(slow()) as c:
        for text in ("one", "two", "three"):
            await c.send(text)
        await c.press("ctrl+c")
        assert "Held back: three" in c.text() and c.app.session.queue == ["two", "three"]
        await c.press("ctrl+c")
        assert c.app.session.queue == ["two"] and c.app.prompt.text == "three"
        await c.press("enter")
        assert [m.text for m in c.path if m.role.value == "user"] == ["one", "two"]
        assert c.app.session.queue == ["three"]


async def test_taken_back_beside_a_draft_it_is_in_the_history() -> None:
    async with chat(slow()) as c:
        await c.send("one")
        await c.send("two")
        await c.press("ctrl+c")
        await c.type("draft")
        await c.press("ctrl+c")
        assert c.app.prompt.text == "draft" and not c.app.session.queue
        await c.press("up")
        assert c.app.prompt.text == "two"


async def test_then_it_clears_the_draft_which_up_brings_back() -> None:
    async with chat() as c:
        await c.type("a long draft")
        await c.press("ctrl+c")
        assert c.app.prompt.text == "" and "Up brings it back" in c.app.notice.text
        await c.press("up")
        assert c.app.prompt.text == "a long draft"


async def test_then_it_offers_to_quit_and_a_second_press_does() -> None:
    async with chat() as c:
        await c.press("ctrl+c")
        assert "again to quit" in c.app.notice.text and not c.app._exit
        await c.pilot.press("ctrl+c")
        assert c.app._exit and c.app.return_value == 0


async def test_the_offer_to_quit_lapses() -> None:
    async with chat() as c:
        await c.press("ctrl+c")
        await c.until(lambda: not c.app.notice.text)
        await c.press("ctrl+c")
        assert not c.app._exit


async def test_a_stop_that_does_not_come_can_be_left_by_hammering() -> None:
    async with chat(slow(stop_seconds=1000)) as c:
        await c.send("hello")
        await c.press("ctrl+c")
        assert c.app.session.state is EngineState.STOPPING and "stopping" in c.text()
        await c.pilot.press("ctrl+c", "ctrl+c", "ctrl+c")
        assert c.app._exit


async def test_ctrl_q_quits_from_everywhere() -> None:
    async def quits(c: Chat) -> bool:
        await c.pilot.press("ctrl+q")
        return c.app._exit and c.app.return_value == 0

    async with chat(slow()) as c:
        await c.send("hello")
        assert await quits(c)
    async with chat() as c:
        await c.press("f1")
        assert await quits(c)
    async with chat(Script(load_seconds=10), loaded=False) as c:
        assert await quits(c) and c.engine.stops == 1


async def test_ctrl_d_quits_in_an_empty_prompt_only() -> None:
    async with chat() as c:
        await c.type("ab")
        await c.press("home", "ctrl+d")
        assert c.app.prompt.text == "b" and not c.app._exit
        await c.press("ctrl+d")
        await c.pilot.press("ctrl+d")
        await c.pilot.pause()
        assert c.app._exit
