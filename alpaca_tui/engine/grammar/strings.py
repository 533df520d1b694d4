"""Texts as they stand in JSON, as GBNF: literals, lengths, and regular expressions."""

from __future__ import annotations

import json
import re

from alpaca_tui.engine.grammar.utf8 import Ranges, complement, normal
from alpaca_tui.errors import UserError

# a character, or an escape; a pair of surrogates is one, half of a pair none
CHARACTER = (
    r'[^"\\\x00-\x1F\x7F] | "\\" (["\\bfnrt/] | '
    r'"u" (([0-9a-cA-Ce-fE-F] [0-9a-fA-F] | [dD] [0-7]) [0-9a-fA-F]{2} | '
    r'[dD] [89abAB] [0-9a-fA-F]{2} "\\u" [dD] [c-fC-F] [0-9a-fA-F]{2}))'
)
FORMATS = {
    "date": '[0-9]{4} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | "1" [0-9] | "2" [0-8])',
    "time": '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{3})? '
    '("Z" | [-+] ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9])',
    "uuid": '[0-9a-fA-F]{8} ("-" [0-9a-fA-F]{4}){3} "-" [0-9a-fA-F]{12}',
}
FORMATS["date-time"] = f'{FORMATS["date"]} "T" {FORMATS["time"]}'
MAX_DEPTH = 50
MAX_REPEAT = 2000  # as GBNF has it

_NAMED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\b": "\\b", "\f": "\\f"}
_PLAIN = complement([(0, 0x1F), (0x22, 0x22), (0x5C, 0x5C), (0x7F, 0x7F)])  # need no escape in JSON
_DIGIT: Ranges = ((0x30, 0x39),)
_WORD: Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_BLANK: Ranges = ((0x09, 0x0D), (0x20, 0x20))
_CONTROL = {"n": 0x0A, "r": 0x0D, "t": 0x09, "f": 0x0C, "v": 0x0B, "0": 0}
_COUNT = re.compile(r"\{(\d{1,6})(,)?(\d{1,6})?\}")


def literal(text: str) -> str:
    """GBNF that matches exactly this text."""
    out = []
    for c in text:
        escaped = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(c)
        out.append(escaped or (c if c.isprintable() else f"\\U{ord(c):08X}"))
    return f'"{"".join(out)}"'


def value(data: object) -> str:
    """GBNF that matches a JSON value as Python writes it."""
    return literal(json.dumps(data, ensure_ascii=False))


def characters(ranges: Ranges) -> str:
    """GBNF for one character of these, escaped as JSON wants it; empty where there is none."""
    parts = []
    plain = [(max(a, c), min(b, d)) for a, b in ranges for c, d in _PLAIN]
    inside = "".join(f"\\U{a:08X}-\\U{b:08X}" for a, b in plain if a <= b)
    if inside:
        parts.append(f"[{inside}]")
    for c, escape in _NAMED.items():
        if any(a <= ord(c) <= b for a, b in ranges):
            parts.append(literal(escape))
    return f"({' | '.join(parts)})" if len(parts) > 1 else "".join(parts)


def other_than(names: list[str]) -> str:
    """GBNF for any text but these, without escapes."""
    names = [name for name in names if all(characters(((ord(c), ord(c)),))[:1] == "[" for c in name)]
    free = '[^"\\\\\\x00-\\x1F\\x7F]'

    def after(prefix: str, depth: int) -> str:
        following = sorted({n[depth] for n in names if n.startswith(prefix) and len(n) > depth})
        taken = "".join(f"\\U{ord(c):08X}" for c in following)
        ways = [f'[^"\\\\\\x00-\\x1F\\x7F{taken}] {free}*']
        for c in following:
            ways.append(f"{literal(c)} {after(prefix + c, depth + 1)}" if depth < MAX_DEPTH else "")
        ended = prefix not in names
        return f"({' | '.join(filter(None, ways))}){'?' if ended else ''}"

    return after("", 0)


def regex(pattern: str) -> str:
    """GBNF for the JSON texts in which a regular expression is found. UserError for what it cannot say."""
    return _Regex(pattern).gbnf()


