"""What examples/main of 2023-08-15 kept beside its context: a file of what was evaluated, and a second
context to lead away from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Evaluator(Protocol):
    """What is needed of `engine.model.Model`."""

    n_ctx: int
    n_batch: int

    def eval(self, tokens: Sequence[int], pos: int, n_logits: int) -> Floats: ...


class Session:
    """--prompt-cache: `tokens` stand in the context from the file; `save` writes the first n positions.

    Written are the prompt, before the first token is sampled, and with `whole` (--prompt-cache-all) all of
    it at the end. After the first full context nothing is written.
    """

    def __init__(
        self, tokens: Sequence[int], save: Callable[[Sequence[int]], object] | None, whole: bool = False
    ) -> None:
        """`save` is None where the file is only read."""
        self.tokens = list(tokens)
        self._save, self._whole = save, whole
        self._used = 0
        self._prompt_unsaved = False

    def begin(self, prompt: Sequence[int]) -> int:
        """How many of the prompt's tokens the file has. Its last one is evaluated for its logits."""
        pairs = zip(self.tokens, prompt, strict=False)
        n = next((i for i, (held, wanted) in enumerate(pairs) if held != wanted), None)
        matching = min(len(self.tokens), len(prompt)) if n is None else n
        self._prompt_unsaved = matching < len(prompt)
        if matching == len(prompt):
            del self.tokens[len(prompt) - 1 :]
        return matching

    def reuse(self, tokens: Sequence[int]) -> int:
        """How many of the tokens to evaluate next stand in the context already."""
        n = 0
        while n < len(tokens) and self._used < len(self.tokens):
            if tokens[n] != self.tokens[self._used]:
                del self.tokens[self._used :]
                break
            n, self._used = n + 1, self._used + 1
        return n

    def evaluated(self, tokens: Sequence[int]) -> None:
        if self._save:
            self.tokens += tokens
            self._used = len(self.tokens)

    def swapped(self) -> None:
        """The context was full: what it holds is no longer what was said from the beginning."""
        self._save = None

    def sampling(self) -> None:
        """A token is about to be sampled."""
        if self._save and self._prompt_unsaved:
            self._save(self.tokens)
        self._prompt_unsaved = False

    def end(self) -> None:
        if self._save and self._whole:
            self._save(self.tokens)


class Guidance:
    """--cfg-scale: a context with `negative` in the place of a prompt of `n_prompt` tokens."""

    def __init__(self, model: Evaluator, negative: Sequence[int], n_prompt: int, scale: float) -> None:
        self._model, self._negative, self._n_prompt = model, list(negative), n_prompt
        self._scale = np.float32(scale)
        self._n_past = 0
        self._logits: Floats | None = None
        self.offset = len(negative) - n_prompt

    def evaluate(self, tokens: Sequence[int], n_batch: int) -> None:
        """Evaluates what the other context is given, before it is.

        What stands in the prompt's place is evaluated with the first piece of it, however long that is.
        """
        if self._n_past < len(self._negative):
            tokens = [*self._negative, *tokens[self._n_prompt :]]
        tokens = tokens[-self._model.n_ctx :]
        # where August would have written behind the end of its memory
        self._n_past = min(self._n_past, self._model.n_ctx - len(tokens))
        size = min(self._model.n_batch, n_batch)
        for at in range(0, len(tokens), size):
            chunk = tokens[at : at + size]
            self._logits = self._model.eval(chunk, self._n_past, 1)[-1]
            self._n_past += len(chunk)

    def swapped(self, keep: int) -> None:
        """The context was full, and begins anew behind its first `keep` tokens."""
        self._n_past = max(1, keep + self.offset)

    def guided(self, logits: Floats) -> Floats:
        """scale * (log p - log q) + log q, in float32."""
        if self._logits is None:
            return logits
        base, away = _log_softmax(logits), _log_softmax(self._logits)
        with np.errstate(invalid="ignore"):
            return np.nan_to_num(self._scale * (base - away) + away, nan=-np.inf, neginf=-np.inf)


def _log_softmax(logits: Floats) -> Floats:
    p = np.exp(logits - logits.max())
    with np.errstate(divide="ignore"):
        return np.log(p / np.cumsum(p)[-1])
