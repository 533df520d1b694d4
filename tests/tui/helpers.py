"""Driving the chat with the scripted engine: `async with chat() as c: await c.send("hello"); ...`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from alpaca_tui.chat.config import Config
from alpaca_tui.chat.conversation import Message
from alpaca_tui.chat.remembered import Remembered
from alpaca_tui.chat.settings import Settings
from alpaca_tui.chat.store.archive import Archive
from alpaca_tui.tui.app import AlpacaApp
from alpaca_tui.tui.widgets.message import MessageRows
from tests.tui.scripted_engine import Script, ScriptedEngine

MODEL = Path("scripted-7B.gguf")


@dataclass
class Chat:
    app: AlpacaApp
    pilot: Pilot[Any]
    engine: ScriptedEngine

    async def advance(self, seconds: float) -> None:
        """Lets the engine's clock run, and the screen take it in."""
        self.engine.advance(seconds)
        await self.settle()

    async def finish(self) -> None:
        """Lets the engine do all that it has to do, waiting messages too."""
        for _ in range(20):
            self.engine.finish_all()
            await self.settle()
            if not self.app.session.busy:
                return
        raise AssertionError("the engine never comes to rest")

    async def settle(self) -> None:
        self.app.pump()
        self.app.show_status()
        await self.pilot.pause()
        await self.pilot.pause()

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.settle()

    async def type(self, text: str) -> None:
        await self.pilot.press(*text)
        await self.pilot.pause()

    async def send(self, text: str) -> None:
        """Types and sends; the reply begins."""
        await self.type(text)
        await self.press("enter")

    async def ask(self, text: str) -> None:
        """Sends, and waits for the whole reply."""
        await self.send(text)
        await self.finish()

    async def until(self, condition: Callable[[], bool], seconds: float = 5.0) -> None:
        """Waits for what happens in its own time, such as timers."""
        for _ in range(int(seconds / 0.02)):
            if condition():
                return
            await asyncio.sleep(0.02)
        raise AssertionError("it did not happen in time")

    @property
    def path(self) -> list[Message]:
        return self.app.session.conversation.path()

    @property
    def shown(self) -> list[MessageRows]:
        return self.app.transcript.messages

    def lines(self) -> list[str]:
        """The rows of the screen as text, trailing space cut off."""
        strips = self.app.screen._compositor.render_strips()
        return ["".join(segment.text for segment in strip).rstrip() for strip in strips]

    def text(self) -> str:
        return "\n".join(self.lines())

    def row_of(self, piece: str) -> int:
        """The screen row on which a text stands."""
        return next(y for y, line in enumerate(self.lines()) if piece in line)


@asynccontextmanager
async def chat(
    script: Script | None = None,
    *,
    size: tuple[int, int] = (100, 30),
    language: str = "en",
    explicit: frozenset[str] = frozenset(),
    settings: Settings | None = None,
    model: Path | None = MODEL,
    loaded: bool = True,
    config: Config | None = None,
    archive: Archive | None = None,
    remembered: Remembered | None = None,
) -> AsyncIterator[Chat]:
    """The running application, its model loaded unless `loaded` is False."""
    engine = ScriptedEngine(script)
    settings = settings or Settings(n_predict=-1)
    app = AlpacaApp(
        lambda: engine,
        model,
        settings,
        "Below.",
        language,
        explicit,
        config=config,
        archive=archive,
        remembered=remembered,
    )
    async with app.run_test(size=size) as pilot:
        running = Chat(app, pilot, engine)
        await running.until(lambda: bool(engine.loads))
        await running.settle()
        if loaded:
            await running.finish()
        yield running
    app.archive.close()
