"""Which part of a conversation the model sees: pure functions over token lists.

When a conversation has grown past the context, whole oldest turns leave; the prefix (the instruction) and the
last turn (the question) stay. A cut goes down to half of the context, so that not every message makes one.
When the reply to a question alone fills the context, there is a gap behind the question: the older half of
the reply leaves, again and again. `Window.leaves` says which tokens of the cache go, so that the rest can
move up instead of being evaluated again (`Context.shift`).

With `keep`, a conversation is one run of tokens: the first `keep` stay, the older half of the others goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, islice, takewhile
from operator import eq

from alpaca_tui.engine.protocol import ContextCut

Gap = tuple[int, int]
NONE: Gap = (0, 0)
UNSEEN = 2  # tokens that a cache may lack at the end of a turn: the last of a reply, and EOS behind it


@dataclass(frozen=True)
class Window:
    """What the model will see: the prefix and the turns from `first_turn` on, as `tokens`.

    Of that turn, counted with the reply in the making, the tokens in `gap` are not seen. `leaves`: where, in
    the cache, the tokens stand that are to go, and behind which it holds more of these. `excess > 0`: even
    the prefix and the last turn alone are so many tokens too long.
    """

    first_turn: int
    tokens: list[int]
    excess: int = 0
    gap: Gap = NONE
    leaves: Gap = NONE


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
    last: ContextCut = ContextCut(0),  # noqa: B008 (frozen)
) -> Window:
    """The window for a new reply. `turns` holds at least one; `context` is what the cache has at present.

    `last` is how the window before was cut. Raises nothing: see `Window.excess`. The last turn may take the
    reply's room, all but one token of it.
    """
    gap, seen = NONE, list(turns)
    if _has_gap(last, turns) and _holds(context, prefix, elide(turns[last.first_turn], last.gap)):
        gap, seen[last.first_turn] = last.gap, elide(turns[last.first_turn], last.gap)
    current = first_held(prefix, seen, context)
    lengths = [len(turn) for turn in seen]
    first = first_turn(len(prefix), lengths, n_ctx, reply_room(max_tokens, n_ctx), current)
    if gap != NONE:
        first = max(first, last.first_turn)  # what is before a gap has left for good
    leaves = NONE
    if current is not None and first > current:
        end = len(prefix) + sum(lengths[current:first])
        if common_prefix(context, chain(prefix, chain.from_iterable(seen[current:]))) > end:
            leaves = (len(prefix), end)
    return _window(prefix, seen, first, n_ctx, gap if first == last.first_turn else NONE, leaves)


def refit(
    prefix: Sequence[int],
    turns: Sequence[Sequence[int]],
    n_ctx: int,
    max_tokens: int,
    reply: Sequence[int],
    window: Window,
) -> Window | None:
    """The window to go on with when `reply` has filled the context behind the one that it began with.

    `max_tokens` is what may still come. `tokens` ends with the reply so far, whose last token is not in the
    cache yet. None when nothing can leave.
    """
    first, final = window.first_turn, len(turns) - 1
    seen = [*turns[:-1], [*turns[-1], *reply]]
    seen[first] = elide(seen[first], window.gap)
    lengths = [len(turn) for turn in seen]
    new = first_turn(len(prefix), lengths, n_ctx, reply_room(max_tokens, n_ctx), None)
    if new > first:
        leaves = (len(prefix), len(prefix) + sum(lengths[first:new]))
        made = _window(prefix, seen, new, n_ctx, NONE, leaves)
        return None if made.excess else made
    start = window.gap[0]
    if window.gap == NONE and len(prefix) + len(turns[-1]) <= n_ctx // 2:
        start = len(turns[-1])
    n = (lengths[final] - 1 - start) // 2
    return (
        _behind_gap(prefix, seen[final], n_ctx, start, n, Window(final, [], 0, window.gap)) if n > 0 else None
    )


def fit_kept(
    prefix: Sequence[int], rest: Sequence[int], n_new: int, n_ctx: int, context: Sequence[int], last: Gap
) -> Window:
    """The window where `prefix` are the tokens to keep and `rest` is all behind them, `n_new` of it new.

    `last` is the gap at the beginning of `rest` that the window before had.
    """
    gap, seen = NONE, list(rest)
    old = len(rest) - n_new
    if last != NONE and last[1] < old and _holds(context, prefix, elide(rest[:old], last)):
        gap, seen = last, elide(rest, last)
    held = common_prefix(context, chain(prefix, seen)) - len(prefix)
    old = max(held, len(seen) - n_new)
    n = 0
    while len(prefix) + len(seen) - n > n_ctx - 1 and old - n > 1:
        n += (old - n) // 2
    window = _behind_gap(prefix, seen, n_ctx, 0, n, Window(0, [], 0, gap))
    return window if held > n else Window(0, window.tokens, window.excess, window.gap)


def refit_kept(
    prefix: Sequence[int], rest: Sequence[int], n_ctx: int, window: Window, swap: bool
) -> Window | None:
    """As `refit`; `rest` ends with the reply. `swap`: as in 2023, when the smaller half stayed."""
    seen = elide(rest, window.gap)
    half = (len(seen) - 1) // 2
    n = len(seen) - 1 - half if swap else half
    return _behind_gap(prefix, seen, n_ctx, 0, n, window) if n > 0 else None


def cut_of(window: Window, n_kept: int, prefix: int, turns: Sequence[int]) -> ContextCut:
    """What a window with `keep` means for the turns of these lengths, behind a prefix of `prefix` tokens."""
    if window.gap == NONE:
        return ContextCut(0)
    start, stop = n_kept, n_kept + window.gap[1]
    at = prefix
    for i, n in enumerate(turns):
        if stop < at + n:
            return ContextCut(i, (max(start - at, 0), max(stop - at, 0)) if stop > at else NONE)
        at += n
    return ContextCut(len(turns) - 1, (max(start - at + turns[-1], 0), stop - at + turns[-1]))


def elide(tokens: Sequence[int], gap: Gap) -> list[int]:
    return [*tokens[: gap[0]], *tokens[gap[1] :]]


def _has_gap(cut: ContextCut, turns: Sequence[Sequence[int]]) -> bool:
    return cut.gap != NONE and cut.first_turn < len(turns) and cut.gap[1] < len(turns[cut.first_turn])


def _holds(context: Sequence[int], prefix: Sequence[int], turn: Sequence[int]) -> bool:
    return common_prefix(context, chain(prefix, turn)) >= len(prefix) + len(turn) - UNSEEN


def _behind_gap(
    prefix: Sequence[int], seen: Sequence[int], n_ctx: int, start: int, n: int, window: Window
) -> Window:
    """The window in which n more tokens of the last turn, from `start` on, are not seen."""
    stop = window.gap[1] if window.gap != NONE else start
    tokens = [*prefix, *elide(seen, (start, start + n))]
    leaves = (len(prefix) + start, len(prefix) + start + n) if n else NONE
    gap = (start, stop + n) if stop + n > start else NONE
    return Window(window.first_turn, tokens, max(len(tokens) - (n_ctx - 1), 0), gap, leaves)


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

    All but its last tokens, that is: see UNSEEN.
    """
    if common_prefix(context, prefix) < len(prefix):
        return None
    best, found = 0, None
    for i, turn in enumerate(turns):
        n = common_prefix(islice(context, len(prefix), None), chain.from_iterable(islice(turns, i, None)))
        if n >= len(turn) - UNSEEN and n > best:
            best, found = n, i
    return found


def common_prefix(a: Iterable[int], b: Iterable[int]) -> int:
    """How many tokens `a` and `b` have in common from the start."""
    return sum(1 for _ in takewhile(bool, map(eq, a, b)))


def _window(
    prefix: Sequence[int], turns: Sequence[Sequence[int]], first: int, n_ctx: int, gap: Gap, leaves: Gap
) -> Window:
    tokens = [*prefix, *chain.from_iterable(turns[first:])]
    return Window(first, tokens, max(len(tokens) - (n_ctx - 1), 0), gap, leaves)
