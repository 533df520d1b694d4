"""How far a model's predictions are from those of another: Kullback-Leibler divergence, token by token.

The base model's log-probabilities go into a file, in the layout of llama.cpp's `--kl-divergence-base`, so
that either program reads what the other wrote (tools/perplexity/perplexity.cpp):

    "_logits_", i32 n_ctx, i32 n_vocab, i32 n_chunk, i32 tokens[n_chunk * n_ctx],
    then for every scored token: f32 scale, f32 min_log_p, u16 q[n_vocab], padded to an even number of q;
    log p = scale * q + min_log_p.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from alpaca_tui.errors import UserError
from alpaca_tui.files.cursor import CutShortError, damaged
from alpaca_tui.files.output import new_file
from alpaca_tui.pipeline.perplexity import F32, F64, OnPiece, Windows, log_sum_exp, mean_and_error

MAGIC = b"_logits_"
_HEAD = struct.Struct("<8s3i")
_LEVELS = 65535
_DEPTH = 16.0  # what is less likely than the likeliest token by more than e^16 is written as that
_MIN_COVARIANCE = 10  # tokens below which a covariance says nothing


def record_items(n_vocab: int) -> int:
    """u16 items of one record."""
    return 2 * ((n_vocab + 1) // 2) + 4


def pack(logits: F32) -> npt.NDArray[np.uint16]:
    """Records of a piece of logits: u16 [n, record_items(n_vocab)]."""
    n, n_vocab = logits.shape
    top = logits.max(axis=1)
    low = np.maximum(logits.min(axis=1), top - np.float32(_DEPTH))
    scale = (top - low) / np.float32(_LEVELS)
    low_log_p = low - top - (log_sum_exp(logits) - top).astype(np.float32)
    inverse = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale != 0)
    levels = np.rint(np.maximum(logits - low[:, None], 0) * inverse[:, None])
    records = np.zeros((n, record_items(n_vocab)), np.uint16)
    records[:, :4] = np.stack([scale, low_log_p], axis=1).astype("<f4").view("<u2")
    records[:, 4 : 4 + n_vocab] = np.minimum(levels, _LEVELS)
    return records


def unpack(records: npt.NDArray[np.uint16], n_vocab: int) -> F32:
    """Log-probabilities f32 [n, n_vocab] of records."""
    head = np.ascontiguousarray(records[:, :4]).view("<f4")
    return head[:, :1] * records[:, 4 : 4 + n_vocab].astype(np.float32) + head[:, 1:]


def base_size(windows: Windows, n_vocab: int) -> int:
    """Bytes of a base file."""
    n_chunk, n_ctx = windows.tokens.shape
    return _HEAD.size + 4 * n_chunk * n_ctx + 2 * n_chunk * windows.n_scored * record_items(n_vocab)


@contextmanager
def base_writer(path: Path, windows: Windows, n_vocab: int) -> Iterator[OnPiece]:
    """Writes a base file: a function that takes its pieces in order. The file is whole or not there."""
    n_chunk, n_ctx = windows.tokens.shape
    with new_file(path, base_size(windows, n_vocab)) as file:
        file.write(_HEAD.pack(MAGIC, n_ctx, n_vocab, n_chunk))
        file.write(windows.tokens.astype("<i4").tobytes())
        yield lambda logits, targets: file.write(pack(logits).astype("<u2").tobytes())


class BaseFile:
    """A base file, mapped. Raises UserError where it is none, or not a whole one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                head = file.read(_HEAD.size)
                size = file.seek(0, os.SEEK_END)
        except OSError as error:
            raise UserError(
                f"{path} cannot be read: {error.strerror or error}; name the file that "
                "--kl-divergence-base wrote."
            ) from None
        if len(head) < _HEAD.size or head[:8] != MAGIC:
            raise UserError(
                f"{path} holds no log-probabilities of a base model; make it by running the base model with "
                "--kl-divergence-base and without --kl-divergence."
            )
        _, self.n_ctx, self.n_vocab, self.n_chunk = _HEAD.unpack(head)
        if not (8 <= self.n_ctx < 1 << 24 and 0 < self.n_vocab < 1 << 24 and 0 < self.n_chunk < 1 << 24):
            raise damaged(path, "its header has impossible numbers")
        n_scored = self.n_ctx - 1 - self.n_ctx // 2
        items = record_items(self.n_vocab)
        begin = _HEAD.size + 4 * self.n_chunk * self.n_ctx
        missing = begin + 2 * self.n_chunk * n_scored * items - size
        if missing > 0:
            raise CutShortError(path, "its records", missing, at_least=False)
        tokens = np.memmap(path, "<i4", "r", _HEAD.size, (self.n_chunk, self.n_ctx))
        if tokens.min() < 0 or tokens.max() >= self.n_vocab:
            raise damaged(path, "it holds tokens outside of its own vocabulary")
        self.tokens = np.array(tokens, np.int32)
        self._records = np.memmap(path, "<u2", "r", begin, (self.n_chunk * n_scored, items))
        self._at = 0

    def next(self, n: int) -> F32:
        """Log-probabilities of the next `n` scored tokens: f32 [n, n_vocab]."""
        records = self._records[self._at : self._at + n]
        self._at += n
        return unpack(np.asarray(records), self.n_vocab)


