"""Penalties and DRY: llama.cpp's own test values, and sequences by a plain count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_tui.engine.sampling.candidates import Candidates
from alpaca_tui.engine.sampling.penalties import _since_breaker, dry, penalise, recent
from alpaca_tui.errors import UserError
from tests.engine.sampling.values import LOGITS, of, shares

FIFTHS = [0.2] * 5


@pytest.mark.parametrize(
    ("tokens", "repeat", "other", "expected"),
    [
        ([0], 50, 0, [0, 0.25, 0.25, 0.25, 0.25]),
        ([0, 1, 2], 50, 0, [0, 0, 0, 0.5, 0.5]),
        ([0, 1, 2, 0, 0], 50, 0, [0, 0, 0, 0.5, 0.5]),
        ([0], 1, 5, [0.000011, 0.249997, 0.249997, 0.249997, 0.249997]),
        ([0, 1, 2], 1, 5, [0.000023, 0.000023, 0.000023, 0.499966, 0.499966]),
        ([0, 1, 2, 0, 0], 1, 5, [0.0, 0.000023, 0.000023, 0.499977, 0.499977]),
    ],
)
def test_penalties(tokens: list[int], repeat: float, other: float, expected: list[float]) -> None:
    assert shares(penalise(of(FIFTHS), tokens, repeat, other, other)) == pytest.approx(expected, abs=1e-5)


def test_llama_cpp_penalises_the_same() -> None:
    penalised = penalise(Candidates(LOGITS), recent([1, 5, 5, 7, 0, 23, 5, 9, 2], 8), 1.3, 0.2, 0.4)
    expected = LOGITS.copy()
    expected[[0, 2, 5, 7, 9, 23]] = -0.0154, 0.8462, -5.238, -1.627, -3.369, -1.107
    assert penalised.logits == pytest.approx(expected, abs=1e-4)


def test_what_is_positive_is_divided_and_the_argument_stays() -> None:
    c = Candidates(np.array([2.0, -2.0, 0.0, 3.0], np.float32))
    assert penalise(c, [0, 1, 2], 2.0).logits.tolist() == [1.0, -4.0, 0.0, 3.0]
    assert c.logits.tolist() == [2.0, -2.0, 0.0, 3.0]
    assert penalise(c, [], 2.0) is c
    assert penalise(c, [1], 1.0) is c


def test_only_those_that_are_left_are_penalised() -> None:
    c = Candidates(np.array([3.0, 2.0], np.float32), np.array([7, 4]), ranked=True)
    penalised = penalise(c, [4, 4, 5, 7], 1.0, frequency=1.0)
    assert penalised.logits.tolist() == [2.0, 0.0]
    assert not penalised.ranked
    assert penalise(c, [5], 3.0) is c


def test_overflow_is_a_user_error(recwarn: pytest.WarningsRecorder) -> None:
    c = Candidates(np.array([0.0, -3e38, 1.0], np.float32))
    with pytest.raises(UserError, match="penalties"):
        penalise(c, [1], 5.0)
    with pytest.raises(UserError, match="penalties"):
        dry(c, [1] * 200, 1e30, 10.0, 1, [], LETTERS)
    assert not recwarn.list


def test_recent() -> None:
    assert recent([1, 2, 3], 2) == [2, 3]
    assert recent([1, 2, 3], 0) == []
    assert recent([1, 2, 3], -1) == [1, 2, 3]
    assert recent([1, 2, 3], 9) == [1, 2, 3]


def LETTERS(token: int) -> bytes:  # noqa: N802
    return b"%c" % (65 + token)


@pytest.mark.parametrize(
    ("n", "tokens", "multiplier", "allowed", "breakers", "expected"),
    [
        (4, [0, 1], 1.0, 2, [], [0.25] * 4),
        (4, [0, 1, 2, 0, 1], 1.0, 2, [], [0.296923, 0.296923, 0.109232, 0.296923]),
        (5, [0, 1, 3, 4, 0, 1], 1.0, 2, [b"D"], FIFTHS),
        (5, [0, 1, 2, 0, 1], 2.0, 2, [], [0.241818, 0.241818, 0.032727, 0.241818, 0.241818]),
        (5, [0, 1, 2, 3, 4, 0, 1], 1.0, 4, [], FIFTHS),
    ],
)
def test_dry(
    n: int, tokens: list[int], multiplier: float, allowed: int, breakers: list[bytes], expected: list[float]
) -> None:
    left = dry(of([1 / n] * n), tokens, multiplier, 1.1, allowed, breakers, LETTERS)
    assert shares(left) == pytest.approx(expected, abs=1e-5)


def lost(tokens: str, breakers: list[bytes], base: float = 2.0, allowed: int = 2) -> dict[str, float]:
    """What each letter loses, after a context of letters."""
    c = Candidates(np.zeros(64, np.float32))
    left = dry(c, [ord(t) - 65 for t in tokens], 1.0, base, allowed, breakers, LETTERS)
    return {chr(65 + i): -x for i, x in enumerate(left.logits.tolist()) if x}


def test_dry_grows_with_the_length_of_the_repetition() -> None:
    assert lost("abcXbc", []) == {"X": 1.0}
    assert lost("abcXabc", []) == {"X": 2.0}
    assert lost("abcXabcYabc", []) == {"X": 2.0, "Y": 2.0}
    assert lost("aaaa", []) == {"a": 2.0}  # a repetition may overlap with itself
    assert lost("abcXc", []) == {}


def test_a_breaker_ends_what_counts_as_repeated() -> None:
    assert lost("ab:cdXab:cd", [b":"]) == {"X": 1.0}
    assert lost("ab:cXab:c", [b":"]) == {}
    assert lost("abcdXabcd", [b"bc"]) == {}  # over two tokens
    assert lost("a" * 5 + ":bcXbc", [b":", b"zz"]) == {"X": 1.0}
    assert lost("bc:bc", [b":"]) == {}  # what would be repeated is itself a breaker


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from([b"", b"a", b"b", b":", b"a:", b":b", b"ab:ba", b"a\n"]), max_size=300),
    st.data(),
)
def test_where_the_last_breaker_ends(pieces: list[bytes], data: st.DataObject) -> None:
    breakers = data.draw(st.lists(st.sampled_from([b":", b"a:", b":ba", b"\n", b"zz", b"abab"]), max_size=2))
    made = _since_breaker(range(len(pieces)), breakers, pieces.__getitem__)
    text = b"".join(pieces)
    ends = [text.rfind(b) + len(b) for b in breakers if b in text]
    if not ends:
        assert made == len(pieces)
    else:
        behind = b"".join(pieces[len(pieces) - made :])
        with_it = b"".join(pieces[len(pieces) - made - 1 :])
        assert len(behind) <= len(text) - max(ends) < len(with_it) + (len(with_it) == len(behind))


def test_dry_stops_growing_where_floats_end() -> None:
    assert lost("a" * 400, [], base=10.0)["a"] == pytest.approx(1e38, rel=1e-6)
    assert lost("a" * 50, [], base=1.0) == {"a": 1.0}


@settings(max_examples=100, deadline=None)
@given(st.text("abcd:", min_size=0, max_size=40), st.integers(0, 4))
def test_dry_is_a_plain_count(text: str, allowed: int) -> None:
    behind = len(text) - 1 - text.rfind(":")
    most = {}
    for at in range(1, len(text)):
        n = 0
        while n < min(at, behind) and text[at - 1 - n] == text[-1 - n]:
            n += 1
        if n >= allowed and behind >= allowed and len(text) > allowed and text[at] != ":":
            most[text[at]] = max(most.get(text[at], 0), n)
    assert lost(text, [b":"], allowed=allowed) == {t: 2.0 ** (n - allowed) for t, n in most.items()}
