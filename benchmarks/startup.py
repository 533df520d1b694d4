"""How long the program takes to answer `--help` and `--version`, and to import what a start needs.

    python benchmarks/startup.py [--runs N]

Each figure is the median of N fresh processes, after one that is not counted (it fills the disk cache). An
empty interpreter is measured too: nothing can be faster. The limit for --help and --version is 0.3 s; the
exit code is 1 where one of them takes longer.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT_SECONDS = 0.3
CASES = {
    "an empty interpreter": ["-c", "pass"],
    "alpaca-tui --help": ["-m", "alpaca_tui", "--help"],
    "alpaca-tui --version": ["-m", "alpaca_tui", "--version"],
    "import alpaca_tui.tui.app": ["-c", "import alpaca_tui.tui.app"],
    "import alpaca_tui.engine.engine": ["-c", "import alpaca_tui.engine.engine"],
}


def seconds(arguments: list[str], runs: int) -> float:
    """The median wall time of `runs` processes."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
    slow = False
    for name, arguments in CASES.items():
        took = seconds(arguments, runs)
        limited = name.startswith("alpaca-tui")
        slow = slow or (limited and took > LIMIT_SECONDS)
        print(f"{name:34} {1000 * took:7.0f} ms{f'  (limit {1000 * LIMIT_SECONDS:.0f})' if limited else ''}")
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
