"""What the model sees of one request: a window over its tokens, which moves while the reply grows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from alpaca_tui.engine import window as w
from alpaca_tui.engine.protocol import ContextCut, GenerateRequest, Segment, WhenFull
from alpaca_tui.errors import UserError

if TYPE_CHECKING:
    from alpaca_tui.engine.tokenizer import Tokenizer


class View:
    """The tokens to generate from, `tokens`, and `cut`, what the interface is told of them.

    `memory` is for the next request's view: how this one is cut, as `engine.window` counts. `shift(start,
    stop)` takes tokens out of the cache; it is called where that saves evaluating the ones behind them.
    """

    def __init__(
        self,
        request: GenerateRequest,
        prefix: Sequence[int],
        turns: Sequence[Sequence[int]],
        n_ctx: int,
        context: Sequence[int],
        memory: ContextCut,
        shift: Callable[[int, int], None],
    ) -> None:
        """Raises UserError where the prompt does not fit, saying by how much."""
        self._request, self._n_ctx, self._shift = request, n_ctx, shift
        self._prefix, self._turns = prefix, turns
        self._kept: Sequence[int] = ()  # with `keep`
        self._rest: Sequence[int] = ()
        if request.when_full is WhenFull.STOP:
            window = _all(prefix, turns, n_ctx)
        elif request.keep is None:
            window = w.fit(prefix, turns, n_ctx, request.max_tokens, context, memory)
        else:
            self._kept, self._rest = keep_apart(request, prefix, turns)
            n_new = min(len(turns[-1]), len(self._rest))
            window = w.fit_kept(self._kept, self._rest, n_new, n_ctx, context, memory.gap)
        if window.excess:
            raise self._too_long(window.excess)
        self._take(window)

    @property
    def tokens(self) -> list[int]:
        return self._window.tokens

    @property
    def memory(self) -> ContextCut:
        return ContextCut(self._window.first_turn, self._window.gap)

    @property
    def cut(self) -> ContextCut:
        if self._request.keep is None:
            return self.memory
        lengths = [len(turn) for turn in self._turns]
        lengths[-1] += max(len(self._rest) + len(self._kept) - len(self._prefix) - sum(lengths), 0)
        return w.cut_of(self._window, len(self._kept), len(self._prefix), lengths)

    def make_room(self, reply: Sequence[int]) -> list[int] | None:
        """The tokens to go on with when `reply` has filled the context; None where nothing can leave."""
        request, n_ctx, window = self._request, self._n_ctx, self._window
        if request.when_full is WhenFull.STOP:
            return None
        if request.keep is None:
            left = request.max_tokens - len(reply) if request.max_tokens >= 0 else -1
            new = w.refit(self._prefix, self._turns, n_ctx, left, reply, window)
        else:
            run = [*self._prefix, *chain.from_iterable(self._turns), *reply]
            self._rest = run[len(self._kept) :]
            swap = request.when_full is WhenFull.EVALUATE
            new = w.refit_kept(self._kept, self._rest, n_ctx, window, swap)
        if new is None or new.excess:
            return None
        self._take(new)
        return self.tokens

    def _take(self, window: w.Window) -> None:
        self._window = window
        start, stop = window.leaves
        if stop > start and self._request.when_full is WhenFull.SHIFT:
            self._shift(start, stop)

    def _too_long(self, excess: int) -> UserError:
        if self._request.when_full is WhenFull.STOP and len(self._turns) > 1:
            return UserError(
                f"This conversation is {excess} tokens too long for the context of {self._n_ctx}: begin a "
                "new one, load the model with a larger context (-c), or let its oldest part leave (without "
                "--no-context-shift)."
            )
        return UserError(
            f"This message is {excess} tokens too long for the context of {self._n_ctx}: shorten it, or load "
            "the model with a larger context (-c)."
        )


def keep_apart(
    request: GenerateRequest, prefix: Sequence[int], turns: Sequence[Sequence[int]]
) -> tuple[list[int], list[int]]:
    """The tokens that always stay where a request has `keep`, and all behind them.

    A BOS in front stays besides them: what is far from the beginning makes no sense to a model without it.
    """
    assert request.keep is not None
    segments = [*request.prefix, *chain.from_iterable(request.turns)]
    n = len(prefix) if request.keep < 0 else request.keep + (segments[0].bos if segments else 0)
    run = [*prefix, *chain.from_iterable(turns)]
    return run[:n], run[n:]


def encode(tokenizer: Tokenizer, segments: Sequence[Segment]) -> list[int]:
    """The tokens of `segments`, one after the other. Tokens that this vocabulary has not are encoded anew."""
    out: list[int] = []
    for segment in segments:
        tokens = segment.tokens
        if tokens is not None and all(0 <= token < tokenizer.n_vocab for token in tokens):
            out += tokenizer.encode("", bos=segment.bos, space_prefix=False)  # BOS, where the model has one
            out += tokens
        else:
            out += tokenizer.encode(segment.text, bos=segment.bos, space_prefix=segment.space_prefix)
        out += [tokenizer.eos] * (segment.eos and tokenizer.eos >= 0)  # -1: this model has none
    return out


def full(n_ctx: int, when_full: WhenFull) -> str:
    """Why a reply ended in the middle."""
    if when_full is WhenFull.STOP:
        return (
            f"The context of {n_ctx} tokens is full: load the model with a larger one (-c), or let its "
            "oldest part leave (without --no-context-shift)."
        )
    return f"The context of {n_ctx} tokens is full, and nothing in it can leave: load a larger one (-c)."


def _all(prefix: Sequence[int], turns: Sequence[Sequence[int]], n_ctx: int) -> w.Window:
    tokens = [*prefix, *chain.from_iterable(turns)]
    return w.Window(0, tokens, max(len(tokens) - (n_ctx - 1), 0))
