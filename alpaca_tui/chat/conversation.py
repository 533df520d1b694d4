"""A conversation as a tree of plain data.

A question (role USER) hangs under the reply before it, a reply under its question. Asking again for a reply,
or editing a message, adds a sibling; nothing is ever overwritten. What is on screen is the active path: from
the root, at each message, the child that was last chosen.
"""

from __future__ import annotations

import enum
import time
import uuid
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

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
    the model itself ended the reply, so that its EOS belongs behind it. `model` names who answered, with
    `settings` in force; `note` holds the reason of a failure. `by_guide`: by the tiny model that ships with
    the program. `edited`: the user wrote it anew. `created` is in seconds since 1970.
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
    edited: bool = False
    settings: Mapping[str, Any] | None = None
    created: float = field(default_factory=time.time)

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
        self.stats = _added(self.stats, stats)
        self.note = note
        if self.tokens is not None:
            self.tokens += tokens
            if self.text and not self.tokens:
                self.tokens = None  # an engine that told no ids


def _added(before: Stats | None, now: Stats | None) -> Stats | None:
    """The numbers of a whole reply, from those of its beginning and of its continuation."""
    if before is None or now is None:
        return now or before
    return replace(
        before,
        generated_tokens=before.generated_tokens + now.generated_tokens,
        generate_seconds=before.generate_seconds + now.generate_seconds,
        drafted_tokens=before.drafted_tokens + now.drafted_tokens,
        accepted_tokens=before.accepted_tokens + now.accepted_tokens,
        n_past=now.n_past,
        n_ctx=now.n_ctx,
    )


@dataclass(frozen=True)
class Turn:
    """A question with the reply to it on the active path, if there is one."""

    question: Message
    reply: Message | None


@dataclass(frozen=True)
class Removed:
    """A message that was taken out with all below it, to be put back."""

    message: Message
    index: int  # among its siblings
    below: frozenset[int]  # ids, its own among them
    chosen: int | None  # of its siblings, before


