"""What holds of every dialog: keys that come together close it once, and the chat stays."""

from __future__ import annotations

import pytest
from textual import events

from tests.tui.helpers import chat


@pytest.mark.parametrize("close", ["escape", "enter", "ctrl+c"])
@pytest.mark.parametrize(
    "command", ["help", "stats", "chats", "open", "theme", "preset", "prompt", "raw", "commands", "tour"]
)
async def test_keys_that_come_together_close_it_once(command: str, close: str) -> None:
    async with chat() as c:
        await c.ask("hello")
        await c.send(f"/{command}")
        await c.settle()
        assert c.app.modal_open or close == "enter"
        for _ in range(3 if close == "escape" else 2):
            c.app.post_message(events.Key(close, "\r" if close == "enter" else None))
        await c.settle()
        await c.settle()
        assert c.app.screen_stack[0] is c.app.main and c.app.is_running and c.app.return_code is None
        while c.app.modal_open:
            await c.press("escape")
        await c.type("on")
        assert c.app.prompt.text == "on"