@dataclass
class Divergence:
    """Sums over tokens of a model (q) beside its base (p), and what follows from them.

    `kld`: KL divergence of each token; `p_diff`: how much more probable the model makes the right token.
    """

    kld: list[F64] = field(default_factory=list)
    p_diff: list[F64] = field(default_factory=list)
    nll: list[F64] = field(default_factory=list)
    nll_base: list[F64] = field(default_factory=list)
    same_top: int = 0

    def add(self, logits: F32, base_log_p: F32, targets: npt.NDArray[np.int32]) -> None:
        """A piece: the model's logits and the base's log-probabilities, f32 [n, n_vocab] each."""
        rows = np.arange(len(targets))
        total = log_sum_exp(logits).astype(np.float32)[:, None]
        counted = base_log_p > np.float32(-_DEPTH)  # the rest of the base is cut off in the file
        terms = np.exp(base_log_p) * (base_log_p - logits + total)
        self.kld.append(np.where(counted, terms, 0).sum(axis=1, dtype=np.float64))
        nll = (total[:, 0] - logits[rows, targets]).astype(np.float64)
        nll_base = -base_log_p[rows, targets].astype(np.float64)
        self.nll.append(nll)
        self.nll_base.append(nll_base)
        self.p_diff.append(np.exp(-nll) - np.exp(-nll_base))
        self.same_top += int((logits.argmax(axis=1) == base_log_p.argmax(axis=1)).sum())

    def statistics(self) -> dict[str, float | tuple[float, float]]:
        """Every figure by its name; a pair is a value and its standard error. At least one token is in."""
        kld, p_diff = np.concatenate(self.kld), np.concatenate(self.p_diff)
        nll, base = np.concatenate(self.nll), np.concatenate(self.nll_base)
        n = len(kld)
        log_q, log_p = _mean(nll), _mean(base)
        ppl, ppl_base = math.exp(log_q[0]), math.exp(log_p[0])
        error, error_base = ppl * log_q[1], ppl_base * log_p[1]
        covariance = 0.0
        if n >= _MIN_COVARIANCE:
            covariance = (float((nll * base).mean()) - log_q[0] * log_p[0]) / (n - 1)
        spread = log_q[1] * log_p[1]
        ratio = log_q[0] - log_p[0], _root(log_q[1] ** 2 + log_p[1] ** 2 - 2 * covariance)
        ppl_diff = _root(error**2 + error_base**2 - 2 * ppl * ppl_base * covariance)
        square = _mean(p_diff**2)
        rms = math.sqrt(square[0])
        same = self.same_top / n
        return {
            "ppl": (ppl, error),
            "ppl_base": (ppl_base, error_base),
            "correlation": covariance / spread if spread else 0.0,
            "log_ppl_ratio": ratio,
            "ppl_ratio": (math.exp(ratio[0]), math.exp(ratio[0]) * ratio[1]),
            "ppl_difference": (ppl - ppl_base, ppl_diff),
            "kld_mean": _mean(kld),
            **_quantiles("kld", kld, (100, 99.9, 99, 95, 90, 50, 10, 5, 1, 0.1, 0)),
            "p_diff_mean": _mean(p_diff),
            **_quantiles("p_diff", p_diff, (100, 99.9, 99, 95, 90, 75, 50, 25, 10, 5, 1, 0.1, 0)),
            "p_diff_rms": (rms, 0.5 * square[1] / rms if rms else 0.0),
            "same_top": (same, math.sqrt(same * (1 - same) / (n - 1)) if n > 1 else 0.0),
        }


def _mean(values: F64) -> tuple[float, float]:
    return mean_and_error(float(values.sum()), float((values * values).sum()), len(values))


def _root(x: float) -> float:
    return math.sqrt(x) if x > 0 else 0.0


def _quantiles(name: str, values: F64, percents: tuple[float, ...]) -> dict[str, float]:
    found = np.percentile(values, percents)
    return {f"{name}_{percent:g}": float(value) for percent, value in zip(percents, found, strict=True)}
