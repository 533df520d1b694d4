"""Opening a model by its path."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from textual.widgets import Input

from alpaca_tui.tui.completion import PathSuggester, complete
from alpaca_tui.tui.screens.open_model import OpenModelScreen, found_models
from tests.tui.helpers import Chat, chat
from tests.tui.scripted_engine import Script


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "中文 7B.gguf").write_bytes(b"GGUF")
    (tmp_path / "models" / "broken.gguf").write_bytes(b"GGUF")
    (tmp_path / "notes.txt").write_text("x")
    return tmp_path


async def opened(c: Chat, path: str) -> OpenModelScreen:
    await c.press("ctrl+o")
    screen = c.app.screen
    assert isinstance(screen, OpenModelScreen)
    screen.query_one(Input).value = path
    await c.settle()
    await c.press("enter")
    await c.settle()
    return screen


async def test_a_path_is_opened(folder: Path) -> None:
    async with chat() as c:
        await c.type("draft")
        await opened(c, "models/中文 7B.gguf")
        await c.finish()
        assert c.engine.loads[-1][0] == Path("models/中文 7B.gguf") and not c.app.modal_open
        assert c.app.prompt.text == "draft" and c.app.prompt.has_focus


@pytest.mark.parametrize(
    ("path", "why"),
    [("nowhere.gguf", "There is no file"), ("models", "is a folder"), ("", "Name a file"), ("a\0b", "")],
)
async def test_a_wrong_path_is_refused_in_place(folder: Path, path: str, why: str) -> None:
    async with chat() as c:
        await c.type("draft")
        screen = await opened(c, path)
        assert c.app.screen is screen and why in c.text() and len(c.engine.loads) == 1
        await c.press("escape")
        assert c.app.prompt.text == "draft" and c.app.session.model is not None


async def test_a_model_that_the_engine_refuses_is_refused_in_place(folder: Path) -> None:
    async with chat(Script(bad_paths={"broken.gguf": "broken.gguf is no model."})) as c:
        screen = await opened(c, "models/broken.gguf")
        await c.finish()
        assert c.app.screen is screen and "broken.gguf is no model." in c.text()
        await c.press("escape")
        assert "broken.gguf is no model." in c.app.notice.text and "no model" in c.lines()[-1]


async def test_it_closes_as_soon_as_the_model_is_being_read(folder: Path) -> None:
    async with chat(Script()) as c:
        c.engine.script.load_seconds = 10
        await opened(c, "models/中文 7B.gguf")
        assert "Opening" in c.text()
        await c.advance(1)
        assert not c.app.modal_open and "Loading" in c.lines()[-1]


async def test_it_is_refused_while_the_model_answers(folder: Path) -> None:
    async with chat(Script(rate=1, replies=["word " * 9])) as c:
        await c.send("hello")
        await opened(c, "models/broken.gguf")
        assert "Esc stops it" in c.text() and len(c.engine.loads) == 1


async def test_another_model_is_chosen_while_one_loads(folder: Path) -> None:
    async with chat(Script(load_seconds=100), loaded=False) as c:
        await c.advance(5)
        await c.press("ctrl+o")
        await c.advance(5)
        assert c.app.modal_open  # progress of the other one leaves the dialog open
        c.engine.script.load_seconds = 0
        c.app.screen.query_one(Input).value = "models/broken.gguf"
        await c.press("enter")
        await c.finish()
        assert not c.app.modal_open and c.app.session.model_path == Path("models/broken.gguf")


async def test_models_around_here_are_listed_and_chosen(folder: Path) -> None:
    async with chat(size=(100, 40)) as c:
        await c.press("f2")
        await c.until(lambda: "models/broken.gguf" in c.text() and "中文 7B.gguf" in c.text())
        await c.press("down", "down", "enter")
        await c.finish()
        assert c.engine.loads[-1][0].parent == Path("models")


async def test_tab_completes_and_typing_goes_to_the_path(folder: Path) -> None:
    async with chat() as c:
        await c.press("ctrl+o")
        await c.type("mo")
        await c.press("tab")
        assert c.app.screen.query_one(Input).value == "models/"
        await c.press("down")
        await c.type("b")
        await c.press("tab")
        assert c.app.screen.query_one(Input).value == "models/broken.gguf"


def test_completion(folder: Path) -> None:
    assert complete("mod") == "models/"
    assert complete("models/中") == "models/中文 7B.gguf"
    assert complete("no") == "notes.txt"
    assert complete("zzz") is None and complete("") is None and complete("nowhere/x") is None
    assert complete(f"{folder}/mod") == f"{folder}/models/"
    assert complete("no", folders=True) is None and complete("m", folders=True) == "models/"
    assert asyncio.run(PathSuggester().get_suggestion("mod")) == "models/"


def test_what_is_found(folder: Path) -> None:
    assert [path.name for path in found_models()] == ["broken.gguf", "中文 7B.gguf"]
    assert found_models(("nowhere",)) == []
