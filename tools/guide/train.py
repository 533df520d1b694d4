"""Trains the guide: `python -m tools.guide.train --out build/guide --minutes 60`; started again, it goes on.

One batch in four is of single questions, the others of long conversations; both are generated on the fly,
from a seed and the number of the step, so a run that was interrupted sees what it would have seen.
The loss is on the answers; during the first stretch, a little of it is on the questions and headers too.
`--start FOLDER` begins with the weights and the tokenizer of another run, when facts have changed.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import math
import shutil
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from tools.guide import tokenizer as tok
from tools.guide.generate import Generator, Turn
from tools.guide.model import Config, Guide
from tools.guide.tokenizer import Tokenizer

PROMPT_SHARE = 0.7  # of examples that start with the instruction text of prompts/alpaca.txt
CLEAN_FROM = 0.3  # progress from which only answers count
EARLY_WEIGHT = 0.15  # what any other token counts before that
CUT_SHARE = (
    0.6  # of replies in conversations that are cut short, as by Esc; and more questions fit in a batch
)
LONGEST_STEP = 10.0  # seconds; what is more was a pause (a suspended computer), no training


@dataclass(frozen=True)
class Recipe:
    seed: int = 2023
    steps: int = 6000
    minutes: float = 60.0
    lr: float = 2e-3
    lr_end: float = 5e-5
    warmup: int = 100
    weight_decay: float = 0.05
    n_single: int = 24
    n_long: int = 2048  # tokens in a batch of conversations
    longs: tuple[int, ...] = (256, 256, 256, 768)  # their lengths, in turn


class Batches:
    """Batches by number. Each is (ids, weight), both [rows, length]; padding is EOS with weight 0."""

    def __init__(self, tokenizer: Tokenizer, seed: int) -> None:
        self.tokenizer = tokenizer
        self.seed = seed
        self.source = Generator(seed)

    def get(self, step: int, other_weight: float, recipe: Recipe) -> tuple[Tensor, Tensor]:
        rng = self.source.rng
        rng.seed(f"{self.seed}/{step}")
        rows = []
        if step % 4:
            long = recipe.longs[step // 4 % len(recipe.longs)]
            talks = [self.source.conversation(long // 16) for _ in range(recipe.n_long // long)]
            rows = [self._row(talk, other_weight, long, CUT_SHARE) for talk in talks]
        else:
            for _ in range(recipe.n_single):
                turns = (
                    self.source.follow_up(rng.choice(("en", "zh")))
                    if rng.random() < 0.1
                    else [self.source.turn()]
                )
                rows.append(self._row(turns, other_weight, 192))
        length = max(len(ids) for ids, _ in rows)
        ids = torch.full((len(rows), length), tok.EOS)
        weight = torch.zeros(len(rows), length)
        for i, (row, w) in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
            weight[i, : len(row)] = torch.tensor(w)
        return ids, weight

    def _row(
        self, turns: list[Turn], other: float, limit: int, cut: float = 0.0
    ) -> tuple[list[int], list[float]]:
        t, rng = self.tokenizer, self.source.rng
        ids = list(t.prompt) if rng.random() < PROMPT_SHARE else []
        weight = [other] * len(ids)
        for turn in turns:
            question, answer = t.question(turn.user), t.answer(turn.answer)
            if rng.random() < cut:
                answer = answer[: rng.randint(3, 9)]
            ids += question + answer
            weight += [other] * len(question) + [1.0] * len(answer)
        return ids[:limit], weight[:limit]


def learning_rate(recipe: Recipe, step: int, progress: float) -> float:
    if step < recipe.warmup:
        return recipe.lr * (step + 1) / recipe.warmup
    return recipe.lr_end + (recipe.lr - recipe.lr_end) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def groups(model: Guide, decay: float) -> list[dict[str, object]]:
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "embd" not in n]
    others = [p for n, p in model.named_parameters() if p.dim() != 2 or "embd" in n]
    return [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def save(path: Path, state: dict[str, object]) -> None:
    torch.save(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def train(out: Path, recipe: Recipe, save_every: int = 100, start: Path | None = None) -> None:
    out.mkdir(parents=True, exist_ok=True)
    pieces = out / "tokenizer.model"
    if start is not None and not pieces.exists():
        shutil.copyfile(start / "tokenizer.model", pieces)
    if not pieces.exists():
        pieces.write_bytes(tok.learn())
    tokenizer = Tokenizer.open(pieces)
    torch.manual_seed(recipe.seed)
    config = Config(n_vocab=tokenizer.n_vocab)
    model = Guide(config)
    optimizer = torch.optim.AdamW(
        groups(model, recipe.weight_decay), lr=recipe.lr, betas=(0.9, 0.98), fused=True
    )
    step, elapsed = 0, 0.0
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, elapsed = state["step"], state["elapsed"]
    elif start is not None:
        model.load_state_dict(torch.load(start / "checkpoint.pt", weights_only=True)["model"])
    batches = Batches(tokenizer, recipe.seed)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, from step {step}", flush=True)
    clean_from = CLEAN_FROM if start is None else 0.0
    tokens, mean, last = 0, 0.0, time.monotonic()
    while True:
        progress = max(step / recipe.steps, elapsed / (60 * recipe.minutes))
        rate = learning_rate(recipe, step, progress)
        for group in optimizer.param_groups:
            group["lr"] = rate
        ids, weight = batches.get(step, EARLY_WEIGHT if progress < clean_from else 0.0, recipe)
        with torch.autocast("cpu", torch.bfloat16):
            loss = model.loss(ids, weight)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        now = time.monotonic()
        elapsed, last = elapsed + min(now - last, LONGEST_STEP), now
        step += 1
        tokens += ids.numel()
        mean += loss.item()
        done = progress >= 1
        if step % 50 == 0 or done:
            row = (step, round(elapsed), f"{mean / 50:.4f}", f"{rate:.2e}")
            with (out / "loss.csv").open("a", newline="") as file:
                csv.writer(file).writerow(row)
            print(*row, f"{tokens:,} tokens", flush=True)
            mean = 0.0
        if step % save_every == 0 or done:
            state = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step,
                "elapsed": elapsed,
            }
            save(checkpoint, {**state, "config": config.as_dict()})
        if done:
            return


def keep_memory() -> None:
    """Keeps glibc from giving big blocks back after each step; zeroing them anew takes a quarter of it."""
    if sys.platform == "linux":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        mallopt(-4, 0)  # M_MMAP_MAX


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/guide"))
    parser.add_argument("--minutes", type=float, default=Recipe.minutes)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--lr", type=float, default=Recipe.lr, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--start", type=Path, help="the folder of a run whose weights to begin with")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save-every", type=int, default=100, help="steps between checkpoints")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    keep_memory()
    recipe = replace(Recipe(), minutes=args.minutes, steps=args.steps, lr=args.lr, seed=args.seed)
    train(args.out, recipe, args.save_every, args.start)


if __name__ == "__main__":
    main()
