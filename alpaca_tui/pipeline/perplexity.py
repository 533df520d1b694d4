"""Perplexity: how surprised a model is by a text; the lower, the better it predicts.

The definition is that of llama.cpp's tools/perplexity today. The text's tokens are cut into windows of
`n_ctx`. Each is evaluated from an empty context with BOS in place of its first token, and the second half of
its tokens is scored, so that every scored token has at least half a window before it:

    nll = -log softmax(logits[i])[token[i + 1]]    for i = n_ctx // 2 .. n_ctx - 2
    perplexity = exp(mean nll),  its error = perplexity * sqrt((mean nll^2 - (mean nll)^2) / (count - 1))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from alpaca_tui.errors import UserError

if TYPE_CHECKING:
    from alpaca_tui.engine.model import Model
    from alpaca_tui.engine.tokenizer import Tokenizer

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Progress = Callable[[int, int], None]  # tokens evaluated, of how many

LOGIT_BYTES = 32 << 20  # logits of this size are asked for at once; there are two copies of them
MAX_TEXT = 1 << 30


class Evaluator(Protocol):
    """What is needed of a model: see engine.model.Model."""

    @property
    def n_vocab(self) -> int: ...

    @property
    def n_batch(self) -> int: ...

    def eval(self, tokens: Sequence[int], pos: int, n_logits: int) -> F32: ...


@dataclass
class Estimate:
    """The sums so far. `ppl` is nan before anything was scored."""

    count: int = 0
    nll: float = 0.0
    nll2: float = 0.0

    def add(self, nll: F64) -> None:
        self.count += len(nll)
        self.nll += float(nll.sum())
        self.nll2 += float((nll * nll).sum())

    @property
    def ppl(self) -> float:
        if not self.count:
            return math.nan
        mean = self.nll / self.count
        return math.exp(mean) if mean < 700 else math.inf

    @property
    def error(self) -> float:
        """Standard error of `ppl`; 0 where there is too little to tell."""
        return mean_and_error(self.nll, self.nll2, self.count)[1] * self.ppl


def mean_and_error(total: float, squares: float, count: int) -> tuple[float, float]:
    """Mean of `count` numbers with this sum and sum of squares, and the mean's standard error."""
    if not count:
        return 0.0, 0.0
    mean = total / count
    variance = squares / count - mean * mean
    return mean, math.sqrt(variance / (count - 1)) if variance > 0 and count > 1 else 0.0


@dataclass(frozen=True)
class Windows:
    """The text as it is evaluated: int32 [n_windows, n_ctx], and the token that begins each window."""

    tokens: npt.NDArray[np.int32]
    bos: int | None

    @property
    def n_ctx(self) -> int:
        return self.tokens.shape[1]

    @property
    def first(self) -> int:
        """The first position whose logits are scored."""
        return self.n_ctx // 2

    @property
    def n_scored(self) -> int:
        """Scored tokens of a window."""
        return self.n_ctx - 1 - self.first

    @property
    def n_tokens(self) -> int:
        """Tokens to evaluate in all: the last one of a window only serves as an answer."""
        return len(self.tokens) * (self.n_ctx - 1)

    def targets(self, index: int) -> npt.NDArray[np.int32]:
        """What the scored positions of a window should say: int32 [n_scored]."""
        return self.tokens[index, self.first + 1 :]

    def inputs(self, index: int) -> list[int]:
        tokens: list[int] = self.tokens[index, :-1].tolist()
        return tokens if self.bos is None else [self.bos, *tokens[1:]]


def cut_windows(ids: Sequence[int], n_ctx: int, bos: int | None, n_chunks: int = -1) -> Windows:
    """The first `n_chunks` (-1: all) whole windows of a text; raises UserError where there are not two."""
    if len(ids) < 2 * n_ctx:
        raise UserError(
            f"The text has only {len(ids):,} tokens, and a context of {n_ctx} takes at least {2 * n_ctx:,} "
            "to measure anything; give a longer text or a smaller -c."
        )
    n = len(ids) // n_ctx
    if n_chunks >= 0:
        n = min(n, n_chunks)
    return Windows(np.asarray(ids[: n * n_ctx], np.int32).reshape(n, n_ctx), bos)


