"""What a session tells its view, in the order in which it happened."""

from __future__ import annotations

from dataclasses import dataclass

from alpaca_tui.chat.conversation import Message
from alpaca_tui.engine.protocol import EngineState, ModelInfo, Progress


@dataclass(frozen=True)
class MessageAdded:
    """A message at the end of the active path."""

    message: Message


@dataclass(frozen=True)
class ReplyText:
    """Text was added to a streaming reply; `message.text` already has all of it."""

    message: Message


@dataclass(frozen=True)
class MessageChanged:
    """The state of a message changed: finished, failed, or opened again."""

    message: Message


@dataclass(frozen=True)
class PathChanged:
    """Another path, or another conversation, is active: draw it anew."""


@dataclass(frozen=True)
class StateSeen:
    state: EngineState


@dataclass(frozen=True)
class ProgressSeen:
    progress: Progress


@dataclass(frozen=True)
class ModelReady:
    model: ModelInfo


@dataclass(frozen=True)
class LoadRefused:
    """A model did not load, and why."""

    reason: str


@dataclass(frozen=True)
class LoadCancelled:
    """The user stopped a load."""


@dataclass(frozen=True)
class MemoryBegins:
    """The model remembers from this question on (its id); None: it sees everything.

    The id of a reply: it no longer sees the beginning of that, but its end, and the question.
    """

    question_id: int | None


@dataclass(frozen=True)
class QueueChanged:
    """A message was put into the queue, sent from it, or taken back."""


@dataclass(frozen=True)
class SettingsChanged:
    """Values in force changed elsewhere than in the sidebar: by a preset, a reset, another chat, a model."""


Change = (
    MessageAdded
    | ReplyText
    | MessageChanged
    | PathChanged
    | StateSeen
    | ProgressSeen
    | ModelReady
    | LoadRefused
    | LoadCancelled
    | MemoryBegins
    | QueueChanged
    | SettingsChanged
)
