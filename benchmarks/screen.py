"""What the screen costs: decoding while the program shows it and the user types, and how soon a key shows.

    python -m benchmarks.synthetic 1b q4_0 1b-q4_0.gguf
    python -m benchmarks.screen 1b-q4_0.gguf [-t 2] [-n 256] [-r 5]

The program runs in a pseudo-terminal of 120x40 and streams a reply of N tokens, while keys are typed into its
prompt: none, as a person types (6 a second, unevenly), and as fast as a held key repeats (30 a second). Its
speed is counted by the clock, from its own gauge of the context, and set beside the engine by itself, which
makes as many tokens in a process of its own; the two take turns, and what counts is the median of the rounds'
ratios. A key's echo is the time from writing the key into the terminal to reading it back; every key is
another letter of a script that no model writes. "paints" are bursts of output, and what one costs is the time
that the program's main thread was on a processor (Linux). The exit code is 1 where a limit does not hold:
80 % of the engine's speed, 50 ms for 99 of 100 keys; and without keys 20 paints a second, of 6 ms each.
"""

from __future__ import annotations

import argparse
import os
import re
import select
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from alpaca_tui.resources import guide_model
from alpaca_tui.system import usable_cores
from benchmarks.typist import EMPTY_PROMPT, SEAM, Typist, percentiles

ROOT = Path(__file__).resolve().parent.parent
SIZE = (40, 120)
N_CTX = 2048
QUESTION = "Tell me a long story of a llama who wanted to see the sea."
KINDS = {"no keys": 0.0, "a person's keys": 6.0, "a held key's": 30.0}  # keys per second
GAUGE = re.compile(rb"(\d+)/%d\b" % N_CTX)
READY = b" ready"
CTRL_N, ENTER, PASTE = "\x0e", "\r", "\x1b[200~{}\x1b[201~"
BURST = 0.002  # seconds without output between two paints
PATIENCE = 20.0  # seconds without output in which something must be wrong
SETTLING = 0.3  # seconds
LEAST_SHARE, MOST_ECHO, MOST_PAINTS, MOST_COST = 0.8, 0.050, 20.0, 0.006


@dataclass
class Seen:
    """One reply as it came to the terminal. Times are seconds of `time.perf_counter`."""

    begin: float = 0.0  # the first moment that counts: tokens come
    gauge: list[tuple[float, int]] = field(default_factory=list)  # when, tokens in the context
    echoes: list[float] = field(default_factory=list)
    n_lost: int = 0  # keys that never showed
    n_paints: int = 0
    busy: float = 0.0  # of the main thread, on a processor
    end: float = 0.0

    @property
    def speed(self) -> float:
        """Tokens per second."""
        (first_at, first), (last_at, last) = self.gauge[0], max(self.gauge, key=lambda pair: pair[1])
        return (last - first) / (last_at - first_at)

    @property
    def paints(self) -> float:
        """Per second."""
        return self.n_paints / (self.end - self.begin)

    @property
    def cost(self) -> float:
        """Of a paint, and of all that leads to it."""
        return self.busy / max(self.n_paints, 1)


class Program:
    """`alpaca-tui` with a model, ready for a question."""

    def __init__(self, options: argparse.Namespace, home: Path) -> None:
        from tests.program.terminal import Terminal

        arguments = ["-m", options.model, "-t", options.threads, "-n", options.tokens, "-c", N_CTX]
        arguments += ["--temp", 0, "--seed", 1, "--no-lookup", "--ignore-eos", "--lang", "en"]
        self.terminal = Terminal([str(argument) for argument in arguments], home, SIZE)
        self._wait_until_ready()
        self._fd = self.terminal.child.child_fd
        self._typist = Typist(self._fd)

    def close(self) -> None:
        self.terminal.__exit__()

    def _wait_until_ready(self) -> None:
        self.terminal.wait(lambda text: "ready" in text.splitlines()[-1])

    def reply(self, rate: float, question: str) -> Seen:
        """Has one reply made in a new chat, typing `rate` keys a second meanwhile."""
        for keys in (EMPTY_PROMPT, CTRL_N, PASTE.format(question)):
            self.terminal.send(keys)
            end = time.monotonic() + SETTLING
            while time.monotonic() < end:
                self.terminal.read()
        self.terminal.send(ENTER)
        chunks, seen = self._watch(rate)
        for chunk in chunks:  # what was only recorded, for the sake of the clock
            self.terminal.stream.feed(chunk)
        self._wait_until_ready()
        return seen

    def _watch(self, rate: float) -> tuple[list[bytes], Seen]:
        """From the question until the reply has ended."""
        seen = Seen()
        typist = self._typist
        chunks: list[bytes] = []
        last, tail = 0.0, b""
        typist.begin(0.0, 0.0)
        while True:
            now = time.perf_counter()
            typist.type(now)
            if not select.select([self._fd], [], [], max(min(typist.next_key - now, PATIENCE), 0.0))[0]:
                if now - last > PATIENCE and last:
                    for chunk in chunks:
                        self.terminal.stream.feed(chunk)
                    raise SystemExit(
                        f"Nothing is written any more; this is on the screen:\n{self.terminal.text}"
                    )
                continue
            data = os.read(self._fd, 1 << 16)
            now = time.perf_counter()
            chunks.append(data)
            typist.see(data, now)
            seen.n_paints += now - last > BURST
            last, tail = now, tail[-SEAM:] + data
            seen.gauge += [(now, int(match[1])) for match in GAUGE.finditer(tail)]
            if not seen.begin:
                if len(seen.gauge) > 1 and seen.gauge[-1][1] > seen.gauge[-2][1]:  # it has begun to decode
                    seen = Seen(begin=now, gauge=seen.gauge[-1:], busy=-self._main_thread())
                    typist.begin(rate, now)
            elif READY in tail:
                seen.busy += self._main_thread()
                seen.end, seen.echoes, seen.n_lost = now, typist.echoes, typist.lost(now)
                return chunks, seen

    def _main_thread(self) -> float:
        """Seconds that it was on a processor; 0 where the system does not say."""
        pid = self.terminal.child.pid
        try:
            return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9
        except OSError:
            return 0.0


