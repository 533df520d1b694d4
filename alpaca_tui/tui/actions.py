"""What keys, commands and clicks do."""

from __future__ import annotations

import time

from textual.actions import SkipAction
from textual.widgets import Input

from alpaca_tui.chat.conversation import Role
from alpaca_tui.tui.base import BaseApp
from alpaca_tui.tui.clipboard import copy_text
from alpaca_tui.tui.ladder import ARMED, Situation, Step
from alpaca_tui.tui.screens.dialog import Palette
from alpaca_tui.tui.screens.help import HelpScreen
from alpaca_tui.tui.screens.open_model import OpenModelScreen
from alpaca_tui.tui.screens.setup import SetupScreen
from alpaca_tui.tui.topics import groups_for, terminal_lines, topic
from alpaca_tui.tui.widgets.setting_row import SettingRow

IMPATIENT = 0.7  # seconds after a stop in which Esc does nothing else
WIDE = 100  # columns from which on the sidebar stands beside the transcript


# Actions whose keys mean something else, or nothing, while a dialog is open.
BEHIND = {
    "regenerate", "continue_reply", "copy", "new_chat", "open_model", "reload", "toggle_sidebar", "find",
    "editor",
}  # fmt: skip


class Actions(BaseApp, inherit_bindings=False):
    _sidebar_wanted: bool | None = None  # None: as the width allows
    _stopped_at = -10.0

    # --- talking -------------------------------------------------------------------------------------------

    def action_stop(self) -> None:
        """Ends the reply at once."""
        if self.session.replying is not None:
            self.session.stop()
            self.pump()

    def action_escape(self) -> None:
        """Stops the reply, and closes what is open over the chat. Never clears, never quits."""
        if not self.modal_open and (self.close_completion() or self.close_find()):
            return
        replying = self.session.replying is not None
        self.action_stop()
        if self.modal_open:
            if isinstance(self.screen, HelpScreen | OpenModelScreen | SetupScreen):
                self.screen.dismiss()
                return
            raise SkipAction()  # the palette closes itself
        focused = self.focused
        if isinstance(focused, SettingRow) and focused.cancel_typing():
            return
        if not replying and self.prompt.has_focus and self.cancel_edit():
            return
        reading_wanted = self.prompt.has_focus and not self.prompt.text
        if isinstance(focused, SettingRow) or not self.prompt.has_focus:
            self.main.set_focus(self.prompt)
        now = time.monotonic()
        if replying:
            self._stopped_at = now
        elif self.main.has_class("narrow") and self.main.has_class("with-sidebar"):
            self.action_toggle_sidebar()
        elif reading_wanted and now - self._stopped_at > IMPATIENT and len(self.session.conversation):
            self.action_read()
        self.show_status()

    def action_regenerate(self) -> None:
        if not self.session.regenerate():
            self.cannot("nothing_to_regenerate")
        self.pump()

    def action_continue_reply(self) -> None:
        if not self.session.continue_reply():
            self.cannot("nothing_to_continue")
        self.pump()

    def cannot(self, otherwise: str) -> None:
        """Says why something does not work now."""
        if self.session.busy:
            key = "busy_now"
        elif self.session.model is None:
            key = "no_model_now"
        else:
            key = otherwise
        self.notice.flash(self.strings(key))

    def action_version_back(self, message_id: int) -> None:
        self.show_version(message_id, -1)

    def action_version_on(self, message_id: int) -> None:
        self.show_version(message_id, 1)

    def show_version(self, message_id: int, step: int) -> None:
        """Another version of a message."""
        if self.session.busy:
            self.cannot("busy_now")
        else:
            self.session.choose_version(self.session.conversation[message_id], step)
        self.pump()

    def action_version_back_of_last(self) -> None:
        self.action_version_of_last(-1)

    def action_version_on_of_last(self) -> None:
        self.action_version_of_last(1)

    def action_version_of_last(self, step: int) -> None:
        """Another version of the last message that has several."""
        conversation = self.session.conversation
        for message in reversed(conversation.path()):
            if len(conversation.siblings(message)) > 1:
                self.show_version(message.id, step)
                return

    def action_example(self, index: int) -> None:
        text = self.welcome_page.example(index)
        if text:
            self.history.add(text)
            self.session.submit(text)
            self.pump()

    # --- Ctrl+C --------------------------------------------------------------------------------------------

    async def action_interrupt(self) -> None:
        say, session = self.strings, self.session
        situation = Situation(
            selection=bool(self._selected_text()),
            modal=self.modal_open,
            busy=session.busy,
            stopping_seconds=session.stopping_seconds,
            queued=bool(session.queue),
            draft=bool(self.prompt.text),
        )
        match self.ladder.press(situation, time.monotonic()):
            case Step.COPY:
                self._copy_selection()
            case Step.CLOSE:
                self.screen.dismiss()
            case Step.STOP:
                session.stop()
                self.main.set_focus(self.prompt)
            case Step.TAKE_BACK:
                self.take_back()
            case Step.CLEAR if not self.cancel_edit():
                self.history.add(self.prompt.text)
                self.prompt.replace_text("")
                self.notice.flash(say("draft_cleared"))
            case Step.OFFER_QUIT:
                self.notice.flash(say("quit_again"), ARMED)
            case Step.OFFER_QUIT_BUSY:
                self.notice.flash(say("quit_busy"), ARMED)
            case Step.QUIT:
                await self.action_quit()
            case Step.WAIT | Step.CLEAR:
                pass
        self.pump()

    def take_back(self) -> None:
        """The newest waiting message goes back into an empty prompt, else into the history."""
        text = self.session.take_back()
        if text is None:
            return
        if self.prompt.text:
            self.history.add(text)
            self.notice.flash(self.strings("draft_cleared"))
        else:
            self.prompt.replace_text(text)
            self.notice.flash(self.strings("taken_back"))

    # --- copying -------------------------------------------------------------------------------------------

    def _selected_text(self) -> str:
        if isinstance(self.focused, Input):
            return self.focused.selected_text
        return self.screen.get_selected_text() or ("" if self.modal_open else self.prompt.selected_text)

    def _copy_selection(self) -> None:
        self.copy(self._selected_text(), "copied")
        self.screen.clear_selection()
        prompt = self.prompt
        if not prompt.selection.is_empty:
            prompt.move_cursor(prompt.cursor_location)

    def copy(self, text: str, key: str, **fields: object) -> None:
        """Copies a text and says so, or that it stays within the program."""
        reached = copy_text(self, text)
        self.notice.flash(self.strings(key, **fields) + ("" if reached else self.strings("copied_inside")))

    def action_copy(self) -> None:
        """The selection, else the last reply."""
        if self._selected_text():
            self._copy_selection()
            return
        reply = self.session.conversation.last_reply
        if reply is not None and reply.role is Role.ASSISTANT and reply.text.strip():
            self.copy(reply.text.strip(), "copied_reply")
        else:
            self.notice.flash(self.strings("nothing_to_copy"))

    # --- the program ---------------------------------------------------------------------------------------

    def action_reload(self) -> None:
        if self.session.reload():
            self.notice.clear_kept()
        else:
            self.cannot("no_model_now")
        self.pump()

    def action_help(self) -> None:
        if isinstance(self.screen, HelpScreen):
            self.screen.dismiss()
        elif not isinstance(self.screen, Palette):
            say, focused = self.strings, self.focused
            about = topic(self.screen, self.modal_open, focused, say)
            lines = terminal_lines(self.terminal, self.keys, say)
            self.push_screen(
                HelpScreen(say, self.keys, about, groups_for(focused), lines, self.prompt.enter_sends)
            )

    def action_command_palette(self) -> None:
        if not self.modal_open:
            self.push_screen(Palette(placeholder=self.strings("palette_placeholder"), id="--command-palette"))

    async def action_quit(self) -> None:
        self.session.stop()
        self.exit(0)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What belongs to the chat waits while something is open over it."""
        return not (self.modal_open and action in BEHIND)

    def action_toggle_sidebar(self) -> None:
        if self.modal_open:
            return
        shown = not self.main.has_class("with-sidebar")
        self._sidebar_wanted = shown
        self.main.set_class(shown, "with-sidebar")
        self.main.set_focus(self.sidebar.rows[0] if shown else self.prompt)

    def fit_sidebar(self, width: int) -> None:
        """Open where there is room, unless the user has decided."""
        wanted = self._sidebar_wanted
        self.main.set_class(width >= WIDE if wanted is None else wanted, "with-sidebar")

    def change_setting(self, key: str, value: int | float | str | None) -> int | float:
        """Applies a value from the sidebar; None: the default. Raises UserError where it is impossible."""
        return self.session.change_setting(key, value)
