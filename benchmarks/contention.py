"""Decoding while other programs want the cores: by how much this engine slows down, and llama.cpp.

    python -m benchmarks.contention MODEL.gguf [--peer PYTHON] [-t 2] [-n 32] [-r 5]

PYTHON: the interpreter of an environment with llama-cpp-python; without it, this engine is measured alone. In
each round both decode by themselves, then beside one process that computes without end, then beside one for
each thread. Each takes turns, and what counts is the median of the rounds' shares of the speed without any.

A scheduler that is fair gives n threads beside k such processes on n cores n/(n+k) of the time. Threads that
wait for one another get less, since all wait for the one that is not running; the exit code is 1 where this
engine keeps less than half of the fair share.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from alpaca_tui.system import usable_cores
from benchmarks.speed import Child

LEAST = 0.5  # of the fair share
BUSY = "while True: pass"


@contextmanager
def busy(n: int) -> Iterator[None]:
    """n processes that compute."""
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(n)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--peer", metavar="PYTHON")
    parser.add_argument("-t", "--threads", type=int, default=usable_cores())
    parser.add_argument("-n", "--decode", type=int, default=32)
    parser.add_argument("-r", "--rounds", type=int, default=5)
    options = parser.parse_args()
    options.prompt = 16
    children = {"ours": Child(sys.executable, "ours", options)}
    if options.peer:
        children["llama.cpp"] = Child(options.peer, "peer", options)
    for name, child in children.items():
        print(f"{name}: {child.info}")
    loads = list(dict.fromkeys((0, 1, options.threads)))
    speeds: dict[tuple[str, int], list[float]] = {(name, n): [] for name in children for n in loads}
    for i in range(options.rounds):
        for n in loads:
            with busy(n):
                for name in list(children)[:: 1 if i % 2 == 0 else -1]:
                    speeds[name, n].append(children[name].measure()[0]["decode"])
    return report(children, loads, speeds, options.threads)


def report(
    children: dict[str, Child], loads: list[int], speeds: dict[tuple[str, int], list[float]], threads: int
) -> int:
    """Prints the table. 1 where this engine keeps too little."""
    bad = 0
    for name in children:
        for n in loads:
            kept = sorted(x / alone for x, alone in zip(speeds[name, n], speeds[name, 0], strict=True))
            share, fair = statistics.median(kept), threads / (threads + n)
            tokens = statistics.median(speeds[name, n])
            print(
                f"{name:10} beside {n}: {tokens:6.1f} tokens/s, {100 * share:4.0f} % "
                f"({100 * kept[0]:.0f}-{100 * kept[-1]:.0f}) of its own; a fair share is {100 * fair:.0f} %"
            )
            bad |= name == "ours" and share < LEAST * fair
    if "llama.cpp" in children:
        for n in loads:
            pairs = zip(speeds["ours", n], speeds["llama.cpp", n], strict=True)
            print(f"beside {n}: {statistics.median(a / b for a, b in pairs):.2f} times llama.cpp")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