def serve(options: argparse.Namespace) -> None:
    """The engine by itself: makes a reply for every line on stdin, and says how many tokens a second."""
    from alpaca_tui.chat.conversation import Conversation
    from alpaca_tui.chat.formats import ALPACA, build_request
    from alpaca_tui.chat.settings import Settings
    from alpaca_tui.engine import Engine, Sampling
    from alpaca_tui.engine.worker import encode
    from alpaca_tui.resources import find_prompt, read_prompt

    engine = Engine.load(options.model, n_ctx=N_CTX, n_threads=options.threads)
    conversation = Conversation()
    conversation.add_reply(conversation.add_question(options.question), "", False, {})
    instruction = read_prompt(find_prompt("prompts/alpaca.txt"))
    request = build_request(conversation, Settings(), instruction, ALPACA)
    prompt = encode(engine.tokenizer, [*request.prefix, *(part for turn in request.turns for part in turn)])
    sampling = Sampling(temp=0.0, seed=1, ignore_eos=True)
    print(f"{engine.model.name} ({engine.model.description}), {options.threads} threads", flush=True)
    for _ in sys.stdin:
        times = [
            time.perf_counter()
            for _token in engine.generate(prompt, sampling, max_tokens=options.tokens, lookup=False)
        ]
        print((len(times) - 1) / (times[-1] - times[0]), flush=True)


class Plain:
    """The engine by itself, in a process of its own."""

    def __init__(self, options: argparse.Namespace) -> None:
        command = [sys.executable, "-m", "benchmarks.screen", options.model, "--serve"]
        command += ["-t", str(options.threads), "-n", str(options.tokens), "--question", options.question]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        self.info = self._line()

    def _line(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("The measuring process ended early.")
        return line.strip()

    def speed(self) -> float:
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._line())

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


@dataclass
class Round:
    plain: float
    seen: Seen


def measure(options: argparse.Namespace) -> dict[str, list[Round]]:
    """The rounds of each kind of typing."""
    rounds: dict[str, list[Round]] = {kind: [] for kind in options.kinds}
    with tempfile.TemporaryDirectory() as home:
        plain = Plain(options)
        print(plain.info, flush=True)
        program = Program(options, Path(home))
        try:
            plain.speed()  # the first time through
            for i in range(options.rounds):
                for kind in options.kinds:
                    plain_first = i % 2 == 0
                    speed = plain.speed() if plain_first else 0.0
                    seen = program.reply(KINDS[kind], options.question)
                    rounds[kind].append(Round(speed or plain.speed(), seen))
        finally:
            program.close()
            plain.close()
    return rounds


def report(kind: str, rounds: list[Round]) -> bool:
    """Prints a line. True where every limit holds."""
    ratios = sorted(r.seen.speed / r.plain for r in rounds)
    share = statistics.median(ratios)
    echoes = [echo for r in rounds for echo in r.seen.echoes]
    lost = sum(r.seen.n_lost for r in rounds)
    paints = statistics.median(r.seen.paints for r in rounds)
    cost = statistics.median(r.seen.cost for r in rounds)
    speeds = [statistics.median(r.plain for r in rounds), statistics.median(r.seen.speed for r in rounds)]
    p50, p99 = percentiles(echoes)
    ratio = f"{share:.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"
    typed = f"{1e3 * p50:6.1f} {1e3 * p99:6.1f} {len(echoes):5}" if echoes else " " * 19
    print(
        f"{kind:16} {speeds[0]:7.1f} {speeds[1]:7.1f}   {ratio}  {typed}  {paints:6.1f} {1e3 * cost:6.1f}"
        + (f"   {lost} keys never showed" if lost else "")
    )
    holds = share >= LEAST_SHARE and p99 <= MOST_ECHO and not lost
    return holds and (bool(echoes) or (paints <= MOST_PAINTS and cost <= MOST_COST))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", default=str(guide_model()), help="default: the bundled one")
    parser.add_argument("-t", "--threads", type=int, default=usable_cores())
    parser.add_argument("-n", "--tokens", type=int, default=256, help="of a reply")
    parser.add_argument("-r", "--rounds", type=int, default=5)
    parser.add_argument("--question", default=QUESTION)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.model = str(Path(options.model).resolve())
    if options.serve:
        serve(options)
        return 0
    rounds = measure(options)
    print(f"{'':16}   engine  screen    ratio (range)      p50    p99  keys  paints   cost")
    print(f"{'':16}    tokens/s                            of an echo, ms         a second, ms")
    return int(sum(not report(kind, rounds[kind]) for kind in options.kinds) > 0)


if __name__ == "__main__":
    sys.exit(main())
