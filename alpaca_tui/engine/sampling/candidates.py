"""The tokens among which the next one is chosen, and how the likeliest of them are found.

NumPy only, and no sort of the whole vocabulary where a few tokens are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ids = NDArray[np.intp]

MAX_WIDTH, GROUPS_PER_K = 64, 4  # logits of a group, groups for each of the k: see `_contenders`


@dataclass(frozen=True)
class Candidates:
    """Tokens and their logits, none of them -inf.

    `ids`: None where it is the whole vocabulary, in order. `ranked`: by falling logit, of equal ones the
    lower id first; else the ids ascend, unless a sampler has an order of its own.
    """

    logits: Floats
    ids: Ids | None = None
    ranked: bool = False

    def __len__(self) -> int:
        return len(self.logits)

    def id_of(self, place: int) -> int:
        return place if self.ids is None else int(self.ids[place])

    def keep(self, places: Ids, ranked: bool = False) -> Candidates:
        """Those at `places`, in that order."""
        ids = places if self.ids is None else self.ids[places]
        return Candidates(self.logits[places], ids, ranked)

    def head(self, n: int) -> Candidates:
        """The first n."""
        ids = np.arange(n) if self.ids is None else self.ids[:n]
        return Candidates(self.logits[:n], ids, self.ranked)

    def rank(self) -> Candidates:
        """All of them, ranked."""
        return self if self.ranked else self.keep(by_rank(self.logits, np.arange(len(self))), ranked=True)

    def places_of(self, tokens: Ids) -> tuple[Ids, Ids]:
        """Where those of `tokens` (ascending, each once) stand that are here, and which of them these are."""
        if self.ids is None:
            return tokens, np.arange(len(tokens))
        which = np.searchsorted(tokens, self.ids)
        places = np.flatnonzero(tokens[np.minimum(which, len(tokens) - 1)] == self.ids)
        return places, which[places]

    def probabilities(self) -> Doubles:
        """softmax of the logits, float64."""
        p = np.exp(self.logits.astype(np.float64) - self.logits.max())
        return p / p.sum()


def top(logits: Floats, k: int) -> Ids:
    """The k most likely ids, ascending; of equal ones the lower."""
    if k >= len(logits):
        return np.arange(len(logits))
    ids = _contenders(logits, k)
    kept = logits[ids]
    least = _greatest(kept, k)
    chosen = kept > least
    chosen[np.flatnonzero(kept == least)[: k - np.count_nonzero(chosen)]] = True
    return ids[chosen]


def _contenders(logits: Floats, k: int) -> Ids:
    """Ids, ascending, among which are the k most likely and all that equal the last of these; few others.

    Of the maxima of more than k groups the k-th greatest is at most the k-th greatest of all logits: so one
    pass, for the maxima, spares all groups that lie below. Group g is every `n_groups`-th logit from g on, so
    that the maxima of all groups are found side by side.
    """
    width = min(len(logits) // (GROUPS_PER_K * k), MAX_WIDTH)
    if width < 2:
        return np.flatnonzero(logits >= _greatest(logits, k))
    n_groups = len(logits) // width
    maxima = logits[: width * n_groups].reshape(width, n_groups).max(axis=0)
    least = _greatest(maxima, k)
    grouped = np.arange(width)[:, None] * n_groups + np.flatnonzero(maxima >= least)
    ids = np.concatenate([grouped.ravel(), np.arange(width * n_groups, len(logits))])
    return ids[logits[ids] >= least]


def _greatest(values: Floats, k: int) -> np.float32:
    """The k-th greatest of `values`."""
    return np.float32(np.partition(values, len(values) - k)[len(values) - k])


def by_rank(logits: Floats, places: Ids) -> Ids:
    """`places` by falling logit; of equal ones the lower first.

    Sorts whole numbers made of the logit's bits, turned so that they fall with its value, above the place.
    """
    bits = (logits[places] + np.float32(0)).view(np.int32)  # + 0: of -0 and 0 neither is the greater
    falling = ~(bits ^ ((bits >> 31) & 0x7FFFFFFF))
    return np.sort(falling.astype(np.int64) << 32 | places) & 0xFFFFFFFF


def draw(logits: Floats, temp: float, uniform: float) -> int:
    """The place that `uniform`, in [0, 1), picks from softmax(logits / temp)."""
    with np.errstate(over="ignore"):  # a tiny temperature: all but the greatest become exp(-inf) = 0
        p = np.exp((logits.astype(np.float64) - logits.max()) / temp)
    total = np.cumsum(p)
    return min(int(np.searchsorted(total, uniform * total[-1], side="right")), len(p) - 1)
