"""Where an evaluation's time goes: each step of it timed by itself, summed by kernel.

    python -m benchmarks.steps MODEL.gguf... [-t 2] [-p 512] [-r 5]

For a prompt of P tokens and for one token after it, every step is run alone by the thread team, R times over,
and the least time counts. For all matrices the share of the machine's limit is given: of the instruction for
products in a prompt (`alpaca_tui/engine/limits.py`), of reading memory for one token. "together" is the same
evaluation in one go: where it takes less than the sum, timing costs; where it takes more, the whole does
(caches that others fill, threads that wait).
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alpaca_tui.engine import limits
from alpaca_tui.engine.model import Model
from alpaca_tui.files.model_file import open_model
from alpaca_tui.kernels import registry, team
from alpaca_tui.pipeline.bench import Facts, facts_of


def kernel_names() -> dict[int, str]:
    """By the address of their machine code, those that are compiled."""
    return {int(kernel.address): name for name, kernel in registry._compiled.items()}


def by_kernel(model: Model, tokens: list[int], position: int, rounds: int) -> tuple[dict[str, float], float]:
    """Seconds of each kernel in one evaluation, and of the evaluation in one go."""
    names = kernel_names()
    together = []
    for _ in range(rounds):
        start = time.perf_counter()
        model.eval(tokens, position, 1)
        together.append(time.perf_counter() - start)
    steps: npt.NDArray[Any] = model._program.copy()
    steps[:, team.BARRIER] = 1
    least = np.full(len(steps), np.inf)
    for _ in range(rounds):
        model.eval(tokens, position, 1)  # sets what a step finds in its buffers
        for i in range(len(steps)):
            start = time.perf_counter()
            model._team.run(steps[i : i + 1])
            least[i] = min(least[i], time.perf_counter() - start)
    seconds: dict[str, float] = defaultdict(float)
    for step, one in zip(steps, least, strict=True):
        seconds[names[int(step[team.ADDRESS])]] += one
    return dict(seconds), min(together)


def share_of_limit(facts: Facts, n_tokens: int, seconds: float, n_threads: int) -> str:
    """Of all matrices' products in so many seconds, or of all weights read."""
    if n_tokens == 1:
        return f"{facts.bytes_read / seconds / limits.bandwidth(n_threads):.0%} of memory's bandwidth"
    peak = (limits.dot_peak if facts.integer else limits.fma_peak)(n_threads)
    if not peak:
        return "no limit known"
    products = n_tokens * facts.layer_products + facts.output_products
    return f"{products / seconds / peak:.0%} of the instruction for products"


def report(path: Path, n_prompt: int, n_threads: int, rounds: int) -> None:
    file = open_model(path, need_vocab=False)
    facts = facts_of(file)
    model = Model(file, n_ctx=n_prompt + 1, n_threads=n_threads, n_batch=n_prompt)
    prompt = [300 + i % 3000 for i in range(n_prompt)]
    for name, tokens, position in (("prompt", prompt, 0), ("token", prompt[:1], n_prompt)):
        seconds, together = by_kernel(model, tokens, position, rounds)
        total = sum(seconds.values())
        print(f"{path.name}: {name} of {len(tokens)} after {position}, {n_threads} threads")
        for kernel, one in sorted(seconds.items(), key=lambda item: -item[1]):
            print(f"    {kernel:24} {1000 * one:9.3f} ms {one / total:6.1%}")
        print(f"    {'sum':24} {1000 * total:9.3f} ms; together {1000 * together:.3f} ms")
        matrices = sum(one for kernel, one in seconds.items() if kernel.startswith("matmul"))
        print(f"    the matrices alone are at {share_of_limit(facts, len(tokens), matrices, n_threads)}")
    model.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("-p", "--prompt", type=int, default=512)
    parser.add_argument("-r", "--rounds", type=int, default=5)
    options = parser.parse_args()
    for path in options.models:
        report(path, options.prompt, options.threads, options.rounds)


if __name__ == "__main__":
    main()
