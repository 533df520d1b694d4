"""Grammars as trees, what they match by a plain recogniser, texts made by them, and replies under them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from alpaca_tui.engine.grammar import gbnf
from alpaca_tui.engine.grammar.automaton import DEAD, Automaton
from alpaca_tui.engine.grammar.matcher import Grammar, Matcher, TokenTree

EOS = 0


class Words:
    """A vocabulary: an end token, then these pieces."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = [b"", *pieces]
        self.n_vocab = len(self.pieces)

    def piece(self, token: int) -> bytes:
        return self.pieces[token]

    def is_eog(self, token: int) -> bool:
        return token == EOS

    def token_of(self, text: str) -> int | None:
        data = text.encode()
        return self.pieces.index(data) if data in self.pieces else None


BYTES = [bytes([b]) for b in range(256)]


def tree(pieces: Sequence[bytes] = BYTES) -> TokenTree:
    return TokenTree(Words(pieces))


def matches(grammar: str, text: str) -> bool:
    """Does the automaton accept the text, byte by byte?"""
    automaton = Automaton(*gbnf.parse(grammar))
    state = automaton.start
    for byte in text.encode():
        state = automaton.step(state, byte)
    return state != DEAD and automaton.accepts(state)


def reply(
    grammar: str, tokens: TokenTree, rng: random.Random, most: int = 80, end: float = 0.3
) -> bytes | None:
    """A text of random allowed tokens; None where it was not complete after `most` of them."""
    matcher = Matcher(Grammar(grammar, tokens))
    out = b""
    for _ in range(most):
        if matcher.complete or (matcher.may_end and rng.random() < end):
            return out
        allowed = [i for i in np.flatnonzero(matcher.allowed).tolist() if not tokens.ends[i]]
        if not allowed:
            return out
        token = rng.choice(allowed)
        matcher.accept(token)
        out += tokens.pieces[token]
    return None


# --- grammars as trees -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Node:
    """kind: text, one_of, seq, either, repeat or rule, with what that takes."""

    kind: str
    text: str = ""
    parts: tuple[Node, ...] = ()
    least: int = 0
    most: int | None = None
    rule: int = 0


@dataclass
class Tree:
    """Rules by number; rule 0 is the root."""

    rules: list[Node] = field(default_factory=list)

    def gbnf(self) -> str:
        return "".join(
            f"{'root' if i == 0 else f'rule-{i}'} ::= {_write(node)}\n" for i, node in enumerate(self.rules)
        )

    def accepts(self, text: str) -> bool:
        known: dict[tuple[int, int], frozenset[int]] = {}

        def ends(node: Node, at: int) -> frozenset[int]:
            """Where `node` may end that begins at `at`."""
            if node.kind == "text":
                return frozenset([at + len(node.text)] if text.startswith(node.text, at) else [])
            if node.kind == "one_of":
                return frozenset([at + 1] if at < len(text) and text[at] in node.text else [])
            if node.kind == "rule":
                key = node.rule, at
                if key not in known:
                    known[key] = ends(self.rules[node.rule], at)
                return known[key]
            if node.kind == "either":
                return frozenset().union(*(ends(part, at) for part in node.parts))
            if node.kind == "seq":
                here = frozenset([at])
                for part in node.parts:
                    here = frozenset().union(*(ends(part, i) for i in here))
                return here
            here, found, n = frozenset([at]), frozenset([at] if node.least == 0 else []), 0
            while here and (node.most is None or n < node.most) and n <= len(text) + node.least:
                here, n = frozenset().union(*(ends(node.parts[0], i) for i in here)), n + 1
                found |= here if n >= node.least else frozenset()
            return found

        return len(text) in ends(self.rules[0], 0)

    def say(self, rng: random.Random, node: Node | None = None, depth: int = 0) -> str | None:
        """A text that it matches; None where that became too long."""
        node = node or self.rules[0]
        if depth > 12:
            return None
        if node.kind == "text":
            return node.text
        if node.kind == "one_of":
            return rng.choice(node.text)
        if node.kind == "rule":
            return self.say(rng, self.rules[node.rule], depth + 1)
        parts = list(node.parts)
        if node.kind == "either":
            parts = [rng.choice(parts)]
        elif node.kind == "repeat":
            most = node.most if node.most is not None else node.least + 3
            parts *= rng.randint(node.least, most)
        said = [self.say(rng, part, depth + 1) for part in parts]
        return None if None in said else "".join(said)


def _write(node: Node) -> str:
    if node.kind == "text":
        return '"' + "".join(f"\\U{ord(c):08X}" if c in '"\\\n' else c for c in node.text) + '"'
    if node.kind == "one_of":
        return "[" + "".join(f"\\U{ord(c):08X}" for c in node.text) + "]"
    if node.kind == "rule":
        return f"rule-{node.rule}" if node.rule else "root"
    if node.kind == "seq":
        return " ".join(f"({_write(p)})" if p.kind == "either" else _write(p) for p in node.parts) or '""'
    if node.kind == "either":
        return " | ".join(_write(part) for part in node.parts)
    bounds = f"{{{node.least},{'' if node.most is None else node.most}}}"
    return f"({_write(node.parts[0])}){bounds}"
