"""A small plot of one number over time, in characters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

EIGHTHS = " ▁▂▃▄▅▆▇█"
FEW = " .:#"  # where the terminal has no such blocks


def fit(values: Sequence[float], width: int) -> list[float]:
    """At most `width` values: the mean of as many neighbours as have to share a column."""
    n = len(values)
    if n <= width:
        return list(values)
    edges = [i * n // width for i in range(width + 1)]
    return [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]


def bars(
    values: Sequence[float], width: int, height: int, top: float = 0.0, plain: bool = False
) -> list[str]:
    """Rows of a bar chart, the highest row first. `top`: the value of a full column (0: the largest)."""
    signs = FEW if plain else EIGHTHS
    steps = len(signs) - 1
    columns = fit(values, width)
    top = top or max(columns, default=0.0)
    levels = [round(min(max(v / top, 0.0), 1.0) * height * steps) if top > 0 else 0 for v in columns]
    levels = [max(level, 1) if v > 0 else 0 for level, v in zip(levels, columns, strict=True)]
    return [
        "".join(signs[min(max(level - row * steps, 0), steps)] for level in levels)
        for row in range(height - 1, -1, -1)
    ]
