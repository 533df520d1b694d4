"""The engine behind the interface: one thread that owns it, commands in, events out.

Imports the standard library, and of this program what does so itself: NumPy, Numba and the engine come in the
thread, with the first load. The thread is a daemon that touches no screen; nothing here waits for it but
`close`, and that for two seconds at most.
"""

from __future__ import annotations

import atexit
import gc
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from alpaca_tui.engine.prompt import prompt_tokens
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
    Progress,
    PromptToken,
    SamplingParams,
    StateChanged,
    Stats,
    TextChunk,
)
from alpaca_tui.engine.threads import thread_count
from alpaca_tui.engine.view import View, encode, full
from alpaca_tui.errors import UserError

if TYPE_CHECKING:
    from alpaca_tui.engine.engine import Engine
    from alpaca_tui.engine.keeper import Keeper

log = logging.getLogger(__name__)
CLOSE_SECONDS = 2.0
PUT_AWAY_SECONDS = 1.7  # of these, for saving the context
IDLE_SECONDS = 30.0  # after which the context is saved, in case that the program does not end well
OUT_OF_MEMORY = "The computer ran out of memory: load a smaller model or a smaller context (-c)."


class _Cancelled(Exception):  # noqa: N818 - no error
    """Raised through a load to end it."""


@dataclass
class _Load:
    path: Path
    options: LoadOptions
    cancel: threading.Event = field(default_factory=threading.Event)
    first_state = EngineState.LOADING


@dataclass
class _Generate:
    request: GenerateRequest
    sampling: SamplingParams
    cancel: threading.Event = field(default_factory=threading.Event)
    first_state = EngineState.PREFILL