class Conversation:
    """The tree. Ids count up from 1 in the order of creation.

    `key` names the conversation in every program and file. `title` is the user's; without one, the first
    question serves. `draft` and `waiting` are what was typed and not sent yet, `choices` what else was chosen
    for this conversation only ("settings": as `Settings.of_chat` returns them).
    """

    def __init__(self, key: str = "") -> None:
        self.key = key or uuid.uuid4().hex
        self.title = ""
        self.pinned = False
        self.created = time.time()
        self.draft = ""
        self.waiting: list[str] = []
        self.choices: dict[str, Any] = {}
        self._messages: dict[int, Message] = {}
        self._children: dict[int | None, list[int]] = {None: []}
        self._chosen: dict[int | None, int | None] = {}
        self._removed: set[int] = set()
        self._newest = 0  # the highest id
        self._path: list[Message] | None = None  # as long as nothing changed

    def __len__(self) -> int:
        """How many messages there are, other versions among them."""
        return len(self._messages) - len(self._removed)

    def __getitem__(self, message_id: int) -> Message:
        return self._messages[message_id]

    def __contains__(self, message_id: int) -> bool:
        return message_id in self._messages and message_id not in self._removed

    def __iter__(self) -> Iterator[Message]:
        """All messages in the order of their ids, so that each comes after what it hangs under."""
        return (message for message in self._messages.values() if message.id not in self._removed)

    # --- what is on screen ---------------------------------------------------------------------------------

    def path(self) -> list[Message]:
        """The active path, from the first question to the last message."""
        return list(self._walk())

    def _walk(self) -> list[Message]:
        if self._path is None:
            self._path = []
            current = self._chosen.get(None)
            while current is not None:
                self._path.append(self._messages[current])
                current = self._chosen.get(current)
        return self._path

    @property
    def last(self) -> Message | None:
        path = self._walk()
        return path[-1] if path else None

    @property
    def last_reply(self) -> Message | None:
        return next((m for m in reversed(self._walk()) if m.role is Role.ASSISTANT), None)

    @property
    def first_question(self) -> str:
        path = self._walk()
        return path[0].text if path else ""

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

    def chosen(self, parent: int | None) -> int | None:
        """The id of the message that is shown below `parent` (None: of the first one)."""
        return self._chosen.get(parent)

    # --- what is added -------------------------------------------------------------------------------------

    def add_question(self, text: str) -> Message:
        """A question at the end of the active path."""
        last = self.last
        return self.add(Message(self._next_id(), last.id if last else None, Role.USER, text))

    def add_reply(
        self,
        question: Message,
        model: str = "",
        by_guide: bool = False,
        settings: Mapping[str, Any] | None = None,
    ) -> Message:
        """A new, empty reply to a question, still streaming; it becomes the chosen one of its siblings."""
        if question.role is not Role.USER:
            raise ValueError("a reply hangs under a question")
        return self.add(
            Message(
                self._next_id(),
                question.id,
                Role.ASSISTANT,
                state=MessageState.STREAMING,
                tokens=(),
                model=model,
                by_guide=by_guide,
                settings=settings,
            )
        )

    def add_version(self, message: Message, text: str) -> Message:
        """The message as the user would have it, beside the one that there is."""
        version = copy(message)
        version.id, version.text, version.tokens, version.edited = self._next_id(), text, None, True
        version.created, version.stats = time.time(), None
        if version.state is MessageState.FAILED:
            version.state, version.note = MessageState.COMPLETE, ""
        return self.add(version)

    def add(self, message: Message) -> Message:
        """A message with an id of its own, below one that is there; it becomes the chosen one."""
        if message.id in self._messages:
            raise ValueError(f"there is a message {message.id} already")
        self._children[message.parent].append(message.id)
        self._messages[message.id] = message
        self._newest = max(self._newest, message.id)
        self._children[message.id] = []
        self._choose(message.parent, message.id)
        return message

    def skip(self, message_id: int) -> None:
        """An id that is taken elsewhere, and so not to be given to another message."""
        self._newest = max(self._newest, message_id)

    def _next_id(self) -> int:
        return self._newest + 1

    # --- what is chosen, removed, copied -------------------------------------------------------------------

    def choose(self, message: Message, step: int) -> Message | None:
        """Goes `step` versions on from this message; the path below follows. None where there is none."""
        ids = self._children[message.parent]
        index = ids.index(message.id) + step
        if not 0 <= index < len(ids):
            return None
        self._choose(message.parent, ids[index])
        return self._messages[ids[index]]

    def show(self, parent: int | None, child: int | None) -> None:
        """Shows `child` below `parent`, or nothing (None)."""
        if child is not None and child not in self._children.get(parent, ()):
            raise ValueError(f"message {child} does not hang under {parent}")
        self._choose(parent, child)

    def _choose(self, parent: int | None, child: int | None) -> None:
        self._chosen[parent] = child
        self._path = None

    def remove(self, message: Message) -> Removed:
        """Takes out a message with all that follows it; the version beside it, if any, is shown instead."""
        siblings = self._children[message.parent]
        index = siblings.index(message.id)
        removed = Removed(
            message, index, frozenset(self._below(message.id)), self._chosen.get(message.parent)
        )
        siblings.remove(message.id)
        self._removed |= removed.below
        if removed.chosen == message.id:
            self._choose(message.parent, siblings[min(index, len(siblings) - 1)] if siblings else None)
        return removed

    def restore(self, removed: Removed) -> None:
        """Puts back what `remove` took out, and shows it."""
        message = removed.message
        self._children[message.parent].insert(removed.index, message.id)
        self._removed -= removed.below
        self._choose(message.parent, message.id)

    def _below(self, message_id: int) -> Iterator[int]:
        waiting = [message_id]
        while waiting:
            current = waiting.pop()
            yield current
            waiting += self._children[current]

    def copy(self, until: Message | None = None) -> Conversation:
        """Another conversation with the same messages; with `until`, only the path to this one."""
        other = Conversation()
        other.title, other.choices = self.title, dict(self.choices)
        if until is None:
            for message in self:
                other.add(copy(message))
            other._chosen = {k: v for k, v in self._chosen.items() if k is None or k in self}
            other.draft = self.draft
            return other
        for message in self._walk():
            other.add(copy(message))
            if message is until:
                break
        return other

    def forget_tokens(self, but: str = "") -> None:
        """Drops the token ids of all models except `but`: one with another vocabulary is to read this."""
        for message in self._messages.values():
            if not but or message.model != but:
                message.tokens = None
