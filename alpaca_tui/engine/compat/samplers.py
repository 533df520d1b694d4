"""The choice of a token as llama.cpp made it on 2023-04-03 and on 2023-08-15, in float32 where it used that.

The order of April: temperature, repetition penalty, top-k, top-p. Of August: bias, guidance, penalties,
grammar, then greedy, mirostat, or top-k, tail-free, typical, top-p, temperature. Of equal logits the lower id
comes first, where the original left that to its sorting.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from alpaca_tui.engine.compat.draws import Mt19937, discrete

Floats = NDArray[np.float32]
Ids = NDArray[np.intp]
MIROSTAT_M = 100


@dataclass(frozen=True)
class Choices:
    """The sampling flags of both dates; April knows the first six only."""

    temp: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    repeat_penalty: float = 1.1
    repeat_last_n: int = 64
    ignore_eos: bool = False
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    tfs_z: float = 1.0
    typical_p: float = 1.0
    mirostat: int = 0
    mirostat_eta: float = 0.1
    mirostat_tau: float = 5.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)


class Constraint(Protocol):
    """What is needed of `engine.grammar.matcher.Matcher`: bool [n_vocab], and a token that was chosen."""

    @property
    def allowed(self) -> NDArray[np.bool_]: ...
    def accept(self, token: int) -> None: ...


class April:
    """`llama_sample_top_p_top_k` of 2023-04-03. `last` starts as n_ctx zeros: token 0 counts as seen."""

    def __init__(self, choices: Choices, rng: Mt19937, eos: int) -> None:
        self.choices, self.rng, self.eos = choices, rng, eos

    def restart(self) -> None:
        """There is nothing to begin anew."""

    def sample(self, logits: Floats, last: Sequence[int]) -> int:
        """`logits`: float32 [n_vocab]. `last`: the n_ctx last tokens. Greedy knows no penalties."""
        c = self.choices
        if c.ignore_eos:
            logits = logits.copy()
            logits[self.eos] = 0
        if c.temp <= 0:
            return int(logits.argmax())
        scaled = logits * (np.float32(1) / np.float32(c.temp))
        seen = _unique(last[max(len(last) - c.repeat_last_n, 0) :] if c.repeat_last_n > 0 else ())
        penalty = np.float32(c.repeat_penalty)
        scaled[seen] = np.where(logits[seen] < 0, scaled[seen] * penalty, scaled[seen] / penalty)
        ids = falling(scaled)[: c.top_k]
        p = np.exp(scaled[ids] - scaled[ids[0]])
        p = (p / np.cumsum(p, dtype=np.float64)[-1]).astype(np.float32)
        if c.top_p < 1:
            share = np.cumsum(p, dtype=np.float64)
            n = min(int(np.searchsorted(share, np.float32(c.top_p))) + 1, len(p))
            p = (p[:n] * (1 / share[n - 1])).astype(np.float32)
        return int(ids[discrete(p, self.rng)])


class August:
    """The sampling of examples/main of 2023-08-15. `begin` gives the grammar at its beginning.

    `guided`, where set, is what --cfg-scale makes of logits: float32 [n_vocab].
    """

    def __init__(
        self, choices: Choices, rng: Mt19937, begin: Callable[[], Constraint | None] = lambda: None
    ) -> None:
        self.choices, self.rng, self._begin = choices, rng, begin
        self.guided: Callable[[Floats], Floats] | None = None
        self._mu = 2 * choices.mirostat_tau
        self._grammar: Constraint | None = None
        self.restart()

    def restart(self) -> None:
        """The grammar begins anew: the user has spoken."""
        self._grammar = self._begin()

    def sample(self, logits: Floats, last: Sequence[int]) -> int:
        """`logits`: float32 [n_vocab], left as they are. `last`: the n_ctx last tokens, zeros at first."""
        token = self._choose(logits, last)
        if self._grammar is not None:
            self._grammar.accept(token)
        return token

    def _choose(self, logits: Floats, last: Sequence[int]) -> int:
        c = self.choices
        logits = logits.copy()
        for token, bias in c.logit_bias.items():
            logits[token] += np.float32(bias)
        if self.guided is not None:
            logits = self.guided(logits)
        window = len(last) if c.repeat_last_n < 0 else min(c.repeat_last_n, len(last))
        if window:
            penalise(logits, last[len(last) - window :], c)
        if self._grammar is not None:
            logits[~self._grammar.allowed] = -np.inf
        if c.temp <= 0:
            return int(logits.argmax())
        if c.mirostat:
            return self._mirostat(logits / np.float32(c.temp))
        ids = falling(logits)
        ids = ids[: c.top_k] if c.top_k > 0 else ids
        ids = tail_free(logits, ids, c.tfs_z)
        ids = typical(logits, ids, c.typical_p)
        ids = top_p(logits, ids, c.top_p)
        return int(ids[discrete(softmax(logits[ids] / np.float32(c.temp)), self.rng)])

    def _mirostat(self, logits: Floats) -> int:
        ids, f32, tau = falling(logits), np.float32, self.choices.mirostat_tau
        ids = ids[: np.count_nonzero(np.isfinite(logits))]  # what a grammar forbids has no surprise
        p = np.maximum(softmax(logits[ids]), np.finfo(np.float32).tiny)
        if self.choices.mirostat == 1 and len(ids) > 2:
            m = min(MIROSTAT_M - 1, len(ids) - 1)
            i = np.arange(m, dtype=np.float32)
            t, b = np.log((i + 2) / (i + 1)), np.log(p[:m] / p[1 : m + 1])
            s_hat = np.float64(np.cumsum(t * b)[-1] / np.cumsum(t * t)[-1])
            epsilon = s_hat - 1
            with np.errstate(all="ignore"):  # flat logits give no number: one id stays, as it did then
                k = (epsilon * 2**self._mu / (1 - len(logits) ** -epsilon)) ** (1 / s_hat)
            ids = ids[: max(int(k), 1) if np.isfinite(k) else 1]
        else:
            ids = ids[: max(int(np.count_nonzero(-np.log2(p) <= f32(self._mu))), 1)]
        p = softmax(logits[ids])
        chosen = discrete(p, self.rng)
        self._mu -= self.choices.mirostat_eta * (-math.log2(float(p[chosen])) - tau)
        return int(ids[chosen])


def penalise(logits: Floats, window: Sequence[int], c: Choices) -> None:
    """Repetition (l <= 0 ? l * pen : l / pen), then frequency and presence, in place."""
    ids = _unique(window)
    if c.repeat_penalty != 1:
        penalty, old = np.float32(c.repeat_penalty), logits[ids]
        logits[ids] = np.where(old <= 0, old * penalty, old / penalty)
    if c.frequency_penalty or c.presence_penalty:
        counts = np.bincount(np.asarray(window), minlength=len(logits))[ids].astype(np.float32)
        logits[ids] -= counts * np.float32(c.frequency_penalty) + np.float32(c.presence_penalty)


def falling(logits: Floats) -> Ids:
    """All ids, the likeliest first."""
    return np.argsort(-logits, kind="stable")


def softmax(logits: Floats) -> Floats:
    """Of logits of which the first is the greatest; sums in float32, as one goes along."""
    p = np.exp(logits - logits[0])
    return p / np.cumsum(p)[-1]


def tail_free(logits: Floats, ids: Ids, z: float) -> Ids:
    if z >= 1 or len(ids) <= 2:
        return ids
    second = np.abs(np.diff(softmax(logits[ids]), 2))
    total = np.cumsum(second)[-1]
    second = second / total if total > 1e-6 else np.full_like(second, 1 / len(second))
    past = np.flatnonzero(np.cumsum(second) > np.float32(z))
    past = past[past >= 1]  # at least one id stays
    return ids[: past[0]] if len(past) else ids


def typical(logits: Floats, ids: Ids, share: float) -> Ids:
    if share >= 1:
        return ids
    p = softmax(logits[ids])
    surprise = -np.log(np.maximum(p, np.finfo(np.float32).tiny))
    order = np.argsort(np.abs(surprise - np.cumsum(p * surprise)[-1]), kind="stable")
    past = np.flatnonzero(np.cumsum(p[order]) > np.float32(share))
    return ids[order[: past[0] + 1] if len(past) else order]


def top_p(logits: Floats, ids: Ids, share: float) -> Ids:
    if share >= 1:
        return ids
    past = np.flatnonzero(np.cumsum(softmax(logits[ids])) >= np.float32(share))
    return ids[: past[0] + 1] if len(past) else ids


def _unique(tokens: Sequence[int]) -> Ids:
    return np.unique(np.asarray(tokens, np.intp))
