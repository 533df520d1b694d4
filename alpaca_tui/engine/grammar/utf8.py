"""Sets of characters as sequences of bytes, which is what a token is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Ranges = tuple[tuple[int, int], ...]  # code points, first and last of each; ascending and apart
EVERY: Ranges = ((0, 0xD7FF), (0xE000, 0x10FFFF))  # that UTF-8 can say: no surrogates
_LAST_OF_LENGTH = (0x7F, 0x7FF, 0xFFFF, 0x10FFFF)


def normal(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The same code points in ranges that ascend and are apart; without surrogates."""
    out: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if out and low <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(out[-1][1], high))
        elif low <= high:
            out.append((low, high))
    return _within(out, EVERY)


def complement(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Every other character."""
    gaps, at = [], 0
    for low, high in normal(ranges):
        gaps.append((at, low - 1))
        at = high + 1
    gaps.append((at, 0x10FFFF))
    return _within([(low, high) for low, high in gaps if low <= high], EVERY)


def _within(ranges: Iterable[tuple[int, int]], limits: Ranges) -> Ranges:
    cut = ((max(low, a), min(high, b)) for low, high in ranges for a, b in limits)
    return tuple((low, high) for low, high in cut if low <= high)


def byte_sequences(ranges: Ranges) -> Iterator[tuple[tuple[int, int], ...]]:
    """Sequences of 1 to 4 ranges of bytes that match exactly the UTF-8 of the characters in `ranges`."""
    for low, high in ranges:
        for last in _LAST_OF_LENGTH:
            if low <= min(high, last):
                yield from _same_length(low, min(high, last))
                low = last + 1


def _same_length(low: int, high: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """Of characters with equally many bytes: split until each byte runs freely through its range."""
    for n_bits in (6, 12, 18):
        mask = (1 << n_bits) - 1
        if low & ~mask != high & ~mask:
            if low & mask:
                yield from _same_length(low, low | mask)
                yield from _same_length((low | mask) + 1, high)
                return
            if high & mask != mask:
                yield from _same_length(low, (high & ~mask) - 1)
                yield from _same_length(high & ~mask, high)
                return
    yield tuple(zip(chr(low).encode(), chr(high).encode(), strict=True))
