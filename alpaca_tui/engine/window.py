"""Which turns of a conversation the model sees: pure functions over token lists.

When a conversation has grown past the context, whole oldest turns leave; the prefix (the instruction) and the
last turn (the question) stay. What leaves changes everything behind it, so that all of the rest must be
evaluated again: a cut therefore goes down to half of the context, and stays where it is as long as it fits,
so that not every message pays for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, islice, takewhile
from operator import eq


@dataclass(frozen=True)
class Window:
    """What the model will see: the prefix and the turns from `first_turn` on, as `tokens`.

    `excess > 0`: even the prefix and the last turn alone are so many tokens too long.
    """

    first_turn: int
    tokens: list[int]
    excess: int = 0


def reply_room(max_tokens: int, n_ctx: int) -> int:
    """How many tokens of the context are kept free for a reply of `max_tokens` (< 0: no limit)."""
    quarter = max(n_ctx // 4, 1)
    return quarter if max_tokens < 0 else min(max(max_tokens, 1), quarter)


def fit(
    prefix: Sequence[int],
    turns: Sequence[Sequence[int]],
    n_ctx: int,
    max_tokens: int,
    context: Sequence[int] = (),
) -> Window:
    """The window for a new reply. `turns` holds at least one; `context` is what the cache has at present.

    Raises nothing: see `Window.excess`. The last turn may take the reply's room, all but one token of it.
    """
    lengths = [len(turn) for turn in turns]
    current = first_held(prefix, turns, context)
    first = first_turn(len(prefix), lengths, n_ctx, reply_room(max_tokens, n_ctx), current)
    return _window(prefix, turns, first, n_ctx)


def refit(
    prefix: Sequence[int],
    turns: Sequence[Sequence[int]],
    n_ctx: int,
    max_tokens: int,
    reply: Sequence[int],
    first: int,
) -> Window | None:
    """The window to go on with when `reply` has filled the context behind the turns from `first` on.

    `max_tokens` is what may still come. `tokens` ends with the reply so far. None when no turn is left that
    could leave, or when leaving gives no room.
    """
    last = [*turns[-1], *reply]
    lengths = [len(turn) for turn in turns[:-1]] + [len(last)]
    new = first_turn(len(prefix), lengths, n_ctx, reply_room(max_tokens, n_ctx), None)
    window = _window(prefix, [*turns[:-1], last], new, n_ctx)
    return window if new > first and not window.excess else None


def first_turn(prefix: int, turns: Sequence[int], n_ctx: int, room: int, current: int | None) -> int:
    """The first turn to keep, from lengths alone.

    0 where all fit beside `room` free tokens; else `current`, a cut made before, where that still fits; else
    a new cut, down to half of the context, though the last two turns stay as long as they fit.
    """
    last = len(turns) - 1
    size = list(accumulate(reversed(turns), initial=prefix))[:0:-1]  # of the prefix and the turns from i on
    least = next((i for i, n in enumerate(size) if n + room <= n_ctx), last)
    if least == 0:
        return 0
    if current is not None and current >= least:
        return current
    while least < last - 1 and size[least] > n_ctx // 2:
        least += 1
    return least


def first_held(prefix: Sequence[int], turns: Sequence[Sequence[int]], context: Sequence[int]) -> int | None:
    """The turn from which on `context` already holds this conversation; None where it holds not one turn.

    All but its last token, that is: the one that ended a reply was never evaluated.
    """
    if common_prefix(context, prefix) < len(prefix):
        return None
    best, found = 0, None
    for i, turn in enumerate(turns):
        n = common_prefix(islice(context, len(prefix), None), chain.from_iterable(islice(turns, i, None)))
        if n >= len(turn) - 1 and n > best:
            best, found = n, i
    return found


def common_prefix(a: Iterable[int], b: Iterable[int]) -> int:
    """How many tokens `a` and `b` have in common from the start."""
    return sum(1 for _ in takewhile(bool, map(eq, a, b)))


def _window(prefix: Sequence[int], turns: Sequence[Sequence[int]], first: int, n_ctx: int) -> Window:
    tokens = [*prefix, *chain.from_iterable(turns[first:])]
    return Window(first, tokens, excess=max(len(tokens) - (n_ctx - 1), 0))
