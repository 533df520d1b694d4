"""Which turns stay when the context fills up."""

from __future__ import annotations

import time
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaca_tui.engine.protocol import ContextCut
from alpaca_tui.engine.window import (
    Window,
    common_prefix,
    cut_of,
    elide,
    first_held,
    first_turn,
    fit,
    fit_kept,
    refit,
    refit_kept,
    reply_room,
)

PREFIX = [1, 2, 3]


def turn(name: int, n: int) -> list[int]:
    return [100 + name] * n


def test_reply_room() -> None:
    assert reply_room(256, 2048) == 256
    assert reply_room(1000, 2048) == 512  # a quarter at most
    assert reply_room(-1, 2048) == 512
    assert reply_room(0, 2048) == 1
    assert reply_room(-1, 3) == 1


def test_all_turns_that_fit_stay() -> None:
    turns = [turn(0, 20), turn(1, 20), turn(2, 10)]
    window = fit(PREFIX, turns, n_ctx=100, max_tokens=10)
    assert window == Window(0, PREFIX + turns[0] + turns[1] + turns[2])
    # 53 tokens and 10 free: just so.
    assert fit(PREFIX, turns, n_ctx=63, max_tokens=10).first_turn == 0
    assert fit(PREFIX, turns, n_ctx=62, max_tokens=10).first_turn == 1


def test_whole_oldest_turns_leave_and_the_prefix_stays() -> None:
    turns = [turn(i, 20) for i in range(10)]
    window = fit(PREFIX, turns, n_ctx=160, max_tokens=20)
    assert window.tokens[:3] == PREFIX
    assert window.tokens[3:] == list(chain.from_iterable(turns[window.first_turn :]))
    assert len(window.tokens) <= 80  # a new cut goes down to half the context, so that it lasts
    assert len(window.tokens) + 20 > 80


def test_the_turn_before_the_question_is_kept_if_it_fits() -> None:
    turns = [turn(0, 40), turn(1, 60), turn(2, 5)]  # 1 and 2 are over half of 100, but they fit
    assert fit(PREFIX, turns, n_ctx=100, max_tokens=10).first_turn == 1
    turns = [turn(0, 40), turn(1, 90), turn(2, 5)]
    assert fit(PREFIX, turns, n_ctx=100, max_tokens=10).first_turn == 2


def test_a_cut_in_the_cache_is_kept_while_it_fits() -> None:
    turns = [turn(i, 20) for i in range(8)]
    first = fit(PREFIX, turns, n_ctx=160, max_tokens=20)
    turns.append(turn(8, 20))
    second = fit(PREFIX, turns, n_ctx=160, max_tokens=20, context=first.tokens)
    assert second.first_turn == first.first_turn
    assert common_prefix(first.tokens, second.tokens) == len(first.tokens)
    # Without that cache, or with another conversation's, a new cut is made.
    assert fit(PREFIX, turns, 160, 20, context=[9, *first.tokens]).first_turn > first.first_turn
    turns += [turn(i, 20) for i in range(9, 12)]
    later = fit(PREFIX, turns, n_ctx=160, max_tokens=20, context=second.tokens)
    assert later.first_turn > second.first_turn  # it no longer fits


def test_everything_is_seen_again_when_it_fits_again() -> None:
    turns = [turn(i, 20) for i in range(3)]
    held = [*PREFIX, *turns[1], *turns[2]]
    assert fit(PREFIX, turns, n_ctx=1000, max_tokens=20, context=held).first_turn == 0


def test_the_last_turn_may_take_the_reply_s_room() -> None:
    turns = [turn(0, 10), turn(1, 90)]
    window = fit(PREFIX, turns, n_ctx=100, max_tokens=25)
    assert (window.first_turn, window.excess) == (1, 0)


def test_excess_says_how_many_tokens_are_too_many() -> None:
    assert fit(PREFIX, [turn(0, 96)], n_ctx=100, max_tokens=25).excess == 0  # one token of reply
    assert fit(PREFIX, [turn(0, 97)], n_ctx=100, max_tokens=25).excess == 1
    assert fit(PREFIX, [turn(0, 10), turn(1, 110)], n_ctx=100, max_tokens=25).excess == 14


