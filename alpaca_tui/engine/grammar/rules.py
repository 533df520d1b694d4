"""A grammar over bytes: rules whose alternatives are sequences of rules, sets of bytes, and single tokens.

What reads a notation builds it by `Rules`; `finish` checks that it can match something and drops what cannot.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from alpaca_tui.engine.grammar.utf8 import Ranges, byte_sequences
from alpaca_tui.errors import UserError

MAX_SYMBOLS = 500_000  # of all alternatives together
Symbol = int  # >= 0: a rule; < 0: ~ a terminal
Alternative = tuple[Symbol, ...]


@dataclass(frozen=True)
class Tokens:
    """A terminal: one of these tokens, or (`negated`) any token but these."""

    ids: frozenset[int]
    negated: bool = False


Terminal = int | Tokens  # int: bit b is set where byte b matches


class Rules:
    """Rules by number. `alternatives[r]` is None until rule r is defined."""

    def __init__(self) -> None:
        self.alternatives: list[list[Alternative] | None] = []
        self.names: list[str] = []
        self.terminals: list[Terminal] = []
        self._of_name: dict[str, int] = {}
        self._of_terminal: dict[Terminal, Symbol] = {}
        self._of_ranges: dict[Ranges, Symbol] = {}
        self._n_symbols = 0

    def rule(self, name: str) -> int:
        """The rule of this name, perhaps not defined yet."""
        if name not in self._of_name:
            self._of_name[name] = self._new(name)
        return self._of_name[name]

    def define(self, rule: int, alternatives: Iterable[Sequence[Symbol]]) -> None:
        made = [tuple(each) for each in alternatives]
        self._count(sum(map(len, made)) + len(made))
        self.alternatives[rule] = made

    def _count(self, n_symbols: int) -> None:
        self._n_symbols += n_symbols
        if self._n_symbols > MAX_SYMBOLS:
            raise UserError("The grammar is too large: use fewer or shorter repetitions such as x{0,100}.")

    def group(self, alternatives: Iterable[Sequence[Symbol]], name: str) -> int:
        """A new rule of these; `name` is that of the one it is a part of."""
        rule = self._new(name)
        self.define(rule, alternatives)
        return rule

    def literal(self, data: bytes) -> Alternative:
        return tuple(self.terminal(1 << byte) for byte in data)

    def terminal(self, terminal: Terminal) -> Symbol:
        if terminal not in self._of_terminal:
            self._of_terminal[terminal] = ~len(self.terminals)
            self.terminals.append(terminal)
        return self._of_terminal[terminal]

    def characters(self, ranges: Ranges) -> Symbol:
        """One character whose code point lies in one of the ranges, as UTF-8."""
        if ranges not in self._of_ranges:
            sequences = [
                tuple(self.terminal(_bits(low, high)) for low, high in sequence)
                for sequence in byte_sequences(ranges)
            ]
            if len(sequences) == 1 and len(sequences[0]) == 1:
                self._of_ranges[ranges] = sequences[0][0]
            else:
                self._of_ranges[ranges] = self.group(_joined(sequences, self), "a character")
        return self._of_ranges[ranges]

    def repeat(self, items: Sequence[Symbol], least: int, most: int | None, name: str) -> Alternative:
        """`items`, `least` to `most` times (None: without end)."""
        self._count(least * len(items))
        one: Alternative = tuple(items) if len(items) == 1 else (self.group([items], name),)
        if most is None:
            more = self._new(name)
            self.define(more, [(*one, more), ()])
            return (*one * least, more)
        tail: Alternative = ()
        for _ in range(most - least):  # (x (x (x)?)?)?
            tail = (self.group([(*one, *tail), ()], name),)
        return (*one * least, *tail)

    def finish(self, root: int) -> None:
        """Drops alternatives that match nothing. UserError where rules are missing or none is left."""
        undefined = [self.names[i] for i, each in enumerate(self.alternatives) if each is None]
        if undefined:
            raise UserError(f"The grammar uses a rule {undefined[0]!r} but does not define it.")
        finite = self._finite()
        for i, alternatives in enumerate(self.alternatives):
            self.alternatives[i] = [
                each for each in alternatives or () if all(self._can_match(s, finite) for s in each)
            ]
        if root not in finite:
            raise UserError(
                f"The grammar can match no text: {self.names[root]!r} never comes to an end; give it an "
                "alternative that does not lead back to it."
            )

    def _new(self, name: str) -> int:
        self.alternatives.append(None)
        self.names.append(name)
        return len(self.names) - 1

    def _can_match(self, symbol: Symbol, finite: set[int]) -> bool:
        return symbol in finite if symbol >= 0 else self.terminals[~symbol] != 0

    def _finite(self) -> set[int]:
        """The rules that match some finite text."""
        waiting: list[list[tuple[int, list[int]]]] = [[] for _ in self.names]  # for each rule: who needs it
        done: list[int] = []
        finite: set[int] = set()
        for rule, alternatives in enumerate(self.alternatives):
            for each in alternatives or ():
                needs = {s for s in each if s >= 0}
                if any(s < 0 and self.terminals[~s] == 0 for s in each):
                    continue
                left = [len(needs)]
                for symbol in needs:
                    waiting[symbol].append((rule, left))
                if not needs and rule not in finite:
                    finite.add(rule)
                    done.append(rule)
        while done:
            for rule, left in waiting[done.pop()]:
                left[0] -= 1
                if left[0] == 0 and rule not in finite:
                    finite.add(rule)
                    done.append(rule)
        return finite


def _bits(low: int, high: int) -> int:
    return (1 << high + 1) - (1 << low)


def _joined(sequences: list[Alternative], rules: Rules) -> list[Alternative]:
    """The sequences with all those of one byte made into one."""
    single = 0
    longer = []
    for each in sequences:
        terminal = rules.terminals[~each[0]]
        if len(each) == 1 and isinstance(terminal, int):
            single |= terminal
        else:
            longer.append(each)
    return [(rules.terminal(single),), *longer] if single else longer
