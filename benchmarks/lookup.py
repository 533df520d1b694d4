"""What prompt-lookup decoding brings: the same replies with it and without, in turns.

    python -m benchmarks.lookup [-m MODEL] [--tokenizer tokenizer.model] [-t N] [-r 5]

Two kinds of task. In "answers", the model is asked what it was asked before in the same conversation, and
finds its answer there with words changed: it writes the text again, edited back. (That needs a model which
answers; the bundled one does.) In "edits", a text of this repository is the prompt and the same text with
changes the reply, whatever the model would say: what a model that edits faultlessly would take, at the true
cost of each evaluation. "other" is such a reply that repeats nothing, to show what failed drafts cost.

Speeds are of decoding, prompt left out; the ratio is the median of the rounds' ratios. "kept" is the share of
drafted tokens that came true. The replies are compared: they must be the same.
"""

from __future__ import annotations

import argparse
import re
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from alpaca_tui.engine import Engine, Sampling
from alpaca_tui.engine.generation import Context, Reply
from alpaca_tui.engine.lookup import Account
from alpaca_tui.engine.protocol import SamplingParams, Stats
from alpaca_tui.engine.sampling import Sampler
from alpaca_tui.resources import find_prompt, guide_model, read_prompt

ROOT = Path(__file__).resolve().parent.parent
QUESTIONS = (
    "What files can it open?",
    "What settings are there?",
    "How much memory does 7B need?",
    "有哪些设置？",
)
CHANGES = ((r"\band\b", "or"), (r"\bmodel\b", "network"), ("和", "与"))
N_TEXT = 1200  # characters of a text
Run = Callable[[bool], tuple[list[int], Stats]]  # with lookup or without -> the reply


def changed(text: str) -> str:
    """The text with the first of each of some words replaced."""
    for pattern, word in CHANGES:
        text = re.sub(pattern, word, text, count=1)
    return text


def answers(engine: Engine) -> Iterator[tuple[str, Run]]:
    encode = engine.tokenizer.encode
    greedy = Sampling(temp=0.0, repeat_penalty=1.0)

    def turn(question: str) -> list[int]:
        return [
            *encode("\n\n### Instruction:\n\n", bos=True, space_prefix=False),
            *encode(question + "\n", bos=False, space_prefix=False),
            *encode("\n\n### Response:\n\n", bos=False, space_prefix=False),
        ]

    head = encode(read_prompt(find_prompt("prompts/alpaca.txt")))
    for question in QUESTIONS:
        first = [token.id for token in engine.generate([*head, *turn(question)], greedy, max_tokens=200)]
        before = encode(changed(engine.tokenizer.decode(first)), bos=False, space_prefix=False)
        prompt = [*head, *turn(question), *before, engine.tokenizer.eos, *turn(question)]

        def run(lookup: bool, prompt: list[int] = prompt) -> tuple[list[int], Stats]:
            made = [t.id for t in engine.generate(prompt, greedy, max_tokens=200, lookup=lookup)]
            return made, engine.stats

        yield f"answers: {question}", run


class Dictated(Sampler):
    """Chooses as any sampler does, and then says what it was told to."""

    def __init__(self, reply: Sequence[int], n_vocab: int) -> None:
        super().__init__(SamplingParams(temp=0.0), n_vocab)
        self._reply = iter(reply)

    def sample(self, logits: np.ndarray, context: Sequence[int]) -> int:
        super().sample(logits, context)
        return next(self._reply)


def edits(engine: Engine) -> Iterator[tuple[str, Run]]:
    english = (ROOT / "docs/architecture.md").read_text("utf-8")[3000:]
    chinese = (ROOT / "docs/guide.zh-CN.md").read_text("utf-8")[500:]
    code = (ROOT / "alpaca_tui/engine/window.py").read_text("utf-8")[1000:]
    tasks = {
        "edits: a page, a word renamed": (english, re.sub(r"\btokens?\b", "word", english[:N_TEXT])),
        "edits: code, a name renamed": (code, code[:N_TEXT].replace("turns", "exchanges")),
        "edits: Chinese, a word renamed": (chinese, chinese[: N_TEXT // 3].replace("模型", "网络")),
        "other: nothing repeated": (chinese, english[:N_TEXT]),
    }
    context, account = Context(engine._executor), Account()
    for name, (source, target) in tasks.items():
        prompt = engine.tokenizer.encode(source[:N_TEXT])
        reply = engine.tokenizer.encode(target, bos=False)
        room = engine.model.n_ctx - len(prompt) - 1
        if room < 50:
            continue

        def run(
            lookup: bool, prompt: list[int] = prompt, reply: list[int] = reply[:room]
        ) -> tuple[list[int], Stats]:
            made = Reply(
                context,
                engine.tokenizer,
                prompt,
                Dictated(reply, engine.model.n_vocab),
                max_tokens=len(reply),
                account=account if lookup else None,
            )
            return [token.id for token in made], made.stats

        yield name, run


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-m", "--model", type=Path, help="default: the bundled one")
    parser.add_argument("--tokenizer", type=Path, help="for a model that has only a placeholder")
    parser.add_argument("-t", "--threads", type=int, default=None)
    parser.add_argument("-r", "--rounds", type=int, default=5)
    parser.add_argument("--task", choices=("answers", "edits"), help="default: both")
    options = parser.parse_args()
    path = options.model or guide_model()
    with Engine.load(path, n_threads=options.threads, tokenizer=options.tokenizer) as engine:
        print(f"{engine.model.name} ({engine.model.description}), {engine.model.n_threads} threads")
        print(f"{'':40} tokens    plain   lookup  tokens/s   ratio   kept")
        for kind, tasks in (("answers", answers), ("edits", edits)):
            if options.task in (None, kind):
                for name, run in tasks(engine):
                    report(name, run, options.rounds)


def report(name: str, run: Run, rounds: int) -> None:
    run(True)  # allocations, and the first time through
    plain: list[float] = []
    lookup: list[float] = []
    for i in range(rounds):
        results = {}
        for on in (i % 2 == 0, i % 2 == 1):
            made, stats = run(on)
            results[on] = made
            (lookup if on else plain).append(stats.generate_speed)
            if on:
                kept = stats.accepted_tokens / max(stats.drafted_tokens, 1)
        assert results[True] == results[False], f"{name}: not the same reply"
    ratio = statistics.median(b / a for a, b in zip(plain, lookup, strict=True))
    speeds = f"{statistics.median(plain):8.1f} {statistics.median(lookup):8.1f}"
    print(f"{name:40} {len(made):6} {speeds} {'':9} {ratio:6.2f} {100 * kept:5.0f} %", flush=True)


if __name__ == "__main__":
    main()
