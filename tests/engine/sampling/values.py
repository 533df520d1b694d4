"""Logits to sample from, and how to look at what is left of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alpaca_tui.engine.sampling.candidates import Candidates

# 24 logits, and below what llama.cpp (llama-cpp-python 0.3.36) makes of them
LOGITS = np.array(
    [0.76, -2.6, 1.88, 2.35, -4.88, -3.26, 0.32, -0.79, -0.04, -2.13, 2.2, 1.94, 0.17, 2.82, 1.17, -2.15,
     0.92, -2.4, 2.2, -0.12, -0.46, -1.7, 3.06, -0.39], np.float32)  # fmt: skip


def of(p: Sequence[float]) -> Candidates:
    """Candidates with these probabilities."""
    return Candidates(np.log(np.array(p, np.float32)))


def ids(c: Candidates) -> list[int]:
    return [c.id_of(place) for place in range(len(c))]


def shares(c: Candidates) -> list[float]:
    """The probabilities, in the order of the candidates."""
    return c.probabilities().tolist()