class _Regex:
    def __init__(self, pattern: str) -> None:
        self.pattern, self.at = pattern, 0

    def gbnf(self) -> str:
        begins = self._take("^")
        body = self._alternatives(0)
        ends = self._take("$")
        if self.at < len(self.pattern):
            raise self._error()
        if "|" in self._top_level() and (begins or ends):
            raise self._error()
        return f"{'' if begins else 'char* '}({body}){'' if ends else ' char*'}"

    def _top_level(self) -> str:
        """The pattern without its groups and sets."""
        plain = re.sub(r"\\.|\[(?:\\.|[^\]\\])*\]", "", self.pattern)
        while plain != (shorter := re.sub(r"\([^()]*\)", "", plain)):
            plain = shorter
        return plain

    def _alternatives(self, depth: int) -> str:
        if depth > MAX_DEPTH:
            raise self._error()
        parts = [self._sequence(depth)]
        while self._take("|"):
            parts.append(self._sequence(depth))
        return " | ".join(parts)

    def _sequence(self, depth: int) -> str:
        items = []
        while self.at < len(self.pattern) and self._here() not in "|)":
            if self._here() == "$" and depth == 0 and self.at == len(self.pattern) - 1:
                break
            items.append(self._item(depth) + self._count())
        return " ".join(items) or '""'

    def _item(self, depth: int) -> str:
        c = self._here()
        self.at += 1
        if c == "(":
            if self._take("?"):
                named = re.compile(r"P?<[A-Za-z]\w*>|:").match(self.pattern, self.at)
                if not named:
                    raise self._error()
                self.at = named.end()
            body = self._alternatives(depth + 1)
            if not self._take(")"):
                raise self._error()
            return f"({body})"
        if c == "[":
            return self._one_of(self._set())
        if c == ".":
            return self._one_of(complement([(0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029)]))
        if c in "^$*+?{":
            raise self._error()
        return self._one_of(self._escape() if c == "\\" else ((ord(c), ord(c)),))

    def _one_of(self, ranges: Ranges) -> str:
        text = characters(ranges)
        if not text:
            raise self._error()
        return text

    def _set(self) -> Ranges:
        negated = self._take("^")
        ranges: list[tuple[int, int]] = []
        first = True
        while first or self._here() != "]":
            first = False
            low = self._one()
            if self._here() == "-" and self.pattern[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                high = self._one()
                if len(low) != 1 or len(high) != 1 or low[0][0] > high[0][1]:
                    raise self._error()
                low = ((low[0][0], high[0][1]),)
            ranges += low
        self.at += 1
        return complement(ranges) if negated else normal(ranges)

    def _one(self) -> Ranges:
        c = self._here()
        if not c:
            raise self._error()
        self.at += 1
        return self._escape() if c == "\\" else ((ord(c), ord(c)),)

    def _escape(self) -> Ranges:
        c = self._here()
        self.at += 1
        if c in ("d", "w", "s"):
            return {"d": _DIGIT, "w": _WORD, "s": _BLANK}[c]
        if c in ("D", "W", "S"):
            return complement({"D": _DIGIT, "W": _WORD, "S": _BLANK}[c])
        if c in _CONTROL:
            return ((_CONTROL[c], _CONTROL[c]),)
        if c in ("x", "u"):
            digits = self.pattern[self.at : self.at + (2 if c == "x" else 4)]
            if not re.fullmatch(r"[0-9A-Fa-f]{2}|[0-9A-Fa-f]{4}", digits):
                raise self._error()
            self.at += len(digits)
            return ((int(digits, 16), int(digits, 16)),)
        if not c or c.isalnum():
            raise self._error()
        return ((ord(c), ord(c)),)

    def _count(self) -> str:
        found = _COUNT.match(self.pattern, self.at)
        if found:
            if max(int(n) for n in (found[1], found[3] or 0)) > MAX_REPEAT:
                raise self._error()
            self.at = found.end()
            count = found[0]
        elif self._here() in ("*", "+", "?"):
            count = self._here()
            self.at += 1
        else:
            return ""
        self._take("?")  # not greedy: the texts are the same
        return count

    def _here(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def _take(self, c: str) -> bool:
        taken = self._here() == c
        self.at += taken
        return taken

    def _error(self) -> UserError:
        return UserError(
            f"The JSON schema's pattern {self.pattern!r} cannot be made a grammar, from character "
            f"{min(self.at, len(self.pattern)) + 1} on; simpler ones can, also with ^ and $ around them."
        )
