"""Each cut leaves what llama.cpp leaves: the values of its own tests, and of its library on 24 logits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_tui.engine.sampling import cuts
from alpaca_tui.engine.sampling.candidates import Candidates
from tests.engine.sampling.values import LOGITS, ids, of, shares

P4 = [0.1, 0.2, 0.3, 0.4]
ALL = list(range(24))


def about(values: list[float]) -> list[float]:
    return pytest.approx(values, abs=1e-5)


@pytest.mark.parametrize(
    ("k", "expected"), [(1, [1.0]), (3, [0.444444, 0.333333, 0.222222]), (4, P4), (0, P4), (-1, P4)]
)
def test_top_k(k: int, expected: list[float]) -> None:
    assert shares(cuts.top_k(of(P4), k)) == about(expected)


@pytest.mark.parametrize(
    ("p", "expected"),
    [(0.0, [1.0]), (0.7, [0.571429, 0.428571]), (0.8, [0.444444, 0.333333, 0.222222]), (1.0, P4)],
)
def test_top_p(p: float, expected: list[float]) -> None:
    assert shares(cuts.top_p(of(P4), p)) == about(expected)


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        *((p, P4) for p in (0.0, 0.24)),
        *((p, [0.2 / 0.9, 0.3 / 0.9, 0.4 / 0.9]) for p in (0.26, 0.49)),
        *((p, [0.3 / 0.7, 0.4 / 0.7]) for p in (0.51, 0.74)),
        *((p, [1.0]) for p in (0.76, 1.0, 1.05)),
    ],
)
def test_min_p(p: float, expected: list[float]) -> None:
    assert shares(cuts.min_p(of(P4), p)) == about(expected)


@pytest.mark.parametrize(
    ("threshold", "n_left"), [(0.09, 1), (0.19, 2), (0.29, 3), (0.39, 4), (0.5, 4), (0.51, 4)]
)
def test_xtc(threshold: float, n_left: int) -> None:
    p = [0.4, 0.3, 0.2, 0.1][4 - n_left :]
    assert shares(cuts.xtc(of([0.4, 0.3, 0.2, 0.1]), threshold)) == about([x / sum(p) for x in p])


@pytest.mark.parametrize(("z", "n_left"), [(0.25, 1), (0.75, 2), (0.99, 2), (1.0, 5)])
def test_tail_free(z: float, n_left: int) -> None:
    left = cuts.tail_free(of([0.1, 0.15, 0.2, 0.25, 0.3]), z)
    assert ids(left) == ([4, 3, 2, 1, 0][:n_left] if z < 1 else [0, 1, 2, 3, 4])


def test_typical() -> None:
    assert ids(cuts.typical(of([0.97, 0.01, 0.01, 0.01]), 0.5)) == [0]
    assert ids(cuts.typical(of([0.4, 0.2, 0.2, 0.2]), 0.5)) == [1, 2, 3]
    assert ids(cuts.typical(of([0.4, 0.2, 0.2, 0.2]), 1.0)) == [0, 1, 2, 3]


@pytest.mark.parametrize(("n", "expected"), [(1.0, [0.428571, 0.571429]), (0.0, P4), (3.0, P4), (-1.0, P4)])
def test_top_n_sigma(n: float, expected: list[float]) -> None:
    assert shares(cuts.top_n_sigma(of(P4), n)) == about(expected)


@pytest.mark.parametrize(
    ("cut", "value", "expected"),
    [
        (cuts.top_k, 5, [22, 13, 3, 10, 18]),
        (cuts.top_p, 0.3, [22, 13]),
        (cuts.top_p, 0.9, [22, 13, 3, 10, 18, 11, 2, 14, 16]),
        (cuts.min_p, 0.01, [0, 2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 16, 18, 19, 20, 22, 23]),
        (cuts.min_p, 0.1, [0, 2, 3, 10, 11, 13, 14, 16, 18, 22]),
        (cuts.min_p, 0.4, [3, 10, 13, 18, 22]),
        (cuts.typical, 0.2, [10, 18, 3]),
        (cuts.typical, 0.5, [10, 18, 3, 11, 2, 13]),
        (cuts.typical, 0.8, [10, 18, 3, 11, 2, 13, 22]),
        (cuts.top_n_sigma, 0.5, [3, 10, 13, 18, 22]),
        (cuts.top_n_sigma, 1.0, [2, 3, 10, 11, 13, 14, 18, 22]),
        (cuts.top_n_sigma, 1.5, [0, 2, 3, 6, 8, 10, 11, 12, 13, 14, 16, 18, 22]),
        (cuts.xtc, 0.05, [2, 14, 16, 0, 6, 12, 8, 19, 23, 20, 7, 21, 9, 15, 17, 1, 5, 4]),
        (cuts.xtc, 0.1, [3, 10, 18, 11, 2, 14, 16, 0, 6, 12, 8, 19, 23, 20, 7, 21, 9, 15, 17, 1, 5, 4]),
        (cuts.xtc, 0.2, ALL),
    ],
)
def test_llama_cpp_leaves_the_same(cut, value: float, expected: list[int]) -> None:
    assert ids(cut(Candidates(LOGITS), value)) == expected


CUTS = [cuts.top_k, cuts.top_p, cuts.min_p, cuts.typical, cuts.top_n_sigma, cuts.tail_free, cuts.xtc]
logits_lists = st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=40)


@settings(max_examples=150, deadline=None)
@given(logits_lists, st.lists(st.tuples(st.sampled_from(CUTS), st.floats(-0.5, 3)), min_size=1, max_size=4))
def test_in_any_order_some_stay_and_none_changes(values: list[float], steps: list) -> None:
    c = Candidates(np.array(values, np.float32))
    for cut, value in steps:
        before = dict(zip(ids(c), c.logits.tolist(), strict=True))
        c = cut(c, int(value * 10) if cut is cuts.top_k else value)
        kept = dict(zip(ids(c), c.logits.tolist(), strict=True))
        assert kept
        assert len(kept) == len(c)
        assert kept.items() <= before.items()
        if c.ranked:
            assert ids(c) == sorted(kept, key=lambda i, kept=kept: (-kept[i], i))


@settings(max_examples=50, deadline=None)
@given(logits_lists, st.floats(0.01, 0.99))
def test_a_ranked_beginning_changes_nothing(values: list[float], value: float) -> None:
    c = Candidates(np.array(values, np.float32))
    for cut in CUTS[1:]:
        assert sorted(ids(cut(c, value))) == sorted(ids(cut(c.rank(), value)))


def test_entropy() -> None:
    assert cuts.entropy(np.array([0.5, 0.25, 0.25, 0.0])) == pytest.approx(1.5 * math.log(2))
