"""From a prompt to a reply: what the cache holds, the loop over tokens, and text that comes out whole.

`Context` knows which tokens the model's cache holds and evaluates only what is new. `TextGate` turns token
bytes into whole characters and holds back what might become a stop text. `Reply` is the loop over both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from alpaca_tui.engine.lookup import Account, Lookahead
from alpaca_tui.engine.protocol import FinishReason, Stats
from alpaca_tui.engine.sampling import Sampler
from alpaca_tui.engine.state import Identity, restore
from alpaca_tui.engine.stopped import Stopped
from alpaca_tui.engine.tokenizer import Utf8Stream
from alpaca_tui.engine.window import common_prefix
from alpaca_tui.files.state_file import Head

if TYPE_CHECKING:
    from alpaca_tui.engine.guidance import Guidance

Logits = NDArray[np.float32]
MANY = 16  # tokens of a batch that says how fast prompts are evaluated
NOTHING: Logits = np.empty(0, np.float32)
OnProgress = Callable[[int, int], None]  # tokens done, of how many
Refit = Callable[[list[int]], Sequence[int] | None]


class Executor(Protocol):
    """What is needed of `engine.model.Model`."""

    n_ctx: int
    n_vocab: int
    n_batch: int

    @property
    def progress(self) -> float: ...
    @property
    def cache_bytes(self) -> int: ...
    def twin(self) -> Self: ...
    def eval(self, tokens: Sequence[int], pos: int, n_logits: int) -> Logits: ...
    def shift(self, start: int, stop: int, end: int) -> None: ...
    def state_sizes(self, n: int) -> list[int]: ...
    def state_pieces(self, n: int) -> Iterator[NDArray[np.uint8]]: ...
    def identity(self) -> Identity: ...
    def request_stop(self) -> None: ...
    def clear_stop(self) -> None: ...
    def set_threads(self, n_threads: int) -> None: ...
    def set_batch(self, n_batch: int) -> None: ...
    def close(self) -> None: ...


class Vocabulary(Protocol):
    """What is needed of `engine.tokenizer.Tokenizer` to turn tokens into text."""

    def piece(self, token: int) -> bytes: ...
    def is_eog(self, token: int) -> bool: ...


@dataclass(frozen=True)
class Token:
    """A token of a reply. `text` is what it adds to the text, whole characters only; it may be empty."""

    id: int
    text: str


class Context:
    """The model's cache and the tokens in it, which are what the next prompt is compared with.

    `n_threads`, where set (from any thread), is what the next evaluation begins with.
    """

    def __init__(self, model: Executor) -> None:
        self.model = model
        self.tokens: list[int] = []
        self.n_threads: int | None = None
        self.n_shifted = 0  # tokens that left by `shift` since a reply last looked
        self.n_restored = 0  # tokens that were read from a file since then
        self.seconds_per_token = 0.0  # of a prompt, as last measured; 0: not yet
        self._n_evaluating = 0

    @property
    def full(self) -> bool:
        return len(self.tokens) >= self.model.n_ctx

    @property
    def under_way(self) -> float:
        """How many tokens' worth of the evaluation in progress is done; cheap, and from any thread."""
        return self._n_evaluating * self.model.progress

    def rewind(self, tokens: Sequence[int]) -> int:
        """Keeps what `tokens` have in common with the cache, all but their last, whose logits are wanted."""
        n = min(common_prefix(self.tokens, tokens), max(len(tokens) - 1, 0))
        del self.tokens[n:]
        return n

    def shift(self, start: int, stop: int) -> None:
        """Takes the tokens start .. stop out of the cache; those behind them move up, without evaluation."""
        self.model.shift(start, stop, len(self.tokens))
        del self.tokens[start:stop]
        self.n_shifted += stop - start

    def restore(self, path: Path, head: Head, n: int, seconds: float) -> None:
        """The first n tokens of a saved state instead of what is in the cache. Raises as `state.restore`."""
        self.tokens = []
        restore(path, head, self.model, n, seconds)
        self.tokens = list(head.tokens[:n])
        self.n_restored = n

    def eval(self, tokens: Sequence[int], n_logits: int, keep: int | None = None) -> Logits:
        """Evaluates at most `n_batch` tokens behind those in the cache: float32 [n_logits, n_vocab].

        Only the first `keep` of them count as in the cache from then on (None: all); `append` counts one
        more, until the next call. Raises Stopped, and then none of `tokens` counts.
        """
        n_threads, self.n_threads = self.n_threads, None
        if n_threads is not None:
            self.model.set_threads(n_threads)
        self._n_evaluating = len(tokens)
        begin = time.perf_counter()
        try:
            logits = self.model.eval(tokens, len(self.tokens), n_logits)
        finally:
            self._n_evaluating = 0
        if len(tokens) >= MANY:
            self.seconds_per_token = (time.perf_counter() - begin) / len(tokens)
        self.tokens.extend(tokens[:keep])
        return logits

    def append(self, token: int) -> None:
        """Counts the next of the tokens that `eval` was given and that it did not keep."""
        self.tokens.append(token)