class EngineWorker:
    """`protocol.ChatEngine`, for real.

    `load` ends what is in progress and closes the model before it opens the new one, since both may not fit
    in memory; after a failed or stopped load there is no model. `generate` while busy waits for its turn.
    `state` is right from the moment of the call. `open_engine` makes the engine, for tests; by default
    `Engine.load`.
    """

    def __init__(self, open_engine: Callable[..., Engine] | None = None) -> None:
        self._open_engine = open_engine
        self._engine: Engine | None = None
        self._commands: queue.SimpleQueue[_Load | _Generate | None] = queue.SimpleQueue()
        # Over all that follows. Both it and the queue may be entered again by a signal handler that stops.
        self._lock = threading.RLock()
        self._events: deque[Event] = deque()
        self._jobs: list[_Load | _Generate] = []  # the one in progress and those waiting
        self._state = EngineState.EMPTY
        self._n_threads: int | None = None  # wanted since the last load began
        self._lookup = True  # as in the options of the load
        self._cut = ContextCut(0)  # what the interface believes to be in context
        self._memory = ContextCut(0)  # the same as the engine's context counts it
        self._keeper: Keeper | None = None  # as long as there is an engine
        self._prefilled = (0, 0)  # tokens of the prompt that are evaluated, of how many
        self._shown = 0  # of them, as told by `poll`
        self._closed = False
        # NumPy is imported by one thread at a time: two at once may each see half of it.
        self._importing = threading.Lock()
        self._rest = EngineState.EMPTY  # the state between jobs
        self._thread = threading.Thread(target=self._main, name="engine", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    # --- the interface's side ------------------------------------------------------------------------------

    @property
    def state(self) -> EngineState:
        return self._state

    @property
    def stats(self) -> Stats:
        engine = self._engine
        return engine.stats if engine else Stats()

    def load(self, path: Path, options: LoadOptions) -> None:
        self.stop()
        self._n_threads = None
        self._submit(_Load(path, options))

    def generate(self, request: GenerateRequest) -> None:
        self._submit(_Generate(request, request.sampling))

    def set_sampling(self, sampling: SamplingParams) -> None:
        with self._lock:
            for job in self._jobs:
                if isinstance(job, _Generate):
                    job.sampling = sampling
            engine = self._engine
        if engine:
            engine.set_sampling(sampling)

    def set_threads(self, n_threads: int) -> None:
        n_threads = thread_count(n_threads)
        with self._lock:
            engine = self._engine
            self._n_threads = n_threads  # a load in progress takes it up when it is through
        if engine:
            engine.set_threads(n_threads)

    def stop(self) -> None:
        with self._lock:
            if not self._jobs:
                return
            for job in self._jobs:
                job.cancel.set()
            self._set_state(EngineState.STOPPING)
            engine = self._engine
        if engine:
            engine.stop()

    def describe(self, path: Path, options: LoadOptions) -> ModelHead:
        with self._importing:
            from alpaca_tui.engine.describe import describe
        return describe(path, options)

    def prompt_tokens(self, request: GenerateRequest) -> Sequence[PromptToken]:
        engine = self._engine
        if engine is None:
            raise UserError("There is no model to read the prompt: open one first.")
        return prompt_tokens(engine.tokenizer, (request.prefix, *request.turns))

    def poll(self) -> Sequence[Event]:
        """The events, and between two chunks of a long prompt how far the evaluation is by now."""
        with self._lock:
            events, self._events = self._events, deque()
            events.extend(self._live_progress())
        joined: list[Event] = []
        for event in events:
            last = joined[-1] if joined else None
            if isinstance(event, TextChunk) and isinstance(last, TextChunk):
                joined[-1] = TextChunk(last.text + event.text)
            else:
                joined.append(event)
        return joined

    def _live_progress(self) -> Iterator[Progress]:
        """With the lock held."""
        engine = self._engine
        if self._state is EngineState.PREFILL and engine:
            done, total = self._prefilled
            done = min(done + int(engine.under_way), total)
            if done > self._shown:
                self._shown = done
                yield Progress(EngineState.PREFILL, done, total)

    def close(self) -> None:
        """Stops what is in progress and gives the model back. Waits for that two seconds at most."""
        if not self._closed:
            self._closed = True
            atexit.unregister(self.close)
            self.stop()
            self._commands.put(None)
            self._thread.join(CLOSE_SECONDS)

    def _submit(self, job: _Load | _Generate) -> None:
        with self._lock:
            if self._closed:
                return
            self._jobs.append(job)
            if len(self._jobs) == 1:
                self._set_state(job.first_state)
        self._commands.put(job)

    def _set_state(self, state: EngineState) -> None:
        """With the lock held."""
        if state is not self._state:
            self._state = state
            self._events.append(StateChanged(state))

    # --- the thread's side ---------------------------------------------------------------------------------

    def _main(self) -> None:
        while (job := self._next_job()) is not None:
            if isinstance(job, _Load):
                self._load(job)
            else:
                self._generate(job)
        try:
            end = time.monotonic() + PUT_AWAY_SECONDS
            self._drop_engine(lambda: time.monotonic() > end)
        except Exception:  # the program is ending: nobody is left to be told
            log.exception("the model could not be closed")

    def _next_job(self) -> _Load | _Generate | None:
        try:
            return self._commands.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            self._put_away(lambda: not self._commands.empty())
            return self._commands.get()

    def _put_away(self, cancelled: Callable[[], bool]) -> None:
        try:
            if self._keeper:
                self._keeper.put_away(self._memory, cancelled)
        except Exception:  # a state is a convenience
            log.exception("the state of a conversation is not kept")

    def _emit(self, *events: Event) -> None:
        with self._lock:
            self._events.extend(events)

    def _enter(self, state: EngineState, job: _Load | _Generate) -> None:
        with self._lock:
            if not job.cancel.is_set():
                self._set_state(state)

    def _leave(self, job: _Load | _Generate, state: EngineState, *events: Event) -> None:
        """The job is done: its last events, then the state that it leaves, or that of the job behind it."""
        with self._lock:
            self._events.extend(events)
            self._jobs.remove(job)
            self._rest = state
            if self._jobs:
                following = self._jobs[0]
                state = EngineState.STOPPING if following.cancel.is_set() else following.first_state
            self._set_state(state)

    def _drop_engine(self, cancelled: Callable[[], bool]) -> None:
        """Closes the model, when its context is saved or `cancelled` has come true."""
        self._put_away(cancelled)
        self._keeper = None
        engine, self._engine = self._engine, None
        if engine:
            engine.close()
            del engine
            gc.collect()  # a model is gigabytes, and whatever refers to it in a circle would keep them

    def _load(self, job: _Load) -> None:
        def on_progress(stage: str, done: int, total: int, what: str) -> None:
            if job.cancel.is_set():
                raise _Cancelled
            state = EngineState.COMPILING if stage == "compile" else EngineState.LOADING
            self._enter(state, job)
            self._emit(Progress(state, done, total, what))

        options = job.options
        try:
            self._drop_engine(job.cancel.is_set)
            if job.cancel.is_set():
                raise _Cancelled
            engine = self._opener()(
                job.path,
                n_ctx=options.n_ctx,
                n_threads=options.n_threads,
                n_batch=options.n_batch,
                cache_type=options.cache_type,
                tokenizer=options.tokenizer,
                norm_eps=options.norm_eps,
                rope=options.rope,
                loras=options.loras,
                lora_base=options.lora_base,
                on_progress=on_progress,
            )
        except _Cancelled:
            self._leave(job, EngineState.EMPTY, LoadFailed(f"Loading {job.path.name} was stopped."))
        except Exception as error:
            self._leave(job, EngineState.FAILED, LoadFailed(_sentence(error)))
        else:
            self._cut = self._memory = ContextCut(0)
            self._lookup = options.lookup
            self._keeper = self._keep(engine, options)
            with self._lock:
                self._engine, n_threads = engine, self._n_threads
            if n_threads is not None:
                engine.set_threads(n_threads)
            self._leave(job, EngineState.IDLE, Loaded(engine.model))

    def _opener(self) -> Callable[..., Engine]:
        if self._open_engine is None:
            with self._importing:
                from alpaca_tui.engine.engine import Engine

            self._open_engine = Engine.load
        return self._open_engine

    def _keep(self, engine: Engine, options: LoadOptions) -> Keeper:
        from alpaca_tui.engine.keeper import Keeper
        from alpaca_tui.engine.state_store import StateStore

        return Keeper(engine, StateStore() if options.saved_states else None)

    def _generate(self, job: _Generate) -> None:
        engine = self._engine
        if engine is None:
            stopped = job.cancel.is_set()
            reason = FinishReason.STOPPED if stopped else FinishReason.FAILED
            message = "" if stopped else "There is no model to answer: open one first."
            self._leave(job, self._rest, Finished(reason, Stats(), (), message))
            return
        try:
            finished = self._reply(job, engine)
        except Exception as error:
            finished = Finished(FinishReason.FAILED, engine.stats, engine.reply_tokens, _sentence(error))
        self._leave(job, EngineState.IDLE, finished)

    def _reply(self, job: _Generate, engine: Engine) -> Finished:
        request, n_ctx, keeper = job.request, engine.model.n_ctx, self._keeper
        assert keeper is not None
        prefix = encode(engine.tokenizer, request.prefix)
        turns = [encode(engine.tokenizer, turn) for turn in request.turns] or [[]]
        self._memory = keeper.restore(request, prefix, turns, self._memory, job.cancel.is_set)
        try:
            view = View(request, prefix, turns, n_ctx, engine.context, self._memory, engine.shift)
        except UserError as error:
            stats = Stats(n_past=len(engine.context), n_ctx=n_ctx)
            return Finished(FinishReason.CONTEXT, stats, (), str(error))
        self._see(view)

        def refit(reply: list[int]) -> list[int] | None:
            tokens = view.make_room(reply)
            if tokens is not None:
                self._see(view)
            return tokens

        def on_progress(done: int, total: int) -> None:
            self._enter(EngineState.PREFILL, job)
            with self._lock:
                self._prefilled, self._shown = (done, total), done
                self._events.append(Progress(EngineState.PREFILL, done, total))
            if done == total and not engine.stats.generated_tokens:
                keeper.prompt_evaluated(request, self._memory)

        tokens = engine.generate(
            view.tokens,
            job.sampling,
            max_tokens=request.max_tokens,
            stop=request.stop,
            n_batch=request.n_batch,
            on_progress=on_progress,
            refit=refit,
            lookup=self._lookup,
            begun=request.begun,
            negative=encode(engine.tokenizer, request.negative) if request.negative else None,
            n_instead=len(prefix),
        )
        # New parameters, and a stop, may have come just before the engine could hear of them.
        engine.set_sampling(job.sampling)
        if job.cancel.is_set():
            engine.stop()
        for token in tokens:
            self._enter(EngineState.GENERATING, job)
            if token.text:
                self._emit(TextChunk(token.text))
        reason = engine.finish_reason or FinishReason.STOPPED
        keeper.reply_made(request, self._memory)
        message = full(n_ctx, request.when_full) if reason is FinishReason.CONTEXT else keeper.trouble
        return Finished(reason, engine.stats, engine.reply_tokens, message)

    def _see(self, view: View) -> None:
        """Remembers how the conversation is cut now, and tells it."""
        self._memory = view.memory
        if ContextCut(0) not in (view.cut, self._cut) or view.cut != self._cut:
            self._emit(view.cut)
        self._cut = view.cut


def _sentence(error: Exception) -> str:
    """What the user is told; what the user cannot help goes to the log in full."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError):
        return OUT_OF_MEMORY
    log.error("unexpected error in the engine", exc_info=error)
    detail = next(iter(str(error).splitlines()), "")
    return f"unexpected error: {type(error).__name__}{': ' * bool(detail)}{detail}"
