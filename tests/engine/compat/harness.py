"""Runs of the programs of 2023 without a terminal: a console of memory, a vocabulary of known texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from alpaca_tui.engine.compat.draws import Mt19937
from alpaca_tui.engine.compat.program import APRIL, Options, Program, Rules
from alpaca_tui.engine.compat.samplers import April, August, Choices
from alpaca_tui.engine.model import Model
from alpaca_tui.engine.tokenizer import Tokenizer
from alpaca_tui.files.model_file import open_model

BOS, EOS = 1, 2
COLOURS = {"prompt": b"\x1b[33m", "user": b"\x1b[1m\x1b[32m", "default": b"\x1b[0m", "error": b"\x1b[31m"}
# As LLaMA's tokenizer has them.
IDS = {
    " Once upon a time": [9038, 2501, 263, 931],
    "\n": [13],
    "\n\n### Instruction:\n\n": [13, 13, 2277, 29937, 2799, 4080, 29901, 13, 13],
    "\n\n### Response:\n\n": [13, 13, 2277, 29937, 13291, 29901, 13, 13],
    " ": [29871],
    " Below is an instruction that describes a task. Write a response that appropriately completes the "
    "request.": [13866, 338, 385, 15278, 393, 16612, 263, 3414, 29889, 14350, 263, 2933, 393, 7128, 2486,
                 1614, 2167, 278, 2009, 29889],
    "你好\n": [30919, 31076, 13],
    "first line \nsecond\n": [4102, 1196, 29871, 13, 7496, 13],
    "third\n": [22585, 13],
}  # fmt: skip


class KnownTexts:
    """A vocabulary that encodes the texts of a table; token N is written as "<N>", BOS and EOS as nothing."""

    bos, eos = BOS, EOS

    def __init__(self, ids: dict[str, list[int]] = IDS, pieces: dict[int, bytes] | None = None) -> None:
        self.ids, self.pieces = ids, pieces or {}

    def encode(self, text: str, bos: bool = True, space_prefix: bool = True) -> list[int]:
        assert not space_prefix
        return [BOS] * bos + self.ids[text]

    def piece(self, token: int) -> bytes:
        return self.pieces.get(token, b"" if token in (BOS, EOS) else b"<%d>" % token)


class Console:
    """Lines in, bytes out; escapes at a change of colour, where there are colours."""

    def __init__(self, lines: Iterable[str | None] = (), colours: bool = False) -> None:
        self.out, self.notices = b"", list[str]()
        self._lines, self._colours, self._colour = iter(lines), colours, "default"

    def write(self, data: bytes) -> None:
        self.out += data

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def colour(self, name: str) -> None:
        if self._colours and name != self._colour:
            self.out += COLOURS[name]
        self._colour = name

    def read_line(self) -> str | None:
        return next(self._lines, None)


class EndOfScriptError(Exception):
    """The program wants more tokens than the test has."""


class Scripted:
    """A sampler with known answers, and a model that evaluates nothing but notes what it is given."""

    n_batch, restarts = 512, 0

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens = list(tokens)
        self.evaluated: list[tuple[int, list[int]]] = []

    def sample(self, logits: np.ndarray, last: Sequence[int]) -> int:
        if not self.tokens:
            raise EndOfScriptError
        return self.tokens.pop(0)

    def restart(self) -> None:
        self.restarts += 1

    def eval(self, tokens: Sequence[int], pos: int, n_logits: int) -> np.ndarray:
        self.evaluated.append((pos, list(tokens)))
        return np.zeros((n_logits, 1), np.float32)

    @property
    def cache(self) -> list[int]:
        """The tokens in the context."""
        out: list[int] = []
        for pos, tokens in self.evaluated:
            out[pos:] = tokens
        return out


def run_model(
    path: Path,
    options: Options,
    choices: Choices,
    *,
    rules: Rules = APRIL,
    seed: int = 42,
    lines: Sequence[str] = (),
    colours: bool = False,
    vocabulary: KnownTexts | None = None,
) -> tuple[list[int], bytes]:
    """The ids that were sampled, and stdout. `vocabulary`: instead of the file's own."""
    with open_model(path) as file:
        model = Model(file, n_ctx=options.n_ctx, n_threads=1, n_batch=min(512, options.n_ctx))
        sampled: list[int] = []
        console = Console(lines, colours)
        assert file.vocab is not None
        rng = Mt19937(seed)
        sampler = April(choices, rng, EOS) if rules is APRIL else August(choices, rng)
        program = Program(
            rules, options, model, vocabulary or Tokenizer(file.vocab), sampler, console, sampled.append
        )
        try:
            program.run()
        finally:
            model.close()
    return sampled, console.out
