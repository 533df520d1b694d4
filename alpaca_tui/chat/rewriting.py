"""What a session does to its conversation: versions, edits, branches, deleting; and opening another one."""

from __future__ import annotations

from collections.abc import Sequence

from alpaca_tui.chat import changes
from alpaca_tui.chat.conversation import Conversation, Message, Removed, Role
from alpaca_tui.chat.recorder import Recorder
from alpaca_tui.chat.tailored import Tailored


class Rewriting(Tailored):
    """The part of `ChatSession` that changes the tree. Each call returns False where it cannot be done."""

    replying: Message | None
    queue_held: bool
    memory_start: int | None
    recorder: Recorder | None
    _again: bool  # the reply that is being stopped is to be made anew
    _abandoned: bool  # it belongs to a conversation that was left
    _answering: Conversation  # that `replying` belongs to, or the last reply
    _undo: list[Removed]

    @property
    def queue(self) -> list[str]:
        """The messages of this conversation that wait to be sent, oldest first."""
        return self.conversation.waiting

    # --- versions ------------------------------------------------------------------------------------------

    def regenerate(self, message: Message | None = None) -> bool:
        """A new version of the last reply, one in the making is stopped first; or of any reply (by itself or
        by its question), from where the conversation then goes on."""
        last = self.conversation.last
        if self.replying is not None and (message is None or message is self.replying):
            self._again = True
            self.stop()
            return True
        at = message or last
        if not self.ready or at is None or at.id not in self.conversation:
            return False
        question = at if at.role is Role.USER else self.conversation[at.parent or 0]
        self._answer(question)
        return True

    def continue_reply(self) -> bool:
        """Goes on with a reply that was stopped or cut."""
        last = self.conversation.last
        if last is None or not self.can_continue:
            return False
        last.resume()
        self._tell(changes.MessageChanged(last))
        self._generate(last)
        return True

    def choose_version(self, message: Message, step: int) -> bool:
        """Shows another version of a message. Not while a reply is in the making."""
        if self.busy or self.conversation.choose(message, step) is None:
            return False
        self._shown(message.parent)
        return True

    def edit(self, message: Message, text: str) -> bool:
        """A new version of a message with this text. A question is then answered; what a reply was to say is
        taken from the user, and the conversation goes on from there."""
        if self.busy or not text.strip() or message.id not in self.conversation:
            return False
        version = self.conversation.add_version(message, text)
        self._keep(version)
        if version.role is Role.USER and self.ready:
            self._answer(version)
        else:
            self._tell(changes.PathChanged())
        return True

    def branch(self, message: Message) -> bool:
        """Goes on in a new conversation, with the path up to this message."""
        if self.replying is not None or message not in self.conversation.path():
            return False
        other = self.conversation.copy(message)
        self.open_chat(other)
        for copied in other:
            self._keep(copied)
        return True

    def remove(self, message: Message) -> bool:
        """Takes out a message with all that follows it; `undo_remove` brings it back."""
        if self.busy or message.id not in self.conversation:
            return False
        self._undo.append(self.conversation.remove(message))
        self._shown(message.parent)
        if self.recorder is not None:
            self.recorder.removed(self.conversation, message, True)
        return True

    def undo_remove(self) -> bool:
        """Brings back what was removed last from this conversation."""
        if self.busy or not self._undo:
            return False
        removed = self._undo.pop()
        self.conversation.restore(removed)
        self._shown(removed.message.parent)
        if self.recorder is not None:
            self.recorder.removed(self.conversation, removed.message, False)
        return True

    # --- another conversation ------------------------------------------------------------------------------

    def held(self, key: str) -> Conversation | None:
        """The conversation of this key where it is in memory, newer than what is saved of it."""
        for conversation in (self.conversation, self._answering):
            if conversation.key == key:
                return conversation
        return self.recorder.find(key) if self.recorder is not None else None

    def new_chat(self) -> Sequence[str]:
        """An empty conversation. Returns what waits in the one that was left, where it goes on waiting."""
        waiting = list(self.queue)
        self.open_chat(Conversation())
        return waiting

    def open_chat(self, conversation: Conversation) -> None:
        """Goes on with another conversation; a reply in the making is stopped."""
        if self.replying is not None:
            self._again = False
            self._abandoned = True
            self.stop()
        self.conversation = conversation
        self.queue_held = bool(conversation.waiting)
        self.memory_start = None
        self._undo.clear()
        if self.model is not None:
            conversation.forget_tokens(but=self.model.name)
        self.use_choices(conversation.choices)
        self._tell(changes.PathChanged())
        self._tell(changes.QueueChanged())

    # --- keeping -------------------------------------------------------------------------------------------

    def _keep(self, message: Message, conversation: Conversation | None = None, grows: bool = False) -> None:
        """Has a message saved."""
        if self.recorder is not None:
            self.recorder.message(conversation or self.conversation, message, grows)

    def _keep_head(self, at_once: bool = True) -> None:
        """Has what waits and what was chosen saved."""
        self.conversation.choices.update(self.choices())
        if self.recorder is not None:
            self.recorder.head(self.conversation, at_once)

    def _shown(self, parent: int | None) -> None:
        """Another message is shown below `parent`."""
        if self.recorder is not None:
            self.recorder.shown(self.conversation, parent)
        self._tell(changes.PathChanged())

    # --- of the session ------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        raise NotImplementedError

    @property
    def busy(self) -> bool:
        raise NotImplementedError

    @property
    def can_continue(self) -> bool:
        raise NotImplementedError

    def stop(self) -> bool:
        raise NotImplementedError

    def _answer(self, question: Message) -> None:
        raise NotImplementedError

    def _generate(self, reply: Message) -> None:
        raise NotImplementedError
