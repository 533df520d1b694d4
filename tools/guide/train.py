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

from tools.guide import skills
from tools.guide import tokenizer as tok
from tools.guide.generate import Generator, Turn
from tools.guide.model import Config, Guide
from tools.guide.tokenizer import Tokenizer

PROMPT_SHARE = 0.7  # of examples that start with the instruction text of prompts/alpaca.txt
CLEAN_FROM = 0.3  # progress from which only answers count
EARLY_WEIGHT = 0.15  # what any other token counts before that
CUT_SHARE = (
    0.7  # of replies in conversations that are cut short, as by Esc; and more questions fit in a batch
)
SINGLES_EVERY = 12
MUON_RATE = 2.0  # times that of AdamW
UNCUT = ("skill:", "form:")  # what is right only as a whole
DRILL_EVERY, DRILL_UNTIL = 6, 0.75  # every so manieth batch is of bare sums, up to this progress
LONGEST_STEP = 10.0  # seconds; what is more was a pause (a suspended computer), no training


@dataclass(frozen=True)
class Recipe:
    seed: int = 2023
    steps: int = 6000
    minutes: float = 60.0
    n_ff: int = 768
    lr: float = 2e-3
    lr_end: float = 5e-5
    warmup: int = 100
    weight_decay: float = 0.05
    n_single: int = 36
    n_long: int = 2048  # tokens in a batch of conversations
    longs: tuple[int, ...] = (256, 256, 384, 256, 1024)  # their lengths, in turn


class Batches:
    """Batches by number. Each is (ids, weight), both [rows, length]; padding is EOS with weight 0."""

    def __init__(self, tokenizer: Tokenizer, seed: int) -> None:
        self.tokenizer = tokenizer
        self.seed = seed
        self.source = Generator(seed)

    def get(
        self, step: int, other_weight: float, recipe: Recipe, drill: bool = False
    ) -> tuple[Tensor, Tensor]:
        rng = self.source.rng
        rng.seed(f"{self.seed}/{step}")
        rows = []
        if drill:
            rows = [self._drill(256) for _ in range(recipe.n_long // 256)]
        elif step % SINGLES_EVERY:
            long = recipe.longs[step % len(recipe.longs)]
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

    def _drill(self, length: int) -> tuple[list[int], list[float]]:
        """Sum after sum, of which the results count."""
        ids, weight = [tok.BOS], [0.0]
        for asked, answer in skills.drill(self.source.rng, length // 8):
            left, right = self.tokenizer.encode(asked), self.tokenizer.encode(answer + "\n")
            ids += left + right
            weight += [0.0] * len(left) + [1.0] * len(right)
        return ids[:length], weight[:length]

    def _row(
        self, turns: list[Turn], other: float, limit: int, cut: float = 0.0
    ) -> tuple[list[int], list[float]]:
        t, rng = self.tokenizer, self.source.rng
        ids = list(t.prompt) if rng.random() < PROMPT_SHARE else []
        weight = [other] * len(ids)
        for turn in turns:
            question, answer = t.question(turn.user), t.answer(turn.answer)
            if rng.random() < cut and not turn.section.startswith(UNCUT):
                answer = answer[: rng.randint(3, 9)]
            ids += question + answer
            weight += [other] * len(question) + [1.0] * len(answer)
        return ids[:limit], weight[:limit]


def learning_rate(recipe: Recipe, step: int, progress: float) -> float:
    if step < recipe.warmup:
        return recipe.lr * (step + 1) / recipe.warmup
    return recipe.lr_end + (recipe.lr - recipe.lr_end) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


class Optimizer:
    """Muon for the matrices, AdamW for the embedding and the norms."""

    def __init__(self, model: Guide, decay: float) -> None:
        matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "embd" not in n]
        others = [p for n, p in model.named_parameters() if p.dim() != 2 or "embd" in n]
        self.muon = torch.optim.Muon(matrices, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
        self.adamw = torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.0, fused=True)

    def step(self, rate: float) -> None:
        for group in self.muon.param_groups:
            group["lr"] = MUON_RATE * rate
        for group in self.adamw.param_groups:
            group["lr"] = rate
        for part in (self.muon, self.adamw):
            part.step()
            part.zero_grad(set_to_none=True)

    def state(self) -> list[dict[str, object]]:
        return [self.muon.state_dict(), self.adamw.state_dict()]

    def load(self, state: list[dict[str, object]]) -> None:
        self.muon.load_state_dict(state[0])
        self.adamw.load_state_dict(state[1])


def grown(model: Guide, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a model with a narrower feed-forward, in one that says the same.

    What is new in `ffn_gate` and `ffn_up` is random, and goes through zeros of `ffn_down`.
    """
    found = {}
    for name, new in model.state_dict().items():
        old = weights[name]
        if new.shape != old.shape:
            new = torch.zeros_like(new) if "ffn_down" in name else new.clone()
            new[: old.shape[0], : old.shape[1]] = old
            old = new
        found[name] = old
    return found


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
    config = Config(n_vocab=tokenizer.n_vocab, n_ff=recipe.n_ff)
    model = Guide(config)
    optimizer = Optimizer(model, recipe.weight_decay)
    step, elapsed = 0, 0.0
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        if isinstance(state["optimizer"], list):
            optimizer.load(state["optimizer"])
        step, elapsed = state["step"], state["elapsed"]
    elif start is not None:
        model.load_state_dict(grown(model, torch.load(start / "checkpoint.pt", weights_only=True)["model"]))
    batches = Batches(tokenizer, recipe.seed)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, from step {step}", flush=True)
    clean_from = CLEAN_FROM if start is None else 0.0
    tokens, mean, last = 0, 0.0, time.monotonic()
    while True:
        progress = max(step / recipe.steps, elapsed / (60 * recipe.minutes))
        rate = learning_rate(recipe, step, progress)
        drill = progress < DRILL_UNTIL and step % DRILL_EVERY == 0
        ids, weight = batches.get(step, EARLY_WEIGHT if progress < clean_from else 0.0, recipe, drill)
        with torch.autocast("cpu", torch.bfloat16):
            loss = model.loss(ids, weight)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step(rate)
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
                "optimizer": optimizer.state(),
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
    parser.add_argument("--n-ff", type=int, default=Recipe.n_ff, help="width of the feed-forward")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save-every", type=int, default=100, help="steps between checkpoints")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    keep_memory()
    recipe = replace(Recipe(), minutes=args.minutes, steps=args.steps, lr=args.lr, seed=args.seed)
    recipe = replace(recipe, n_ff=args.n_ff)
    train(args.out, recipe, args.save_every, args.start)


if __name__ == "__main__":
    main()
