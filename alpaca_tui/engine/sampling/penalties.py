"""What was said makes its repetition less likely: penalties by token, and DRY by sequence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from alpaca_tui.engine.sampling.candidates import Candidates, Floats, Ids
from alpaca_tui.errors import UserError

Piece = Callable[[int], bytes]  # the bytes that a token stands for
GREATEST_LOG = 88.7228391  # of a float32


def recent(context: Sequence[int], last_n: int) -> Sequence[int]:
    """The last `last_n` tokens; all of them where it is negative."""
    return context if last_n < 0 else context[max(len(context) - last_n, 0) :]


def penalise(
    c: Candidates, tokens: Sequence[int], repeat: float, frequency: float = 0.0, presence: float = 0.0
) -> Candidates:
    """The logits l of `tokens` made smaller, as llama.cpp does.

    l * repeat where l <= 0, else l / repeat (Keskar et al. 2019, arXiv:1909.05858, and its usual correction);
    then minus frequency for each time that a token occurs, and minus presence once.
    """
    if not tokens or (repeat == 1 and not frequency and not presence):
        return c
    seen, counts = np.unique(np.fromiter(tokens, np.intp, len(tokens)), return_counts=True)
    places, which = c.places_of(seen)
    if not len(places):
        return c
    old = c.logits[places]
    with np.errstate(over="ignore"):
        new = np.where(old <= 0, old * np.float32(repeat), old / np.float32(repeat))
        new -= counts[which].astype(np.float32) * np.float32(frequency) + np.float32(presence)
    return _changed(c, places, new)


def dry(
    c: Candidates,
    tokens: Sequence[int],
    multiplier: float,
    base: float,
    allowed_length: int,
    breakers: Sequence[bytes],
    piece: Piece,
) -> Candidates:
    """Less likely is what goes on with a sequence that stood in `tokens` before (p-e-w 2024, "DRY").

    A token that would make a repetition of n tokens into one of n + 1 loses multiplier * base^(n - allowed
    length), where n >= allowed length. No repetition reaches back over one of the `breakers`, and a token
    that has one in it loses nothing.
    """
    if not multiplier or base < 1 or len(tokens) <= allowed_length:
        return c
    limit = _since_breaker(tokens, breakers, piece)
    if limit < allowed_length:
        return c
    most = int(GREATEST_LOG / math.log(base)) if base > 1.000001 else 0  # more would not be a float32
    following, lengths = _repetitions(np.fromiter(tokens, np.intp, len(tokens)), allowed_length, limit, most)
    lost = {
        token: multiplier * base ** (length - allowed_length)
        for token, length in zip(following.tolist(), lengths.tolist(), strict=True)
        if not any(breaker in piece(token) for breaker in breakers)
    }
    if not lost:
        return c
    places, which = c.places_of(np.array(sorted(lost), np.intp))
    amounts = np.array([lost[token] for token in sorted(lost)])[which]
    with np.errstate(over="ignore"):
        return _changed(c, places, (c.logits[places] - amounts).astype(np.float32))


def _changed(c: Candidates, places: Ids, logits: Floats) -> Candidates:
    if not np.isfinite(logits).all():
        raise UserError("The penalties make logits larger than a number can be; take smaller ones.")
    new = c.logits.copy()
    new[places] = logits
    return replace(c, logits=new, ranked=False)


def _since_breaker(tokens: Sequence[int], breakers: Sequence[bytes], piece: Piece) -> int:
    """How many tokens stand behind the one in which the last breaker ends; all of them without one."""
    longest = max(map(len, breakers), default=0)
    n = 64  # mostly the last few tokens have one
    while breakers:
        pieces = [piece(token) for token in tokens[max(len(tokens) - n, 0) :]]
        text = b"".join(pieces)
        end = max((at + len(b) for b in breakers for at in [text.rfind(b)] if at >= 0), default=0)
        if end >= longest or (end and n >= len(tokens)):  # else one that began earlier may end behind it
            left, behind = len(text) - end, 0
            while left > 0:
                behind += 1
                left -= len(pieces[-behind])
            return behind - (left < 0)
        if n >= len(tokens):
            break
        n *= 4
    return len(tokens)


def _repetitions(
    tokens: np.ndarray, allowed_length: int, limit: int, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """The tokens that followed earlier what the last ones are, and how many tokens agreed there, at most.

    Only agreements of `allowed_length` to `limit` tokens, and no more than `most` above the first are counted
    (0: none above it). An agreement may overlap with what it repeats.
    """
    last = len(tokens) - 1
    ends = np.arange(last)  # places of the tokens that may end a repetition: something follows each
    longest = min(limit, allowed_length + most)
    n = 0
    lengths = np.zeros(last, np.intp)
    while n < longest and len(ends):
        ends = ends[(ends >= n) & (tokens[ends - n] == tokens[last - n])]
        n += 1
        lengths[ends] = n
    places = np.flatnonzero(lengths >= allowed_length)
    following, where = np.unique(tokens[places + 1], return_inverse=True)
    greatest = np.zeros(len(following), np.intp)
    np.maximum.at(greatest, where, lengths[places])
    return following, greatest
