"""Random draws as libstdc++ makes them: std::mt19937 and std::discrete_distribution<int>.

The generator is that of Matsumoto and Nishimura (1998), which Python's `random` has as well; only the seeding
by one number (their `init_genrand`, which C++ uses) differs, and is done here.
"""

from __future__ import annotations

from random import Random

import numpy as np
from numpy.typing import NDArray

WORDS = 624
MASK = 0xFFFFFFFF


class Mt19937:
    """std::mt19937(seed); `seed` counts modulo 2^32."""

    def __init__(self, seed: int) -> None:
        state = [seed & MASK]
        for i in range(1, WORDS):
            last = state[-1]
            state.append((1812433253 * (last ^ last >> 30) + i) & MASK)
        self._random = Random()
        self._random.setstate((3, (*state, WORDS), None))

    def word(self) -> int:
        """The next 32 bits."""
        return self._random.getrandbits(32)

    def uniform(self) -> float:
        """std::generate_canonical<double, 53>: two words, the low one first; in [0, 1)."""
        low, high = self.word(), self.word()
        return min((float(low) + float(high) * 2.0**32) / 2.0**64, 1 - 2.0**-53)


def discrete(weights: NDArray[np.float32], rng: Mt19937) -> int:
    """The index that std::discrete_distribution draws; a single weight takes nothing from `rng`."""
    if len(weights) < 2:
        return 0
    p = weights.astype(np.float64)
    bounds = np.cumsum(p / np.cumsum(p)[-1])
    bounds[-1] = 1.0
    return int(np.searchsorted(bounds, rng.uniform(), side="left"))
