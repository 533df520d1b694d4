"""What the choice of a token costs, by size of the vocabulary, and what a grammar adds to it.

    python -m benchmarks.sampling [-r 200] [--tokenizer tokenizer.model]

The first table has the median of N choices from logits as a model gives them: most of the probability on few
tokens, and different logits each time, so that none lies in a near cache. The second has, for replies of N
tokens under a grammar, the mean and the longest time that finding out what may come next took, first tokens
included. Its vocabulary of 32,000 is made up of random words, or that of the tokenizer.model given.

The limits are shares of what decoding a token takes with the 1b shape in q4_0: 2 % for the default settings,
10 % for a grammar. The exit code is 1 where one is exceeded.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from alpaca_tui.engine.grammar.matcher import Grammars
from alpaca_tui.engine.protocol import SamplingParams
from alpaca_tui.engine.sampling import Sampler, Vocabulary

SIZES = (32_000, 50_000, 150_000)
LIMIT_MS, GRAMMAR_MS = 0.4, 2.0
OFF = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "repeat_penalty": 1.0, "seed": 1}
CASES = {
    "the defaults": SamplingParams(seed=1),
    "greedy, penalty": SamplingParams(temp=0.0),
    "top_k 10000, top_p 0.5, penalty": SamplingParams(top_k=10_000, top_p=0.5, temp=0.2, seed=1),
    "top_p 0.95 alone": SamplingParams(**{**OFF, "top_p": 0.95}),
    "min_p 0.05 alone": SamplingParams(**{**OFF, "min_p": 0.05}),
    "nothing but temperature": SamplingParams(**OFF),
    "top_n_sigma 1": SamplingParams(**{**OFF, "top_n_sigma": 1.0}),
    "defaults and DRY": SamplingParams(seed=1, dry_multiplier=0.8),
    "defaults and XTC": SamplingParams(seed=1, xtc_probability=0.5),
    "mirostat 1": SamplingParams(seed=1, mirostat=1),
    "mirostat 2": SamplingParams(seed=1, mirostat=2),
    "typical 0.9 of all": SamplingParams(**{**OFF, "typical_p": 0.9}),
    "tail-free 0.9 of all": SamplingParams(**{**OFF, "tfs_z": 0.9}),
}
SCHEMA = """{"type": "array", "minItems": 500, "items": {"type": "object", "properties": {
    "name": {"type": "string", "maxLength": 60}, "age": {"type": "integer", "minimum": 0, "maximum": 150},
    "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}}, "note": {"type": "string"}},
    "required": ["name", "age", "tags", "note"]}}"""
GRAMMARS = {
    "any JSON": SamplingParams(json_schema="true"),
    "objects by a schema": SamplingParams(json_schema=SCHEMA),
    "lines of text": SamplingParams(grammar=r'root ::= ("- " [^\n]+ "\n")+'),
    "arithmetic": SamplingParams(
        grammar='root ::= (e "=" [0-9]+ "\\n")+\ne ::= t ([-+] t)*\nt ::= [0-9]+ | "(" e ")"'
    ),
    "at most 2000 characters": SamplingParams(grammar='root ::= ["] [^"\\n]{0,2000} ["]'),
}
ROWS = 16  # different logits


class Words:
    """0 ends a reply; then the 256 bytes, and random words of which many begin alike."""

    def __init__(self, n_vocab: int) -> None:
        rng = np.random.default_rng(0)
        letters = np.frombuffer(b"etaoinshrdlcumwfgypbvk", np.uint8)
        likely = 1 / np.arange(2, len(letters) + 2)
        words = {b'{"', b'":', b'",', b'"}', b"},", b"[]", b"\n\n", b'": "', b'", "'}
        while len(words) < n_vocab - 257:
            word = rng.choice(letters, size=rng.geometric(0.2), p=likely / likely.sum()).tobytes()
            words.add(b" " * bool(rng.integers(2)) + word)
        self.pieces = [b"", *(bytes([b]) for b in range(256)), *sorted(words)]
        self.n_vocab = n_vocab

    def piece(self, token: int) -> bytes:
        return self.pieces[token]

    def is_eog(self, token: int) -> bool:
        return token == 0


def logits_of(n_vocab: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.gumbel(size=(ROWS, n_vocab)).astype(np.float32) * np.float32(1.5)


def milliseconds(params: SamplingParams, n_vocab: int, rounds: int) -> float:
    logits = logits_of(n_vocab)
    context = np.random.default_rng(1).integers(0, n_vocab, 2048).tolist()
    words = Words(300)
    words.pieces = [b"word"] * n_vocab  # all that DRY asks of it
    sampler = Sampler(params, n_vocab, words)
    times = []
    for i in range(rounds + ROWS):
        start = time.perf_counter()
        sampler.sample(logits[i % ROWS], context)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[ROWS:])


def grammar_milliseconds(params: SamplingParams, vocabulary: Vocabulary, rounds: int) -> tuple[float, float]:
    """Mean and longest, of replies with `rounds` tokens together."""
    grammars, rng = Grammars(vocabulary), np.random.default_rng(2)
    grammars.matcher(SamplingParams(grammar='root ::= "a"'))  # the tree of tokens, made once for a model
    times: list[float] = []
    while len(times) < rounds:
        start = time.perf_counter()
        matcher = grammars.matcher(params)
        assert matcher is not None
        spent = time.perf_counter() - start
        while not matcher.complete and len(times) < rounds:
            start = time.perf_counter()
            allowed = matcher.allowed
            spent += time.perf_counter() - start
            token = int(rng.choice(np.flatnonzero(allowed)))
            if vocabulary.is_eog(token):
                break
            start = time.perf_counter()
            matcher.accept(token)
            times.append(spent + time.perf_counter() - start)
            spent = 0.0
    return 1000 * statistics.mean(times), 1000 * max(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-r", "--rounds", type=int, default=200)
    parser.add_argument("--tokenizer", type=Path)
    arguments = parser.parse_args()
    print(f"{'ms a token, vocabulary of':34}" + "".join(f"{size:>10,}" for size in SIZES))
    slow = False
    for i, (name, params) in enumerate(CASES.items()):
        times = [milliseconds(params, size, arguments.rounds) for size in SIZES]
        slow = slow or (i == 0 and max(times) > LIMIT_MS)
        print(f"{name:34}" + "".join(f"{t:10.3f}" for t in times))
    vocabulary: Vocabulary = Words(32_000)
    if arguments.tokenizer:
        from alpaca_tui.engine.tokenizer import Tokenizer
        from alpaca_tui.files.vocab import from_tokenizer_model

        vocabulary = Tokenizer(from_tokenizer_model(arguments.tokenizer))
    print(f"\n{f'ms a token, {vocabulary.n_vocab:,} tokens':34}{'mean':>10}{'longest':>10}")
    for name, params in GRAMMARS.items():
        mean, longest = grammar_milliseconds(params, vocabulary, arguments.rounds)
        slow = slow or mean > GRAMMAR_MS
        print(f"{name:34}{mean:10.3f}{longest:10.2f}")
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
