"""What has to be saved of the open conversations, and when.

Whoever changes a conversation tells it here; `tick` writes what changed, in the archive's thread. A question,
the end of a reply and everything else that happens once is written at once, a reply that grows and a draft
every `PAUSE` seconds. What could not be written (a full disk, a locked file) stays here and is tried again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from copy import copy
from dataclasses import dataclass, field

from alpaca_tui.chat.conversation import Conversation, Message
from alpaca_tui.chat.store.archive import Archive
from alpaca_tui.chat.store.saving import GoneError, Place, Snapshot, as_new, save
from alpaca_tui.chat.store.trouble import StoreTroubleError, Trouble, trouble_of

PAUSE = 0.5  # seconds between two writes of what grows; a crash loses no more than that, and the write
RETRY = 3.0  # seconds after a write that failed
PATIENCE = 0.3  # seconds that a reply waits at most for its question to be written
LAST_PATIENCE = 6.0  # seconds that the end of the program waits


@dataclass
class _Unsaved:
    """What the file does not know yet of one conversation. `since`: from when on."""

    since: float
    at_once: bool = False
    all: bool = False
    messages: set[int] = field(default_factory=set)
    shown: set[int | None] = field(default_factory=set)
    removed: dict[int, bool] = field(default_factory=dict)

    def add(self, other: _Unsaved) -> None:
        self.since = min(self.since, other.since)
        self.all |= other.all
        self.messages |= other.messages
        self.shown |= other.shown
        self.removed = other.removed | self.removed  # what happened later counts


class Recorder:
    """`trouble` is what keeps conversations from being saved; None while all is well."""

    def __init__(self, archive: Archive, clock: Callable[[], float] = time.monotonic) -> None:
        self.archive = archive
        self.trouble: StoreTroubleError | None = None
        self._clock = clock
        self._places: dict[str, Place] = {}
        self._open: dict[str, Conversation] = {}  # with something unsaved, or being written
        self._unsaved: dict[str, _Unsaved] = {}
        self._writing: tuple[str, _Unsaved, Future[None]] | None = None
        self._not_before = 0.0

    # --- what changed --------------------------------------------------------------------------------------

    def opened(self, conversation: Conversation, place: Place) -> None:
        """A conversation that was loaded."""
        self._places[conversation.key] = place

    def message(self, conversation: Conversation, message: Message, grows: bool = False) -> None:
        """A message is new or changed."""
        self._note(conversation, not grows).messages.add(message.id)

    def shown(self, conversation: Conversation, parent: int | None) -> None:
        """Another version is on screen below `parent`."""
        self._note(conversation, True).shown.add(parent)

    def removed(self, conversation: Conversation, message: Message, out: bool) -> None:
        self._note(conversation, True).removed[message.id] = out

    def head(self, conversation: Conversation, at_once: bool = False) -> None:
        """The draft, what waits, or what was chosen for this conversation changed."""
        self._note(conversation, at_once)

    def _note(self, conversation: Conversation, at_once: bool) -> _Unsaved:
        self._open[conversation.key] = conversation
        unsaved = self._unsaved.setdefault(conversation.key, _Unsaved(self._clock()))
        unsaved.at_once |= at_once
        return unsaved

    # --- writing -------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Is everything written?"""
        return not self._unsaved and self._writing is None

    def unsaved(self) -> list[Conversation]:
        """Conversations of which the file does not have everything."""
        return list(self._open.values())

    def find(self, key: str) -> Conversation | None:
        """A conversation that is held here because it is not saved, newer than what the file has."""
        return self._open.get(key)

    def tick(self) -> None:
        """Takes in how the last write ended, and begins the next that is due."""
        self._collect()
        now = self._clock()
        if self._writing is not None or now < self._not_before:
            return
        for key, unsaved in self._unsaved.items():
            if unsaved.at_once or now - unsaved.since >= PAUSE:
                self._write(key)
                return

    def commit(self, seconds: float = PATIENCE) -> bool:
        """Writes everything, and waits for it, but not for long. False if something is unsaved then."""
        end = time.monotonic() + seconds
        self._not_before = 0.0
        while not self.idle and not self._not_before:
            if self._writing is None:
                self._write(next(iter(self._unsaved)))
            try:
                assert self._writing is not None
                self._writing[2].exception(max(end - time.monotonic(), 0.0))
            except FutureTimeoutError:
                return False
            self._collect()
        return self.idle

    def _write(self, key: str) -> None:
        unsaved = self._unsaved.pop(key)
        future = self.archive.run(save, self._snapshot(self._open[key], unsaved))
        self._writing = (key, unsaved, future)

    def _snapshot(self, c: Conversation, unsaved: _Unsaved) -> Snapshot:
        place = self._places.setdefault(c.key, Place())
        if unsaved.all:
            whole = as_new(c)
            messages, shown = tuple(map(copy, whole.messages)), whole.shown
        else:
            messages = tuple(copy(c[i]) for i in sorted(unsaved.messages))
            parents = {message.parent for message in messages} | unsaved.shown
            shown = tuple((parent, c.chosen(parent)) for parent in parents)
        return Snapshot(
            place=place,
            conversation=c,
            title=c.title,
            first_question=c.first_question,
            pinned=c.pinned,
            draft=c.draft,
            waiting=tuple(c.waiting),
            choices=dict(c.choices),
            messages=messages,
            shown=shown,
            removed=tuple(unsaved.removed.items()),
        )

    def _collect(self) -> None:
        if self._writing is None or not self._writing[2].done():
            return
        key, unsaved, future = self._writing
        self._writing = None
        error = future.exception()
        if error is None:
            self.trouble = self.archive.trouble
            if key not in self._unsaved:
                del self._open[key]
            return
        trouble = trouble_of(error, self.archive.path)
        gone = isinstance(error, GoneError)
        unsaved.all |= gone or trouble.kind is Trouble.OTHER  # the file may not have what it was thought to
        self._note(self._open[key], True).add(unsaved)
        if not gone:
            self._not_before = self._clock() + RETRY
            self.trouble = trouble
