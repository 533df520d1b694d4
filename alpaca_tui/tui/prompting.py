"""The instruction of a chat: chosen from the library, edited, and looked at as the model is given it."""

from __future__ import annotations

from functools import partial

from textual import on

from alpaca_tui import resources
from alpaca_tui.chat.config import Config
from alpaca_tui.chat.formats import ALPACA, FORMATS, PromptFormat
from alpaca_tui.chat.prompt_library import PromptLibrary, format_for
from alpaca_tui.errors import UserError
from alpaca_tui.tui.base import BaseApp
from alpaca_tui.tui.editor import edit
from alpaca_tui.tui.screens.prompts import Instruction, PromptScreen
from alpaca_tui.tui.screens.raw_prompt import RawPromptScreen
from alpaca_tui.tui.widgets.action_row import ActionRow


class Prompting(BaseApp, inherit_bindings=False):
    config: Config

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Ctrl+S and Ctrl+G mean something else in the prompt library."""
        if isinstance(self.screen, PromptScreen) and action in ("chats", "editor"):
            return False
        return super().check_action(action, parameters)

    def library(self) -> PromptLibrary:
        return PromptLibrary(self.config.path.parent / "prompts" if self.config.path else None)

    @on(ActionRow.Pressed, "#row-prompt")
    def _prompt_row(self) -> None:
        self.action_prompts()

    def action_prompts(self) -> None:
        if self.modal_open:
            return
        session = self.session
        now = Instruction(session.instruction, session.prompt_name, session.prompt_format)
        screen = PromptScreen(self.strings, self.library(), now, partial(edit, self))
        self.push_screen(screen, self._instruction_chosen)

    def _instruction_chosen(self, chosen: Instruction | None) -> None:
        if chosen is not None:
            self.session.use_instruction(chosen.text, chosen.name, chosen.prompt_format)
        self.pump()

    @on(PromptScreen.Kept)
    def _instruction_kept(self, event: PromptScreen.Kept) -> None:
        kept = event.instruction
        if self.keep(("prompt",), kept.name):
            self.keep(("format",), kept.prompt_format.key)

    def action_raw_prompt(self) -> None:
        """The whole prompt with the draft as the next question."""
        if not self.modal_open:
            self._show_raw(None)

    @on(PromptScreen.Raw)
    def _raw_of(self, event: PromptScreen.Raw) -> None:
        self._show_raw(event.instruction)

    def _show_raw(self, instruction: Instruction | None) -> None:
        session, model = self.session, self.session.model
        request = session.preview(self.prompt.text)
        if instruction is not None:
            before = (session.instruction, session.prompt_format)
            session.instruction, session.prompt_format = instruction.text, instruction.prompt_format
            request = session.preview(self.prompt.text)
            session.instruction, session.prompt_format = before
        self.push_screen(
            RawPromptScreen(
                self.strings, partial(session.tokens_of, request), model.n_ctx if model is not None else 0
            )
        )


def at_start(config: Config) -> tuple[str, str, PromptFormat]:
    """(text, name, format) of the instruction of new chats as the config has it.

    Raises UserError where that prompt cannot be read; the shipped one stands in for one that is not there.
    """
    wanted = config["prompt"]
    folder = config.path.parent / "prompts" if config.path else None
    found = PromptLibrary(folder).find(wanted)
    if found is not None:
        text, name = found.read(), found.name
    else:
        text, name = resources.read_prompt(wanted), wanted
    chosen = FORMATS.get(config["format"])
    return text, name, chosen or format_for(name, ALPACA)


def at_start_or_shipped(config: Config) -> tuple[str, str, PromptFormat, str]:
    """`at_start`, and what was wrong with it."""
    try:
        return (*at_start(config), "")
    except UserError as error:
        return resources.read_prompt(resources.prompts_dir() / "alpaca.txt"), "alpaca.txt", ALPACA, str(error)
