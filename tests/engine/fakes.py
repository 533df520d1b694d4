"""A tokenizer of bytes and a model that says what it is told to: for tests of what stands on them."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from alpaca_tui.engine.engine import Engine
from alpaca_tui.engine.protocol import ModelInfo
from alpaca_tui.engine.stopped import Stopped

BOS, EOS = 1, 2
FIRST_BYTE = 3


class ByteTokenizer:
    """0 unknown, 1 BOS, 2 EOS, then the 256 bytes, then `words`, which `encode` never makes."""

    bos, eos = BOS, EOS

    def __init__(self, words: Iterable[str] = ()) -> None:
        self.pieces = [b"", b"", b"", *(bytes([b]) for b in range(256)), *(w.encode() for w in words)]
        self.n_vocab = len(self.pieces)

    def encode(self, text: str, bos: bool = True, space_prefix: bool = True) -> list[int]:
        return [self.bos] * (bos and self.bos >= 0) + [
            FIRST_BYTE + b for b in (" " * space_prefix + text).encode()
        ]

    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(map(self.piece, ids)).decode(errors="replace")

    def piece(self, token: int) -> bytes:
        return self.pieces[token]

    def is_eog(self, token: int) -> bool:
        return token == EOS

    def word(self, text: str) -> int:
        return self.pieces.index(text.encode())


def text_ids(text: str) -> list[int]:
    """One token a byte."""
    return [FIRST_BYTE + b for b in text.encode()]


class ScriptedModel:
    """Says `script`, from where the context has got in it, then EOS; or what `next_token(context)` says.

    Checks that the cache is used as the contract says, and keeps `calls`: (tokens, pos, n_logits), and
    `shifts`: (start, stop, end).
    """

    def __init__(
        self,
        script: Sequence[int] = (),
        *,
        n_ctx: int = 1000,
        n_batch: int = 512,
        n_vocab: int = 300,
        next_token: Callable[[list[int]], int] | None = None,
        seconds: float = 0.0,
    ) -> None:
        self.script = list(script)
        self.n_ctx, self.n_batch, self.n_vocab = n_ctx, n_batch, n_vocab
        self.next_token = next_token
        self.seconds = seconds  # each evaluation takes
        self.cache: list[int] = []
        self.calls: list[tuple[tuple[int, ...], int, int]] = []
        self.shifts: list[tuple[int, int, int]] = []
        self.n_threads = 1
        self.stopping = False
        self.closed = False
        self.memory = 0
        self.progress = 0.0
        self.before_eval: Callable[[], None] = lambda: None

    def eval(self, tokens: Sequence[int], pos: int, n_logits: int) -> np.ndarray:
        assert not self.closed
        assert 0 < len(tokens) <= self.n_batch
        assert 0 <= pos <= len(self.cache)
        assert pos + len(tokens) <= self.n_ctx
        assert 0 <= n_logits <= len(tokens)
        self.calls.append((tuple(tokens), pos, n_logits))
        del self.cache[pos:]
        self.before_eval()
        begin = time.monotonic()
        while (elapsed := time.monotonic() - begin) < self.seconds and not self.stopping:
            self.progress = elapsed / self.seconds
            time.sleep(0.001)
        if self.stopping:
            raise Stopped
        self.cache.extend(tokens)
        logits = np.zeros((n_logits, self.n_vocab), np.float32)
        for row in range(n_logits):
            logits[row] = self.after(self.cache[: len(self.cache) - n_logits + 1 + row])
        return logits

    def shift(self, start: int, stop: int, end: int) -> None:
        assert not self.closed
        assert 0 <= start < stop <= end <= len(self.cache)
        self.shifts.append((start, stop, end))
        self.cache[start:] = self.cache[stop:end]

    cache_bytes = 0

    def twin(self) -> ScriptedModel:
        made = copy.copy(self)
        made.cache, made.calls, made.shifts = [], [], []
        return made

    def after(self, context: list[int]) -> np.ndarray:
        """Logits of what comes after `context`."""
        logits = np.zeros(self.n_vocab, np.float32)
        logits[self._next(context)] = 20.0
        return logits

    def _next(self, context: list[int]) -> int:
        if self.next_token:
            return self.next_token(context)

        def ends_with(tokens: list[int]) -> bool:
            return context[len(context) - len(tokens) :] == tokens

        said = next(n for n in range(len(self.script), -1, -1) if ends_with(self.script[:n]))
        return self.script[said] if said < len(self.script) else EOS

    def request_stop(self) -> None:
        self.stopping = True

    def clear_stop(self) -> None:
        self.stopping = False

    def set_threads(self, n_threads: int) -> None:
        self.n_threads = n_threads

    def set_batch(self, n_batch: int) -> None:
        self.n_batch = n_batch

    def close(self) -> None:
        self.closed = True


def engine_of(model: object, tokenizer: ByteTokenizer | None = None) -> Engine:
    """An Engine around a fake model."""
    tokenizer = tokenizer or ByteTokenizer()
    info = ModelInfo(
        path=Path("fake.gguf"),
        name="fake",
        description="a fake",
        n_ctx=model.n_ctx,
        n_ctx_train=2048,
        n_vocab=model.n_vocab,
        n_threads=1,
        memory=0,
    )
    return Engine(model, tokenizer, info)
