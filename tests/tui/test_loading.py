"""While a model loads, when it does not, and whom one talks to."""

from __future__ import annotations

from pathlib import Path

import pytest

from alpaca_tui import resources
from alpaca_tui.errors import UserError
from tests.tui.helpers import chat
from tests.tui.scripted_engine import Script


async def test_typing_and_sending_while_the_model_loads() -> None:
    async with chat(Script(load_seconds=10, replies=["Now."]), loaded=False) as c:
        await c.advance(2)
        await c.type("typed early")
        assert c.app.prompt.text == "typed early"
        await c.press("enter")
        assert "Waiting: typed early" in c.text() and not c.engine.requests
        await c.finish()
        assert [m.text for m in c.path] == ["typed early", "Now."]


async def test_progress_says_what_how_much_and_how_long() -> None:
    async with chat(Script(load_seconds=10, compile_seconds=5), loaded=False) as c:
        await c.advance(5)
        status = c.lines()[-1]
        assert "Loading" in status and "0.7 of 1.4 GiB" in status and "▓" in status and "░" in status
        await c.advance(8)
        status = c.lines()[-1]
        assert "Compiling (only the first time)" in status and "6 of 10" in status and "kernel_6" in status
        await c.finish()
        assert "ready" in c.lines()[-1]


async def test_time_left_is_told() -> None:
    async with chat(Script(load_seconds=100), loaded=False) as c:
        await c.advance(10)
        c.app.time_left._begin -= 10  # as if it had begun ten seconds ago
        await c.advance(10)
        assert " left" in c.lines()[-1]


async def test_prefill_shows_its_tokens() -> None:
    async with chat(Script(prefill_seconds=8)) as c:
        await c.send("hello")
        await c.advance(4)
        assert "Reading the prompt" in c.lines()[-1] and "tokens" in c.lines()[-1]


async def test_a_refused_model_is_one_sentence_and_the_draft_stays() -> None:
    why = "The file scripted-7B.gguf is cut off: 3 bytes are there, 24 are needed; get it again."
    async with chat(Script(load_error=why), loaded=False) as c:
        await c.type("my draft")
        await c.finish()
        text = " ".join(line.strip() for line in c.lines())
        assert why in text and "my draft" in text and "no model" in c.lines()[-1]
        assert "Traceback" not in text and not c.app._exit
        c.engine.script.load_error = ""
        await c.press("f7")
        await c.finish()
        assert why not in c.text() and c.app.prompt.text == "my draft" and "ready" in c.lines()[-1]


async def test_a_message_sent_without_a_model_waits_for_one() -> None:
    async with chat(Script(load_error="No."), loaded=False) as c:
        await c.finish()
        await c.send("hello")
        assert "Held back: hello" in c.text()
        c.engine.script.load_error = ""
        await c.press("f7")
        await c.finish()
        assert c.path[0].text == "hello" and c.path[1].text


async def test_a_cancelled_load_can_be_begun_again() -> None:
    async with chat(Script(load_seconds=10), loaded=False) as c:
        await c.advance(1)
        await c.press("ctrl+c", "f7")
        await c.finish()
        assert c.app.session.model is not None


async def test_the_missing_guide_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Path:
        raise UserError("The built-in guide model is missing from this installation.")

    monkeypatch.setattr(resources, "guide_model", missing)
    from alpaca_tui.chat.settings import Settings
    from alpaca_tui.tui.app import AlpacaApp
    from tests.tui.scripted_engine import ScriptedEngine

    app = AlpacaApp(ScriptedEngine, None, Settings(), "", "en")
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        assert "missing from this installation" in app.notice.text


async def test_an_engine_that_cannot_be_made_is_one_sentence() -> None:
    from alpaca_tui.chat.settings import Settings
    from alpaca_tui.tui.app import AlpacaApp
    from tests.tui.scripted_engine import ScriptedEngine

    def broken() -> ScriptedEngine:
        raise UserError("This computer has no floating point.")

    app = AlpacaApp(broken, Path("x.gguf"), Settings(), "", "en")
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        await pilot.pause()
        assert "no floating point" in app.notice.text


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["tiny model that ships with the program", "Ctrl+O", "alpaca-tui -m FILE", "How do I open"]),
        ("zh", ["随程序附带的一个很小的模型", "Ctrl+O", "alpaca-tui -m 文件", "怎样打开一个真正的模型"]),
    ],
)
async def test_the_guide_says_that_it_is_one(language: str, words: list[str]) -> None:
    async with chat(Script(guide=True), language=language, size=(160, 40)) as c:
        text = c.text()
        assert all(word in text for word in words)


async def test_a_real_model_says_its_name() -> None:
    async with chat(Script(name="alpaca-plus-7B")) as c:
        assert "You are talking to alpaca-plus-7B." in c.text() and "llama 7B q4_0" in c.text()
        assert "tiny" not in c.text()


@pytest.mark.parametrize(("explicit", "temp"), [(frozenset(), "0.20"), (frozenset({"temp"}), "0.80")])
async def test_the_guide_is_sober_and_the_sidebar_shows_it(explicit: frozenset[str], temp: str) -> None:
    async with chat(Script(guide=True), explicit=explicit, size=(120, 40)) as c:
        assert temp in c.lines()[c.row_of("Temperature")]