def scored_logits(
    model: Evaluator, windows: Windows, index: int, on_tokens: Callable[[int], None]
) -> Iterator[tuple[slice, F32]]:
    """Evaluates one window: (which of its scored positions, their logits f32 [n, n_vocab]) in pieces.

    `on_tokens(n)` hears of every n tokens that are done.
    """
    tokens, first = windows.inputs(index), windows.first
    for at in range(0, first, model.n_batch):
        chunk = tokens[at : min(at + model.n_batch, first)]
        model.eval(chunk, at, 0)
        on_tokens(len(chunk))
    step = max(1, min(model.n_batch, LOGIT_BYTES // (4 * model.n_vocab)))
    for at in range(first, len(tokens), step):
        chunk = tokens[at : at + step]
        logits = model.eval(chunk, at, len(chunk))
        on_tokens(len(chunk))
        yield slice(at - first, at - first + len(chunk)), logits


def log_sum_exp(logits: F32) -> F64:
    """log sum exp of each row: exponentials in f32, their sum in f64, as llama.cpp does it."""
    top = logits.max(axis=1, keepdims=True)
    total = np.exp(logits - top).sum(axis=1, dtype=np.float64)
    return np.log(total) + top[:, 0]


def nll_of(logits: F32, targets: npt.NDArray[np.int32]) -> F64:
    """-log softmax(row)[target] of each row."""
    return log_sum_exp(logits) - logits[np.arange(len(targets)), targets]


OnPiece = Callable[[F32, npt.NDArray[np.int32]], object]  # logits [n, n_vocab], targets [n]


def measure(
    model: Evaluator,
    windows: Windows,
    *,
    on_progress: Progress | None = None,
    on_piece: OnPiece | None = None,
) -> Iterator[Estimate]:
    """The estimate after each window (always the same object, further on).

    `on_progress(done, total)` counts tokens; `on_piece(logits, targets)` gets all that is scored, in order.
    """
    estimate, done = Estimate(), 0

    def count(n: int) -> None:
        nonlocal done
        done += n
        if on_progress is not None:
            on_progress(done, windows.n_tokens)

    for index in range(len(windows.tokens)):
        targets = windows.targets(index)
        for where, logits in scored_logits(model, windows, index, count):
            if not np.isfinite(logits).all():
                raise UserError(
                    "The model computes numbers that are not finite, so it cannot be measured: its weights "
                    "are damaged; alpaca-tui verify tells more about its files."
                )
            estimate.add(nll_of(logits, targets[where]))
            if on_piece is not None:
                on_piece(logits, targets[where])
        yield estimate


# --- a model and a text ------------------------------------------------------------------------------------


def read_text(path: Path) -> str:
    """The text of a file without one newline at its end. Raises UserError where it is no UTF-8."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TEXT + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}; name a text file.") from None
    if len(data) > MAX_TEXT:
        raise UserError(f"{path} is larger than 1 GiB; cut it, or take another text.")
    try:
        return data.decode("utf-8").removesuffix("\n")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is no UTF-8 text (byte {error.start:,} is wrong); save it as UTF-8, or take another."
        ) from None


def load_model(
    path: Path,
    *,
    n_ctx: int,
    n_batch: int,
    n_threads: int,
    tokenizer: Path | None = None,
    norm_eps: float | None = None,
    on_progress: Callable[[str, int, int, str], None] | None = None,
) -> tuple[Model, Tokenizer, int | None]:
    """The model ready to evaluate windows of `n_ctx`, its tokenizer, and its BOS where it wants one.

    Raises UserError as Engine.load does.
    """
    from alpaca_tui.engine.memory import check_memory
    from alpaca_tui.engine.model import Model
    from alpaca_tui.engine.tokenizer import Tokenizer
    from alpaca_tui.files.model_file import open_model
    from alpaca_tui.system import usable_cores

    file = open_model(path, tokenizer=tokenizer, norm_eps=norm_eps)
    try:
        assert file.vocab is not None  # else open_model has refused it
        words = Tokenizer(file.vocab)
        n_batch = max(1, min(n_batch, n_ctx))
        check_memory(file, n_ctx, n_batch)
        model = Model(
            file,
            n_ctx=n_ctx,
            n_threads=n_threads or usable_cores(),
            n_batch=n_batch,
            on_progress=on_progress,
        )
    except BaseException:
        file.close()
        raise
    return model, words, file.vocab.bos if file.vocab.add_bos and file.vocab.bos >= 0 else None
