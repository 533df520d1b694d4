"""The choice of the next token from the logits, in the order of today's llama.cpp.

Bias, grammar, then the samplers of `SamplingParams.samplers` one after the other, then the draw.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from alpaca_tui.engine.protocol import SAMPLERS, SamplingParams
from alpaca_tui.engine.sampling import cuts, penalties
from alpaca_tui.engine.sampling.candidates import Candidates, Floats, Ids, draw
from alpaca_tui.engine.sampling.mirostat import Mirostat
from alpaca_tui.errors import UserError

UNUSABLE = (
    "The model gives no usable numbers (NaN or infinity): its file is damaged or was converted wrongly; "
    "compare its SHA-256 with its source, or convert it again."
)
NOTHING_LEFT = "No token may come next: every one is ruled out by --logit-bias, --ignore-eos or the grammar."
COLDEST = 1e-30  # below that, logits over the temperature would leave float32: greedy
FINITE = (
    "temp", "top_p", "min_p", "tfs_z", "typical_p", "top_n_sigma", "xtc_probability", "xtc_threshold",
    "dynatemp_range", "dynatemp_exponent", "repeat_penalty", "presence_penalty", "frequency_penalty",
    "dry_multiplier", "dry_base", "mirostat_lr", "mirostat_ent", "cfg_scale",
)  # fmt: skip


class Vocabulary(Protocol):
    """What is needed of `engine.tokenizer.Tokenizer`."""

    n_vocab: int

    def piece(self, token: int) -> bytes: ...
    def is_eog(self, token: int) -> bool: ...


class Constraint(Protocol):
    """What is needed of `engine.grammar.Matcher`."""

    @property
    def allowed(self) -> np.ndarray | None:
        """bool [n_vocab]; None: every token."""
        ...

    @property
    def complete(self) -> bool:
        """Can nothing more come?"""
        ...

    def accept(self, token: int) -> None: ...


class Sampler:
    """Chooses tokens for one reply, or for several where one is to go on with the draws of the one before.

    `params` may be replaced between two tokens, also from another thread; its seed and its grammar count no
    more then. `seed` is the one in use: `params.seed`, or a random one of 32 bits where that is negative. The
    same seed, parameters and logits give the same tokens, with any NumPy version. `vocabulary` is needed
    for `ignore_eos`, `penalize_nl` and `dry_multiplier`.
    """

    def __init__(
        self,
        params: SamplingParams,
        n_vocab: int,
        vocabulary: Vocabulary | None = None,
        constraint: Constraint | None = None,
    ) -> None:
        self.params = checked(params)
        self.n_vocab = n_vocab
        self.seed = params.seed if params.seed >= 0 else secrets.randbits(32)
        self.constraint = constraint
        self._vocabulary = vocabulary
        self._bits = np.random.PCG64(self.seed)
        self._mirostat: Mirostat | None = None
        self._biased: tuple[SamplingParams, Ids, Floats] | None = None
        self._bias(params)

    @property
    def complete(self) -> bool:
        """Has a grammar been matched to its end, so that the reply is over?"""
        return self.constraint is not None and self.constraint.complete

    def sample(self, logits: Floats, context: Sequence[int]) -> int:
        """The id of the next token.

        `logits`: float32 [n_vocab], left as they are. `context`: the tokens so far, prompt included, of which
        the last `repeat_last_n` are penalised. Raises UserError where the logits are not numbers, and where
        none of the tokens may come.
        """
        params = self.params
        if not (np.isfinite(logits.min()) and np.isfinite(logits.max())):  # either one shows a NaN, too
            raise UserError(UNUSABLE)
        candidates = self._allowed(params, logits)
        token = self._choose(params, candidates, context)
        if self.constraint is not None:
            self.constraint.accept(token)
        return token

    def _allowed(self, params: SamplingParams, logits: Floats) -> Candidates:
        """The tokens that may come at all, with their bias."""
        ids, values = self._bias(params)
        if len(ids):
            logits = logits.copy()
            logits[ids] += values
        allowed = self.constraint.allowed if self.constraint is not None else None
        if allowed is None and np.isfinite(values).all():
            return Candidates(logits)
        stays = logits > -np.inf
        if allowed is not None:
            stays &= allowed
        places = np.flatnonzero(stays)
        if not len(places):
            raise UserError(NOTHING_LEFT)
        return Candidates(np.minimum(logits[places], np.finfo(np.float32).max), places)

    def _choose(self, params: SamplingParams, c: Candidates, context: Sequence[int]) -> int:
        order = params.samplers
        if params.mirostat:
            order = (*(name for name in order if name in ("penalties", "dry")), "temperature")
        greedy = "temperature" in order and params.temp < COLDEST and params.dynatemp_range <= 0
        for name in order:
            c = self._apply(name, params, c, context, greedy)
        if greedy:
            return c.id_of(int(c.logits.argmax()))
        if not params.mirostat:
            return c.id_of(draw(c.logits, 1.0, self._uniform()))
        if self._mirostat is None:
            self._mirostat = Mirostat(params.mirostat_ent)
        return self._mirostat.choose(
            c, params.mirostat, params.mirostat_ent, params.mirostat_lr, self.n_vocab, self._uniform()
        )

    def _apply(
        self, name: str, params: SamplingParams, c: Candidates, context: Sequence[int], greedy: bool
    ) -> Candidates:
        """What one sampler makes of the candidates. Greedy needs only those that may drop the likeliest."""
        match name:
            case "penalties":
                return self._penalise(params, c, context)
            case "dry" if params.dry_multiplier and self._vocabulary is not None:
                return penalties.dry(
                    c,
                    penalties.recent(context, params.dry_penalty_last_n),
                    params.dry_multiplier,
                    params.dry_base,
                    params.dry_allowed_length,
                    [text.encode("utf-8", "replace") for text in params.dry_sequence_breakers if text],
                    self._vocabulary.piece,
                )
            case "typ_p":
                return cuts.typical(c, params.typical_p)
            case "xtc" if params.xtc_probability > 0 and params.xtc_threshold <= 0.5:
                return cuts.xtc(c, params.xtc_threshold) if self._uniform() < params.xtc_probability else c
            case _ if greedy:
                return c
            case "top_n_sigma":
                return cuts.top_n_sigma(c, params.top_n_sigma)
            case "top_k":
                return cuts.top_k(c, params.top_k)
            case "tfs_z":
                return cuts.tail_free(c, params.tfs_z)
            case "top_p":
                return cuts.top_p(c, params.top_p)
            case "min_p":
                return cuts.min_p(c, params.min_p)
            case "temperature":
                return temperature(c, params.temp, params.dynatemp_range, params.dynatemp_exponent)
        return c

    def _penalise(self, params: SamplingParams, c: Candidates, context: Sequence[int]) -> Candidates:
        tokens = penalties.recent(context, params.repeat_last_n)
        if not params.penalize_nl and self._vocabulary is not None:
            piece = self._vocabulary.piece
            tokens = [token for token in tokens if piece(token) != b"\n"]
        return penalties.penalise(
            c, tokens, params.repeat_penalty, params.frequency_penalty, params.presence_penalty
        )

    def _bias(self, params: SamplingParams) -> tuple[Ids, Floats]:
        """The tokens with a bias, and how much. Raises UserError for one that the model has not."""
        if self._biased is None or self._biased[0] is not params:
            bias: dict[int, float] = {}
            for token, amount in params.logit_bias:
                if not 0 <= token < self.n_vocab:
                    raise UserError(
                        f"--logit-bias names token {token}, but this model has 0 to {self.n_vocab - 1}."
                    )
                bias[token] = bias.get(token, 0.0) + amount
            if params.ignore_eos and self._vocabulary is not None:
                ends = filter(self._vocabulary.is_eog, range(self._vocabulary.n_vocab))
                bias.update(dict.fromkeys(ends, -math.inf))
            ids = np.fromiter(bias, np.intp, len(bias))
            self._biased = params, ids, np.array([bias[i] for i in bias], np.float32)
        return self._biased[1:]

    def _uniform(self) -> float:
        """A number in [0, 1) of 53 random bits. From the raw bits, which NumPy promises never to change."""
        return (int(self._bits.random_raw()) >> 11) * 2.0**-53


def temperature(c: Candidates, temp: float, spread: float = 0.0, exponent: float = 1.0) -> Candidates:
    """The logits over the temperature.

    With a `spread` it lies between temp - spread and temp + spread: the further up, the nearer the entropy is
    to that of equal chances, to the power of `exponent` (Zhu et al. 2023, arXiv:2309.02772).
    """
    if spread > 0:
        if len(c) < 2:
            return c
        low, high = max(0.0, temp - spread), temp + spread
        evenness = min(max(cuts.entropy(c.probabilities()) / math.log(len(c)), 0.0), 1.0)
        temp = low + (high - low) * evenness**exponent
    if temp < COLDEST:
        return cuts.top_k(c, 1)
    return c if temp == 1 else replace(c, logits=(c.logits.astype(np.float64) / temp).astype(np.float32))


def checked(params: SamplingParams) -> SamplingParams:
    """`params` as they are. Raises UserError for those with which no token can be chosen."""
    for name in FINITE:
        if not math.isfinite(getattr(params, name)):
            raise UserError(f"{name} must be a finite number, not {getattr(params, name)}.")
    if params.repeat_penalty <= 0:
        raise UserError(f"repeat_penalty must be above 0, not {params.repeat_penalty:g} (1 turns it off).")
    if params.mirostat not in (0, 1, 2):
        raise UserError(f"mirostat must be 0 (off), 1 or 2, not {params.mirostat}.")
    if any(math.isnan(amount) for _, amount in params.logit_bias):
        raise UserError("logit_bias must have numbers, not nan; inf and -inf force and forbid a token.")
    unknown = [name for name in params.samplers if name not in SAMPLERS]
    if unknown:
        raise UserError(f"There is no sampler {unknown[0]!r}; known are {', '.join(SAMPLERS)}.")
    if params.dry_allowed_length < 0:
        raise UserError(f"dry_allowed_length must not be negative, as {params.dry_allowed_length} is.")
    if params.grammar and params.json_schema:
        raise UserError("grammar and json_schema exclude each other; give one of them.")
    return params
