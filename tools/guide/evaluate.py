"""Asks a guide model the held-out questions: `python -m tools.guide.evaluate alpaca_tui/data/guide.gguf`.

Takes a GGUF file or the folder of a training run. What is right stands in `heldout.py`. Each question is
asked with the instruction text of prompts/alpaca.txt in front (`--bare`: without), first at temperature 0,
then at the one that the program has for this model, once for each seed. All other sampling is the
program's default. `--after 0 800` does it all twice, the second time with 800 tokens of other talk before
each question.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import gguf
import torch

from alpaca_tui.chat.settings import BY_KEY
from alpaca_tui.chat.tailored import GUIDE_TEMP
from tools.guide import tokenizer as tok
from tools.guide.generate import Generator, Turn
from tools.guide.heldout import CATEGORIES, Case, cases, circles
from tools.guide.model import Config, Guide, KVCache
from tools.guide.tokenizer import Tokenizer

MAX_TOKENS = 120
TOP_K, TOP_P, MIN_P, PENALTY, WINDOW = (
    BY_KEY[key].default for key in ("top_k", "top_p", "min_p", "repeat_penalty", "repeat_last_n")
)
Score = Counter[tuple[str, str]]  # by language and category


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
            token = self.pick(logits, (ids + out)[-int(WINDOW) :])
            if token == tok.EOS:
                return out, True
            out.append(token)
            feed = [token]
        return out, False

    def pick(self, logits: torch.Tensor, recent: list[int]) -> int:
        """Repeat penalty, top_k, top_p, min_p, then the temperature: the program's order and defaults."""
        seen = torch.tensor(sorted(set(recent)))
        picked = logits[seen]
        logits[seen] = torch.where(picked > 0, picked / PENALTY, picked * PENALTY)
        if self.temp <= 0:
            return int(logits.argmax())
        top, index = logits.topk(int(TOP_K))
        chance = torch.softmax(top, dim=0)
        keep = (chance.cumsum(0) - chance < TOP_P) & (chance >= MIN_P * chance[0])
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


def talk_before(tokenizer: Tokenizer, source: Generator, tokens: int) -> list[Turn]:
    """So much other talk, of at least that many tokens."""
    talk: list[Turn] = []
    while tokens > 0:
        for turn in source.conversation(1):
            talk.append(turn)
            tokens -= len(tokenizer.question(turn.user)) + len(tokenizer.answer(turn.answer))
    return talk


def run(speaker: Speaker, asked: Sequence[Case], bare: bool, after: int, show: str) -> tuple[Score, int]:
    """How many are right, by language and category, and how many replies did not end or went in circles."""
    right: Score = Counter()
    endless = 0
    source = Generator(seed=77)
    for case in asked:
        before = talk_before(speaker.tokenizer, source, after)
        reply, ended = speaker.talk(list(case.asked), not bare, before)
        good = case.right(reply, ended)
        right[case.lang, case.category] += good
        endless += not ended or circles(reply)
        if show == "all" or (show == "wrong" and not good):
            print("ok " if good else "NOT", case.lang, case.category, " >> ".join(case.asked))
            print(f"    {reply}   [{' & '.join(case.checks)}]")
    return right, endless


def report(title: str, right: Score, endless: int, asked: Sequence[Case], runs: int = 1) -> None:
    total: Score = Counter((case.lang, case.category) for case in asked)
    print(f"\n{title:20}" + "".join(f"{lang:>24}" for lang in ("en", "zh")))
    for category in (*CATEGORIES, "all"):
        cells = ""
        for lang in ("en", "zh"):
            names = CATEGORIES if category == "all" else (category,)
            good, of = (sum(score[lang, name] for name in names) for score in (right, total))
            share = f"{100 * good / of / runs:5.1f} %" if of else ""
            cells += f"{good / runs:10.1f} of {of:3} {share:>6}"
        print(f"{category:20}{cells}")
    print(f"did not end, or went in circles: {endless} of {len(asked) * runs}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="a GGUF file, or the folder of a training run")
    parser.add_argument(
        "--temp", type=float, default=GUIDE_TEMP, help="of the later runs (default: %(default)s)"
    )
    parser.add_argument("--seeds", type=int, default=5, help="runs at that temperature; 0: none")
    parser.add_argument(
        "--after", type=int, nargs="+", default=[0], help="tokens of other talk before each question"
    )
    parser.add_argument("--bare", action="store_true", help="without the instruction text in front")
    parser.add_argument("--every", type=int, default=1, help="ask only every Nth question")
    parser.add_argument("--category", choices=CATEGORIES, help="ask only these")
    parser.add_argument("--all", action="store_true", help="show the right answers too")
    parser.add_argument("--quiet", action="store_true", help="show the figures only")
    parser.add_argument("--ask", nargs="*", help="ask this instead, as one conversation, at --temp 0")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.model.is_dir():
        from tools.guide.pack import load as opened
    else:
        opened = open_gguf
    model, tokenizer = opened(args.model)
    if args.ask:
        print(Speaker(model, tokenizer).talk(args.ask, not args.bare)[0])
        return
    asked = [case for case in cases() if args.category in (None, case.category)][:: args.every]
    show = "all" if args.all else "none" if args.quiet else "wrong"
    for after in args.after:
        where = f" after {after}" if after else ""
        right, endless = run(Speaker(model, tokenizer), asked, args.bare, after, show)
        report("temp 0" + where, right, endless, asked)
        sampled: Score = Counter()
        endless = 0
        for seed in range(1, args.seeds + 1):
            speaker = Speaker(model, tokenizer, args.temp, seed)
            more, circling = run(speaker, asked, args.bare, after, "none")
            sampled, endless = sampled + more, endless + circling
        if args.seeds:
            report(f"temp {args.temp:g}{where}", sampled, endless, asked, args.seeds)


if __name__ == "__main__":
    main()
