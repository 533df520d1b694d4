"""How long saving and restoring a context takes, beside evaluating it.

    python -m benchmarks.state [-m MODEL] [-n TOKENS] [--cache-type f16] [-r 5] [-t N] [--dir FOLDER]

The context is filled with `-n` tokens (as many as make 100 MB, where none are given) whose keys and values
are random: what is measured is the disk, the checksum and the copying. `cold` is a read after the system was
asked to forget the file, where it can be asked (Linux). `evaluate` is how long as many tokens of a prompt
take, going by a batch of 256.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from alpaca_tui.engine import Engine
from alpaca_tui.resources import guide_model

WANTED = 100_000_000  # bytes
BATCH = 256


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def forget(path: Path) -> None:
    """Asks the system to drop what it has of the file in memory."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb+") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def fill(engine: Engine, n: int) -> None:
    """A context of n tokens with random keys and values."""
    rng = np.random.default_rng(0)
    engine._context.tokens = rng.integers(5, engine.model.n_vocab, n).tolist()
    for piece in engine.executor.state_pieces(n):
        piece[...] = rng.integers(0, 256, len(piece), np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-m", "--model", type=Path, default=None)
    parser.add_argument("-n", type=int, default=None)
    parser.add_argument("--cache-type", choices=("f16", "q8_0"), default="f16")
    parser.add_argument("-r", "--rounds", type=int, default=5)
    parser.add_argument("-t", "--threads", type=int, default=None)
    parser.add_argument("--dir", type=Path, default=None, help="where the file goes (default: the temporary)")
    args = parser.parse_args()
    path = args.model or guide_model()
    n = args.n
    if n is None:
        with Engine.load(path, n_ctx=64, n_threads=args.threads, cache_type=args.cache_type) as engine:
            n = max(WANTED * 64 // sum(engine.executor.state_sizes(64)), BATCH)
    with (
        Engine.load(path, n_ctx=n, n_threads=args.threads, cache_type=args.cache_type) as engine,
        tempfile.TemporaryDirectory(dir=args.dir) as folder,
    ):
        evaluate = min(seconds(lambda: engine.logits(range(5, 5 + BATCH))) for _ in range(2)) * n / BATCH
        fill(engine, n)
        file = Path(folder) / "a.state"
        times: dict[str, list[float]] = {"save": [], "restore": [], "cold": []}
        for _ in range(args.rounds):
            times["save"].append(seconds(lambda: engine.save_state(file)))
            times["restore"].append(seconds(lambda: engine.restore_state(file)))
            forget(file)
            times["cold"].append(seconds(lambda: engine.restore_state(file)))
        size = file.stat().st_size
    print(f"{path.name}, {n} tokens, {args.cache_type}: {size / 1e6:.1f} MB")
    for name, values in times.items():
        middle = statistics.median(values)
        print(f"{name:10}{middle:8.3f} s{size / middle / 1e6:8.0f} MB/s")
    print(f"{'evaluate':10}{evaluate:8.1f} s")


if __name__ == "__main__":
    main()
