"""How fluid the chat stays with many conversations: opening, filtering, a long chat, scrolling, saving.

    python -m benchmarks.store [--chats 10000] [--messages 100000] [--long 5000]

Makes a file of conversations in a temporary folder (which takes a minute or two), then measures, each as a
person meets it: in the real program, in a pseudo-terminal of 120x40, the longest chat's first screen, and
scrolling and jumping in it, from a key to all that it draws; then the list of chats as a start reads it,
a filter as it grows key by key, the write that saves a reply in the making. Medians and the worst of several
runs; the exit code is 1 where a limit is passed.
"""

from __future__ import annotations

import argparse
import os
import random
import select
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from alpaca_tui.chat.conversation import Conversation
from alpaca_tui.chat.recorder import Recorder
from alpaca_tui.chat.store import chats, search
from alpaca_tui.chat.store.archive import FILE_NAME, Archive, connect
from alpaca_tui.chat.store.saving import as_new, save
from alpaca_tui.engine.protocol import FinishReason, Stats

LIMITS = {"open": 0.150, "key": 0.050}
FRAMES = 27.0  # a second: 30 but for those that come together with the one before
QUERIES = ("天气", "模型转换", "convert", "the q4_0", "weather 天气", "什")
RUNS = 7
SIZE = (40, 120)
MODEL = "zh-alpaca-7b-q4_0"  # who wrote the replies, which their headers say
BURST = 0.005  # seconds without output between two pictures
CTRL_N, CTRL_S, ENTER = "\x0e", "\x13", "\r"
CTRL_HOME, CTRL_END, PAGE_UP, PAGE_DOWN = "\x1b[1;5H", "\x1b[1;5F", "\x1b[5~", "\x1b[6~"
WHEEL_DOWN = b"\x1b[<65;20;10M"
SETTLED, PATIENCE = 0.3, 10.0  # seconds without output after which all is drawn; or something is wrong

CHINESE = (
    "今天的天气怎么样我想知道如何把模型转换成四位量化格式并且在自己的电脑上运行请你用简单的话说明每一个步骤谢谢"
    "首先检查文件是否完整然后运行转换命令最后选择量化类型需要注意内存大小和线程数目以及上下文长度"
)
WORDS = """
the model can be converted and then quantized so that it runs on your own computer with less memory please
explain each step in simple words first check the files then run the command and choose a type q4_0 weather
"""
ENGLISH = WORDS.split()


def text(rng: random.Random, length: int) -> str:
    """About so many words or pairs of characters: half of the texts Chinese, some with a list or code."""
    if rng.random() < 0.5:
        body = "".join(rng.choice(CHINESE) for _ in range(2 * length)) + "。"
    else:
        body = " ".join(
            rng.choice(ENGLISH) if rng.random() < 0.8 else f"word{rng.randrange(20000)}"
            for _ in range(length)
        )
    kind = rng.random()
    if kind < 0.15:
        return f"{body}\n\n- first {body[:40]}\n- second\n- third"
    return f"{body}\n\n```python\nprint({rng.randrange(1000)})\n```" if kind < 0.25 else body


