"""What stands between the conversation and the prompt: messages that wait, and one line of news."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static

from alpaca_tui.tui import glyphs
from alpaca_tui.tui.markdown.inline import clean
from alpaca_tui.tui.strings import Strings

SHOWN = 3
FLASH_SECONDS = 3.0


class QueueView(Static):
    """The messages that wait for the model, newest last."""

    DEFAULT_CSS = """
    QueueView { height: auto; color: $quiet; background: $surface; padding: 0 1 0 2; display: none; }
    """
    ALLOW_SELECT = False

    def __init__(self, strings: Strings) -> None:
        super().__init__("", id="queue", markup=False)
        self._strings = strings

    def show(self, queue: Sequence[str], held: bool) -> None:
        say = self._strings
        self.display = bool(queue)
        lines = [
            Content.styled(f"{glyphs.WAIT} ", "$now")
            + Content(say("queued_held" if held else "queued", text=first_line(text)))
            for text in queue[-SHOWN:]
        ]
        if not lines:
            return
        lines[-1] += Content.styled(f"   {say('queued_held_hint' if held else 'queued_hint')}", "$act")
        if len(queue) > SHOWN:
            lines.insert(0, Content(say("queued_more", count=len(queue) - SHOWN)))
        self.update(Content("\n").join(lines))


class Notice(Static):
    """`flash` says something for a moment, `keep` until it is taken back."""

    DEFAULT_CSS = """
    Notice {
        height: auto; max-height: 6; background: $surface; color: $ink; padding: 0 1 0 2; display: none;
    }
    """

    def __init__(self) -> None:
        super().__init__("", id="notice", markup=False)
        self._kept: Content | None = None
        self._timer: Timer | None = None  # runs while something flashes

    @property
    def text(self) -> str:
        """What stands there now."""
        return str(self.visual) if self.display else ""

    def flash(self, text: str, seconds: float = FLASH_SECONDS) -> None:
        self._stop_timer()
        self._show(Content.styled(text, "$now"))
        self._timer = self.set_timer(seconds, self._restore)

    def keep(self, error: str, hint: Content | str = "") -> None:
        self._stop_timer()
        sign = Content.styled(f"{glyphs.CROSS} ", "$loss") if error else Content("")
        tail = hint if isinstance(hint, Content) else Content.styled(hint, "$quiet")
        body = Content.styled(clean(error), "$loss")
        self._kept = sign + body + (Content(" ") if error and tail else Content("")) + tail
        self._show(self._kept)

    def clear_kept(self) -> None:
        """Takes back what `keep` said; what flashes now stays its time."""
        self._kept = None
        if self._timer is None:
            self._restore()

    def _restore(self) -> None:
        self._stop_timer()
        self._show(self._kept)

    def _show(self, content: Content | None) -> None:
        self.display = content is not None
        if content is not None:
            self.update(content)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None


def first_line(text: str, limit: int = 60) -> str:
    line = " ".join(clean(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
