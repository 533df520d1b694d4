"""Samplers that leave only some of the candidates: each takes candidates and gives those that stay.

At least one always stays. Formulas and their edges are those of llama.cpp; each docstring names the paper.
"""

from __future__ import annotations

import math

import numpy as np

from alpaca_tui.engine.sampling.candidates import Candidates, Doubles, by_rank, top

FEW = 64  # places that top-p tries to do with at first


def top_k(c: Candidates, k: int) -> Candidates:
    """The k likeliest, ranked (Fan et al. 2018, arXiv:1805.04833); all, as they were, for k <= 0."""
    if not 0 < k < len(c):
        return c
    return c.head(k) if c.ranked else c.keep(by_rank(c.logits, top(c.logits, k)), ranked=True)


def top_p(c: Candidates, share: float) -> Candidates:
    """The fewest likeliest whose probabilities sum up to `share`, ranked (Holtzman et al. 2019, 1904.09751).

    A few mostly have that share already, so that only these are put in order.
    """
    if share >= 1:
        return c
    p = np.exp(c.logits - c.logits.max())
    enough = (share - 1e-6) * float(p.sum())  # float32 logits are no more exact than that
    n = FEW
    while True:
        likeliest = top_k(c, n) if n < len(c) else c.rank()
        of_these = np.exp(likeliest.logits - likeliest.logits[0])
        cut = int(np.searchsorted(np.cumsum(of_these, dtype=np.float64), enough)) + 1
        if cut <= n or n >= len(c):
            return likeliest.head(min(cut, len(likeliest)))
        n *= 8


def min_p(c: Candidates, share: float) -> Candidates:
    """Those with at least `share` of the likeliest one's probability (Nguyen et al. 2024, 2407.01082)."""
    if share <= 0:
        return c
    greatest = c.logits.max()
    return _where(c, c.logits >= min(greatest + np.float32(math.log(share)), greatest))


def top_n_sigma(c: Candidates, n: float) -> Candidates:
    """Those within n standard deviations of the greatest logit (Tang et al. 2024, arXiv:2411.07641)."""
    if n <= 0 or len(c) < 2:
        return c
    deviation = float(np.std(c.logits, dtype=np.float64))
    return _where(c, c.logits >= c.logits.max() - np.float32(n * deviation))


def tail_free(c: Candidates, z: float) -> Candidates:
    """Those before the tail, ranked (Phoenix and Egan 2019): where the curve of probabilities is bent.

    The second differences of the probabilities, as shares of their sum, are added up until they exceed z.
    """
    if z >= 1 or len(c) < 3:
        return c
    ranked = c.rank()
    bend = np.abs(np.diff(ranked.probabilities(), n=2))
    total = bend.sum()
    shares = bend / total if total > 1e-6 else np.full(len(bend), 1 / len(bend))
    over = np.flatnonzero(np.cumsum(shares)[1:] > z)
    return ranked.head(int(over[0]) + 1) if len(over) else ranked


def typical(c: Candidates, share: float) -> Candidates:
    """Those whose surprise is nearest to the mean surprise, up to `share` (Meister et al. 2022, 2202.00666).

    In the order of that distance.
    """
    if share >= 1:
        return c
    ranked = c.rank()
    p = ranked.probabilities()
    surprise = -np.log(p, where=p > 0, out=np.full(len(p), -np.inf))
    with np.errstate(invalid="ignore"):
        distance = np.abs(surprise - entropy(p))
    # distances that differ by rounding alone are equal, so that the likelier stand first
    order = np.argsort(np.round(distance, 6), kind="stable")
    cut = int(np.searchsorted(np.cumsum(p[order]), share, side="right")) + 1
    return ranked.keep(order[: min(cut, len(order))])


def xtc(c: Candidates, threshold: float) -> Candidates:
    """Without the likeliest, except for the last of those with at least `threshold` (p-e-w 2024), ranked."""
    if threshold > 0.5 or len(c) < 2:
        return c
    ranked = c.rank()
    n_likely = int(np.count_nonzero(ranked.probabilities() >= threshold))
    return ranked.keep(np.arange(n_likely - 1, len(ranked)), ranked=True) if n_likely > 1 else c


def entropy(p: Doubles) -> float:
    """In nats."""
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def _where(c: Candidates, stays: np.ndarray) -> Candidates:
    return c if stays.all() else c.keep(np.flatnonzero(stays), c.ranked)
