"""What was typed before, for Up and Down in the prompt."""

from __future__ import annotations

LIMIT = 500


class PromptHistory:
    """Older entries by `back`, newer ones by `forward`; the draft that was left for them waits at the end."""

    def __init__(self) -> None:
        self._entries: list[str] = []
        self._position: int | None = None  # None: at the draft
        self._draft = ""

    def begin_with(self, older: list[str]) -> None:
        """Puts what was typed in earlier chats before what is there."""
        self._entries = [*older, *self._entries][-LIMIT:]

    def add(self, text: str) -> None:
        """Remembers a text, the same one twice in a row only once, and goes back to the end."""
        if text.strip() and (not self._entries or self._entries[-1] != text):
            self._entries.append(text)
            del self._entries[:-LIMIT]
        self.rest()

    def rest(self) -> None:
        """Leaves the history: what is typed now is the draft."""
        self._position = None
        self._draft = ""

    @property
    def recalling(self) -> bool:
        return self._position is not None

    def back(self, current: str) -> str | None:
        """The entry before; `current` is kept as the draft when leaving it. None at the oldest."""
        if self._position is None:
            if not self._entries:
                return None
            self._draft = current
            self._position = len(self._entries)
        if self._position == 0:
            return None
        self._position -= 1
        return self._entries[self._position]

    def forward(self) -> str | None:
        """The entry after, or the draft behind the newest. None when not in the history."""
        if self._position is None:
            return None
        self._position += 1
        if self._position < len(self._entries):
            return self._entries[self._position]
        draft = self._draft
        self.rest()
        return draft
