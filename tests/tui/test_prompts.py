"""The prompt library on the screen, the user's editor, and the prompt as the model sees it."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from textual.widgets import TextArea

from alpaca_tui.chat.config import Config
from alpaca_tui.chat.formats import FORMATS
from alpaca_tui.engine.protocol import EngineState, PromptToken
from alpaca_tui.errors import UserError
from alpaca_tui.tui.editor import edit, editor_command
from alpaca_tui.tui.prompting import at_start, at_start_or_shipped
from alpaca_tui.tui.screens.prompts import PromptScreen
from alpaca_tui.tui.screens.raw_prompt import RawPromptScreen, tokens_text
from tests.tui.helpers import Chat, chat
from tests.tui.scripted_engine import Script

SIZES = ((80, 24), (120, 40), (200, 60))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(tmp_path / "config.toml")


async def opened(c: Chat) -> PromptScreen:
    c.app.action_prompts()
    await c.settle()
    screen = c.app.screen
    assert isinstance(screen, PromptScreen)
    return screen


def text_of(screen: PromptScreen) -> TextArea:
    return screen.query_one(TextArea)


async def choose(c: Chat, screen: PromptScreen, name: str) -> None:
    names = [prompt.name for prompt in screen._prompts]
    screen._list.highlighted = names.index(name)
    await c.settle()


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("size", SIZES)
async def test_the_page_fits_at_every_size(size: tuple[int, int], language: str) -> None:
    async with chat(size=size, language=language) as c:
        screen = await opened(c)
        box = screen.query_one("#prompts-box").region
        assert screen.region.contains_region(box)
        assert box.contains_region(screen.query_one("#prompts-keys").region)
        assert text_of(screen).region.height >= 8 and "alpaca" in c.text() and "Esc" in c.text()


async def test_a_prompt_is_used_in_this_chat_with_its_format() -> None:
    async with chat(size=(120, 40)) as c:
        screen = await opened(c)
        await choose(c, screen, "vicuna.txt")
        assert "A chat between a curious user" in c.text() and "Vicuna" in c.text()
        await c.press("enter")
        assert "vicuna" in c.lines()[c.row_of("Instruction")]
        await c.ask("hello")
        request = c.engine.requests[-1]
        assert request.prefix[0].text.startswith("A chat between") and request.stop == ("USER:",)
        assert c.app.session.conversation.choices["prompt"]["name"] == "vicuna.txt"


async def test_esc_leaves_everything_as_it_is() -> None:
    async with chat(size=(120, 40)) as c:
        screen = await opened(c)
        await choose(c, screen, "vicuna.txt")
        await c.press("escape")
        assert c.app.session.instruction == "Below." and not c.app.modal_open


async def test_a_text_is_edited_used_and_belongs_to_the_chat_only() -> None:
    async with chat(size=(120, 40)) as c:
        screen = await opened(c)
        await c.press("e")
        text_of(screen).move_cursor((0, 0))
        await c.type("Say no. ")
        await c.press("escape", "enter")
        assert c.app.session.instruction == "Say no. Below." and c.app.session.prompt_name == ""
        assert "edited" in c.lines()[c.row_of("Instruction")]


async def test_ones_own_are_saved_deleted_and_brought_back(config: Config) -> None:
    async with chat(size=(120, 40), config=config) as c:
        screen = await opened(c)
        await c.press("n")
        await c.type("Answer in verse.")
        await c.press("ctrl+s")
        await c.type("verse")
        await c.press("enter")
        file = config.path.parent / "prompts" / "verse.txt"
        assert file.read_text() == "Answer in verse.\n" and "Saved:" in c.text()
        await c.press("d")
        assert not file.exists() and "Deleted verse.txt" in c.text()
        await c.press("u")
        assert file.exists() and text_of(screen).text == "Answer in verse."
        await c.press("k", "enter")
        assert c.app.session.prompt_name == "verse.txt" and config["prompt"] == "verse.txt"
        assert at_start(config)[:2] == ("Answer in verse.", "verse.txt")


async def test_letters_are_text_in_the_text(config: Config) -> None:
    async with chat(size=(120, 40), config=config) as c:
        screen = await opened(c)
        await c.press("e")
        text_of(screen).clear()
        await c.type("dunfvke")
        assert text_of(screen).text == "dunfvke"
        await c.press("escape", "d")
        assert c.app.modal_open


async def test_the_format_goes_round() -> None:
    async with chat(size=(120, 40)) as c:
        screen = await opened(c)
        seen = set()
        for _ in FORMATS:
            seen.add(screen.instruction.prompt_format.key)
            await c.press("f")
        assert seen == set(FORMATS)


async def test_each_chat_has_its_own_instruction() -> None:
    async with chat(size=(120, 40)) as c:
        first = c.app.session.conversation
        await c.ask("hello")
        await c.press("ctrl+n")
        c.app.session.use_instruction("Other.", "", FORMATS["llama2"])
        await c.ask("again")
        c.app.session.open_chat(first)
        await c.settle()
        assert c.app.session.instruction == "Below." and c.app.session.prompt_format.key == "alpaca"


# --- the user's editor -------------------------------------------------------------------------------------


def editor_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str) -> None:
    script = tmp_path / "ed it.py"
    script.write_text(f"import sys, pathlib\np = pathlib.Path(sys.argv[-1])\n{does}\n")
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", f"'{sys.executable}' '{script}'")


async def test_the_users_editor_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    does = "p.write_bytes(p.read_bytes() + ' 并用中文。\\n'.encode())"
    editor_that(tmp_path, monkeypatch, does)
    async with chat(size=(120, 40)) as c:
        monkeypatch.setattr(c.app, "suspend", nullcontext)
        screen = await opened(c)
        await c.press("ctrl+g")
        assert text_of(screen).text == "Below. 并用中文。"


@pytest.mark.parametrize(
    ("does", "why"), [("sys.exit(3)", "ended with an error"), ("p.unlink()", "cannot be used")]
)
async def test_an_editor_that_fails_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, why: str
) -> None:
    editor_that(tmp_path, monkeypatch, does)
    async with chat(size=(120, 40)) as c:
        monkeypatch.setattr(c.app, "suspend", nullcontext)
        with pytest.raises(UserError, match=why):
            edit(c.app, "text")


def test_which_editor(monkeypatch: pytest.MonkeyPatch) -> None:
    assert editor_command({"EDITOR": "vim -n", "VISUAL": "code --wait"}) == ["code", "--wait"]
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}" if name == "vi" else None)
    assert editor_command({}) in (["/bin/vi"], ["notepad"])
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(UserError, match="EDITOR"):
        editor_command({})


# --- the prompt as the model sees it -----------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("size", SIZES)
async def test_every_token_is_shown_and_counted(size: tuple[int, int], language: str) -> None:
    async with chat(Script(replies=["Yes."]), size=size, language=language) as c:
        await c.ask("[bold]你好[/] there")
        c.app.prompt.text = "And now?"
        c.app.action_raw_prompt()
        await c.until(lambda: "### " in c.text() and "And now?" in c.text())
        screen = c.app.screen
        assert isinstance(screen, RawPromptScreen)
        box = screen.query_one("#raw-box").region
        assert screen.region.contains_region(box) and box.contains_region(
            screen.query_one("#raw-keys").region
        )
        total = len(c.app.session.tokens_of(c.app.session.preview("And now?")))
        assert str(total) in c.text() and "2048" in c.text() and "↵" in c.text()
        if size[1] >= 40:
            assert "<s>" in c.text() and "[bold]你好[/] there" in c.text()  # text, whatever it looks like
        await c.press("i", "escape")
        assert not c.app.modal_open and c.app.prompt.text == "And now?"


async def test_a_prompt_is_looked_at_before_it_is_used() -> None:
    async with chat(size=(120, 40)) as c:
        screen = await opened(c)
        await choose(c, screen, "vicuna.txt")
        await c.press("v")
        await c.until(lambda: "ASSISTANT" in c.text())
        await c.press("escape", "escape")
        assert c.app.session.instruction == "Below."


async def test_without_a_model_that_is_said() -> None:
    async with chat(loaded=False) as c:
        c.engine._state = EngineState.EMPTY
        c.app.action_raw_prompt()
        await c.until(lambda: "There is no model to read the prompt" in c.text())


def test_what_a_terminal_would_obey_is_shown_as_a_picture() -> None:
    content = tokens_text([PromptToken(5, "\x1b[31m", 0), PromptToken(6, "a\n", 0)], ids=True)
    assert "\x1b" not in content.plain and "␛" in content.plain and "a↵\n6 " in content.plain


def test_the_config_chooses_what_new_chats_begin_with(tmp_path: Path, config: Config) -> None:
    assert at_start(config)[1] == "alpaca.txt"
    config.set(("prompt",), "llama-2.txt")
    assert at_start(config)[2].key == "llama2"
    config.set(("format",), "vicuna")
    assert at_start(config)[2].key == "vicuna"
    config.set(("prompt",), "nowhere.txt")
    text, name, _, trouble = at_start_or_shipped(config)
    assert name == "alpaca.txt" and text.startswith("Below is") and "nowhere.txt" in trouble
