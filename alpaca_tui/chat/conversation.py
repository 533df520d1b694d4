"""A conversation as a tree of plain data.

A question (role USER) hangs under the reply before it, a reply under its question. Asking again for a reply
adds a sibling; nothing is ever overwritten. What is on screen is the active path: from the root, at each
message, the child that was last chosen.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from alpaca_tui.engine.protocol import FinishReason, Stats


class Role(enum.Enum):
    USER = "user"
    ASSISTANT = "assistant"


class MessageState(enum.Enum):
    """`CUT`: ended by the length limit or a full context; `STOPPED`: by the user. Both can be continued."""

    STREAMING = "streaming"
    COMPLETE = "complete"
    STOPPED = "stopped"
    CUT = "cut"
    FAILED = "failed"


STATE_OF_REASON = {
    FinishReason.END: MessageState.COMPLETE,
    FinishReason.STOP_TEXT: MessageState.COMPLETE,
    FinishReason.LENGTH: MessageState.CUT,
    FinishReason.CONTEXT: MessageState.CUT,
    FinishReason.STOPPED: MessageState.STOPPED,
    FinishReason.FAILED: MessageState.FAILED,
}


@dataclass(eq=False)
class Message:
    """One question or reply.

    `tokens` are the ids of `text` as the model made them (None: unknown, encode the text). `ended` says that
    the model itself ended the reply, so that its EOS belongs behind it. `model` names who answered; `note`
    holds the reason of a failure. `by_guide`: by the tiny model that ships with the program.
    """

    id: int
    parent: int | None
    role: Role
    text: str = ""
    tokens: tuple[int, ...] | None = None
    state: MessageState = MessageState.COMPLETE
    ended: bool = False
    model: str = ""
    reason: FinishReason | None = None
    stats: Stats | None = None
    note: str = ""
    by_guide: bool = False

    @property
    def can_continue(self) -> bool:
        return self.role is Role.ASSISTANT and self.state in (MessageState.STOPPED, MessageState.CUT)

    def resume(self) -> None:
        """Opens a stopped or cut reply again, to be continued."""
        if not self.can_continue:
            raise ValueError(f"a {self.state.value} message cannot be continued")
        self.state = MessageState.STREAMING

    def finish(
        self, reason: FinishReason, stats: Stats | None = None, tokens: tuple[int, ...] = (), note: str = ""
    ) -> None:
        """Closes a streaming reply. `tokens` are those made since it was opened or resumed."""
        self.state = STATE_OF_REASON[reason]
        if reason is FinishReason.CONTEXT and not self.text:
            self.state = MessageState.FAILED  # not even the question fits
        self.reason = reason
        self.ended = reason is FinishReason.END
        self.stats = stats
        self.note = note
        if self.tokens is not None:
            self.tokens += tokens
            if self.text and not self.tokens:
                self.tokens = None  # an engine that told no ids


@dataclass(frozen=True)
class Turn:
    """A question with the reply to it on the active path, if there is one."""

    question: Message
    reply: Message | None


class Conversation:
    """The tree. Ids count up from 1 in the order of creation."""

    def __init__(self) -> None:
        self._messages: dict[int, Message] = {}
        self._children: dict[int | None, list[int]] = {None: []}
        self._chosen: dict[int | None, int] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def __getitem__(self, message_id: int) -> Message:
        return self._messages[message_id]

    def path(self) -> list[Message]:
        """The active path, from the first question to the last message."""
        return list(self._walk())

    def _walk(self) -> Iterator[Message]:
        current = self._chosen.get(None)
        while current is not None:
            yield self._messages[current]
            current = self._chosen.get(current)

    @property
    def last(self) -> Message | None:
        path = self.path()
        return path[-1] if path else None

    @property
    def last_reply(self) -> Message | None:
        return next((m for m in reversed(self.path()) if m.role is Role.ASSISTANT), None)

    def turns(self) -> list[Turn]:
        """The active path in pairs, oldest first."""
        turns: list[Turn] = []
        for message in self._walk():
            if message.role is Role.USER:
                turns.append(Turn(message, None))
            else:
                turns[-1] = Turn(turns[-1].question, message)
        return turns

    def siblings(self, message: Message) -> list[Message]:
        """All versions of this message, itself among them, oldest first."""
        return [self._messages[i] for i in self._children[message.parent]]

    def add_question(self, text: str) -> Message:
        """A question at the end of the active path."""
        last = self.last
        return self._add(Message(self._next_id(), last.id if last else None, Role.USER, text))

    def add_reply(self, question: Message, model: str = "", by_guide: bool = False) -> Message:
        """A new, empty reply to a question, still streaming; it becomes the chosen one of its siblings."""
        if question.role is not Role.USER:
            raise ValueError("a reply hangs under a question")
        return self._add(
            Message(
                self._next_id(),
                question.id,
                Role.ASSISTANT,
                state=MessageState.STREAMING,
                tokens=(),
                model=model,
                by_guide=by_guide,
            )
        )

    def choose(self, message: Message, step: int) -> Message | None:
        """Goes `step` versions on from this message; the path below follows. None where there is none."""
        ids = self._children[message.parent]
        index = ids.index(message.id) + step
        if not 0 <= index < len(ids):
            return None
        self._chosen[message.parent] = ids[index]
        return self._messages[ids[index]]

    def forget_tokens(self) -> None:
        """Drops all token ids: another model, with another vocabulary, is going to read this."""
        for message in self._messages.values():
            message.tokens = None

    def _next_id(self) -> int:
        return len(self._messages) + 1

    def _add(self, message: Message) -> Message:
        self._messages[message.id] = message
        self._children.setdefault(message.id, [])
        self._children[message.parent].append(message.id)
        self._chosen[message.parent] = message.id
        return message
