"""Typing while text floods in: how soon a key shows, and how much memory the program takes.

    python -m benchmarks.echo [--seconds 120] [-n 8000] [--rate 6]

The real program in a pseudo-terminal of 120x40, with its conversations kept in a file, and an engine that
writes 2,000 tokens a second (benchmarks/flood.py): headings, nested lists, code, tables and Chinese, in
replies of N tokens, each asked for as soon as the one before has ended. Meanwhile somebody types. The first
quarter of the time shows what a start costs; memory counts from then on (Linux). The exit code is 1 where a
limit does not hold: 50 ms for 99 of 100 keys, no key lost, and 32 MiB more memory at most.
"""

from __future__ import annotations

import argparse
import os
import re
import select
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.flood import RATE
from benchmarks.typist import EMPTY_PROMPT, SEAM, Typist, percentiles

SIZE = (40, 120)
READY = b" ready"
QUESTION = EMPTY_PROMPT + "go on\r"
MOST_ECHO, MOST_GROWTH = 0.050, 32  # seconds; MiB


def memory(pid: int) -> float:
    """MiB of a process that are its own; 0 where the system does not say."""
    try:
        found = re.search(r"RssAnon:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def measure(options: argparse.Namespace, home: Path) -> bool:
    """Prints a line for each quarter of the time. True where every limit holds."""
    from tests.program.terminal import Terminal

    arguments = [str(options.tokens), "--lang", "en", "-n", "-1", *options.arguments]
    with Terminal(arguments, home, SIZE, "benchmarks.flood") as terminal:
        terminal.wait(lambda text: "ready" in text.splitlines()[-1])
        fd, pid = terminal.child.child_fd, terminal.child.pid
        typist = Typist(fd)
        typist.write(QUESTION)
        begin = time.perf_counter()
        typist.begin(options.rate, begin + 0.5)
        end, quarter, replies, tail = begin + options.seconds, 1, 0, b""
        base, echoes, shown = 0.0, list[float](), 0
        print(f"{'seconds':>8} {'keys':>6} {'p50 ms':>8} {'p99 ms':>8} {'worst':>8} {'MiB':>8}", flush=True)
        while (now := time.perf_counter()) < end:
            typist.type(now)
            if select.select([fd], [], [], max(min(typist.next_key, end) - now, 0.0))[0]:
                data = os.read(fd, 1 << 16)
                now = time.perf_counter()
                typist.see(data, now)
                shown += len(data)
                tail = tail[-SEAM:] + data
                if READY in tail:
                    tail, replies = b"", replies + 1
                    typist.write(QUESTION)
            if now >= begin + quarter * options.seconds / 4:
                used = memory(pid)
                base = base or used
                new = typist.echoes[len(echoes) :]
                echoes += new
                p50, p99 = percentiles(new)
                line = f"{now - begin:8.0f} {len(new):6} {1e3 * p50:8.1f} {1e3 * p99:8.1f}"
                print(f"{line} {1e3 * max(new, default=0):8.1f} {used:8.1f}", flush=True)
                quarter += 1
        growth, lost = memory(pid) - base, typist.lost(time.perf_counter())
        p50, p99 = percentiles(typist.echoes)
        print(f"{replies} replies ended; {shown / 1e6 / options.seconds:.2f} MB a second to the terminal")
        print(
            f"{len(typist.echoes)} keys: p50 {1e3 * p50:.1f} ms, p99 {1e3 * p99:.1f} ms, {lost} lost;",
            end=" ",
        )
        print(f"{growth:.1f} MiB more memory after the first quarter")
    return p99 <= MOST_ECHO and not lost and growth <= MOST_GROWTH


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("-n", "--tokens", type=int, default=8000, help=f"of a reply, at {RATE:.0f} a second")
    parser.add_argument("--rate", type=float, default=6, help="keys a second")
    parser.add_argument("arguments", nargs="*", help="for the program, after --")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        return int(not measure(options, Path(home)))


if __name__ == "__main__":
    sys.exit(main())
