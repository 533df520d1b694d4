"""How the cost of a token grows: with what stands before it, and with how many are evaluated at once.

    python -m benchmarks.scaling MODEL.gguf [-t 2] [--cache-type q8_0] [-r 9]

"At 4096" is decoding with 4,096 tokens in the context, beside decoding with 64. "Batch of n" is one
evaluation of n tokens with all their logits, as a draft of prompt lookup takes it, beside the evaluation of
one. All take turns; what counts is the median of the rounds' ratios. The exit code is 1 where decoding at
4,096 has less than 75 % of the speed at 64, or where a batch of 8 costs more than two tokens.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

from alpaca_tui.engine.model import Model
from alpaca_tui.engine.protocol import CACHE_TYPES
from alpaca_tui.files.model_file import open_model

NEAR, FAR = 64, 4096
BATCHES = (2, 4, 8, 16)
N_DECODED = 8  # tokens a round
LEAST_SPEED, MOST_COST = 0.75, 2.0


def seconds(model: Model, n_tokens: int, position: int, n_times: int) -> float:
    """Of one evaluation of so many tokens, the mean of several in a row."""
    ids = [300 + i for i in range(n_tokens)]
    start = time.perf_counter()
    for i in range(n_times):
        model.eval(ids, position + i * n_tokens, n_tokens)
    return (time.perf_counter() - start) / n_times


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("--cache-type", choices=CACHE_TYPES, default="f16", help="of keys and values")
    parser.add_argument("-r", "--rounds", type=int, default=9)
    options = parser.parse_args()
    n_ctx = FAR + N_DECODED
    file = open_model(options.model, need_vocab=False)
    model = Model(file, n_ctx=n_ctx, n_threads=options.threads, n_batch=512, cache_type=options.cache_type)
    for at in range(0, FAR, 512):  # a cache that was never written would be read from one page of zeros
        model.eval([300 + i for i in range(512)], at, 0)
    kinds = {"at 64": (1, NEAR, N_DECODED), "at 4096": (1, FAR, N_DECODED)}
    kinds |= {f"batch of {n}": (n, NEAR, 2) for n in BATCHES}
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(options.rounds):
        for kind, arguments in kinds.items():
            times[kind].append(seconds(model, *arguments))
    model.close()
    ratios = {
        kind: statistics.median(one / base for one, base in zip(times[kind], times["at 64"], strict=True))
        for kind in kinds
    }
    print(f"{options.model.name}, {options.threads} threads, {options.cache_type} cache")
    for kind, ratio in ratios.items():
        print(
            f"{kind:12} {1000 * statistics.median(times[kind]):8.2f} ms, {ratio:5.2f} times a token at {NEAR}"
        )
    held = 1 / ratios["at 4096"] >= LEAST_SPEED and ratios["batch of 8"] <= MOST_COST
    print(f"decoding at {FAR} has {1 / ratios['at 4096']:.0%} of the speed at {NEAR}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
