"""Asks a guide model the held-out questions: `python -m tools.guide.evaluate alpaca_tui/data/guide.gguf`.

Takes a GGUF file or the folder of a training run. Questions are in data/heldout/; no training data is made
from them. Each is asked with the instruction text of prompts/alpaca.txt, and without it under `--bare`. The
sampling is the program's with its defaults (repeat penalty 1.1 over 64, top_k 40, top_p 0.95) at `--temp`, 0
unless told. `--after N` puts N turns of other talk before each question.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gguf
import torch

from tools.guide import facts
from tools.guide import tokenizer as tok
from tools.guide.generate import Generator, Turn
from tools.guide.model import Config, Guide, KVCache
from tools.guide.tokenizer import Tokenizer

MAX_TOKENS = 120
DECLINES = (
    "small guide to alpaca-tui; for that",
    "only know alpaca-tui",
    "小向导，这个请按",
    "只懂 alpaca-tui",
)
GUIDES = ("guide model", "向导模型")


@dataclass(frozen=True)
class Case:
    asked: list[str]
    wanted: list[str]  # any of these texts; or DECLINE, GUIDE

    @property
    def lang(self) -> str:
        return "zh" if has_han(self.asked[-1]) else "en"

    @property
    def group(self) -> str:
        return (
            "declines" if self.wanted == ["DECLINE"] else "multi-turn" if len(self.asked) > 1 else "answers"
        )

    def right(self, reply: str, ended: bool) -> bool:
        wanted = (
            DECLINES if self.wanted == ["DECLINE"] else GUIDES if self.wanted == ["GUIDE"] else self.wanted
        )
        return ended and has_han(reply) == (self.lang == "zh") and any(text in reply for text in wanted)


def has_han(text: str) -> bool:
    return any("一" <= c <= "鿿" for c in text)


def cases() -> list[Case]:
    found = []
    for name in ("en", "zh", "multi"):
        for line in (facts.DATA / "heldout" / f"{name}.txt").read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                asked, wanted = line.split(" => ")
                found.append(Case(asked.split(" >> "), wanted.split(" / ")))
    return found


class Speaker:
    """A model with the program's sampling and its defaults; `temp` 0 takes the likeliest token."""

    def __init__(self, model: Guide, tokenizer: Tokenizer, temp: float = 0.0, seed: int = 1) -> None:
        self.model, self.tokenizer, self.temp = model, tokenizer, temp
        self.random = torch.Generator().manual_seed(seed)

    @torch.inference_mode()
    def reply(self, ids: list[int]) -> tuple[list[int], bool]:
        """Tokens of the answer, and whether the model ended it by itself."""
        cache = KVCache(self.model.config.n_layer)
        out: list[int] = []
        feed = ids
        while len(out) < MAX_TOKENS:
            logits = self.model.logits(self.model.hidden(torch.tensor([feed]), cache)[0, -1])
            token = self.pick(logits, (ids + out)[-64:])
            if token == tok.EOS:
                return out, True
            out.append(token)
            feed = [token]
        return out, False

    def pick(self, logits: torch.Tensor, recent: list[int]) -> int:
        """Repeat penalty 1.1, top_k 40, top_p 0.95, then the temperature: as the program does."""
        seen = torch.tensor(sorted(set(recent)))
        picked = logits[seen]
        logits[seen] = torch.where(picked > 0, picked / 1.1, picked * 1.1)
        if self.temp <= 0:
            return int(logits.argmax())
        top, index = logits.topk(40)
        chance = torch.softmax(top, dim=0)
        keep = chance.cumsum(0) - chance < 0.95
        chance = torch.softmax(top[keep] / self.temp, dim=0)
        return int(index[keep][torch.multinomial(chance, 1, generator=self.random)])

    def talk(self, asked: list[str], prompt: bool = True, before: Sequence[Turn] = ()) -> tuple[str, bool]:
        """The last answer of a conversation with these questions, `before` having been said already.

        Where it all would not fit in the context, the oldest turns are left out, as the program does.
        """
        turns = [self.tokenizer.question(t.user) + self.tokenizer.answer(t.answer) for t in before]
        text, ended = "", False
        for question in asked:
            ids = self.fitting(turns, self.tokenizer.question(question), prompt)
            answer, ended = self.reply(ids)
            turns.append([*self.tokenizer.question(question), *answer, tok.EOS])
            text = self.tokenizer.decode(answer)
        return text, ended

    def fitting(self, turns: list[list[int]], question: list[int], prompt: bool = True) -> list[int]:
        """The instruction text, as many of the last turns as leave room for an answer, and the question."""
        head = self.tokenizer.prompt if prompt else []
        room = self.model.config.n_ctx - MAX_TOKENS - len(head) - len(question)
        first = len(turns)
        while first and len(turns[first - 1]) <= room:
            first -= 1
            room -= len(turns[first])
        return [*head, *(token for turn in turns[first:] for token in turn), *question]


def open_gguf(path: Path) -> tuple[Guide, Tokenizer]:
    """Model and tokenizer from the file that ships: its blocks dequantised, nothing else needed."""
    reader = gguf.GGUFReader(path)
    value = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    config = Config(
        n_vocab=len(value["tokenizer.ggml.tokens"]),
        n_embd=value["llama.embedding_length"],
        n_layer=value["llama.block_count"],
        n_head=value["llama.attention.head_count"],
        n_head_kv=value["llama.attention.head_count_kv"],
        n_ff=value["llama.feed_forward_length"],
        n_ctx=value["llama.context_length"],
        norm_eps=value["llama.attention.layer_norm_rms_epsilon"],
    )
    model = Guide(config)
    state = {
        t.name: torch.from_numpy(gguf.quants.dequantize(t.data, t.tensor_type).astype("float32"))
        for t in reader.tensors
    }
    model.load_state_dict(state)
    pieces = (
        value["tokenizer.ggml.tokens"],
        value["tokenizer.ggml.scores"],
        value["tokenizer.ggml.token_type"],
    )
    return model.eval(), Tokenizer.of_pieces(*pieces)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="a GGUF file, or the folder of a training run")
    parser.add_argument("--temp", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--after", type=int, default=0, help="turns of other talk before each question")
    parser.add_argument("--bare", action="store_true", help="without the instruction text in front")
    parser.add_argument("--all", action="store_true", help="show the right answers too")
    parser.add_argument(
        "--ask", nargs="*", help="ask this instead, as one conversation, and show the last answer"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.model.is_dir():
        from tools.guide.pack import load as opened
    else:
        opened = open_gguf
    speaker = Speaker(*opened(args.model), args.temp, args.seed)
    if args.ask:
        print(speaker.talk(args.ask, not args.bare)[0])
        return
    right: Counter[tuple[str, str]] = Counter()
    total: Counter[tuple[str, str]] = Counter()
    endless = 0
    source = Generator(seed=77)
    for case in cases():
        before = source.conversation(args.after) if args.after else []
        reply, ended = speaker.talk(case.asked, not args.bare, before)
        good = case.right(reply, ended)
        total[case.lang, case.group] += 1
        right[case.lang, case.group] += good
        endless += not ended
        if args.all or not good:
            asked, wanted = " >> ".join(case.asked), " / ".join(case.wanted)
            print("ok " if good else "NOT", asked)
            print(f"    {reply}   [{wanted}]")
    for key in sorted(total):
        print(
            f"{key[0]} {key[1]:10} {right[key]:3} of {total[key]:3}  {100 * right[key] / total[key]:5.1f} %"
        )
    print(f"all           {right.total():3} of {total.total():3}; replies that did not end: {endless}")


if __name__ == "__main__":
    main()
