"""What shifting a full context loses against evaluating what is left of it again, and what it saves.

    python -m benchmarks.context_shift [-m MODEL] [-f TEXT] [-c 512] [--cache-type f16] [-n 64] [-r 8] [-t N]

A context is filled with text; half of it behind the first `--keep` tokens leaves; the next `-n` tokens of the
text are evaluated, once behind the shifted cache and once behind the rest evaluated anew. KL is that of the
second to the first, mean and greatest over these tokens; `same` is the share of tokens where both find the
same one likeliest; "ppl" is the perplexity of the text's own tokens in both. With `-r`, contexts begin at as
many places in the text. "again" is a second shift on top of the first.

The text is one that the model knows: without -f, a long conversation in which it answers questions about this
program, as the bundled model can.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alpaca_tui.engine import Engine, Sampling
from alpaca_tui.resources import find_prompt, guide_model, read_prompt

QUESTIONS = (
    "What files can it open?", "How do I stop a reply?", "What settings are there?", "How do I quit?",
    "How much memory does 7B need?", "有哪些设置？", "What does temperature do?", "How do I convert a model?",
    "Can I edit a message?", "怎么退出？", "What is a quantised model?", "How do I copy a reply?",
)  # fmt: skip
Logits = NDArray[np.float64]


@dataclass
class Losses:
    """Of all places, by token."""

    kl: list[float] = field(default_factory=list)
    same: list[float] = field(default_factory=list)
    shifted: list[float] = field(default_factory=list)  # -ln p of the text's next token
    evaluated: list[float] = field(default_factory=list)
    shift_seconds: list[float] = field(default_factory=list)
    eval_seconds: list[float] = field(default_factory=list)

    def add(self, shifted: Logits, evaluated: Logits, following: Sequence[int]) -> None:
        rows = np.arange(len(following))
        self.kl += (np.exp(evaluated) * (evaluated - shifted)).sum(-1).tolist()
        self.same += (shifted.argmax(-1) == evaluated.argmax(-1)).tolist()
        self.shifted += (-shifted[rows, following]).tolist()
        self.evaluated += (-evaluated[rows, following]).tolist()

    def line(self, name: str) -> str:
        ppl = [np.exp(statistics.fmean(nll)) for nll in (self.shifted, self.evaluated)]
        return (
            f"{name:8}{statistics.fmean(self.kl):12.5f}{max(self.kl):10.4f}{statistics.fmean(self.same):8.1%}"
            f"{ppl[0]:12.3f}{ppl[1]:12.3f}{1000 * statistics.median(self.shift_seconds):12.1f}"
            f"{1000 * statistics.median(self.eval_seconds):12.1f}"
        )


def conversation(engine: Engine, n: int) -> list[int]:
    """At least n tokens of questions and the model's own answers."""
    encode = engine.tokenizer.encode
    start = encode(read_prompt(find_prompt("alpaca.txt")))
    text: list[int] = []
    for i in range(n):
        question = encode("\n\n### Instruction:\n\n", bos=False, space_prefix=False)
        question += encode(QUESTIONS[i % len(QUESTIONS)] + "\n", bos=False, space_prefix=False)
        question += encode("\n\n### Response:\n\n", bos=False, space_prefix=False)
        sampling = Sampling(temp=0.5, seed=i)
        list(engine.generate([*start, *question], sampling, max_tokens=120, stop="###"))
        text += [*question, *engine.reply_tokens]
        if len(start) + len(text) >= n:
            break
    return start + text


def log_softmax(x: NDArray[np.float32]) -> Logits:
    wide = x.astype(np.float64)
    wide -= wide.max(-1, keepdims=True)
    result: Logits = wide - np.log(np.exp(wide).sum(-1, keepdims=True))
    return result


def evaluate(engine: Engine, tokens: Sequence[int], at: int, n_logits: int = 0) -> Logits:
    """Evaluates in batches; the log probabilities after the last n_logits (which fit in one)."""
    model = engine.executor
    logits = np.empty((0, model.n_vocab), np.float32)
    head = len(tokens) - n_logits
    for i in range(0, head, model.n_batch):
        model.eval(tokens[i : min(i + model.n_batch, head)], at + i, 0)
    if n_logits:
        logits = model.eval(tokens[head:], at + head, n_logits)
    return log_softmax(logits)


def measure(engine: Engine, text: Sequence[int], keep: int, n: int, losses: Sequence[Losses]) -> None:
    """One place: two shifts, one after the other."""
    model, n_ctx = engine.executor, engine.model.n_ctx
    held, following = list(text[:n_ctx]), list(text[n_ctx:])
    evaluate(engine, held, 0)
    for loss in losses:
        gone = (len(held) - keep) // 2
        begin = time.perf_counter()
        model.shift(keep, keep + gone, len(held))
        loss.shift_seconds.append(time.perf_counter() - begin)
        del held[keep : keep + gone]
        shifted = evaluate(engine, following[:n], len(held), n)
        fill = following[: n_ctx - len(held)]
        saved = [piece.copy() for piece in model.state_pieces(len(held))]
        begin = time.perf_counter()
        evaluate(engine, held, 0)
        loss.eval_seconds.append(time.perf_counter() - begin)
        loss.add(shifted, evaluate(engine, following[:n], len(held), n), following[1 : n + 1])
        for piece, was in zip(model.state_pieces(len(held)), saved, strict=True):
            piece[...] = was
        evaluate(engine, fill, len(held))
        held += fill
        following = following[len(fill) :]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-m", "--model", type=Path, default=None)
    parser.add_argument("-f", "--file", type=Path, default=None)
    parser.add_argument("-c", "--ctx", type=int, default=512)
    parser.add_argument("--keep", type=int, default=32)
    parser.add_argument("--cache-type", choices=("f16", "q8_0"), default="f16")
    parser.add_argument("-n", type=int, default=64, help="tokens compared after each shift")
    parser.add_argument("-r", "--rounds", type=int, default=8)
    parser.add_argument("-t", "--threads", type=int, default=None)
    args = parser.parse_args()
    path = args.model or guide_model()
    with Engine.load(path, n_ctx=args.ctx, n_threads=args.threads, cache_type=args.cache_type) as engine:
        span = args.ctx * 3 + args.n + 1
        if args.file is None:
            text = conversation(engine, span + args.ctx)
        else:
            text = engine.tokenizer.encode(args.file.read_text(encoding="utf-8"))
        if len(text) < span:
            raise SystemExit(f"{args.file} has {len(text)} tokens, and {span} are needed; give a longer text")
        once, again = Losses(), Losses()
        step = (len(text) - span) // max(args.rounds - 1, 1)
        for i in range(args.rounds):
            measure(engine, text[i * step : i * step + span], args.keep, args.n, (once, again))
    print(f"{path.name}, {args.ctx} tokens of context, {args.keep} kept, {args.cache_type} cache")
    print("             mean KL   largest    same  ppl shifted  evaluated    shift ms     eval ms")
    for name, loss in (("once", once), ("again", again)):
        print(loss.line(name))


if __name__ == "__main__":
    main()
