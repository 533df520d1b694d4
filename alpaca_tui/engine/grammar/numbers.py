"""Numbers within bounds, as GBNF."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

DIGITS = 16  # of a number without a bound on that side, at most; a float holds no more
INTEGER = '"-"? ("0" | [1-9] [0-9]{0,15})'
NUMBER = INTEGER + ' ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?'
FRACTION = '("." [0-9]{1,6})'  # behind a whole number up to 2^33 these do not round to another one


def integers(low: int | None, high: int | None) -> str | None:
    """Whole numbers from `low` to `high` (None: no bound); None where there are none."""
    if low is None and high is None:
        return INTEGER
    low, high = _bounded(low, high)
    return _either(_whole(low, high)) if low <= high else None


def numbers(low: Fraction | None, high: Fraction | None, above: bool, below: bool) -> str | None:
    """Numbers from `low` to `high`, `above` and `below` leaving out the bounds themselves.

    With a bound there is no exponent, and a fraction only where it cannot lead across. None where no whole
    number lies between the bounds, so that such numbers cannot be told.
    """
    if low is None and high is None:
        return NUMBER
    first = None if low is None else math.floor(low) + 1 if above else math.ceil(low)
    last = None if high is None else math.ceil(high) - 1 if below else math.floor(high)
    least, most = _bounded(first, last)
    if least > most:
        return None
    parts = list(_whole(least, most))
    if most > 0:  # n.x lies between n and n + 1
        parts += [f"({part}) {FRACTION}" for part in _natural(max(least, 0), most - 1)]
    if least < 0:
        parts += [f'"-" ({part}) {FRACTION}' for part in _natural(max(-most, 0), -least - 1)]
    return _either(iter(parts))


def _bounded(low: int | None, high: int | None) -> tuple[int, int]:
    digits = max(DIGITS, *(len(str(abs(n))) + 1 for n in (low, high) if n is not None))
    return (-(10**digits) + 1 if low is None else low), (10**digits - 1 if high is None else high)


def _whole(low: int, high: int) -> Iterator[str]:
    if low < 0:
        for part in _natural(max(-high, 1), -low):
            yield f'"-" ({part})'
    if high >= 0:
        yield from _natural(max(low, 0), high)


def _natural(low: int, high: int) -> Iterator[str]:
    """Numbers of each length apart."""
    for n in range(len(str(low)), len(str(high)) + 1):
        first, last = max(low, 10 ** (n - 1) if n > 1 else 0), min(high, 10**n - 1)
        if first <= last:
            yield _same_length(str(first), str(last))


def _same_length(low: str, high: str) -> str:
    n = len(low)
    if low == high:
        return f'"{low}"'
    if low == "0" * n and high == "9" * n:
        return f"[0-9]{{{n}}}"
    if n == 1:
        return f"[{low}-{high}]"
    if low[0] == high[0]:
        return f'"{low[0]}" ({_same_length(low[1:], high[1:])})'
    parts = []
    first, last = int(low[0]), int(high[0])
    if low[1:] != "0" * (n - 1):
        parts.append(f'"{first}" ({_same_length(low[1:], "9" * (n - 1))})')
        first += 1
    if high[1:] != "9" * (n - 1):
        parts.append(f'"{last}" ({_same_length("0" * (n - 1), high[1:])})')
        last -= 1
    if first <= last:
        parts.append(f"[{first}-{last}] [0-9]{{{n - 1}}}")
    return " | ".join(parts)


def _either(parts: Iterator[str]) -> str:
    return " | ".join(parts)
