"""Opening a model by its path."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from textual.widgets import Input

from alpaca_tui.chat import model_places
from alpaca_tui.chat.config import Config
from alpaca_tui.chat.remembered import Remembered
from alpaca_tui.tui.completion import PathSuggester, complete
from alpaca_tui.tui.models import model_at_start
from alpaca_tui.tui.screens.open_model import OpenModelScreen
from tests.tui.helpers import Chat, chat
from tests.tui.scripted_engine import Script


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(model_places, "LEVELS_UP", 1)
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name in ("LLAMA_CACHE", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
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
        await c.until(lambda: "broken" in c.text() and "中文 7B" in c.text())
        await c.press("down", "enter")
        await c.finish()
        assert c.engine.loads[-1][0].parent.name == "models"


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


async def listed(c: Chat) -> OpenModelScreen:
    """The dialog, with all heads read."""
    await c.press("ctrl+o")
    screen = c.app.screen
    assert isinstance(screen, OpenModelScreen)
    await c.until(lambda: bool(screen._entries) and all(e.head or e.problem for e in screen._entries))
    await c.settle()
    return screen


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_the_list_says_what_each_is_and_needs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], language: str
) -> None:
    monkeypatch.setattr("alpaca_tui.system.available_memory", lambda: 8 << 30)
    async with chat(Script(bad_heads={"broken.gguf": "It is cut off."}), size=size, language=language) as c:
        screen = await listed(c)
        say = c.app.strings
        line = c.lines()[c.row_of("中文 7B")]
        assert "q4_0" in line and "4096" in line and "4.3 GiB" in line
        assert say("open_no_model") in c.lines()[c.row_of("broken")]
        box = screen.query_one("#open-box").region
        assert screen.region.contains_region(box) and box.contains_region(
            screen.query_one("#open-keys").region
        )
        assert say("open_keys").split()[0] in c.text() and say("open_memory") in c.text()
        text = c.text().replace(" ", "")
        needs = say("open_needs_of", needed="4.3 GiB", free="12.1 GiB", n=2048)  # what is open is given back
        assert needs.replace(" ", "") in text or "Itiscutoff." in text


async def test_what_does_not_fit_is_said_before_it_is_tried(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alpaca_tui.system.available_memory", lambda: 1 << 30)
    async with chat(Script(memory=40 << 30), size=(120, 40)) as c:
        await listed(c)
        assert "needs 40.0 GiB with a context of 2048, and 5.1 GiB are free" in c.text()


async def test_the_last_ones_are_first_and_each_head_is_read_once(folder: Path) -> None:
    async with chat(size=(120, 40)) as c:
        await opened(c, "models/broken.gguf")
        await c.finish()
        await opened(c, "models/中文 7B.gguf")
        await c.finish()
        assert [m.path.name for m in c.app.remembered.models[:2]] == ["中文 7B.gguf", "broken.gguf"]
        screen = await listed(c)
        assert [e.found.path.name for e in screen._listed][:2] == ["中文 7B.gguf", "broken.gguf"]
        assert "opened" in c.text() and "today" in c.text() and "● 中文 7B" in c.text()
        reads = len(c.engine.described)
        await c.press("escape")
        await listed(c)
        assert len(c.engine.described) == reads


async def test_what_is_typed_filters_the_list_and_enter_opens_the_only_one(folder: Path) -> None:
    async with chat(size=(120, 40)) as c:
        screen = await listed(c)
        await c.type("brok")
        await c.until(lambda: [e.found.path.name for e in screen._listed] == ["broken.gguf"])
        await c.press("enter")
        await c.finish()
        assert c.engine.loads[-1][0].name == "broken.gguf"


async def test_tab_in_the_list_takes_the_path_up(folder: Path) -> None:
    async with chat(size=(120, 40)) as c:
        screen = await listed(c)
        await c.press("down")
        name = screen._listed[0].found.path.name
        await c.press("tab")
        assert c.app.screen.query_one(Input).value == f"models/{name}"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
async def test_a_pipe_is_refused_without_waiting_for_it(folder: Path) -> None:
    os.mkfifo(folder / "models" / "pipe.gguf")
    async with chat() as c:
        await opened(c, "models/pipe.gguf")
        assert "is no regular file" in c.text() and len(c.engine.loads) == 1


async def test_another_model_keeps_the_chat(folder: Path) -> None:
    async with chat(Script(replies=["An answer."])) as c:
        await c.ask("hello")
        await opened(c, "models/中文 7B.gguf")
        await c.finish()
        assert "hello" in c.text() and "An answer." in c.text()
        await c.ask("more")
        assert c.path[0].text == "hello" and len(c.path) == 4


def test_the_model_of_last_time_opens_again(folder: Path) -> None:
    path, config, kept = folder / "models" / "中文 7B.gguf", Config(), Remembered()
    assert model_at_start(config, kept) == (None, None)
    kept.opened(path)
    assert model_at_start(config, kept) == (path, None)
    path.unlink()
    assert model_at_start(config, kept) == (None, path)
    kept.opened(folder / "guide.gguf", guide=True)
    assert model_at_start(config, kept) == (None, None)
    config.set(("model",), str(folder / "models" / "broken.gguf"))
    assert model_at_start(config, kept) == (folder / "models" / "broken.gguf", None)
    config.set(("model",), "guide")
    assert model_at_start(config, kept) == (None, None)