def test_refit_drops_the_oldest_and_keeps_the_reply() -> None:
    turns = [turn(0, 30), turn(1, 30), turn(2, 10)]
    reply = [7] * 27  # 3 + 70 + 27 = 100
    window = refit(PREFIX, turns, 100, -1, reply, Window(0, []))
    assert window is not None
    assert window.first_turn == 1
    assert window.tokens == PREFIX + turns[1] + turns[2] + reply
    assert window.leaves == (3, 33)


def test_refit_drops_the_older_half_of_a_reply_where_no_turn_is_left() -> None:
    reply = list(range(1000, 1088))  # 3 + 10 + 87 fill the context, and one is new
    for turns, first in (([turn(0, 10)], 0), ([turn(0, 10), turn(1, 10)], 1)):
        window = refit(PREFIX, turns, 100, -1, reply, Window(first, []))
        assert window == Window(first, PREFIX + turns[-1] + reply[43:], gap=(10, 53), leaves=(13, 56))
        assert len(window.tokens) == 58
        longer = reply + list(range(1088, 1131))
        again = refit(PREFIX, turns, 100, -1, longer, window)
        assert again == Window(first, PREFIX + turns[-1] + longer[86:], gap=(10, 96), leaves=(13, 56))


def test_a_question_of_over_half_the_context_is_cut_itself() -> None:
    question, reply = list(range(2000, 2060)), list(range(1000, 1038))
    window = refit(PREFIX, [question], 100, -1, reply, Window(0, []))
    assert window == Window(0, PREFIX + question[48:] + reply, gap=(0, 48), leaves=(3, 51))


def test_a_gap_is_found_again() -> None:
    question, reply = turn(0, 10), list(range(1000, 1088))
    window = refit(PREFIX, [question], 100, -1, reply, Window(0, []))
    assert window is not None
    last = ContextCut(window.first_turn, window.gap)
    turns = [[*question, *reply, 2], [9, 9]]
    again = fit(PREFIX, turns, 100, 10, window.tokens, last)
    assert again == Window(0, [*window.tokens, 2, 9, 9], gap=window.gap)
    # Not with another cache, nor where the reply is asked for again: then it does not matter.
    assert fit(PREFIX, turns, 100, 10, [], last).first_turn == 1
    assert fit(PREFIX, [question], 100, 10, window.tokens, last) == Window(0, PREFIX + question)
    # With more turns the one with the gap leaves as a whole.
    turns += [turn(3, 30), turn(4, 5)]
    later = fit(PREFIX, turns, 100, 10, again.tokens, last)
    assert later == Window(1, PREFIX + [9, 9] + turns[2] + turns[3], leaves=(3, 3 + 10 + 45 + 1))


def test_leaves_says_what_the_cache_can_do_without() -> None:
    turns = [turn(i, 20) for i in range(8)]
    held = [*PREFIX, *chain.from_iterable(turns[:7])]
    window = fit(PREFIX, turns, n_ctx=160, max_tokens=20, context=held)
    assert window.first_turn == 5
    assert window.leaves == (3, 103)
    assert [*held[:3], *held[103:]] == window.tokens[: len(window.tokens) - 20]
    # A cache of something else has nothing to keep behind the cut.
    assert fit(PREFIX, turns, 160, 20, context=held[:90]).leaves == (0, 0)


