"""What goes on beside the talk: numbers and log, word of a reply that ended, an editor, the first start."""

from __future__ import annotations

import logging

from textual import events

from alpaca_tui import log, system
from alpaca_tui.chat.config import Config
from alpaca_tui.chat.conversation import Message, MessageState, Role
from alpaca_tui.chat.remembered import Remembered
from alpaca_tui.errors import UserError
from alpaca_tui.tui.base import BaseApp
from alpaca_tui.tui.editor import edit
from alpaca_tui.tui.meter import Meter
from alpaca_tui.tui.screens.activity import LOG, NUMBERS, Activity, ActivityScreen
from alpaca_tui.tui.screens.first_run import FirstRunScreen
from alpaca_tui.tui.terminals import Terminal, notification
from alpaca_tui.tui.widgets.notice import first_line

LONG_SECONDS = 8.0  # from which on a reply is worth a word when it ends unseen
PRINTED = logging.getLogger("alpaca_tui.printed")


class Waiting(BaseApp, inherit_bindings=False):
    config: Config
    remembered: Remembered
    meter: Meter
    terminal: Terminal

    # --- numbers and log -----------------------------------------------------------------------------------

    def action_activity(self) -> None:
        self._show_activity(NUMBERS)

    def action_log(self) -> None:
        self._show_activity(LOG)

    def _show_activity(self, page: str) -> None:
        if isinstance(self.screen, ActivityScreen):
            self.screen.dismiss()
        elif not self.modal_open:
            self.push_screen(ActivityScreen(self.strings, page, self._activity, log.tail))

    def _activity(self) -> Activity:
        session = self.session
        model = session.model
        replies = [m.stats for m in session.conversation.path() if m.stats is not None]
        return Activity(
            replies=replies,
            speeds=tuple(self.meter.samples),
            now=session.stats if session.stats.generated_tokens else replies[-1] if replies else None,
            n_ctx=model.n_ctx if model else 0,
            memory=system.process_memory() or 0,
            model_memory=model.memory if model else 0,
            free_memory=system.available_memory() or 0,
            threads=int(session.settings["n_threads"]) or (model.n_threads if model else 0),
        )

    def on_print(self, event: events.Print) -> None:
        """What a library prints is no part of the picture."""
        if not PRINTED.hasHandlers():
            return  # logging would print it again
        for line in event.text.splitlines():
            if line.strip():
                PRINTED.warning("%s", line)

    # --- a reply has ended ---------------------------------------------------------------------------------

    def reply_ended(self, message: Message) -> None:
        """Says so where nobody is looking, if it took long."""
        stats, ended = message.stats, message.state is not MessageState.STREAMING
        if self.app_focus or stats is None or not ended or message.role is not Role.ASSISTANT:
            return
        wanted = self.config["notify"]
        if wanted == "off" or message.state is MessageState.STOPPED:
            return
        if stats.first_token_seconds + stats.generate_seconds < LONG_SECONDS:
            return
        text = first_line(message.text) or self.strings("empty_note")
        title = self.strings("notify_title")
        self.tell_terminal("\a" if wanted == "bell" else notification(self.terminal, title, text))

    def tell_terminal(self, sequence: str) -> None:
        """Writes what is no part of the picture to the terminal."""
        if self._driver is not None and not self.is_headless:
            self._driver.write(sequence)
            self._driver.flush()

    # --- an editor -----------------------------------------------------------------------------------------

    def action_editor(self) -> None:
        """The draft, in $EDITOR. A reply goes on meanwhile."""
        if self.modal_open:
            return
        try:
            self.prompt.replace_text(edit(self, self.prompt.text))
        except UserError as error:
            self.notice.flash(str(error))
        self.refresh(layout=True)
        self.main.set_focus(self.prompt)

    # --- the first start -----------------------------------------------------------------------------------

    def introduce(self) -> None:
        """Shows the page for the first start, once."""
        if self.remembered.file is not None and not self.remembered.introduced:
            self.remembered.introduce()
            if not self.session.conversation.path() and not self.prompt.text:
                self.action_first_run()

    def action_first_run(self) -> None:
        if self.modal_open:
            return
        say = self.strings
        self.push_screen(
            FirstRunScreen(
                say,
                self.keys,
                lambda: self.config["enter"] == "send",
                lambda: self.language_chosen("en" if say.language == "zh" else "zh"),
                self._change_enter,
                self._typed_at_first,
            )
        )

    def _change_enter(self) -> None:
        self.keep(("enter",), "newline" if self.config["enter"] == "send" else "send")
        self.config_changed()

    def _typed_at_first(self, text: str) -> None:
        self.main.set_focus(self.prompt)
        self.prompt.insert(text)
