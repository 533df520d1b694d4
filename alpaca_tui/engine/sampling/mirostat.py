"""Mirostat keeps the surprise of a reply at a target (Basu et al. 2020, arXiv:2007.14966)."""

from __future__ import annotations

import math

import numpy as np

from alpaca_tui.engine.sampling import cuts
from alpaca_tui.engine.sampling.candidates import Candidates, draw

MOST_LIKELY = 100  # tokens by which version 1 guesses how steep the distribution is


class Mirostat:
    """One of its two versions, with its state `mu`: the greatest surprise, in bits, that a token may have.

    `target` is the mean surprise aimed at, tau, in bits; `rate` is how fast mu follows, eta.
    """

    def __init__(self, target: float) -> None:
        self.mu = 2 * target

    def choose(
        self, c: Candidates, version: int, target: float, rate: float, n_vocab: int, uniform: float
    ) -> int:
        """The place of a token among `c` (after temperature), drawn by `uniform`; mu follows its surprise."""
        kept = self._by_rank(c, n_vocab) if version == 1 else self._by_surprise(c)
        place = draw(kept.logits, 1.0, uniform)
        surprise = -math.log2(max(float(kept.probabilities()[place]), 1e-300))
        self.mu -= rate * (surprise - target)
        return kept.id_of(place)

    def _by_surprise(self, c: Candidates) -> Candidates:
        """Version 2: those that surprise by mu at most; the likeliest where none does."""
        p = c.probabilities()
        stays = np.flatnonzero(p >= 2.0 ** -min(self.mu, 1000.0))
        return c.keep(stays, c.ranked) if len(stays) else cuts.top_k(c, 1)

    def _by_rank(self, c: Candidates, n_vocab: int) -> Candidates:
        """Version 1: the k likeliest, k being what Zipf's law through the first hundred says of mu."""
        likeliest = cuts.top_k(c, MOST_LIKELY) if len(c) > MOST_LIKELY else c.rank()
        falls = -np.diff(likeliest.logits.astype(np.float64))
        if not falls.any():
            return c
        steps = np.log(np.arange(2, len(falls) + 2) / np.arange(1, len(falls) + 1))
        exponent = float(steps @ falls / (steps @ steps))
        above = exponent - 1
        with np.errstate(all="ignore"):
            share = 1 - np.float64(n_vocab) ** -above
            k = (above * np.exp2(self.mu) / share) ** (1 / np.float64(exponent))
        return cuts.top_k(c, max(int(min(k, len(c))), 1)) if math.isfinite(k) else c