class TextGate:
    """Lets tokens through with their text as soon as it is certain that no stop text begins in it.

    `hit` is set once a stop text has appeared, and `index` to which of them it is; the token in which it
    begins then comes out with what stands before it, and the ones behind it not at all.
    """

    def __init__(self, vocabulary: Vocabulary, stop: Sequence[str]) -> None:
        self._vocabulary = vocabulary
        self._stop = [(i, text) for i, text in enumerate(stop) if text]
        self._utf8 = Utf8Stream()
        self._held: list[Token] = []
        self.hit = False
        self.index = -1
        self.n_whole = 0  # how many of the tokens let through carry whole characters, and no stop text
        self._n_out = 0

    def push(self, token: int) -> list[Token]:
        self._held.append(Token(token, self._utf8.push(self._vocabulary.piece(token))))
        text = "".join(held.text for held in self._held)
        found = [(at, i) for i, stop in self._stop if (at := text.find(stop)) >= 0]
        if found:
            self.hit = True
            at, self.index = min(found)
            return self._cut(at)
        return self._release(len(text) - max((_overlap(text, stop) for _, stop in self._stop), default=0))

    def flush(self) -> list[Token]:
        """What was held back, now that nothing more comes. Bytes of a character begun only are no text."""
        return self._release(sum(len(held.text) for held in self._held))

    def _release(self, n_chars: int) -> list[Token]:
        """The held tokens whose text ends within the first `n_chars` of the held text."""
        out: list[Token] = []
        while self._held and len(self._held[0].text) <= n_chars:
            token = self._held.pop(0)
            n_chars -= len(token.text)
            out.append(token)
            self._n_out += 1
            if token.text:
                self.n_whole = self._n_out
        return out

    def _cut(self, at: int) -> list[Token]:
        out = self._release(at)
        rest = at - sum(len(token.text) for token in out)
        if rest:  # the stop text begins in the middle of a token
            out.append(Token(self._held[0].id, self._held[0].text[:rest]))
        self._held.clear()
        return out


