"""The likeliest tokens are those of a full sort; draws fall where they should."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_tui.engine.sampling.candidates import Candidates, draw, top
from alpaca_tui.engine.sampling.cuts import top_k, top_p
from tests.engine.sampling.values import ids


def cut(logits: np.ndarray, k: int, p: float) -> list[int]:
    return ids(top_p(top_k(Candidates(logits), k), p))


def naive(logits: np.ndarray, k: int, p: float) -> list[int]:
    """The rules by a full sort."""
    order = np.lexsort((np.arange(len(logits)), -logits)).tolist()
    if 0 < k < len(order):
        order = order[:k]
    elif p >= 1:
        return sorted(order)
    if p < 1:
        shares = np.exp(logits[order].astype(np.float64) - logits[order[0]])
        enough = np.cumsum(shares / shares.sum()) >= p - 1e-6
        order = order[: int(np.argmax(enough)) + 1 if enough.any() else len(order)]
    return order


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(-40, 40), min_size=1, max_size=200),
    st.integers(0, 210),
    st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.95, 0.999, 1.0]),
)
def test_small_vocabularies_equal_a_full_sort(values: list[int], k: int, p: float) -> None:
    # A quarter is far from rounding, and gives many ties.
    logits = np.array(values, np.float32) / 4
    assert cut(logits, k, p) == naive(logits, k, p)


@pytest.mark.parametrize("coarse", [False, True], ids=["all differ", "many equal"])
@pytest.mark.parametrize("n", [5000, 32_000, 150_000])
def test_large_vocabularies_equal_a_full_sort(n: int, coarse: bool) -> None:
    logits = (np.random.default_rng(1).standard_normal(n) * 3).astype(np.float32)
    if coarse:
        logits = np.round(logits * 2) / 2
    for k, p in ((1, 1.0), (40, 0.95), (0, 0.9), (1000, 1.0), (10_000, 0.5), (4999, 1.0), (0, 0.0)):
        assert cut(logits, k, p) == naive(logits, k, p)


def test_equal_logits_leave_the_lower_ids() -> None:
    flat = np.zeros(10_000, np.float32)
    flat[::2] = -0.0  # equal to 0
    assert cut(flat, 40, 1.0) == list(range(40))
    assert cut(flat, 7000, 1.0) == list(range(7000))
    assert cut(flat, 0, 0.5) == list(range(5000))
    flat[77] = 1e-30
    assert cut(flat, 3, 1.0) == [77, 0, 1]
    flat[:] = -1e30
    flat[[5, 9000]] = -1e-30, 3e38
    assert cut(flat, 3, 1.0) == [9000, 5, 0]
    assert top(flat, 20_000).tolist() == list(range(10_000))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=30, unique=True),
    st.sets(st.integers(0, 30), min_size=1),
)
def test_places_of_tokens(kept: list[int], tokens: set[int]) -> None:
    wanted = np.array(sorted(tokens))
    some = Candidates(np.zeros(len(kept), np.float32), np.array(kept))
    places, which = some.places_of(wanted)
    assert {(kept[place], int(wanted[i])) for place, i in zip(places, which, strict=True)} == {
        (token, token) for token in tokens & set(kept)
    }
    everything = Candidates(np.zeros(31, np.float32))
    assert everything.places_of(wanted)[0].tolist() == sorted(tokens)


def test_draw_covers_its_intervals_exactly() -> None:
    logits = np.log(np.array([0.25, 0.5, 0.25], np.float32))
    assert [draw(logits, 1.0, u) for u in (0.0, 0.249, 0.251, 0.749, 0.751, 1 - 2**-53)] == [0, 0, 1, 1, 2, 2]
