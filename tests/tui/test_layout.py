"""Every size, both languages: nothing is cut off that must be there, and nothing breaks."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from tests.tui.helpers import chat
from tests.tui.samples import CHINESE, MIXED
from tests.tui.scripted_engine import Script

SIZES = [(40, 10), (80, 24), (120, 40), (200, 60), (300, 80)]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
@pytest.mark.parametrize("language", ["en", "zh"])
async def test_a_conversation(size: tuple[int, int], language: str) -> None:
    async with chat(Script(replies=[CHINESE, MIXED]), size=size, language=language) as c:
        await c.ask("hello")
        await c.ask("again")
        lines = c.lines()
        assert len(lines) == size[1] and all(cell_len(line) <= size[0] for line in lines)
        assert c.app.strings("state_idle") in lines[-1]
        assert c.app.prompt.region.bottom == size[1] - 1
        for key in ("f1", "escape", "f2", "escape", "f4", "f4"):
            await c.press(key)
            assert all(cell_len(line) <= size[0] for line in c.lines())


async def test_80x24_keeps_14_rows_for_the_conversation_and_names_the_model() -> None:
    async with chat(size=(80, 24)) as c:
        await c.ask("hello")
        assert c.app.transcript.size.height >= 14 and "scripted-7B" in c.lines()[-1]
        assert "Temperature" not in c.text()


async def test_120x40_has_a_title_and_the_settings() -> None:
    async with chat(Script(replies=["An answer."]), size=(120, 40)) as c:
        await c.ask("What is the first question about?")
        assert (
            c.lines()[0].strip() == "What is the first question about? · scripted-7B · llama 7B q4_0, gguf v3"
        )
        assert "Temperature" in c.text()


async def test_text_is_never_wider_than_reads_well() -> None:
    async with chat(Script(replies=["word " * 200]), size=(300, 40)) as c:
        await c.ask("hello")
        assert max(len(line.split("word ▎")[0][:150].rstrip()) for line in c.lines()) <= 110


@pytest.mark.parametrize("size", [(39, 24), (80, 9), (20, 5), (8, 2)])
async def test_a_terminal_too_small_says_so_and_recovers(size: tuple[int, int]) -> None:
    async with chat(Script(replies=["An answer."]), size=(80, 24)) as c:
        await c.ask("hello")
        await c.type("draft")
        await c.pilot.resize_terminal(*size)
        await c.settle()
        assert "An answer." not in c.text()
        assert f"{size[0]}x{size[1]}" in c.app.main.query_one("#too-small").visual.plain  # type: ignore[attr-defined]
        await c.pilot.resize_terminal(80, 24)
        await c.settle()
        assert "An answer." in c.text() and "draft" in c.text() and c.app.prompt.has_focus


async def test_beginning_too_small() -> None:
    async with chat(size=(30, 8), loaded=False) as c:
        assert "too small" in c.text()
        await c.finish()
        await c.pilot.resize_terminal(80, 24)
        await c.settle()
        assert "ready" in c.lines()[-1]


async def test_nothing_blinks() -> None:
    async with chat() as c:
        assert not c.app.prompt.cursor_blink


@pytest.mark.parametrize("height", [10, 24, 30, 50])
async def test_help_and_dialog_keep_their_first_and_last_line(height: int) -> None:
    async with chat(size=(80, height)) as c:
        await c.press("f1")
        assert "Help" in c.text() and "Esc closes" in c.text()
        await c.press("end", "pagedown", "pagedown", "pagedown")
        assert "/quit" in c.text() or "own way" in c.text()
        await c.press("escape", "f2")
        assert "Open a model" in c.text()
