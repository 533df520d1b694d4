"""Reads GBNF, the notation for grammars that llama.cpp has (its grammars/README.md describes it)."""

from __future__ import annotations

import re
from collections.abc import Callable

from alpaca_tui.engine.grammar.rules import Alternative, Rules, Symbol, Tokens
from alpaca_tui.engine.grammar.utf8 import EVERY, complement, normal
from alpaca_tui.errors import UserError

MAX_LENGTH = 1_000_000  # characters
MAX_DEPTH = 100  # groups in groups
MAX_REPEAT = 2000  # as in llama.cpp
TokenOf = Callable[[str], int | None]  # the token whose text this is

_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_REPEAT = re.compile(r"\{[ \t]*(\d{1,9})[ \t]*(,)?[ \t]*(\d{1,9})?[ \t]*\}")
_TOKEN = re.compile(r"(!?)<(?:\[(\d{1,9})\]>|([^\[<>\n][^<>\n]*)>)")
_RULE = re.compile(r"([A-Za-z0-9_-]+)[ \t]*::=")
_ESCAPED = {"t": "\t", "r": "\r", "n": "\n", "\\": "\\", '"': '"', "[": "[", "]": "]"}
_HEX = {"x": 2, "u": 4, "U": 8}


def parse(text: str, token_of: TokenOf | None = None) -> tuple[Rules, int]:
    """The rules of a grammar, and which of them is `root`.

    `token_of` finds the token of `<text>`. Raises UserError, naming line and column, for what is no GBNF, and
    for a grammar that can match nothing.
    """
    if len(text) > MAX_LENGTH:
        raise UserError(f"The grammar has {len(text):,} characters; {MAX_LENGTH:,} are the most.")
    return _Parser(text, token_of or (lambda _: None)).grammar()


