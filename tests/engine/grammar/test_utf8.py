"""Sets of characters as bytes: every character in them, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaca_tui.engine.grammar.utf8 import EVERY, byte_sequences, complement, normal

points = st.integers(0, 0x10FFFF)
EDGES = [
    0,
    0x7F,
    0x80,
    0x7FF,
    0x800,
    0xFFF,
    0x1000,
    0xD7FF,
    0xE000,
    0xFFFF,
    0x10000,
    0x3FFFF,
    0x40000,
    0x10FFFF,
]


def inside(data: bytes, sequences: list) -> int:
    """How many of the sequences match."""
    return sum(
        len(data) == len(each) and all(low <= b <= high for b, (low, high) in zip(data, each, strict=True))
        for each in sequences
    )


@given(st.lists(st.tuples(points, points), max_size=4), st.lists(points))
def test_exactly_the_characters_in_the_ranges(pairs: list[tuple[int, int]], others: list[int]) -> None:
    ranges = normal((min(p), max(p)) for p in pairs)
    sequences = list(byte_sequences(ranges))
    near = [p + d for pair in pairs for p in pair for d in (-1, 0, 1)]
    for point in [*EDGES, *near, *others]:
        if 0 <= point <= 0x10FFFF and not 0xD800 <= point <= 0xDFFF:
            wanted = any(min(p) <= point <= max(p) for p in pairs)
            assert inside(chr(point).encode(), sequences) == wanted
            assert inside(chr(point).encode(), list(byte_sequences(complement(ranges)))) == (not wanted)


def test_every_character_and_no_other_bytes() -> None:
    sequences = list(byte_sequences(EVERY))
    assert len(sequences) == 9  # as in the Unicode Standard, table 3-7
    for wrong in (b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80", b"\xff", b"\xe0\x80\x80"):
        with pytest.raises(UnicodeDecodeError):
            wrong.decode()
        assert not inside(wrong, sequences)


def test_ranges_are_made_normal() -> None:
    assert normal([(5, 9), (1, 2), (3, 3), (8, 20), (9, 4)]) == ((1, 3), (5, 20))
    assert normal([(0xD700, 0xE001)]) == ((0xD700, 0xD7FF), (0xE000, 0xE001))
    assert complement(EVERY) == ()
    assert complement([]) == EVERY
