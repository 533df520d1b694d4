"""An engine with known answers, and streams of memory, for the commands of the plain terminal."""

from __future__ import annotations

import io
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from alpaca_tui.engine import protocol as p

INFO = p.ModelInfo(Path("m.gguf"), "Tiny", "llama q4_0, gguf v3", 512, 512, 100, 2, 1000)
END, STOPPED, LENGTH = p.FinishReason.END, p.FinishReason.STOPPED, p.FinishReason.LENGTH


class ScriptedEngine:
    """A ChatEngine that answers each request with the next list of events; None waits for stop()."""

    def __init__(self, *replies: Sequence[p.Event | Callable[[], None] | None]) -> None:
        self.replies = [list(reply) for reply in replies]
        self.events: list[Any] = []
        self.requests: list[p.GenerateRequest] = []
        self.state, self.stats = p.EngineState.IDLE, p.Stats()
        self.stops = 0

    def load(self, path: Path, options: p.LoadOptions) -> None:
        self.events = self.replies.pop(0)

    def generate(self, request: p.GenerateRequest) -> None:
        self.requests.append(request)
        self.events = self.replies.pop(0)

    def stop(self) -> None:
        self.stops += 1
        if self.events and self.events[0] is None:
            self.events.pop(0)

    def poll(self) -> list[p.Event]:
        if not self.events or self.events[0] is None:
            return []
        event = self.events.pop(0)
        if callable(event):
            event()
            return []
        return [event]

    def set_sampling(self, sampling: p.SamplingParams) -> None: ...
    def set_threads(self, n_threads: int) -> None: ...
    def close(self) -> None: ...


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def finished(reason: p.FinishReason = END, *tokens: int, message: str = "", stop: int = -1) -> p.Finished:
    return p.Finished(reason, p.Stats(stop_index=stop), tokens, message)


def answer(text: str, *tokens: int) -> list[p.Event]:
    return [*(p.TextChunk(c) for c in text), finished(END, *tokens)]


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)
