"""A worker around a scripted model, and all events that it gave."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from alpaca_tui.engine.engine import Engine
from alpaca_tui.engine.protocol import (
    EngineState,
    Event,
    GenerateRequest,
    Loaded,
    LoadOptions,
    SamplingParams,
    Segment,
    StateChanged,
    TextChunk,
)
from alpaca_tui.engine.worker import EngineWorker
from tests.engine.fakes import ScriptedModel, engine_of

GREEDY = SamplingParams(temp=0.0, repeat_penalty=1.0)
PATH = Path("some/model.gguf")


def request(*turns: str, prefix: str = "P", **options) -> GenerateRequest:
    return GenerateRequest(
        prefix=(Segment(prefix, bos=True),),
        turns=tuple((Segment(turn),) for turn in turns),
        **{"sampling": GREEDY, **options},
    )


class Harness:
    """A worker around a scripted model, and all events that it gave."""

    def __init__(self, model: ScriptedModel, open_engine: Callable[..., Engine] | None = None) -> None:
        self.model = model
        self.worker = EngineWorker(open_engine or (lambda path, **options: engine_of(model)))
        self.events: list[Event] = []

    def wait(self, done: Callable[[], bool], seconds: float = 5.0) -> None:
        end = time.monotonic() + seconds
        while True:
            self.events += self.worker.poll()
            if done():
                return
            assert time.monotonic() < end, self.events
            time.sleep(0.002)

    def wait_for(self, kind: type, n: int = 1) -> Event:
        self.wait(lambda: len(self.of(kind)) >= n and not self.worker.state.busy)
        return self.of(kind)[-1]

    def wait_for_state(self, state: EngineState) -> None:
        self.wait(lambda: self.worker.state is state)

    def of(self, kind: type) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    def states(self) -> list[EngineState]:
        return [event.state for event in self.events if isinstance(event, StateChanged)]

    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextChunk))

    def load(self, options: LoadOptions = LoadOptions()) -> None:  # noqa: B008 (frozen)
        self.worker.load(PATH, options)
        self.wait_for(Loaded)
        self.events.clear()
