"""From the command to a screen to type on, and to the first word of a reply: a cold and a warm start.

    python -m benchmarks.first_token [MODEL] [--cold 2] [--warm 5]

Starts the real program in a pseudo-terminal. In a cold start no kernel is compiled yet (an empty cache
folder); in a warm one all are. As soon as there is a prompt, letters are typed into it, 6 a second; then a
question is sent, which waits until the model is there: at once in a warm start, after five seconds in a
cold one. Times are from the start of the process to the moment at which the terminal has been given the
first picture, and the first word of the reply. The exit code is 1 where a limit does not hold: 0.5 s to the
picture, 1.5 s to the first word, 20 s in a cold start, and 50 ms for the echo of 99 of 100 keys.
"""

from __future__ import annotations

import argparse
import os
import select
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from alpaca_tui.resources import guide_model

SIZE = (40, 90)
QUESTION = "What can you do?"
LETTERS = [chr(code) for code in range(0x1401, 0x166D)]  # that stand nowhere else on the screen
KEY_SECONDS = 1 / 6
TYPED_SECONDS = {"cold": 5.0, "warm": 0.0}
SETTLING = 0.1  # seconds between emptying the prompt and the question
PROMPT = "Type "  # the placeholder begins with it
PATIENCE = 120.0
LIMITS = {"cold": 20.0, "warm": 1.5}
MOST_TO_PAINT, MOST_ECHO = 0.5, 0.050


@dataclass
class Start:
    """Seconds from the start of the process; of an echo, from the key."""

    paint: float = 0.0
    first_word: float = 0.0
    echoes: list[float] = field(default_factory=list)
    n_kernels: int = 0  # compiled


def start(model: Path, kind: str, cache: Path) -> Start:
    """Starts the program once, and ends it."""
    from tests.program.terminal import Terminal

    seen = Start()
    before = n_kernels(cache)
    with tempfile.TemporaryDirectory() as home:
        begin = time.perf_counter()
        arguments = ["-m", str(model), "--temp", "0", "-n", "16", "--lang", "en"]
        # as after an installation: the modules are compiled, whatever this process was told
        environment = {"XDG_CACHE_HOME": str(cache), "PYTHONDONTWRITEBYTECODE": ""}
        terminal = Terminal(arguments, Path(home), SIZE, **environment)
        with terminal:
            fd, waiting = terminal.child.child_fd, dict[str, float]()
            next_key, asked, n_typed = float("inf"), 0, 0
            while True:
                now = time.perf_counter()
                if now - begin > PATIENCE:
                    raise SystemExit(f"There is no reply yet; this is on the screen:\n{terminal.text}")
                if asked == 1 and now > next_key:  # the prompt is empty by now
                    terminal.send(QUESTION + "\r")
                    asked, next_key = 2, float("inf")
                elif now > next_key and now - begin - seen.paint > TYPED_SECONDS[kind]:
                    terminal.send("\x15")
                    asked, next_key = 1, now + SETTLING
                elif now > next_key:
                    letter = LETTERS[n_typed]
                    waiting[letter] = now
                    os.write(fd, letter.encode())
                    n_typed, next_key = n_typed + 1, now + KEY_SECONDS
                if not select.select([fd], [], [], 0.005)[0]:
                    continue
                terminal.read(0)
                now, text = time.perf_counter(), terminal.text
                if not seen.paint and PROMPT in text:
                    seen.paint, next_key = now - begin, now
                for letter in [letter for letter in waiting if letter in text]:
                    seen.echoes.append(now - waiting.pop(letter))
                if asked == 2 and replied(text):
                    seen.first_word = now - begin
                    break
    seen.n_kernels = n_kernels(cache) - before
    return seen


def replied(text: str) -> bool:
    """Whether something stands under the name of the one who replies, which stands under the question."""
    lines = [line.strip(" ▎") for line in text.splitlines()]
    at = [i for i, line in enumerate(lines) if line == QUESTION]
    return bool(at) and at[0] + 3 < len(lines) and bool(lines[at[0] + 2]) and bool(lines[at[0] + 3])


def n_kernels(cache: Path) -> int:
    return len(list(cache.rglob("*.ready")))


def report(kind: str, starts: list[Start]) -> bool:
    """Prints a line. True where every limit holds."""
    paint = statistics.median(s.paint for s in starts)
    word = statistics.median(s.first_word for s in starts)
    echoes = sorted(echo for s in starts for echo in s.echoes)
    p50, p99 = (echoes[int(p * (len(echoes) - 1))] if echoes else 0.0 for p in (0.5, 0.99))
    keys = f"{1e3 * p50:8.1f} {1e3 * p99:6.1f} {len(echoes):5}" if echoes else " " * 21
    print(f"{kind:6} {paint:8.2f} {word:12.2f}  {keys} {starts[0].n_kernels:9} {len(starts):7}", flush=True)
    return paint <= MOST_TO_PAINT and word <= LIMITS[kind] and p99 <= MOST_ECHO


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", type=Path, default=guide_model(), help="default: the bundled one")
    parser.add_argument("--cold", type=int, default=2, metavar="N", help="cold starts (default: 2)")
    parser.add_argument("--warm", type=int, default=5, metavar="N", help="warm starts (default: 5)")
    options = parser.parse_args()
    model = options.model.resolve()
    print("start   picture   first word  echo, ms: p50    p99  keys   compiled  starts")
    with tempfile.TemporaryDirectory() as folder:
        cold = [start(model, "cold", Path(folder) / f"{i}") for i in range(max(options.cold, 1))]
        good = report("cold", cold)
        warm = [start(model, "warm", Path(folder) / "0") for _ in range(options.warm)]
        return int(not (report("warm", warm) and good)) if warm else int(not good)


if __name__ == "__main__":
    sys.exit(main())
