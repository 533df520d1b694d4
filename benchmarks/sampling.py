"""What the choice of a token costs, by size of the vocabulary.

    python -m benchmarks.sampling [-r 200]

Each figure is the median of N choices from logits as a model gives them: most of the probability on few
tokens, and different logits each time, so that none lies in a near cache. The limit, 2 % of decoding a token
with the 1b shape in q4_0, is some 0.4 ms; the exit code is 1 where the defaults take longer.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import numpy as np

from alpaca_tui.engine.protocol import SamplingParams
from alpaca_tui.engine.sampling import Sampler

SIZES = (32_000, 50_000, 150_000)
LIMIT_MS = 0.4
CASES = {
    "top_k 40, top_p 0.95, penalty": SamplingParams(seed=1),
    "greedy, penalty": SamplingParams(temp=0.0),
    "top_k 10000, top_p 0.5, penalty": SamplingParams(top_k=10_000, top_p=0.5, temp=0.2, seed=1),
    "top_p 0.95 alone": SamplingParams(top_k=0, repeat_penalty=1.0, seed=1),
    "nothing but temperature": SamplingParams(top_k=0, top_p=1.0, repeat_penalty=1.0, seed=1),
}
ROWS = 16  # different logits


def milliseconds(params: SamplingParams, n_vocab: int, rounds: int) -> float:
    rng = np.random.default_rng(0)
    logits = rng.gumbel(size=(ROWS, n_vocab)).astype(np.float32) * np.float32(1.5)
    context = rng.integers(0, n_vocab, 2048).tolist()
    sampler = Sampler(params, n_vocab)
    times = []
    for i in range(rounds + ROWS):
        start = time.perf_counter()
        sampler.sample(logits[i % ROWS], context)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[ROWS:])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-r", "--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    print(f"{'ms a token, vocabulary of':34}" + "".join(f"{size:>10,}" for size in SIZES))
    slow = False
    for i, (name, params) in enumerate(CASES.items()):
        times = [milliseconds(params, size, rounds) for size in SIZES]
        slow = slow or (i == 0 and max(times) > LIMIT_MS)
        print(f"{name:34}" + "".join(f"{t:10.3f}" for t in times))
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
