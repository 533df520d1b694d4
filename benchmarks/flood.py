"""An engine that writes 2,000 tokens a second, and the real program with it: `python -m benchmarks.flood`.

The first word is how many tokens a reply has; what follows are arguments of `alpaca-tui`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from alpaca_tui.engine.protocol import EngineState, Event, FinishReason, GenerateRequest, TextChunk
from tests.tui.samples import CHINESE, LONG, MIXED
from tests.tui.scripted_engine import Realtime, Script

RATE = 2000.0  # tokens a second
TOKEN = 4  # characters
TEXT = "\n\n".join((LONG, MIXED, CHINESE))


class Flood(Realtime):
    """Its replies go round and round through headings, lists, code, tables and Chinese."""

    n_tokens = 8000  # of a reply

    def __init__(self) -> None:
        super().__init__(Script(n_ctx=1 << 20))
        self._begun = 0.0  # when the reply was
        self._given = self._n_tokens = 0

    def generate(self, request: GenerateRequest) -> None:
        super().generate(replace(request, max_tokens=0))
        self._plan.clear()
        self.requests.clear()
        self._enter(EngineState.GENERATING)
        self._begun, self._given, self._n_tokens = time.monotonic(), 0, self.n_tokens

    def poll(self) -> Sequence[Event]:
        """One piece of text for all tokens since the last time, as the real one joins them."""
        if self.state is EngineState.GENERATING:
            seconds = time.monotonic() - self._begun
            due = min(int(seconds * RATE), self._n_tokens) - self._given
            begin = self._given * TOKEN % len(TEXT)
            text = (TEXT[begin:] + TEXT * (due * TOKEN // len(TEXT) + 1))[: due * TOKEN]
            if text:
                self._events.append(TextChunk(text))
            self._given += due
            self._stats = replace(
                self._stats,
                generated_tokens=self._given,
                generate_seconds=seconds,
                n_past=self._stats.n_past + due,
            )
            if self._given >= self._n_tokens:
                self._finish(FinishReason.END)
        return super().poll()


def main() -> int:
    from alpaca_tui import cli
    from alpaca_tui.engine import worker

    Flood.n_tokens = int(sys.argv[1])
    worker.EngineWorker = Flood  # type: ignore[misc, assignment]
    return cli.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
