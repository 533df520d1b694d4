"""Emphasis next to Chinese: `**注意：**后面` is bold.

CommonMark lets `**` close behind punctuation only before a space or more punctuation, which suits languages
that put spaces between words. Beside a wide character there is none to be had, so that there a run of `*` may
open and close as if it stood beside a space.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline, emphasis

from alpaca_tui.tui.wrap import WIDE

_wide = re.compile(f"[{WIDE}]")


def allow_cjk_emphasis(md: MarkdownIt) -> None:
    md.inline.ruler.at("emphasis", _tokenize)


def _tokenize(state: StateInline, silent: bool) -> bool:
    before = len(state.delimiters)
    if not emphasis.tokenize(state, silent):
        return False
    added = state.delimiters[before:]
    start, end = state.pos - len(added), state.pos
    if state.src[start] == "*":
        left = state.src[start - 1] if start else " "
        right = state.src[end] if end < state.posMax else " "
        for delimiter in added:
            delimiter.open |= bool(_wide.match(left)) and not right.isspace()
            delimiter.close |= bool(_wide.match(right)) and not left.isspace()
    return True
