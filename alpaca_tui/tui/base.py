"""What the parts of the application share: the session, the strings, and the widgets by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.app import App
from textual.screen import Screen

from alpaca_tui.chat.history import PromptHistory
from alpaca_tui.chat.session import ChatSession
from alpaca_tui.chat.store.chats import Summary
from alpaca_tui.tui.ladder import Ladder
from alpaca_tui.tui.strings import Strings
from alpaca_tui.tui.widgets.notice import Notice, QueueView
from alpaca_tui.tui.widgets.prompt import Prompt
from alpaca_tui.tui.widgets.sidebar import Sidebar
from alpaca_tui.tui.widgets.status import StatusBar
from alpaca_tui.tui.widgets.transcript import Transcript
from alpaca_tui.tui.widgets.welcome import Welcome


class BaseApp(App[int], inherit_bindings=False):
    session: ChatSession
    strings: Strings
    history: PromptHistory
    ladder: Ladder
    newest: Sequence[Summary]  # chats that an empty one offers to go on with

    # Made in compose(). Held here, since on the way out they are looked for when they are gone already.
    transcript: Transcript
    welcome_page: Welcome
    sidebar: Sidebar
    queue_view: QueueView
    notice: Notice
    prompt: Prompt
    status_bar: StatusBar

    @property
    def unsaved(self) -> bool:
        """Is the chat in memory only?"""
        raise NotImplementedError

    @property
    def main(self) -> Screen[Any]:
        """The chat's own screen, whatever is open over it."""
        return self.screen_stack[0]

    @property
    def modal_open(self) -> bool:
        return len(self.screen_stack) > 1

    def cannot(self, otherwise: str) -> None:
        """Says why something does not work now."""
        raise NotImplementedError

    def cancel_edit(self) -> bool:
        """Leaves the message that is edited in the prompt as it is. False if none is."""
        raise NotImplementedError

    def show_title(self) -> None:
        raise NotImplementedError

    def welcome(self) -> None:
        raise NotImplementedError

    def keep(self, where: tuple[str, ...], value: object) -> bool:
        """Writes a value into the config file; says why where that cannot be."""
        raise NotImplementedError

    def action_prompts(self) -> None:
        raise NotImplementedError

    def action_raw_prompt(self) -> None:
        raise NotImplementedError

    def pump(self) -> None:
        """Takes in what happened in the session and shows it."""
        raise NotImplementedError
