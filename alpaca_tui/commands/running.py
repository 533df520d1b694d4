"""An engine driven from the plain terminal: its events shown as they come, Ctrl+C heard at once.

The engine works in its own thread; this one reads its events, so that Ctrl+C is noticed at once also in the
middle of a prompt of minutes.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TypeVar

from alpaca_tui.commands.terminal import Terminal
from alpaca_tui.commands.timings import Timings
from alpaca_tui.engine import protocol as p
from alpaca_tui.errors import UserError

Thing = TypeVar("Thing")
OK, INTERRUPTED = 0, 130
POLL_SECONDS = 0.01
_REFUSALS = (p.FinishReason.FAILED, p.FinishReason.CONTEXT)  # if nothing came before
PATIENT_PRESSES = 2  # of Ctrl+C; the next one does not wait for the engine


class Running:
    """Loads, and makes replies. `timings` add up."""

    def __init__(self, engine: p.ChatEngine, terminal: Terminal) -> None:
        self.engine, self.terminal = engine, terminal
        self.timings = Timings()

    def load(self, path: Path, options: p.LoadOptions) -> p.ModelInfo:
        """Raises UserError where the model cannot be loaded, KeyboardInterrupt at Ctrl+C."""
        began = time.monotonic()
        self.engine.load(path, options)
        for event in self._events(None):
            match event:
                case p.Progress():
                    self.terminal.progress(event)
                case p.LoadFailed(message):
                    self.terminal.clear_progress()
                    raise UserError(message)
                case p.Loaded(model):
                    self.terminal.clear_progress()
                    self.timings.load = time.monotonic() - began
                    return model
        raise AssertionError("a load always ends")

    def reply(
        self,
        request: p.GenerateRequest,
        on_text: Callable[[str], object],
        on_begin: Callable[[], object] = lambda: None,
    ) -> p.Finished:
        """Makes a reply, which Ctrl+C stops. Raises UserError where it cannot be made.

        `on_begin` is called before anything else where it can, as soon as that is known.
        """
        begun = False
        self.engine.generate(request)
        with interrupts() as pressed:
            for event in self._events(pressed):
                begins = isinstance(event, p.Progress | p.TextChunk) or (
                    isinstance(event, p.Finished) and event.reason not in _REFUSALS
                )
                if begins and not begun:
                    begun = True
                    on_begin()
                match event:
                    case p.Progress():
                        self.terminal.progress(event)
                    case p.TextChunk(text):
                        on_text(text)
                    case p.Finished(reason, stats, _, message):
                        self.timings.add(stats)
                        self.terminal.clear_progress()
                        if message and reason is p.FinishReason.FAILED:
                            raise UserError(message)
                        return event
        raise AssertionError("a reply always ends")

    def _events(self, pressed: list[int] | None) -> Iterator[p.Event]:
        yield from stoppable(self.engine.poll, self.engine.stop, pressed)


def stoppable(
    poll: Callable[[], Iterable[Thing]], stop: Callable[[], object], pressed: list[int] | None
) -> Iterator[Thing]:
    """What `poll` returns, as it comes. A Ctrl+C in `pressed` calls `stop`; one too many raises."""
    told = 0
    while True:
        yield from poll()
        if pressed and len(pressed) > told:
            told = len(pressed)
            if told > PATIENT_PRESSES:
                raise KeyboardInterrupt
            stop()
        time.sleep(POLL_SECONDS)


@contextmanager
def interrupts() -> Iterator[list[int]]:
    """Collects the Ctrl+C presses in a list, instead of raising in the middle of whatever is being done."""
    pressed: list[int] = []

    def press(number: int, frame: FrameType | None) -> None:
        pressed.append(number)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
