"""A chat with an engine: what is asked, what waits, what is being answered.

The session owns the conversation and drives the engine; a view calls its methods and then `pump()`, which
returns what changed. It knows no screen, and nothing in it blocks.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from alpaca_tui.chat import changes
from alpaca_tui.chat.conversation import Conversation, Message, Removed
from alpaca_tui.chat.formats import ALPACA, PromptFormat, build_request
from alpaca_tui.chat.recorder import Recorder
from alpaca_tui.chat.rewriting import Rewriting
from alpaca_tui.chat.settings import Settings
from alpaca_tui.engine.protocol import (
    ChatEngine,
    ContextCut,
    EngineState,
    Event,
    Finished,
    FinishReason,
    Loaded,
    LoadFailed,
    LoadOptions,
    ModelInfo,
    Progress,
    StateChanged,
    Stats,
    TextChunk,
)


class ChatSession(Rewriting):
    """`explicit` are the settings that the user gave; only the others follow the model that is loaded. With a
    `recorder`, conversations are saved."""

    def __init__(
        self,
        settings: Settings,
        instruction: str,
        *,
        explicit: frozenset[str] = frozenset(),
        prompt_format: PromptFormat = ALPACA,
        prompt_name: str = "",
        recorder: Recorder | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.settings.chosen |= explicit
        self.instruction = instruction
        self.prompt_name = prompt_name
        self.prompt_format = prompt_format
        self.conversation = Conversation()
        self.queue_held = False
        self.recorder = recorder
        self.model: ModelInfo | None = None
        self.model_path: Path | None = None
        self.progress: Progress | None = None
        self.load_error = ""
        self.memory_start: int | None = None
        self.replying: Message | None = None
        self.loading = False
        self._engine: ChatEngine | None = None
        self._clock = clock
        self._stop_asked: float | None = None
        self._again = False
        self._abandoned = False
        self._answering = self.conversation
        self._undo: list[Removed] = []
        self._loads = 0  # begun and not ended: a new one ends the one before
        self._wanted: tuple[Path, LoadOptions] | None = None
        self._loaded_options = LoadOptions()
        self._first_load: tuple[Path, float | None, Path | None] | None = None
        self._changes: deque[changes.Change] = deque()

    # --- what is so ----------------------------------------------------------------------------------------

    @property
    def state(self) -> EngineState:
        """The engine's state, or the one that it is about to take."""
        if self._stop_asked is not None and self.busy:
            return EngineState.STOPPING
        state = self._engine.state if self._engine else EngineState.EMPTY
        if self.busy and not state.busy:
            return EngineState.LOADING if self.loading else EngineState.PREFILL
        return state

    @property
    def busy(self) -> bool:
        return self.loading or self.replying is not None

    @property
    def ready(self) -> bool:
        """Can a question be answered now?"""
        return self._engine is not None and self.model is not None and not self.busy

    @property
    def stats(self) -> Stats:
        return self._engine.stats if self._engine else Stats()

    @property
    def stopping_seconds(self) -> float:
        """How long ago a stop was asked for that has not come yet; 0 where none was."""
        return self._clock() - self._stop_asked if self._stop_asked is not None and self.busy else 0.0

    @property
    def needs_reload(self) -> bool:
        """Is a setting changed that only a reload brings into force?"""
        options = self.settings.load_options()
        return self.model is not None and options.n_ctx != self._loaded_options.n_ctx

    @property
    def can_continue(self) -> bool:
        last = self.conversation.last
        return self.ready and last is not None and last.can_continue

    # --- engine and model ----------------------------------------------------------------------------------

    def start(self, path: Path, norm_eps: float | None = None, tokenizer: Path | None = None) -> None:
        """The model to load as soon as there is an engine (`attach`)."""
        self._first_load = (path, norm_eps, tokenizer)
        self.model_path = path
        self.loading = True
        if self._engine is not None:
            self.attach(self._engine)

    def attach(self, engine: ChatEngine) -> None:
        self._engine = engine
        if self._first_load is not None:
            path, norm_eps, tokenizer = self._first_load
            self._first_load = None
            self.loading = False
            if self._stop_asked is not None:
                self._end_load(changes.LoadCancelled())
            else:
                self.load(path, norm_eps=norm_eps, tokenizer=tokenizer)

    def no_engine(self, reason: str) -> None:
        """The engine could not be made."""
        self._end_load(changes.LoadRefused(reason))

    def load(self, path: Path, *, norm_eps: float | None = None, tokenizer: Path | None = None) -> bool:
        """Begins to load a model, instead of one that is loading. False, and nothing happens, while a
        reply is in the making."""
        if self._engine is None or self.replying is not None:
            return False
        if path != self.model_path:
            self.settings.forget_model()
        options = replace(self.settings.load_options(), norm_eps=norm_eps, tokenizer=tokenizer)
        return self._load(path, options)

    def reload(self) -> bool:
        """Loads the same model with the settings as they are now."""
        if self._engine is None or self.busy or self.model_path is None:
            return False
        was = self._loaded_options
        options = replace(self.settings.load_options(), norm_eps=was.norm_eps, tokenizer=was.tokenizer)
        return self._load(self.model_path, options)

    def _load(self, path: Path, options: LoadOptions) -> bool:
        assert self._engine is not None
        self.loading = True
        self.load_error = ""
        self.progress = None
        self._stop_asked = None
        self._wanted = (path, options)
        self._loads += 1
        self._engine.load(path, options)
        return True

    # --- talking -------------------------------------------------------------------------------------------

    def submit(self, text: str) -> None:
        """Asks now, or as soon as it can be. An empty text sends what waits in a held queue."""
        if text.strip():
            self.queue.append(text)
            self._keep_head()
        self.queue_held = False
        self._tell(changes.QueueChanged())
        self._send_next()

    def take_back(self) -> str | None:
        """The newest waiting message, no longer waiting."""
        if not self.queue:
            return None
        text = self.queue.pop()
        self._keep_head()
        self._tell(changes.QueueChanged())
        return text

    def stop(self) -> bool:
        """Ends a load, a prefill or a reply at once. False where there is none."""
        if not self.busy:
            return False
        if self._stop_asked is None:
            self._stop_asked = self._clock()
            self._tell(changes.StateSeen(EngineState.STOPPING))
        if self._engine is not None:
            self._engine.stop()
        return True

    def close(self) -> None:
        """Ends the engine. A reply in the making stays as it is, stopped."""
        if self._engine is not None:
            self.pump()
            self._engine.close()
        if self.replying is not None:
            self.replying.finish(FinishReason.STOPPED, self.stats)
            self.replying.tokens = None
            self._keep(self.replying, self._answering)

    # --- what happens --------------------------------------------------------------------------------------

    def pump(self) -> list[changes.Change]:
        """Takes in what the engine did since the last call, and returns all that changed."""
        if self._engine is not None:
            for event in self._engine.poll():
                self._take(event)
        if self.recorder is not None:
            self.recorder.tick()
        told = list(self._changes)
        self._changes.clear()
        return told

    def _take(self, event: Event) -> None:
        match event:
            case StateChanged():
                self._tell(changes.StateSeen(self.state))
            case Progress():
                self.progress = event
                self._tell(changes.ProgressSeen(event))
            case Loaded() | LoadFailed() if self._loads > 1:
                self._loads -= 1
            case Loaded(model):
                self._loads = 0
                self._loaded(model)
            case LoadFailed(message):
                self._loads = 0
                cancelled = self._stop_asked is not None
                self._end_load(changes.LoadCancelled() if cancelled else changes.LoadRefused(message))
            case ContextCut(first_turn, gap):
                self._cut(first_turn, gap[1] > gap[0])
            case TextChunk(text) if self.replying is not None:
                self.replying.text += text
                self._keep(self.replying, self._answering, grows=True)
                self._tell(changes.ReplyText(self.replying))
            case Finished():
                self._finished(event)
            case _:
                pass

    def _loaded(self, model: ModelInfo) -> None:
        self.loading = False
        self._stop_asked = None
        self.progress = None
        assert self._wanted is not None
        path, self._loaded_options = self._wanted
        if self.model is None:
            self.conversation.forget_tokens(but=model.name)  # it may have been opened before the model
        elif path != self.model_path:
            self.conversation.forget_tokens()
        self.model, self.model_path = model, path
        if self._follow_model():
            self._tell(changes.SettingsChanged())
        self._tell(changes.ModelReady(model))
        self._send_next()

    def _end_load(self, change: changes.LoadRefused | changes.LoadCancelled) -> None:
        self.loading = False
        self._stop_asked = None
        self.progress = None
        if self.state is not EngineState.IDLE:
            self.model = None
        if isinstance(change, changes.LoadRefused):
            self.load_error = change.reason
        self._tell(change)

    def _cut(self, first_turn: int, within: bool) -> None:
        """`within`: a part of the turn's reply is not seen any more, either."""
        if self._abandoned:
            return
        turn = dict(enumerate(self.conversation.turns())).get(first_turn)
        start = turn.question.id if turn and first_turn else None
        if turn and turn.reply and within:
            start = turn.reply.id
        if start != self.memory_start:
            self.memory_start = start
            self._tell(changes.MemoryBegins(start))

    def _finished(self, event: Finished) -> None:
        reply, self.replying = self.replying, None
        again, self._again = self._again, False
        self._stop_asked = None
        self.progress = None
        abandoned, self._abandoned = self._abandoned, False
        if reply is None:
            return
        reply.finish(event.reason, event.stats, event.tokens, event.message)
        self._keep(reply, self._answering)
        self._tell(changes.MessageChanged(reply))
        if abandoned:
            self._send_next()
        elif again:
            self.regenerate()
        elif event.reason in (FinishReason.STOPPED, FinishReason.FAILED):
            self.queue_held = bool(self.queue)
            self._tell(changes.QueueChanged())
        else:
            self._send_next()

    def _send_next(self) -> None:
        if not self.ready or not self.queue or self.queue_held:
            return
        question = self.conversation.add_question(self.queue.pop(0))
        self._keep(question)
        self._keep_head()
        self._tell(changes.QueueChanged())
        self._tell(changes.MessageAdded(question))
        reply = self._open_reply(question)
        self._tell(changes.MessageAdded(reply))
        self._generate(reply)

    def _answer(self, question: Message) -> None:
        """A new reply to a question that is there, the path ending with it."""
        reply = self._open_reply(question)
        self._tell(changes.PathChanged())
        self._generate(reply)

    def _open_reply(self, question: Message) -> Message:
        assert self.model is not None
        model, settings = self.model, self.settings.as_dict()
        return self.conversation.add_reply(question, model.name, model.guide, settings)

    def _generate(self, reply: Message) -> None:
        """Has the engine make or continue a reply, once its question is saved."""
        assert self._engine is not None
        self.replying, self._answering = reply, self.conversation
        self._keep(reply)
        if self.recorder is not None:
            self.recorder.commit()
        self._stop_asked = None
        self._tell(changes.StateSeen(self.state))
        self._engine.generate(
            build_request(self.conversation, self.settings, self.instruction, self.prompt_format)
        )

    def _tell(self, change: changes.Change) -> None:
        if isinstance(change, changes.ReplyText) and self._changes and self._changes[-1] == change:
            return  # drawn once for all that came since the last look
        self._changes.append(change)
