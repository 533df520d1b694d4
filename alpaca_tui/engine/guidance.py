"""Classifier-free guidance: a reply is led away from what would follow another beginning of its prompt.

After Sanchez et al. 2023 (arXiv:2306.17806), as llama.cpp had it in 2023: the other prompt is evaluated in a
second context of the same model, and each token in both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from alpaca_tui.engine.generation import Context, Executor, Logits
from alpaca_tui.engine.stopped import Stopped
from alpaca_tui.engine.window import common_prefix
from alpaca_tui.errors import UserError
from alpaca_tui.system import available_memory


def second_context(model: Executor) -> Context:
    """A context of its own on the same weights. Raises UserError where there is no memory for it."""
    free = available_memory()
    if free is not None and model.cache_bytes > free:
        raise UserError(
            f"--cfg-scale needs a second context of {model.cache_bytes / 2**20:.0f} MiB, but only "
            f"{free / 2**20:.0f} MiB are free; load the model with a smaller context (-c)."
        )
    return Context(model.twin())


class Guidance:
    """The second context of one reply, in which `negative` stands where the prompt has `prefix`.

    Where it becomes full, the older half of what stands behind `negative` leaves.
    """

    def __init__(self, context: Context, negative: Sequence[int], prefix: Sequence[int]) -> None:
        """Raises UserError where `negative` does not fit."""
        room = context.model.n_ctx - 2
        if len(negative) > room:
            raise UserError(
                f"The negative prompt is {len(negative) - room} tokens too long for the context of "
                f"{context.model.n_ctx}: shorten it, or load the model with a larger context (-c)."
            )
        self._context, self._negative, self._prefix = context, list(negative), prefix
        self._tail: list[int] = []  # what stands behind `negative`
        self._logits: Logits | None = None

    def begin(self, prompt: Sequence[int], n_batch: int, stopped: Callable[[], bool]) -> None:
        """Takes the place of what was there: the reply's context is `prompt` now. Raises Stopped."""
        self._tail = list(prompt[common_prefix(prompt, self._prefix) :])
        self._n_batch, self._stopped = min(n_batch, self._context.model.n_batch), stopped
        self._evaluate()

    def follow(self, token: int) -> None:
        """The reply goes on with this token."""
        self._tail.append(token)
        if self._context.full:
            self._evaluate()
        else:
            self._logits = self._context.eval([token], 1)[0]

    def guided(self, logits: Logits, scale: float) -> Logits:
        """scale * (log p - log q) + log q, p being those of the reply's context and q those of this one.

        But for a number that is the same for all tokens: with a scale of 1 these are `logits` themselves, so
        that penalties, which look at the sign, do what they do without guidance.
        """
        if scale == 1 or self._logits is None:
            return logits
        away = _log_softmax(logits) - _log_softmax(self._logits)
        return (logits + np.float32(scale - 1) * away).astype(np.float32)

    def _evaluate(self) -> None:
        room = self._context.model.n_ctx - 1 - len(self._negative)
        if len(self._tail) > room:
            self._tail = self._tail[-max(room // 2, 1) :]
        tokens = [*self._negative, *self._tail]
        self._logits = None
        for at in range(self._context.rewind(tokens), len(tokens), self._n_batch):
            if self._stopped():
                raise Stopped
            chunk = tokens[at : at + self._n_batch]
            self._logits = self._context.eval(chunk, 1)[-1]


def _log_softmax(logits: Logits) -> Logits:
    top = logits.max()
    return logits - top - np.log(np.exp(logits - top).sum(dtype=np.float64)).astype(np.float32)
