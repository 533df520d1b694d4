"""What a session lets the user choose: settings, instruction, format; and what the model sees of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alpaca_tui import system
from alpaca_tui.chat import changes
from alpaca_tui.chat.conversation import Conversation, Message, Role, Turn
from alpaca_tui.chat.formats import FORMATS, PromptFormat
from alpaca_tui.chat.settings import BY_KEY, Applies, Settings
from alpaca_tui.engine.protocol import ChatEngine, GenerateRequest, ModelHead, ModelInfo, PromptToken
from alpaca_tui.errors import UserError

GUIDE_TEMP = 0.2
MAX_INSTRUCTION = 1 << 20  # characters


class Tailored:
    """The part of `ChatSession` that is chosen. What belongs to a conversation is kept with it."""

    settings: Settings
    instruction: str
    prompt_name: str  # of the file that the instruction came from; empty: of none
    prompt_format: PromptFormat
    conversation: Conversation
    model: ModelInfo | None
    _engine: ChatEngine | None

    def change_setting(self, key: str, value: int | float | str | None) -> int | float:
        """Checks, stores and applies a value; raises UserError, changing nothing, where it is impossible.

        None: the default.
        """
        if value is None:
            self.settings.reset([key])
            self._follow_model()
        else:
            self.settings.set(key, value)
        stored = self.settings[key]
        self._keep_choices()
        if self._engine is not None:
            if BY_KEY[key].applies is Applies.TOKEN:
                self._engine.set_sampling(self.settings.sampling())
            elif key == "n_threads":
                self._engine.set_threads(int(stored) or system.usable_cores())
        return stored

    def settings_replaced(self) -> None:
        """Tells the engine and the view of settings that changed all at once."""
        self._follow_model()
        self._keep_choices()
        if self._engine is not None:
            self._engine.set_sampling(self.settings.sampling())
        self._tell(changes.SettingsChanged())

    def use_instruction(self, text: str, name: str, prompt_format: PromptFormat) -> None:
        """What the model is told before the conversation, from the next message on."""
        self.instruction, self.prompt_name, self.prompt_format = text, name, prompt_format
        self._keep_choices()
        self._tell(changes.SettingsChanged())

    def _follow_model(self) -> bool:
        """Gives what nobody has chosen the value that suits the model. True if that changed something."""
        guide = self.model is not None and self.model.guide
        return self.settings.suggest("temp", GUIDE_TEMP if guide else self.settings.defaults["temp"])

    # --- kept with the conversation ------------------------------------------------------------------------

    def choices(self) -> dict[str, Any]:
        """What is chosen for this conversation: plain data, to be kept with it."""
        prompt = {"text": self.instruction, "name": self.prompt_name, "format": self.prompt_format.key}
        return {"settings": self.settings.of_chat(), "prompt": prompt}

    def use_choices(self, kept: Mapping[str, Any]) -> None:
        """Goes back to what was chosen for a conversation. What was not kept stays as it is now."""
        before = self.choices()
        settings, prompt = kept.get("settings"), kept.get("prompt")
        if isinstance(settings, dict):
            self.settings.use_of_chat(settings)
        if isinstance(prompt, dict) and isinstance(prompt.get("text"), str):
            self.instruction = prompt["text"][:MAX_INSTRUCTION]
            self.prompt_name = str(prompt.get("name", ""))
            self.prompt_format = FORMATS.get(str(prompt.get("format")), self.prompt_format)
        if self.choices() != before:
            self.settings_replaced()

    def _keep_choices(self) -> None:
        if len(self.conversation):
            self._keep_head(at_once=False)

    # --- looking, from a thread of the caller's own --------------------------------------------------------

    def describe(self, path: Path) -> ModelHead:
        """What a model file would be with the settings as they are. Takes a while; raises UserError."""
        if self._engine is None:
            raise UserError("The engine is not ready yet.")
        return self._engine.describe(path, self.settings.load_options())

    def preview(self, draft: str = "") -> GenerateRequest:
        """The request that the next message would make, were it `draft`; without one, as the chat stands."""
        turns = self.conversation.turns()
        if draft or not turns:
            turns.append(Turn(Message(0, None, Role.USER, draft), None))
        made = [self.prompt_format.turn(t.question, t.reply, first=i == 0) for i, t in enumerate(turns)]
        return GenerateRequest(self.prompt_format.prefix(self.instruction), tuple(made))

    def tokens_of(self, request: GenerateRequest) -> Sequence[PromptToken]:
        """The request as the model is given it. Takes a while; raises UserError where no model is loaded."""
        if self._engine is None:
            raise UserError("The engine is not ready yet.")
        return self._engine.prompt_tokens(request)

    # --- of the session ------------------------------------------------------------------------------------

    def _tell(self, change: changes.Change) -> None:
        raise NotImplementedError

    def _keep_head(self, at_once: bool = True) -> None:
        raise NotImplementedError
