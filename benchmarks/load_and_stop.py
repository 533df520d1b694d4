"""What a large model costs besides speed: time to load, peak memory, and how soon a stop takes effect.

    python -m benchmarks.synthetic 7b q4_0 7b-q4_0.gguf
    python -m benchmarks.load_and_stop 7b-q4_0.gguf
    python -m benchmarks.load_and_stop 7b-q4_0.gguf --no-copy [--cache-type q8_0]

Loading is set beside copying the file from the page cache into memory with as many threads. Peak memory is
the process's largest resident size, pages of the file included (Linux and macOS), with a full context.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from alpaca_tui.engine.model import Model, Stopped
from alpaca_tui.engine.protocol import CACHE_TYPES
from alpaca_tui.files.model_file import open_model

PIECE = 1 << 24
PAGE = 1 << 12


def copy_seconds(path: Path, threads: int) -> float:
    """Seconds to copy the file, page by page, into memory of our own; the file is in the page cache."""
    source = np.memmap(path, np.uint8, "r")
    int(source[::4096].sum())  # brings it into the page cache
    target = np.empty(len(source), np.uint8)

    def copy(first: int) -> None:
        for i in range(first * PIECE, len(source), threads * PIECE):
            target[i : i + PIECE] = source[i : i + PIECE]

    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(copy, range(threads)))
    return time.perf_counter() - start


def peak_memory() -> float | None:
    """GiB, or None where the system does not say."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20


def stop_latencies(model: Model, n_tokens: int, rounds: int) -> list[float]:
    """Milliseconds from the request to the end of the evaluation, at various moments of it."""
    tokens = [300 + i for i in range(n_tokens)]
    result = []
    for i in range(rounds):
        model.clear_stop()
        asked = [0.0]

        def ask(asked: list[float] = asked) -> None:
            asked[0] = time.perf_counter()
            model.request_stop()

        threading.Timer(0.3 + 0.11 * i, ask).start()
        try:
            while True:
                model.eval(tokens, 0, 1)
        except Stopped:
            result.append((time.perf_counter() - asked[0]) * 1e3)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("-c", "--context", type=int, default=2048)
    parser.add_argument("--cache-type", choices=CACHE_TYPES, default="f16", help="of keys and values")
    parser.add_argument("--no-copy", action="store_true", help="skip the copy, whose memory would count")
    options = parser.parse_args()
    if not options.no_copy:
        print(f"copy:  {copy_seconds(options.model, options.threads):6.2f} s")
    file = open_model(options.model)
    start = time.perf_counter()
    model = Model(file, n_ctx=options.context, n_threads=options.threads, cache_type=options.cache_type)
    print(f"load:  {time.perf_counter() - start:6.2f} s, {options.threads} threads")
    for piece in model.state_pieces(options.context):
        piece[::PAGE] = 0  # a page that was never written takes no memory
    model.eval([300 + i for i in range(model.n_batch)], 0, 1)
    if options.no_copy and (peak := peak_memory()):
        kind = f"a context of {options.context} in {options.cache_type}"
        print(f"peak:  {peak:6.2f} GiB resident with {kind}")
    for n_tokens in (512, 1):
        worst = max(stop_latencies(model, min(n_tokens, options.context), 10))
        print(f"stop:  {worst:6.1f} ms at worst, evaluating {n_tokens} tokens at a time")
    model.close()


if __name__ == "__main__":
    main()