@given(
    keep=st.integers(0, 30),
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    n_reply=st.integers(1, 150),
    n_ctx=st.integers(40, 120),
)
def test_with_keep_the_cache_holds_what_the_window_says(
    keep: int, lengths: list[int], n_reply: int, n_ctx: int
) -> None:
    """A whole session: what leaves the cache, and what is then evaluated, always makes the window."""
    run: list[int] = []
    cache: list[int] = []
    last, number = (0, 0), 0
    for n in lengths:
        run += range(number, number + n)
        number += n
        kept, rest = run[:keep], run[keep:]
        window = fit_kept(kept, rest, min(n, len(rest)), n_ctx, cache, last)
        if window.excess:
            return
        for step in range(n_reply):
            start, stop = window.leaves
            del cache[start:stop]
            if stop > start:
                assert cache == window.tokens[: len(cache)]
            cache = list(window.tokens)
            assert cache[: len(kept)] == kept
            assert len(cache) < n_ctx
            if step == n_reply - 1:
                break
            while len(cache) < n_ctx and step < n_reply - 1:
                run.append(number)
                cache.append(number)
                number += 1
                step += 1
            if len(cache) < n_ctx:
                break
            run.append(number)
            number += 1
            again = refit_kept(run[:keep], run[keep:], n_ctx, window, swap=False)
            if again is None or again.excess:
                return
            window = again
        last = window.gap
        assert [*run[:keep], *elide(run[keep:], last)][: len(cache)] == cache


def test_a_cut_is_told_by_turns() -> None:
    # 3 of prefix, turns of 10, 20 and 30; 5 are kept.
    def told(stop: int) -> ContextCut:
        return cut_of(Window(0, [], gap=(0, stop)), 5, 3, [10, 20, 30])

    assert told(0) == ContextCut(0)
    assert told(4) == ContextCut(0, (2, 6))
    assert told(8) == ContextCut(1)  # all of the first turn but its first 2 tokens
    assert told(15) == ContextCut(1, (0, 7))
    assert told(30) == ContextCut(2, (0, 2))


def test_refit_drops_all_it_can_when_room_stays_scarce() -> None:
    window = refit(PREFIX, [turn(0, 10), turn(1, 7)], 100, -1, [7] * 80, Window(0, []))
    assert window is not None
    assert window.first_turn == 1


def test_a_long_conversation_takes_no_time() -> None:
    turns = [turn(i, 200) for i in range(5000)]
    context = [*PREFIX, *chain.from_iterable(turns[-30:-1])]
    begin = time.monotonic()
    window = fit(PREFIX, turns, n_ctx=8192, max_tokens=500, context=context)
    assert window.first_turn == 4970
    assert time.monotonic() - begin < 1


def test_first_held() -> None:
    turns = [turn(0, 4), turn(1, 4), turn(2, 4)]
    assert first_held(PREFIX, turns, []) is None
    assert first_held(PREFIX, turns, PREFIX) is None
    assert first_held(PREFIX, turns, [*PREFIX, *turns[0], *turns[1]]) == 0
    assert first_held(PREFIX, turns, [*PREFIX, *turns[1], 55]) == 1
    assert first_held(PREFIX, turns, [*PREFIX, *turns[1][:2]]) == 1  # the end of a reply is not held
    assert first_held(PREFIX, turns, [*PREFIX, *turns[1][:1]]) is None
    assert first_held(PREFIX, turns, [8, *turns[1]]) is None


@pytest.mark.parametrize(
    ("a", "b", "n"), [([], [], 0), ([1], [], 0), ([1, 2], [1, 2, 3], 2), ([1, 2], [1, 3], 1)]
)
def test_common_prefix(a: list[int], b: list[int], n: int) -> None:
    assert common_prefix(a, b) == n == common_prefix(b, a)


@given(
    prefix=st.integers(0, 50),
    turns=st.lists(st.integers(0, 60), min_size=1, max_size=12),
    n_ctx=st.integers(8, 300),
    max_tokens=st.integers(-1, 100),
    current=st.none() | st.integers(0, 12),
)
def test_what_fits_is_as_promised(
    prefix: int, turns: list[int], n_ctx: int, max_tokens: int, current: int | None
) -> None:
    if current is not None and current >= len(turns):
        current = None
    room = reply_room(max_tokens, n_ctx)
    first = first_turn(prefix, turns, n_ctx, room, current)
    assert 0 <= first < len(turns)
    kept = prefix + sum(turns[first:])
    assert kept + room <= n_ctx or first == len(turns) - 1
    if prefix + sum(turns) + room <= n_ctx:
        assert first == 0
