"""The choice of the next token from the logits, in the order of today's llama.cpp.

Penalties, then top-k, top-p, temperature, then the draw. NumPy only, and no sort of the whole vocabulary,
so that the choice never shows beside the model's own time (benchmarks/sampling.py).
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alpaca_tui.engine.protocol import SamplingParams
from alpaca_tui.errors import UserError

Floats = NDArray[np.float32]
Ids = NDArray[np.intp]

MAX_WIDTH, GROUPS_PER_K = 64, 4  # logits of a group, groups for each of the k: see `_contenders`
FEW = 64  # ids that top-p tries to do with at first


class Sampler:
    """Chooses tokens for one reply.

    `params` may be replaced between two tokens, also from another thread; only its seed counts no more then.
    `seed` is the one in use: `params.seed`, or a fresh random one of 32 bits where that is negative.
    The same seed, parameters and logits give the same tokens, with any NumPy version.
    """

    def __init__(self, params: SamplingParams, n_vocab: int) -> None:
        self.params = checked(params)
        self.n_vocab = n_vocab
        self.seed = params.seed if params.seed >= 0 else secrets.randbits(32)
        self._bits = np.random.PCG64(self.seed)

    def sample(self, logits: Floats, context: Sequence[int]) -> int:
        """The id of the next token.

        `logits`: float32 [n_vocab], left as they are. `context`: the tokens so far, prompt included, of which
        the last `repeat_last_n` are penalised. Raises UserError where the logits are not numbers.
        """
        params = self.params
        logits = penalise(logits, _recent(context, params.repeat_last_n), params.repeat_penalty)
        if not (np.isfinite(logits.min()) and np.isfinite(logits.max())):  # either one shows a NaN, too
            raise UserError(
                "The model gives no usable numbers (NaN or infinity): its file is damaged or was converted "
                "wrongly; compare its SHA-256 with its source, or convert it again."
            )
        if params.temp <= 0:
            return int(logits.argmax())
        ids = candidates(logits, params.top_k, params.top_p)
        return int(ids[draw(logits[ids], params.temp, self._uniform())])

    def _uniform(self) -> float:
        """A number in [0, 1) of 53 random bits. From the raw bits, which NumPy promises never to change."""
        return (int(self._bits.random_raw()) >> 11) * 2.0**-53


def checked(params: SamplingParams) -> SamplingParams:
    """`params` as they are. Raises UserError for those with which no token can be chosen."""
    for name in ("temp", "top_p", "repeat_penalty"):
        if not math.isfinite(getattr(params, name)):
            raise UserError(f"{name} must be a finite number, not {getattr(params, name)}.")
    if params.repeat_penalty <= 0:
        raise UserError(f"repeat_penalty must be above 0, not {params.repeat_penalty:g} (1 turns it off).")
    return params


def penalise(logits: Floats, tokens: Sequence[int], repeat_penalty: float) -> Floats:
    """The logits with those of `tokens` made less likely: l * penalty where l <= 0, else l / penalty.

    A token counts once, however often it occurs. Returns a copy, or `logits` itself when nothing changes.
    """
    if repeat_penalty == 1 or not tokens:
        return logits
    ids = np.unique(np.fromiter(tokens, np.intp, len(tokens)))
    old = logits[ids]
    logits = logits.copy()
    with np.errstate(over="ignore"):  # what overflows is reported by the caller, in words
        logits[ids] = np.where(old <= 0, old * np.float32(repeat_penalty), old / np.float32(repeat_penalty))
    return logits


def candidates(logits: Floats, top_k: int, top_p: float) -> Ids:
    """The ids that top-k and then top-p leave; the most likely first wherever one of them is on.

    `top_k <= 0` and `top_p >= 1` turn them off. At least one id always stays; of equal logits the lower ids.
    """
    if not 0 < top_k < len(logits):
        return _top_p(logits, top_p) if top_p < 1 else np.arange(len(logits))
    ids = _top_k(logits, top_k)
    return ids[_top_p(logits[ids], top_p)] if top_p < 1 else _sorted(logits, ids)


def _top_k(logits: Floats, k: int) -> Ids:
    """The k most likely ids, ascending; of equal ones the lower."""
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


def _top_p(logits: Floats, top_p: float) -> Ids:
    """The fewest most likely ids whose probabilities sum up to `top_p`, the most likely first.

    A few ids mostly have that share already, so that only these are put in order.
    """
    p = np.exp(logits - logits.max())
    enough = (top_p - 1e-6) * float(p.sum())  # float32 logits are no more exact than that
    n = FEW
    while True:
        ids = _sorted(logits, _top_k(logits, n) if n < len(p) else np.arange(len(p)))
        cut = int(np.searchsorted(np.cumsum(p[ids], dtype=np.float64), enough)) + 1
        if cut <= n or n >= len(p):
            return ids[:cut]
        n *= 8


def _sorted(logits: Floats, ids: Ids) -> Ids:
    """`ids` by falling logit; of equal ones the lower first.

    Sorts whole numbers made of the logit's bits, turned so that they fall with its value, above the id.
    """
    bits = (logits[ids] + np.float32(0)).view(np.int32)  # + 0: of -0 and 0 neither is the greater
    falling = ~(bits ^ ((bits >> 31) & 0x7FFFFFFF))
    return np.sort(falling.astype(np.int64) << 32 | ids) & 0xFFFFFFFF


def draw(logits: Floats, temp: float, uniform: float) -> int:
    """The index that `uniform`, in [0, 1), picks from softmax(logits / temp)."""
    with np.errstate(over="ignore"):  # a tiny temperature: all but the greatest become exp(-inf) = 0
        p = np.exp((logits.astype(np.float64) - logits.max()) / temp)
    total = np.cumsum(p)
    return min(int(np.searchsorted(total, uniform * total[-1], side="right")), len(p) - 1)


def _recent(context: Sequence[int], last_n: int) -> Sequence[int]:
    """The last `last_n` tokens; all of them where it is negative."""
    return context if last_n < 0 else context[max(len(context) - last_n, 0) :]
