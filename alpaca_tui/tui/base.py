"""What the parts of the application share: the session, the strings, and the widgets by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.app import App
from textual.screen import Screen

from alpaca_tui.chat.history import PromptHistory
from alpaca_tui.chat.presets import Preset
from alpaca_tui.chat.session import ChatSession
from alpaca_tui.chat.store.chats import Summary
from alpaca_tui.tui.keymap import KeyMap
from alpaca_tui.tui.ladder import Ladder
from alpaca_tui.tui.strings import Strings
from alpaca_tui.tui.terminals import Terminal
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
    keys: KeyMap
    terminal: Terminal
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

    @property
    def editing(self) -> bool:
        """Is a message being edited in the prompt?"""
        raise NotImplementedError

    def sent_edit(self, text: str) -> bool:
        """Takes what was sent as the new version of the message that is edited. False if none is."""
        raise NotImplementedError

    def config_changed(self) -> None:
        """Takes in what the config file says now."""
        raise NotImplementedError

    def presets(self) -> list[Preset]:
        raise NotImplementedError

    def apply_preset(self, preset: Preset) -> None:
        raise NotImplementedError

    def language_chosen(self, language: str | None) -> None:
        raise NotImplementedError

    def show_prompt_hint(self) -> None:
        """What the empty prompt says."""
        raise NotImplementedError

    def copy(self, text: str, key: str, **fields: object) -> None:
        """Copies a text, and says so by a key of the strings."""
        raise NotImplementedError

    def close_completion(self) -> bool:
        """Closes the list of commands over the prompt. False where there is none."""
        raise NotImplementedError

    def close_find(self) -> bool:
        """Ends the search. False where there is none."""
        raise NotImplementedError

    def action_read(self) -> None:
        """Gives the keys to the transcript."""
        raise NotImplementedError

    def show_status(self) -> None:
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

    # What is done with one message, by its id.

    def show_version(self, message_id: int, step: int) -> None:
        raise NotImplementedError

    def action_edit_message(self, message_id: int) -> None:
        raise NotImplementedError

    def action_branch(self, message_id: int) -> None:
        raise NotImplementedError

    def action_delete_message(self, message_id: int) -> None:
        raise NotImplementedError

    def action_undo_delete(self) -> None:
        raise NotImplementedError