class _Parser:
    def __init__(self, text: str, token_of: TokenOf) -> None:
        self.text = text
        self.at = 0
        self.rules = Rules()
        self.name = ""  # of the rule being read
        self._token_of = token_of

    def grammar(self) -> tuple[Rules, int]:
        defined = set()
        self._skip_space()
        while self.at < len(self.text):
            head = _RULE.match(self.text, self.at)
            if head is None:
                raise self._error("expected a rule, such as `root ::= ...`")
            self.name = head[1]
            if self.name in defined:
                raise self._error(f"rule {self.name!r} is defined twice")
            defined.add(self.name)
            self.at = head.end()
            self.rules.define(self.rules.rule(self.name), self._alternatives(0))
        if "root" not in defined:
            raise UserError("The grammar has no rule `root`, which is what a reply has to match.")
        root = self.rules.rule("root")
        self.rules.finish(root)
        return self.rules, root

    def _alternatives(self, depth: int) -> list[Alternative]:
        """What stands up to the next rule, or up to the end of a group."""
        if depth > MAX_DEPTH:
            raise self._error(f"more than {MAX_DEPTH} groups stand in one another")
        made = [self._sequence(depth)]
        while self._next() == "|":
            self.at += 1
            made.append(self._sequence(depth))
        if depth == 0 and self.at < len(self.text) and not _RULE.match(self.text, self.at):
            raise self._error(f"{self.text[self.at]!r} means nothing here")
        return made

    def _sequence(self, depth: int) -> Alternative:
        made: list[Symbol] = []
        while True:
            self._skip_space()
            if depth == 0 and _RULE.match(self.text, self.at):
                break
            item = self._item(depth)
            if item is None:
                break
            made += self._repeated(item)
        return tuple(made)

    def _item(self, depth: int) -> Alternative | None:
        """A literal, a set of characters, a token, a rule or a group; None where nothing such begins."""
        sign = self._next()
        if sign == '"':
            return self._literal()
        if sign == "[":
            return (self._characters(),)
        if sign == ".":
            self.at += 1
            return (self.rules.characters(EVERY),)
        if sign == "(":
            self.at += 1
            alternatives = self._alternatives(depth + 1)
            if self._next() != ")":
                raise self._error("expected ) here")
            self.at += 1
            return alternatives[0] if len(alternatives) == 1 else (self.rules.group(alternatives, self.name),)
        if sign in ("<", "!"):
            return (self._token(),)
        found = _NAME.match(self.text, self.at)
        if found is None:
            if sign in tuple("*+?{"):
                raise self._error(f"{sign!r} must follow what it repeats")
            return None
        self.at = found.end()
        return (self.rules.rule(found[0]),)

    def _repeated(self, item: Alternative) -> Alternative:
        while (bounds := self._bounds()) is not None:
            item = self.rules.repeat(item, *bounds, self.name) if item else ()
        return item

    def _bounds(self) -> tuple[int, int | None] | None:
        """How often what was read may stand here; None where no sign of repetition follows."""
        sign = self._next()
        bounds: tuple[int, int | None]
        if sign in ("*", "+", "?"):
            bounds = {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
            self.at += 1
        elif sign == "{":
            found = _REPEAT.match(self.text, self.at)
            if found is None:
                raise self._error("expected {m}, {m,} or {m,n}")
            least = int(found[1])
            bounds = least, int(found[3]) if found[3] else None if found[2] else least
            if max(least, bounds[1] or 0) > MAX_REPEAT:
                raise self._error(f"more than {MAX_REPEAT} repetitions; write {{{min(least, MAX_REPEAT)},}}")
            if bounds[1] is not None and bounds[1] < least:
                raise self._error("the most are fewer than the least")
            self.at = found.end()
        else:
            return None
        return bounds

    def _literal(self) -> Alternative:
        start = self.at
        self.at += 1
        made: list[str] = []
        while (character := self._character('"', start)) is not None:
            made.append(character)
        try:
            return self.rules.literal("".join(made).encode())
        except UnicodeEncodeError:
            self.at = start
            raise self._error("half of a surrogate pair is no character") from None

    def _characters(self) -> Symbol:
        start = self.at
        self.at += 1
        negated = self._here() == "^"
        self.at += negated
        ranges = []
        while (low := self._character("]", start)) is not None:
            high: str | None = low
            if self._here() == "-" and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                high = self._character("]", start)
            ranges.append((ord(low), ord(high or low)))
        return self.rules.characters(complement(ranges) if negated else normal(ranges))

    def _character(self, end: str, start: int) -> str | None:
        """The next one, escapes read; None, and past it, at `end`."""
        sign = self._here()
        if sign == "":
            self.at = start
            raise self._error(f"this is not closed with {end}")
        self.at += 1
        if sign == end:
            return None
        if sign != "\\":
            return sign
        kind = self._here()
        if kind in _ESCAPED:
            self.at += 1
            return _ESCAPED[kind]
        digits = self.text[self.at + 1 : self.at + 1 + _HEX.get(kind, 0)]
        if not kind or len(digits) != _HEX.get(kind) or not re.fullmatch(r"[0-9A-Fa-f]+", digits):
            raise self._error(f'\\{kind} is no escape; there are \\n \\t \\r \\\\ \\" \\[ \\] \\xHH \\uHHHH')
        if int(digits, 16) > 0x10FFFF:
            raise self._error(f"there is no character {digits}")
        self.at += 1 + len(digits)
        return chr(int(digits, 16))

    def _token(self) -> Symbol:
        found = _TOKEN.match(self.text, self.at)
        if found is None:
            raise self._error("expected a token, such as <[2]> or <text>")
        token = int(found[2]) if found[2] else self._token_of(f"<{found[3]}>")
        if token is None:
            raise self._error(f"<{found[3]}> is no single token of this model")
        self.at = found.end()
        return self.rules.terminal(Tokens(frozenset([token]), bool(found[1])))

    def _here(self) -> str:
        return self.text[self.at : self.at + 1]

    def _next(self) -> str:
        self._skip_space()
        return self._here()

    def _skip_space(self) -> None:
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def _error(self, what: str) -> UserError:
        line = self.text.count("\n", 0, self.at) + 1
        column = self.at - (self.text.rfind("\n", 0, self.at) + 1) + 1
        return UserError(f"The grammar is wrong in line {line}, column {column}: {what}.")