class Reply:
    """One reply in the making: iterate over it to make it.

    `prompt` is evaluated as far as the context does not hold it yet, then tokens are sampled and evaluated
    until the model ends, `max_tokens` (< 0: no limit) or a stop text is reached, `stopped()` says so, or
    the context is full. `refit(tokens so far)` may then give a shorter context, ending with these, to go on
    with. With an `account`, tokens are drafted where that pays: see `engine.lookup`; not with `guidance`,
    which leads the reply by the `cfg_scale` of the sampler's parameters.

    `stats` is up to date at every moment; `reason` is set at the end; `tokens` are the ids without those of a
    stop text and of a character begun only, fit to be sent back as a part of the next prompt.
    """

    def __init__(
        self,
        context: Context,
        vocabulary: Vocabulary,
        prompt: Sequence[int],
        sampler: Sampler,
        *,
        max_tokens: int = -1,
        stop: Sequence[str] = (),
        n_batch: int | None = None,
        stopped: Callable[[], bool] = lambda: False,
        on_progress: OnProgress | None = None,
        refit: Refit | None = None,
        account: Account | None = None,
        guidance: Guidance | None = None,
    ) -> None:
        self.sampler = sampler
        self.reason: FinishReason | None = None
        self.stats = Stats(
            n_ctx=context.model.n_ctx,
            seed=sampler.seed,
            restored_tokens=context.n_restored,
            shifted_tokens=context.n_shifted,
        )
        context.n_restored = context.n_shifted = 0
        self._context = context
        self._vocabulary = vocabulary
        self._prompt = prompt
        self._max_tokens = max_tokens
        self._gate = TextGate(vocabulary, stop)
        self._n_batch = max(1, min(n_batch or context.model.n_batch, context.model.n_batch))
        self._stopped = stopped
        self._on_progress = on_progress
        self._refit = refit
        self._sampled: list[int] = []
        self._said = list(prompt)  # with what was sampled, and with what left the context since
        self._guidance = guidance
        self._lookahead = Lookahead(None if guidance else account)

    @property
    def tokens(self) -> list[int]:
        return self._sampled[: self._gate.n_whole]

    def __iter__(self) -> Iterator[Token]:
        begin = time.perf_counter()
        try:
            logits = self._prefill(self._prompt)
            while self._may_go_on():
                token = self._sample(logits, begin)
                if self._vocabulary.is_eog(token):
                    self.reason = FinishReason.END
                    break
                yield from self._gate.push(token)
                if self._may_go_on():
                    logits = self._advance(token)
        except Stopped:
            self.reason = FinishReason.STOPPED
        yield from self._gate.flush()

    def _may_go_on(self) -> bool:
        """False, with `reason` set, where no further token is wanted."""
        if self.reason is None:
            if self._gate.hit:
                self.reason = FinishReason.STOP_TEXT
                self.stats = replace(self.stats, stop_index=self._gate.index)
            elif self.sampler.complete:
                self.reason = FinishReason.END
            elif len(self._sampled) == self._max_tokens:
                self.reason = FinishReason.LENGTH
            elif self._stopped():
                self.reason = FinishReason.STOPPED
        return self.reason is None

    def _sample(self, logits: Logits, begin: float) -> int:
        start = time.perf_counter()
        if self._guidance:
            logits = self._guidance.guided(logits, self.sampler.params.cfg_scale)
        token = self.sampler.sample(logits, self._said)
        now = time.perf_counter()
        self._count(generate_seconds=now - start, sample_seconds=now - start)
        if not self._vocabulary.is_eog(token):
            self._sampled.append(token)
            self._said.append(token)
            first = 0.0 if len(self._sampled) > 1 else now - begin
            self._count(generated_tokens=1, first_token_seconds=first)
        return token

    def _advance(self, token: int) -> Logits:
        """Evaluates the sampled token: float32 [n_vocab]. In a full context, what `refit` gives instead."""
        if self._context.full:
            return self._make_room()
        known = self._lookahead.take(token)
        if known is not None:
            self._context.append(token)
            self._count(accepted_tokens=1)
            return known
        draft = self._lookahead.draft(self._room() - 1)
        start = time.perf_counter()
        logits = self._context.eval([token, *draft], 1 + len(draft), keep=1)
        if self._guidance:  # and then there is no draft
            self._guidance.follow(token)
        seconds = time.perf_counter() - start
        self._lookahead.evaluated(draft, logits[1:], seconds)
        self._count(generate_seconds=seconds, drafted_tokens=len(draft))
        return logits[0]

    def _room(self) -> int:
        """How many tokens can be evaluated at once, and are wanted: the last one need not be."""
        model = self._context.model
        room = min(model.n_ctx - len(self._context.tokens), model.n_batch)
        return room if self._max_tokens < 0 else min(room, self._max_tokens - len(self._sampled))

    def _make_room(self) -> Logits:
        prompt = self._refit(self._sampled) if self._refit else None
        self._count(shifted_tokens=self._context.n_shifted)
        self._context.n_shifted = 0
        if prompt is None:
            self.reason = FinishReason.CONTEXT
            return NOTHING
        return self._prefill(prompt)

    def _prefill(self, prompt: Sequence[int]) -> Logits:
        """Evaluates what the context does not hold of `prompt`; the logits of its last token, [n_vocab]."""
        begin = self._context.rewind(prompt)
        self._lookahead.begin(prompt)
        self._count(prompt_tokens=len(prompt), reused_tokens=begin)
        logits = NOTHING
        self._report(0, len(prompt) - begin)
        for at in range(begin, len(prompt), self._n_batch):
            if self._stopped():
                raise Stopped
            chunk = prompt[at : at + self._n_batch]
            start = time.perf_counter()
            logits = self._context.eval(chunk, int(at + len(chunk) == len(prompt)))
            self._count(prompt_seconds=time.perf_counter() - start)
            self._report(at + len(chunk) - begin, len(prompt) - begin)
        if self._guidance:
            start = time.perf_counter()
            self._guidance.begin(prompt, self._n_batch, self._stopped)
            self._count(prompt_seconds=time.perf_counter() - start)
        return logits[-1]

    def _report(self, done: int, total: int) -> None:
        if self._on_progress and (total > 1 or not self._sampled):  # else the context has just moved up
            self._on_progress(done, total)

    def _count(self, **more: float) -> None:
        """Adds to the numbers of `stats`; prefills after the first count as prompt, too."""
        values: dict[str, Any] = {name: getattr(self.stats, name) + value for name, value in more.items()}
        self.stats = replace(self.stats, n_past=len(self._context.tokens), **values)


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` may be the beginning of `stop`."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
