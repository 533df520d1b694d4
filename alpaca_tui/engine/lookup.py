"""Prompt-lookup decoding: what was said before in the same context is guessed to be said again.

Where the last few tokens stood earlier in the context, the tokens that followed them there are a draft of the
reply's next ones. The model evaluates a draft in one batch, which costs little more than a single token, and
says after each of its tokens what comes next: as far as the draft agrees with that, it is kept. Since a batch
gives the same numbers as single tokens do, the reply is the same, token for token, with drafts or without.

`Ngrams` finds drafts; `Account` says how long one may be for its cost; `Lookahead` is both for one reply.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]

NGRAM = 3  # so many last tokens must have stood earlier in the same order
STRONG = 6  # so many, where drafts have not come true lately
PLACES = 16  # the latest of these that are looked at
LONGEST = 32  # tokens back that are compared, to tell good places from bad ones

LENGTHS = (7, 15, 31)  # tokens of a draft: the next length after one of which all came true
PER_REPLY = 1.0  # what a reply may lose by drafts that fail, in times of a single token,
PER_TOKEN = 1 / 64  # and what is added to that with each token
LEAST, MOST = -8.0, 8.0  # balance
SMOOTHING = 0.25


class Ngrams:
    """The tokens of a context, and where each run of three of them stands."""

    def __init__(self, tokens: Iterable[int] = ()) -> None:
        self._tokens: list[int] = []
        self._places: dict[tuple[int, ...], list[int]] = {}  # of the token behind the run
        for token in tokens:
            self.push(token)

    def push(self, token: int) -> None:
        tokens = self._tokens
        if len(tokens) >= NGRAM:
            self._places.setdefault(tuple(tokens[-NGRAM:]), []).append(len(tokens))
        tokens.append(token)

    def draft(self, n: int, agreement: int = NGRAM) -> list[int]:
        """The n tokens that may come next; none where the last `agreement` never stood here before.

        Of several places the one before which most tokens agree counts; of equal ones the latest.
        """
        tokens = self._tokens
        places = self._places.get(tuple(tokens[-NGRAM:]), [])[-PLACES:]
        if not places:
            return []
        at = max(reversed(places), key=self._agreement)
        if self._agreement(at) < agreement:
            return []
        period = len(tokens) - at  # a draft that reaches the end goes on with what it is repeating
        return [tokens[at + i % period] for i in range(n)]

    def _agreement(self, at: int) -> int:
        """How many tokens before `at` are those at the end."""
        tokens, n = self._tokens, NGRAM
        while n < min(at, LONGEST) and tokens[at - 1 - n] == tokens[-1 - n]:
            n += 1
        return n


class Account:
    """What drafts cost and bring, in times of evaluating a single token; kept from reply to reply.

    A draft is tried while the balance is above zero, a long one only while all that it may cost is there. So
    only a small share of the time can be lost, whatever is said and however much a batch costs on this
    computer.
    """

    def __init__(self) -> None:
        self._balance = 0.0
        self._single = 0.0  # seconds of a single token; 0: not known yet
        self._cost = [0.0] * len(LENGTHS)  # of a draft of each length; 0: not known yet
        self._next = 0  # which of LENGTHS to try next
        self._last = 0  # which of them the last draft had
        self._left = 0  # how many of its tokens have not come true

    def begin_reply(self) -> None:
        if self._cost[0] < LENGTHS[0] / 2:  # else drafts hardly ever pay here
            self._balance = max(self._balance, PER_REPLY)
        self._next = 0

    @property
    def length(self) -> int:
        """How many tokens the next draft may have."""
        if not self._single or self._balance <= 0:
            return 0
        while self._next and self._balance < self._expected(self._next):
            self._next -= 1
        return LENGTHS[self._next]

    @property
    def agreement(self) -> int:
        """How many tokens must agree before one: more where no draft has paid for this one yet."""
        return NGRAM if self._balance > PER_REPLY else STRONG

    def evaluated(self, n_drafted: int, seconds: float) -> None:
        """A token was evaluated, with so many drafted ones behind it."""
        seconds = max(seconds, 1e-9)
        if n_drafted == 0:
            # once in a while another program takes the processor: that is no reason to draft
            self._single = _smooth(self._single, min(seconds, 2 * (self._single or seconds)))
            if self._balance < PER_REPLY:
                self._add(PER_TOKEN)
        elif self._single:
            cost = seconds / self._single - 1
            self._last = bisect_left(LENGTHS[:-1], n_drafted)
            known = self._cost[self._last]
            self._cost[self._last] = _smooth(known, cost) if cost > known else cost
            self._left, self._next = n_drafted, 0
            self._add(-cost)

    def accepted(self) -> None:
        """One more token of the last draft came true."""
        self._add(1)
        self._left -= 1
        if self._left == 0:
            self._next = min(self._last + 1, len(LENGTHS) - 1)

    def _expected(self, which: int) -> float:
        """Cost of a draft of LENGTHS[which]; twice that of half the length where it was never tried."""
        return self._cost[which] or (2 * self._expected(which - 1) if which else 0.0)

    def _add(self, tokens: float) -> None:
        self._balance = min(max(self._balance + tokens, LEAST), MOST)


class Lookahead:
    """What one reply has evaluated ahead of its last sampled token. Nothing, where there is no account."""

    def __init__(self, account: Account | None) -> None:
        self._account = account
        self._ngrams = Ngrams()
        self._draft: list[int] = []  # in the cache, but not sampled yet
        self._logits: list[Logits] = []  # after each of them, [n_vocab]
        if account:
            account.begin_reply()

    def begin(self, prompt: Sequence[int]) -> None:
        """The context is this prompt now."""
        self._draft, self._logits = [], []
        if self._account:
            self._ngrams = Ngrams(prompt)

    def take(self, token: int) -> Logits | None:
        """The logits after the token that was just sampled, where it came as drafted; float32 [n_vocab]."""
        if not self._account:
            return None
        self._ngrams.push(token)
        if not self._draft or self._draft.pop(0) != token:
            self._draft = []
            return None
        self._account.accepted()
        return self._logits.pop(0)

    def draft(self, room: int) -> list[int]:
        """Up to `room` tokens to evaluate together with the one just sampled: as many as are worth it."""
        if not self._account:
            return []
        n = min(self._account.length, room)
        return self._ngrams.draft(n, self._account.agreement) if n > 0 else []

    def evaluated(self, draft: list[int], logits: Logits, seconds: float) -> None:
        """The last token and `draft` took `seconds`; logits: those after each of `draft`, [n, n_vocab]."""
        self._draft, self._logits = draft, list(logits)
        if self._account:
            self._account.evaluated(len(draft), seconds)


def _smooth(average: float, value: float) -> float:
    return average + SMOOTHING * (value - average) if average else value
