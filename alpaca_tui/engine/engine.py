"""The engine as a Python object: a model file, its tokenizer, and replies token by token.

from alpaca_tui.engine import Engine, Sampling

with Engine.load("model.gguf", n_ctx=2048) as engine:
    ids = engine.tokenizer.encode("Once upon a time")
    for token in engine.generate(ids, Sampling(temp=0.2, seed=1), max_tokens=100):
        print(token.text, end="", flush=True)
    print(f"{engine.stats.generate_speed:.1f} tokens/s")
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from alpaca_tui.engine import state
from alpaca_tui.engine.generation import Context, Executor, OnProgress, Refit, Reply, Token
from alpaca_tui.engine.grammar.matcher import Grammars
from alpaca_tui.engine.guidance import Guidance, second_context
from alpaca_tui.engine.lookup import Account
from alpaca_tui.engine.memory import DEFAULT_N_CTX, batch_fits, check_memory
from alpaca_tui.engine.protocol import (
    Adapter,
    ContextCut,
    FinishReason,
    ModelInfo,
    RopeOptions,
    SamplingParams,
    Stats,
)
from alpaca_tui.engine.sampling import Sampler, checked
from alpaca_tui.engine.state import Identity
from alpaca_tui.engine.threads import thread_count
from alpaca_tui.engine.window import common_prefix
from alpaca_tui.errors import UserError
from alpaca_tui.files.state_file import Head

if TYPE_CHECKING:
    from alpaca_tui.engine.tokenizer import Tokenizer
    from alpaca_tui.files.model_file import ModelFile

OnLoad = Callable[[str, int, int, str], None]  # stage ("load" or "compile"), done, total, what


class Engine:
    """A loaded model, for one thread at a time; `stop`, `set_sampling`, `set_threads` and `stats` serve any.

    `model` says what was loaded; `tokenizer` has `encode(text, bos=True, space_prefix=True)`, `decode(ids)`
    and `n_vocab`; `stats` are the numbers of the reply in the making or just made, `finish_reason` says why
    it ended.
    """

    def __init__(
        self, executor: Executor, tokenizer: Tokenizer, model: ModelInfo, file: ModelFile | None = None
    ) -> None:
        """For engines made of parts already at hand; `load` is the usual way."""
        self.tokenizer = tokenizer
        self.model = model
        self._executor = executor
        self._n_batch = executor.n_batch
        self._file = file
        self._context = Context(executor)
        self._account = Account()
        self._grammars = Grammars(tokenizer)
        self._second: Context | None = None  # for guidance, once that was wanted
        self._reply: Reply | None = None
        self._stop = threading.Event()

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        n_ctx: int | None = None,
        n_threads: int | None = None,
        n_batch: int = 512,
        cache_type: str = "f16",
        tokenizer: str | Path | None = None,
        norm_eps: float | None = None,
        rope: RopeOptions | None = None,
        loras: Sequence[Adapter | str | Path] = (),
        lora_base: str | Path | None = None,
        on_progress: OnLoad | None = None,
    ) -> Engine:
        """The model in `path`, ready to run.

        `n_ctx`: tokens of context, by default the model's own, at most 2048. `n_threads`: by default one
        for each usable core. `n_batch`: prompt tokens evaluated in one go, at most. `cache_type`: keys and
        values in "f16", or in "q8_0", which takes half of the memory. `tokenizer`: a tokenizer.model to use
        instead of what the file has. `norm_eps`: for the formats of 2023, which do not carry it (default
        1e-6). `rope`: how positions become angles, instead of as the file says. `loras` are applied in their
        order; with `lora_base`, a file of the same model in f16, to its weights instead of to those of
        `path`. `on_progress(stage, done, total, what)` hears of stage "load" and "compile"; what it raises
        ends the load.

        Raises UserError: the file is missing, damaged or unsupported; it does not fit in memory; that many
        threads cannot be.
        """
        from alpaca_tui.engine.lora import Loras
        from alpaca_tui.engine.model import Model
        from alpaca_tui.engine.tokenizer import Tokenizer
        from alpaca_tui.files.model_file import open_model

        n_threads = thread_count(n_threads)
        path = Path(path)
        file = open_model(path, tokenizer=Path(tokenizer) if tokenizer else None, norm_eps=norm_eps)
        changes = None
        try:
            assert file.vocab is not None  # else open_model has refused it
            vocabulary = Tokenizer(file.vocab)
            n_ctx = n_ctx or min(file.hparams.n_ctx_train or DEFAULT_N_CTX, DEFAULT_N_CTX)
            n_batch = max(1, min(n_batch, n_ctx))
            check_memory(file, n_ctx, n_batch, cache_type)
            if loras:
                adapters = [a if isinstance(a, Adapter) else Adapter(Path(a)) for a in loras]
                changes = Loras(file, adapters, Path(lora_base) if lora_base else None)
            executor = Model(
                file,
                n_ctx=n_ctx,
                n_threads=n_threads,
                n_batch=n_batch,
                cache_type=cache_type,
                rope_options=rope,
                loras=changes,
                on_progress=on_progress or (lambda stage, done, total, what: None),
            )
        except BaseException:
            if changes:
                changes.close()
            file.close()
            raise
        info = ModelInfo(
            path=path,
            name=file.name,
            description=_with_loras(file.description, loras),
            n_ctx=n_ctx,
            n_ctx_train=file.hparams.n_ctx_train,
            n_vocab=file.hparams.n_vocab,
            n_threads=n_threads,
            memory=executor.memory,
            guide=_is_guide(path),
        )
        return cls(executor, vocabulary, info, file)

    @property
    def executor(self) -> Executor:
        """The model by itself, for callers with a loop of their own: `context` does not hear of that."""
        return self._executor

    @property
    def stats(self) -> Stats:
        return self._reply.stats if self._reply else Stats(n_ctx=self.model.n_ctx)

    @property
    def under_way(self) -> float:
        """How many tokens' worth of the evaluation in progress is done; cheap, and from any thread."""
        return self._context.under_way

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the last reply ended; None before that, and for a reply that was abandoned."""
        return self._reply.reason if self._reply else None

    @property
    def context(self) -> Sequence[int]:
        """The tokens evaluated so far, as the next prompt will be compared with them."""
        return tuple(self._context.tokens)

    def shift(self, start: int, stop: int) -> None:
        """Takes tokens start .. stop out of the context; those behind them move up, and are not evaluated.

        What was computed of these in the presence of those that leave stays: `docs/performance.md` says how
        much that matters. May be called by `refit`. Raises ValueError for places outside of the context.
        """
        if not 0 <= start <= stop <= len(self._context.tokens):
            raise ValueError(f"there are no tokens {start} to {stop} in this context")
        if stop > start:
            self._context.shift(start, stop)

    def save_state(
        self,
        path: str | Path,
        *,
        cut: ContextCut = ContextCut(0),  # noqa: B008 (frozen)
        cancelled: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Writes what the context holds to a file; only the tokens in use take room in it.

        `cut` goes with it, for whoever cuts conversations. False, and the file is as before, where
        `cancelled()` came true meanwhile. Raises UserError where the file cannot be written.
        """
        tokens, seconds = self._context.tokens, self.seconds_per_token
        return state.save(
            Path(path),
            self.identity,
            self._executor,
            tokens,
            seconds=seconds,
            cut=cut,
            cancelled=cancelled,
        )

    def restore_state(self, path: str | Path, ids: Sequence[int] | None = None) -> int:
        """Takes up what `save_state` wrote, as far as it is the beginning of `ids` (None: all of it).

        The number of tokens that are in the context then. The file may be of a larger or a smaller context.
        Raises UserError for a file that is damaged, or of another model or other settings.
        """
        head = self.state_head(Path(path))
        n = len(head.tokens) if ids is None else common_prefix(head.tokens, ids)
        self.restore(Path(path), head, min(n, self.model.n_ctx))
        return len(self._context.tokens)

    def state_head(self, path: Path) -> Head:
        """What a saved state says of itself. Raises UserError as `restore_state`."""
        return state.check(path, self.identity, self._executor)

    def restore(self, path: Path, head: Head, n: int, seconds: float = float("inf")) -> None:
        """The first n tokens of a state. Raises `files.state_file.TooSlowError` where that takes longer."""
        self._reply = None
        self._context.restore(path, head, n, seconds)

    @cached_property
    def identity(self) -> Identity:
        """What a saved state must have in common with this model and its settings."""
        return self._executor.identity()

    @property
    def state_bytes(self) -> int:
        """How large a state of the present context would be."""
        return sum(self._executor.state_sizes(len(self._context.tokens)))

    @property
    def seconds_per_token(self) -> float:
        """What a token of a prompt takes, as last measured; 0 before that."""
        return self._context.seconds_per_token

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """What the model says after each of `ids`, from an empty context: float32 [len(ids), n_vocab].

        Raises UserError where `ids` are no tokens of this model or more than its context holds, and
        `engine.stopped.Stopped` when `stop` was called meanwhile.
        """
        tokens = self._checked(ids, self.model.n_ctx)
        self._begin()
        self._context.rewind(())
        out = np.empty((len(tokens), self._executor.n_vocab), np.float32)
        for at in range(0, len(tokens), self._executor.n_batch):
            chunk = tokens[at : at + self._executor.n_batch]
            out[at : at + len(chunk)] = self._context.eval(chunk, len(chunk))
        return out

    def generate(
        self,
        ids: Sequence[int],
        sampling: SamplingParams | Sampler | None = None,
        *,
        max_tokens: int = -1,
        stop: str | Sequence[str] = (),
        n_batch: int | None = None,
        on_progress: OnProgress | None = None,
        refit: Refit | None = None,
        lookup: bool = True,
        begun: str = "",
        negative: Sequence[int] | None = None,
        n_instead: int = 0,
    ) -> Iterator[Token]:
        """The tokens that follow `ids`, as they are made, each with the text that it adds.

        What `ids` have in common with the context of the call before is not evaluated again. The reply ends
        with the model's end token (which is not among the tokens), after `max_tokens` (< 0: no limit), at
        one of the texts in `stop` (which is not shown: tokens that may begin one are held back until that
        is decided), with `stop()`, or when the context is full. `on_progress(done, total)` counts prompt
        tokens while these are evaluated. `refit(tokens so far)` may give a shorter context, ending with
        these, to go on with when the context is full. An `n_batch` above that of the load takes more memory
        from then on; where that is not free, the prompt goes in smaller batches. `lookup`: where the reply
        repeats what stands in the context, several tokens are evaluated at once; the tokens are the same.
        `begun`: text that a grammar has matched already, where `ids` end with the beginning of the reply. A
        `sampler` instead of parameters goes on where its last reply ended: draws, and mirostat's state.
        With a `cfg_scale` above 1 the reply is led away from what would follow if `negative` stood in the
        place of the first `n_instead` of `ids`; that takes a second context, and twice the time.

        The iterator may be dropped half way. It ends, with a RuntimeError, when another call takes its place.
        Raises UserError where `ids` are empty, too many, or no tokens of this model.
        """
        tokens = self._checked(ids, self.model.n_ctx - 1)
        if not tokens:
            raise UserError("There is nothing to continue: the prompt has no tokens; give it at least one.")
        self._begin()
        self._make_room(n_batch)
        sampler = self.sampler(sampling or SamplingParams(), begun)
        guidance = None
        if negative is not None and sampler.params.cfg_scale > 1:
            if self._second is None:
                self._second = second_context(self._executor)
            guidance = Guidance(
                self._second, self._checked(negative, self.model.n_ctx), tokens[: max(n_instead, 0)]
            )
        reply = Reply(
            self._context,
            self.tokenizer,
            tokens,
            sampler,
            max_tokens=max_tokens,
            stop=(stop,) if isinstance(stop, str) else stop,
            n_batch=n_batch or self._n_batch,
            stopped=self._stop.is_set,
            on_progress=on_progress,
            refit=refit,
            account=self._account if lookup else None,
            guidance=guidance,
        )
        self._reply = reply
        return self._run(reply)

    def sampler(self, sampling: SamplingParams | Sampler, begun: str = "") -> Sampler:
        """A sampler for `generate`, at the beginning of the grammar that it has, or behind the text `begun`.

        Raises UserError for parameters that cannot be, and for a grammar that is wrong or does not match.
        """
        params = sampling.params if isinstance(sampling, Sampler) else checked(sampling)
        constraint = self._grammars.matcher(params, begun)
        if isinstance(sampling, Sampler):
            sampling.constraint = constraint
            return sampling
        return Sampler(params, self._executor.n_vocab, self.tokenizer, constraint)

    def _run(self, reply: Reply) -> Iterator[Token]:
        tokens = iter(reply)
        while True:
            if self._reply is not reply:
                raise RuntimeError("This reply was given up: another call of the engine came meanwhile.")
            token = next(tokens, None)
            if token is None:
                return
            yield token

    @property
    def reply_tokens(self) -> tuple[int, ...]:
        """The ids of the last reply as they may stand in the next prompt: no stop text, no half character."""
        return tuple(self._reply.tokens) if self._reply else ()

    def set_sampling(self, sampling: SamplingParams) -> None:
        """New parameters for the reply in the making, from its next token on; its seed stays."""
        if self._reply:
            self._reply.sampler.params = checked(sampling)

    def stop(self) -> None:
        """Ends the reply or evaluation in progress, within some 50 ms; what was generated stays."""
        self._stop.set()
        self._executor.request_stop()

    def set_threads(self, n_threads: int) -> None:
        """From the next evaluation on; 0 is one for each usable core. Raises UserError as `load` does."""
        self._context.n_threads = thread_count(n_threads)

    def close(self) -> None:
        """Gives the memory back; the engine cannot be used afterwards."""
        self._reply = None
        self._executor.close()
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self) -> None:
        self._reply = None
        self._stop.clear()
        self._executor.clear_stop()

    def _make_room(self, n_batch: int | None) -> None:
        """Larger buffers for a larger batch, where memory is free for them."""
        model = self._executor
        wanted = min(n_batch or 0, self.model.n_ctx)
        if wanted > model.n_batch and (
            self._file is None or batch_fits(self._file, self.model.n_ctx, wanted)
        ):
            model.set_batch(wanted)

    def _checked(self, ids: Sequence[int], limit: int) -> list[int]:
        tokens = [int(i) for i in ids]
        wrong = next((i for i in tokens if not 0 <= i < self._executor.n_vocab), None)
        if wrong is not None:
            raise UserError(
                f"{wrong} is no token of this model, which has 0 to {self._executor.n_vocab - 1}."
            )
        if len(tokens) > limit:
            raise UserError(
                f"The prompt has {len(tokens)} tokens, {len(tokens) - limit} too many for a context of "
                f"{self.model.n_ctx}; shorten it, or load the model with a larger context (-c)."
            )
        return tokens


def _with_loras(description: str, loras: Sequence[Adapter | str | Path]) -> str:
    """What a model is, with the names of what was applied to it."""
    names = [Path(lora.path if isinstance(lora, Adapter) else lora).name for lora in loras]
    return f"{description} + LoRA {', '.join(names)}" if names else description


def _is_guide(path: Path) -> bool:
    from alpaca_tui.resources import guide_model

    try:
        return path.samefile(guide_model())
    except (OSError, UserError):  # UserError: an installation without it
        return False
