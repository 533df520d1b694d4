"""How fluid the chat stays with many conversations: opening, filtering, a long chat, scrolling, saving.

    python benchmarks/store.py [--chats 10000] [--messages 100000] [--long 5000]

Makes a file of conversations in a temporary folder (which takes a minute or two), then measures, each as a
person meets it: the list of chats as a start reads it, a filter as it grows key by key, the write that saves
a reply in the making, reading the longest chat, its first screen in the program, scrolling in many places.
Medians and the worst of several runs; the exit code is 1 where a limit is passed.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from alpaca_tui.chat.conversation import Conversation
from alpaca_tui.chat.recorder import Recorder
from alpaca_tui.chat.settings import Settings
from alpaca_tui.chat.store import chats, search
from alpaca_tui.chat.store.archive import FILE_NAME, Archive, connect
from alpaca_tui.chat.store.saving import as_new, save
from alpaca_tui.engine.protocol import FinishReason, Stats

LIMITS = {"open": 0.150, "key": 0.050, "page": 1 / 30}
QUERIES = ("天气", "模型转换", "convert", "the q4_0", "weather 天气", "什")
RUNS = 7

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
        reply = c.add_reply(c.add_question(text(rng, 12)), "zh-alpaca-7b-q4_0", settings={"temp": 0.2})
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


async def measure_screen(folder: Path, long: int, pages: int) -> bool:
    """In the program itself, without a terminal. A scripted engine stands in for a model."""
    from alpaca_tui.tui.app import AlpacaApp
    from tests.tui.scripted_engine import ScriptedEngine

    engine = ScriptedEngine()
    archive = Archive(folder)
    app = AlpacaApp(lambda: engine, Path("model.gguf"), Settings(), "", "en", archive=archive)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        engine.finish_all()
        app.pump()
        times = []
        for _ in range(3):
            app.action_new_chat()
            await pilot.pause()
            start = time.perf_counter()
            await app.action_open_chat(long)
            await pilot.pause()
            app.screen._compositor.render_strips()
            times.append(time.perf_counter() - start)
        good = report("open the longest chat: its first screen", times, LIMITS["open"])
        transcript = app.transcript
        rng = random.Random(2)
        scrolled, jumped = [], []
        for page in range(pages):
            if page % 20 == 0:
                start = time.perf_counter()
                transcript.scroll_to(
                    y=rng.randrange(int(transcript.max_scroll_y)), animate=False, immediate=True
                )
                app.screen._compositor.render_strips()
                jumped.append(time.perf_counter() - start)
            start = time.perf_counter()
            transcript.scroll_to(y=transcript.scroll_y - 3, animate=False, force=True, immediate=True)
            app.screen._compositor.render_strips()
            scrolled.append(time.perf_counter() - start)
            await asyncio.sleep(0)
        good &= report("scroll by a turn of the wheel, and draw", scrolled, LIMITS["page"])
        report("jump anywhere, and draw", jumped)
    archive.close()
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--chats", type=int, default=10_000)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--long", type=int, default=5_000)
    parser.add_argument("--pages", type=int, default=400, help="turns of the wheel")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = time.perf_counter()
        long = fill(folder / FILE_NAME, args.chats, args.messages, args.long)
        size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        print(f"{args.chats} chats, {size:.0f} MB, made in {time.perf_counter() - start:.0f} s", flush=True)
        good = measure_file(folder, long)
        good &= asyncio.run(measure_screen(folder, long, args.pages))
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
