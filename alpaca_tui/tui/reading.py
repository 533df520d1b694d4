"""Reading, as the application does it: keys that act on one message, copying, finding."""

from __future__ import annotations

from collections.abc import Callable

from textual import on

from alpaca_tui.chat.conversation import Message, Role
from alpaca_tui.tui.base import BaseApp
from alpaca_tui.tui.markdown.blocks import code_blocks
from alpaca_tui.tui.widgets.find_bar import FindBar
from alpaca_tui.tui.widgets.transcript import Transcript


class Reading(BaseApp, inherit_bindings=False):
    find_bar: FindBar
    _find_from_reading = False
    _copied_block: tuple[int, int] = (0, -1)  # the message and which of its blocks was copied last

    @property
    def reading(self) -> bool:
        """Do keys act on a message?"""
        return self.focused is self.transcript

    def action_read(self) -> None:
        if self.modal_open:
            return
        if len(self.session.conversation):
            self.main.set_focus(self.transcript)
            self.show_status()
        else:
            self.notice.flash(self.strings("nothing_to_read"))

    def action_read_at(self, message_id: int) -> None:
        """A message was clicked."""
        if not self.modal_open and message_id in self.session.conversation:
            self.main.set_focus(self.transcript)
            self.transcript.mark(self.session.conversation[message_id])
            self.show_status()

    def action_leave_reading(self) -> None:
        self.main.set_focus(self.prompt)
        self.show_status()

    @on(Transcript.Typed)
    def _typed(self, event: Transcript.Typed) -> None:
        self.action_leave_reading()
        self.prompt.insert(event.character)

    def action_read_do(self, what: str) -> None:
        """What a key or a click on its hint does with the marked message."""
        message = self.transcript.marked
        if message is None or self.modal_open:
            return
        match what:
            case "copy":
                self.copy_message(message)
            case "code":
                self.copy_next_block(message)
            case "edit":
                self.action_edit_message(message.id)
            case "anew":
                if not self.session.regenerate(message):
                    self.cannot("nothing_to_regenerate")
            case "branch":
                self.action_branch(message.id)
                self.action_leave_reading()
            case "delete":
                self.action_delete_message(message.id)
                if not len(self.session.conversation.path()):
                    self.action_leave_reading()
            case "undo":
                self.action_undo_delete()
            case "older" | "newer":
                self.show_version(message.id, -1 if what == "older" else 1)
        self.pump()
        self.show_status()

    # --- copying -------------------------------------------------------------------------------------------

    def copy_message(self, message: Message) -> None:
        self.copy(message.text.strip(), "copied_message")

    def action_copy_block(self, message_id: int, index: int) -> None:
        """A block of code, by its number in the message."""
        blocks = code_blocks(self.session.conversation[message_id].text)
        if index < len(blocks):
            self._copied_block = (message_id, index)
            key = "copied_code" if len(blocks) == 1 else "copied_code_of"
            self.copy(blocks[index], key, at=index + 1, count=len(blocks))

    def copy_next_block(self, message: Message) -> None:
        """The first block of code; pressed again, the one after it."""
        blocks = code_blocks(message.text) if message.role is Role.ASSISTANT else []
        if not blocks:
            self.notice.flash(self.strings("no_code"))
            return
        before, index = self._copied_block
        self.action_copy_block(message.id, (index + 1) % len(blocks) if before == message.id else 0)

    def action_copy_code(self) -> None:
        """A block of code of the last reply."""
        self._with_last_reply(self.copy_next_block)

    def with_copy_code(self, argument: str) -> None:
        number = int(argument) - 1 if argument.isdecimal() and argument.isascii() else -1

        def copy(reply: Message) -> None:
            if 0 <= number < len(code_blocks(reply.text)):
                self.action_copy_block(reply.id, number)
            else:
                self.notice.flash(self.strings("no_such_code", number=argument[:20]))

        self._with_last_reply(copy)

    def _with_last_reply(self, does: Callable[[Message], None]) -> None:
        reply = self.session.conversation.last_reply
        if reply is None:
            self.notice.flash(self.strings("nothing_to_copy"))
        else:
            does(reply)

    # --- finding -------------------------------------------------------------------------------------------

    def action_find(self) -> None:
        if not self.modal_open:
            self._find_from_reading = self.reading
            self.find_bar.show(None)
            self._found()

    def with_find(self, words: str) -> None:
        self._find_from_reading = False
        self.find_bar.show(words)
        self.transcript.find(words)
        self._found()

    @on(FindBar.Changed)
    def _find_changed(self, event: FindBar.Changed) -> None:
        self.transcript.find(event.needle)
        self._found()

    def action_find_enter(self) -> None:
        """To the next match; back among the messages where the search began there."""
        if self._find_from_reading:
            self.main.set_focus(self.transcript)
            self.show_status()
        else:
            self._find_next(1)

    def action_find_on(self) -> None:
        self._find_next(1)

    def action_find_back(self) -> None:
        self._find_next(-1)

    def _find_next(self, direction: int) -> None:
        transcript, field = self.transcript, self.find_bar.field
        if transcript.finder.needle != field.value:
            transcript.find(field.value)
        else:
            transcript.find_next(direction)
        self._found()

    def _found(self) -> None:
        finder = self.transcript.finder
        self.find_bar.count(finder.ordinal, finder.total)

    def action_close_find(self) -> None:
        self.close_find()

    def close_find(self) -> bool:
        """The marks go; the place stays. False where nothing was searched."""
        if not self.find_bar.open:
            return False
        self.find_bar.hide()
        self.transcript.forget_search()
        if self.focused is None or self.focused is self.find_bar.field:
            self.main.set_focus(self.prompt)
        return True
