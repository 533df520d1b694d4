"""A stand-in for the engine: it loads with progress, streams what it is told to, stops, cuts and fails.

It has a clock of its own that only `advance` moves, so that tests decide what has happened when the interface
looks; `Realtime` lets the wall clock move it, for trying the interface out.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from alpaca_tui.engine.protocol import (
    ContextCut,
    EngineState,
    Event,
    Finished,
    FinishReason,
    GenerateRequest,
    Loaded,
    LoadFailed,
    LoadOptions,
    ModelHead,
    ModelInfo,
    Progress,
    PromptToken,
    SamplingParams,
    StateChanged,
    Stats,
    TextChunk,
)
from alpaca_tui.errors import UserError


@dataclass
class Script:
    """How the engine behaves. Rates are tokens per second; a token is `token_length` characters."""

    replies: list[str] = field(default_factory=lambda: ["Hello from the script."])
    rate: float = 100.0
    token_length: int = 4
    load_seconds: float = 0.0
    compile_seconds: float = 0.0
    prefill_seconds: float = 0.0
    stop_seconds: float = 0.0
    load_error: str = ""
    bad_paths: dict[str, str] = field(default_factory=dict)
    bad_heads: dict[str, str] = field(default_factory=dict)
    memory: int = 4400 << 20  # that a head says the model needs
    fail_after: int | None = None  # characters of a reply after which the engine fails
    cut: int | None = None  # first turn that the model remembers, said with each reply
    gap: tuple[int, int] = (0, 0)  # what it does not see of that turn
    n_ctx: int = 2048
    guide: bool = False
    name: str = "scripted-7B"


class ScriptedEngine:
    """`protocol.ChatEngine` by script. `requests`, `loads`, `samplings`, `threads` hold what it was asked."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or Script()
        self.requests: list[GenerateRequest] = []
        self.loads: list[tuple[Path, LoadOptions]] = []
        self.samplings: list[SamplingParams] = []
        self.threads: list[int] = []
        self.described: list[Path] = []
        self.stops = 0
        self.closed = False
        self.now = 0.0
        self._state = EngineState.EMPTY
        self._events: list[Event] = []
        self._stats = Stats()
        self._plan: list[tuple[float, Callable[[], None]]] = []
        self._stopping: float | None = None
        self._made = ""

    # --- the protocol --------------------------------------------------------------------------------------

    @property
    def state(self) -> EngineState:
        return self._state

    @property
    def stats(self) -> Stats:
        return self._stats

    def load(self, path: Path, options: LoadOptions) -> None:
        if self._state in (EngineState.LOADING, EngineState.COMPILING):
            self._plan.clear()
            self._events.append(LoadFailed("stopped"))
        self.loads.append((path, options))
        self._stopping = None
        self._enter(EngineState.LOADING)
        script, at = self.script, self.now
        steps = 20
        for i in range(1, steps + 1):
            if script.load_seconds:
                at += script.load_seconds / steps
                self._later(
                    at, lambda i=i: self._progress(EngineState.LOADING, i * (70 << 20), steps * (70 << 20))
                )
        for i in range(1, 11):
            if script.compile_seconds:
                at += script.compile_seconds / 10
                self._later(at, lambda i=i: self._progress(EngineState.COMPILING, i, 10, f"kernel_{i}"))
        error = script.bad_paths.get(path.name, script.load_error)
        self._later(at, lambda: self._load_failed(error) if error else self._loaded(path, options))

    def generate(self, request: GenerateRequest) -> None:
        self.requests.append(request)
        self._stopping = None
        self._enter(EngineState.PREFILL)
        script, at = self.script, self.now
        n = sum(len(segment.text) for turn in request.turns for segment in turn) // script.token_length + 30
        self._stats = Stats(
            prompt_tokens=n, n_ctx=script.n_ctx, n_past=n, prompt_seconds=script.prefill_seconds
        )
        self._made = ""
        for i in range(1, 9):
            if script.prefill_seconds:
                at += script.prefill_seconds / 8
                self._later(at, lambda i=i: self._progress(EngineState.PREFILL, n * i // 8, n))
        text = script.replies[(len(self.requests) - 1) % len(script.replies)]
        if script.cut is not None:
            self._later(at, lambda: self._events.append(ContextCut(script.cut or 0, script.gap)))
        self._later(at, lambda: self._enter(EngineState.GENERATING))
        pieces = [text[i : i + script.token_length] for i in range(0, len(text), script.token_length)]
        limit = len(pieces) if request.max_tokens < 0 else request.max_tokens
        for count, piece in enumerate(pieces[:limit], 1):
            at += 1 / script.rate
            self._later(at, lambda piece=piece: self._token(piece))
            if script.fail_after is not None and count * script.token_length >= script.fail_after:
                self._later(at, lambda: self._finish(FinishReason.FAILED, "the script says so."))
                return
        reason = FinishReason.END if len(pieces) <= limit else FinishReason.LENGTH
        self._later(at, lambda: self._finish(reason))

    def set_sampling(self, sampling: SamplingParams) -> None:
        self.samplings.append(sampling)

    def set_threads(self, n_threads: int) -> None:
        self.threads.append(n_threads)

    def describe(self, path: Path, options: LoadOptions) -> ModelHead:
        self.described.append(path)
        if path.name in self.script.bad_heads:
            raise UserError(self.script.bad_heads[path.name])
        return ModelHead(path.stem, "7B", "gguf v3", "q4_0", 4096, options.n_ctx or 2048, self.script.memory)

    def prompt_tokens(self, request: GenerateRequest) -> Sequence[PromptToken]:
        """A token for each run of letters, and one for every other character."""
        if self._state is EngineState.EMPTY:
            raise UserError("There is no model to read the prompt: open one first.")
        made = []
        for part, segments in enumerate((request.prefix, *request.turns)):
            for segment in segments:
                made += [PromptToken(1, "<s>", part, special=True)] * segment.bos
                made += [
                    PromptToken(len(t), t, part) for t in re.findall(r"[a-zA-Z]+|[^a-zA-Z]", segment.text)
                ]
                made += [PromptToken(2, "</s>", part, special=True)] * segment.eos
        return made

    def stop(self) -> None:
        self.stops += 1
        if self._state.busy and self._stopping is None:
            loading = self._state in (EngineState.LOADING, EngineState.COMPILING)
            self._stopping = self.now
            self._plan.clear()
            self._enter(EngineState.STOPPING)
            end = (lambda: self._load_failed("stopped", EngineState.EMPTY)) if loading else self._stopped
            self._later(self.now + self.script.stop_seconds, end)

    def poll(self) -> Sequence[Event]:
        self.advance(0.0)
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        self.closed = True

    # --- the script's side ---------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Lets time pass: everything that is due by then happens."""
        self.now += seconds
        while self._plan and self._plan[0][0] <= self.now + 1e-9:
            self._plan.pop(0)[1]()

    def finish_all(self) -> None:
        """Lets everything that is planned happen."""
        while self._plan:
            self.advance(max(self._plan[0][0] - self.now, 0.0))

    def _later(self, at: float, action: Callable[[], None]) -> None:
        self._plan.append((at, action))

    def _enter(self, state: EngineState) -> None:
        if state is not self._state:
            self._state = state
            self._events.append(StateChanged(state))

    def _progress(self, state: EngineState, done: int, total: int, what: str = "") -> None:
        self._enter(state)
        self._events.append(Progress(state, done, total, what))

    def _loaded(self, path: Path, options: LoadOptions) -> None:
        script = self.script
        guide = script.guide or path.name == "guide.gguf"
        info = ModelInfo(
            path=path,
            name="guide" if guide else script.name,
            description="llama 7B q4_0, gguf v3",
            n_ctx=options.n_ctx or script.n_ctx,
            n_ctx_train=2048,
            n_vocab=32000,
            n_threads=options.n_threads or 2,
            memory=4_400_000_000,
            guide=guide,
        )
        self._events.append(Loaded(info))
        self._enter(EngineState.IDLE)

    def _load_failed(self, why: str, state: EngineState = EngineState.FAILED) -> None:
        self._events.append(LoadFailed(why))
        self._enter(state)

    def _token(self, piece: str) -> None:
        if not self._made:
            self._stats = replace(self._stats, first_token_seconds=self.script.prefill_seconds + 0.1)
        self._made += piece
        self._stats = replace(
            self._stats,
            generated_tokens=self._stats.generated_tokens + 1,
            generate_seconds=self._stats.generate_seconds + 1 / self.script.rate,
            n_past=self._stats.n_past + 1,
        )
        self._events.append(TextChunk(piece))

    def _stopped(self) -> None:
        self._finish(FinishReason.STOPPED)

    def _finish(self, reason: FinishReason, message: str = "") -> None:
        tokens = tuple(range(1000, 1000 + self._stats.generated_tokens))
        self._events.append(Finished(reason, self._stats, tokens, message))
        self._enter(EngineState.IDLE)


class Realtime(ScriptedEngine):
    """The same, moved by the wall clock."""

    def __init__(self, script: Script | None = None) -> None:
        super().__init__(script)
        self._begin = time.monotonic()

    def poll(self) -> Sequence[Event]:
        self.advance(time.monotonic() - self._begin - self.now)
        return super().poll()