def conversation(rng: random.Random, messages: int) -> Conversation:
    c = Conversation()
    for _ in range(messages // 2):
        reply = c.add_reply(c.add_question(text(rng, 12)), MODEL, settings={"temp": 0.2})
        reply.text = text(rng, 70)
        stats = Stats(
            generated_tokens=140, generate_seconds=12.0, prompt_tokens=60, seed=rng.randrange(1 << 31)
        )
        reply.finish(FinishReason.END, stats, tuple(range(140)))
    return c


def fill(path: Path, n_chats: int, n_messages: int, n_long: int) -> int:
    """Makes the file. Returns the id of the long chat."""
    rng = random.Random(1)
    connection = connect(path)
    connection.execute("PRAGMA synchronous = OFF")
    long = chats.add(connection, conversation(rng, n_long))
    each = max(2, (n_messages - n_long) // max(n_chats - 1, 1))
    for _ in range(n_chats - 1):
        save(connection, as_new(conversation(rng, each)))
    connection.close()
    return long


def seconds(call: Callable[[], object], runs: int = RUNS) -> list[float]:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def report(name: str, times: list[float], limit: float | None = None, every: bool = False) -> bool:
    """Prints a line; False where the limit is passed by the median (`every`: by any)."""
    middle, worst = statistics.median(times), max(times)
    allowed = f"  (limit {1000 * limit:.0f})" if limit else ""
    print(f"{name:44} {1000 * middle:8.1f} ms   worst {1000 * worst:8.1f}{allowed}", flush=True)
    return limit is None or (worst if every else middle) <= limit


def measure_file(folder: Path, long: int) -> bool:
    path = folder / FILE_NAME

    def start() -> None:
        archive = Archive(folder)
        archive.run(chats.begin, lambda: archive.first).result()
        archive.run(chats.summaries).result()
        archive.close()

    good = report("open the file, list all chats", seconds(start), LIMITS["open"])
    connection = connect(path)
    for query in QUERIES:
        keys = [query[: n + 1] for n in range(len(query))]
        times = [t for key in keys for t in seconds(lambda key=key: search.find(connection, key), 3)]
        found = len(search.find(connection, query))
        good &= report(f"a key of {query!r} ({found} chats)", times, LIMITS["key"], every=True)
    report("read the longest chat", seconds(lambda: chats.load(connection, long)))
    connection.close()

    archive = Archive(folder)
    recorder = Recorder(archive)
    c = Conversation()
    question = c.add_question("q")
    recorder.message(c, question)
    reply = c.add_reply(question)

    def checkpoint() -> None:
        reply.text += "a reply grows " * 20
        recorder.message(c, reply)
        recorder.commit(10)

    report("save a reply in the making (in its thread)", seconds(checkpoint, 50))
    archive.close()
    return good


def measure_screen(folder: Path, long: int, pages: int) -> bool:
    """The real program, with the guide: the long chat is the newest, so that the list opens at it."""
    from tests.program.terminal import Terminal

    connection = connect(folder / FILE_NAME)
    connection.execute("UPDATE chats SET updated = updated + 1e6 WHERE id = ?", (long,))
    connection.close()
    with Terminal(["--lang", "en"], folder.parent.parent, SIZE) as terminal:
        terminal.wait(lambda text: "ready" in text.splitlines()[-1])

        def until_drawn(keys: str, name: str, shows: bytes = b"") -> float:
            """Seconds from the keys until what they cause is drawn; with `shows`, the picture that has it."""
            fd = terminal.child.child_fd
            begin = last = time.perf_counter()
            os.write(fd, keys.encode())
            output: list[bytes] = []
            shown = False
            while select.select([fd], [], [], SETTLED if output else PATIENCE)[0]:
                data, now = os.read(fd, 1 << 16), time.perf_counter()
                if not (shown and now - last > BURST):  # what is drawn behind it is something else
                    last = now
                    output.append(data)
                    shown = bool(shows) and shows in b"".join(output)
                else:
                    terminal.stream.feed(data)
            terminal.stream.feed(b"".join(output))  # which takes longer than drawing does
            if not output:
                raise SystemExit(f"{name}: nothing was drawn.\n{terminal.text}")
            return last - begin

        opened, jumped, paged = [], [], []
        for _ in range(RUNS):
            until_drawn(CTRL_N, "a new chat")
            until_drawn(CTRL_S, "the list of chats")
            opened.append(until_drawn(ENTER, "the longest chat", MODEL.encode()))
        for _ in range(RUNS):
            jumped += [until_drawn(CTRL_HOME, "its beginning"), until_drawn(CTRL_END, "its end")]
        until_drawn(CTRL_HOME, "its beginning")
        for _ in range(pages):
            paged.append(until_drawn(PAGE_DOWN, "a page"))
        frames = turn_wheel(terminal.child.child_fd, pages)
    good = report("open the longest chat: its first screen", opened, LIMITS["open"])
    print(f"{'turn the wheel 30 times a second':44} {frames:8.1f} frames a second  (limit {FRAMES:.0f})")
    good &= frames >= FRAMES
    report("turn a page, and draw", paged)
    report("jump to its beginning or end, and draw", jumped)
    return good


def turn_wheel(fd: int, turns: int) -> float:
    """Frames a second while the wheel is turned so often as 30 of them are asked for."""
    begin = last = time.perf_counter()
    frames, n = 0, 0
    while n < turns or select.select([fd], [], [], SETTLED)[0]:
        due = begin + n / 30
        if n < turns and time.perf_counter() >= due:
            os.write(fd, WHEEL_DOWN)
            n += 1
        elif select.select([fd], [], [], max(due - time.perf_counter(), 0) if n < turns else 0)[0]:
            os.read(fd, 1 << 16)
            now = time.perf_counter()
            frames += now - last > BURST
            last = now
    return frames / (last - begin)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--chats", type=int, default=10_000)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--long", type=int, default=5_000)
    parser.add_argument("--pages", type=int, default=60, help="scrolled through")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data" / "alpaca-tui"
        folder.mkdir(parents=True)
        start = time.perf_counter()
        long = fill(folder / FILE_NAME, args.chats, args.messages, args.long)
        size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        print(f"{args.chats} chats, {size:.0f} MB, made in {time.perf_counter() - start:.0f} s", flush=True)
        good = measure_screen(folder, long, args.pages)
        good &= measure_file(folder, long)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
