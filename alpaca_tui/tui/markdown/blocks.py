"""From Markdown to lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from textual.content import Content

from alpaca_tui.tui import glyphs
from alpaca_tui.tui.markdown.code import code_lines
from alpaca_tui.tui.markdown.inline import clean, inline_content
from alpaca_tui.tui.markdown.lines import BLANK, EMPTY, Line
from alpaca_tui.tui.markdown.table import table_lines

CODE_INDENT = Content("  ")
CODE_FILL = "$ink on $code-ground"
HEADING_STYLES = {"h1": "bold $act", "h2": "bold $act"}
RULE_WIDTH = 24
MAX_NESTING = 40  # levels; deeper text is shown as it was written
_WORDS = re.compile(r"\w")


@dataclass(frozen=True)
class Block:
    """One top-level block. `kind` is the type of its first token; `start`, `end` are source lines."""

    kind: str
    lines: list[Line]
    start: int
    end: int
    tokens: Sequence[Token] = ()


@cache
def parser() -> MarkdownIt:
    """CommonMark with tables and strike-through; HTML is text."""
    from alpaca_tui.tui.markdown.cjk import allow_cjk_emphasis

    md = MarkdownIt("commonmark", {"html": False, "maxNesting": MAX_NESTING}).enable(
        ["table", "strikethrough"]
    )
    allow_cjk_emphasis(md)
    return md


def parse(source: str) -> list[Block]:
    """The top-level blocks of `source`, each with its lines, without the blank ones between blocks."""
    tokens = parser().parse(source)
    source_lines = source.split("\n")
    blocks: list[Block] = []
    index = 0
    while index < len(tokens):
        end = _closing(tokens, index)
        part = tokens[index : end + 1]
        start, stop = part[0].map or (0, 0)
        lines = _Builder(part).lines()
        if not any(_WORDS.search(line.plain) for line in lines):  # nested too deep: nothing may be lost
            written = source_lines[start:stop]
            lines = [Line(Content(line)) for line in written if _WORDS.search(line)] or lines
        blocks.append(Block(part[0].type, lines, start, stop, part))
        index = end + 1
    return blocks


def render(source: str) -> list[Line]:
    """All lines of a whole message."""
    lines: list[Line] = []
    previous: Block | None = None
    for block in parse(clean(source)):
        lines += gap(previous, block)
        lines += block.lines
        previous = block
    return lines


def gap(previous: Block | None, block: Block) -> list[Line]:
    """What stands between two blocks: one blank line, none under a heading."""
    if previous is None or (previous.kind == "heading_open" and block.kind != "heading_open"):
        return []
    return [BLANK]


def plain(source: str) -> list[Line]:
    """Text that is no Markdown: what the user typed."""
    return [Line(Content(line.expandtabs(4))) for line in clean(source).split("\n")]


def _closing(tokens: Sequence[Token], index: int) -> int:
    """The index of the token that closes the block begun at `index`."""
    depth = 0
    for i in range(index, len(tokens)):
        depth += tokens[i].nesting
        if depth <= 0:
            return i
    return len(tokens) - 1


class _Builder:
    """Walks the tokens of one block and collects its lines."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._list_depth = 0

    def lines(self) -> list[Line]:
        lines: list[Line] = []
        while self._at < len(self._tokens):
            lines += self._block()
        return lines

    def _block(self) -> list[Line]:
        token = self._tokens[self._at]
        self._at += 1
        match token.type:
            case "paragraph_open":
                return self._paragraph("")
            case "heading_open":
                return self._paragraph(HEADING_STYLES.get(token.tag, "bold"))
            case "bullet_list_open" | "ordered_list_open":
                return self._list()
            case "blockquote_open":
                inner = self._blocks_until("blockquote_close")
                bar = Content.styled(f"{glyphs.MESSAGE_BAR} ", "$rule")
                return [line.indented(bar, bar) for line in inner]
            case "fence" | "code_block":
                language = token.info.split()[0] if token.info.split() else ""
                return fence_lines(code_lines(token.content.removesuffix("\n"), language))
            case "table_open":
                return self._table()
            case "hr":
                return [Line(Content.styled("─" * RULE_WIDTH, "$rule"))]
            case "inline":
                return _split(inline_content(token))
            case _:
                return [Line(Content(line)) for line in token.content.split("\n")] if token.content else []

    def _paragraph(self, style: str) -> list[Line]:
        inline = self._tokens[self._at]
        self._at += 2  # the inline token and the closing one
        return _split(inline_content(inline, style))

    def _blocks_until(self, closing: str) -> list[Line]:
        """The lines of the blocks up to a closing token, a blank line where the source has one between."""
        lines: list[Line] = []
        last_end: int | None = None
        while self._tokens[self._at].type != closing:
            begin = self._at
            if last_end is not None and _start(self._tokens[begin]) > last_end:
                lines.append(BLANK)
            lines += self._block()
            last_end = self._end_since(begin)
        self._at += 1
        return lines

    def _end_since(self, begin: int) -> int:
        """The source line behind what was read since token `begin`, without blank lines."""
        return max((_text_end(token) for token in self._tokens[begin : self._at]), default=0)

    def _list(self) -> list[Line]:
        self._list_depth += 1
        bullet = glyphs.BULLETS[(self._list_depth - 1) % len(glyphs.BULLETS)]
        lines: list[Line] = []
        last_end: int | None = None
        while self._tokens[self._at].type == "list_item_open":
            item = self._tokens[self._at]
            self._at += 1
            if last_end is not None and _start(item) > last_end:
                lines.append(BLANK)
            marker = f"{item.info}{item.markup} ".rjust(4) if item.info else f" {bullet} "
            first, rest = Content.styled(marker, "$act"), Content(" " * len(marker))
            begin = self._at
            inner = self._blocks_until("list_item_close") or [Line(EMPTY)]
            lines += [line.indented(first if i == 0 else rest, rest) for i, line in enumerate(inner)]
            last_end = max(self._end_since(begin), _start(item) + 1)
        self._at += 1
        self._list_depth -= 1
        return lines

    def _table(self) -> list[Line]:
        rows: list[list[Content]] = []
        align: list[str] = []
        while (token := self._tokens[self._at]).type != "table_close":
            self._at += 1
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "inline":
                rows[-1].append(inline_content(token))
            elif token.type == "th_open":
                align.append(str(token.attrs.get("style", "")).rpartition(":")[2])
        self._at += 1
        return table_lines(rows, align)


def fence_lines(code: Sequence[Content], begins: bool = True) -> list[Line]:
    """Lines of code. `begins`: the first of them is that of the block."""
    return [Line(line, CODE_INDENT, CODE_INDENT, CODE_FILL, begins and i == 0) for i, line in enumerate(code)]


def code_blocks(source: str) -> list[str]:
    """The blocks of code in a message, each as it was written, without the fence."""
    tokens = parser().parse(clean(source))
    return [token.content.removesuffix("\n") for token in tokens if token.type in ("fence", "code_block")]


def _split(content: Content) -> list[Line]:
    """A line for each hard break."""
    return [Line(part) for part in content.split("\n", allow_blank=True)] or [Line(EMPTY)]


def _start(token: Token) -> int:
    return token.map[0] if token.map else 0


def _text_end(token: Token) -> int:
    """The source line behind a block, without the blank ones that lists count as theirs."""
    if token.type in ("paragraph_open", "heading_open", "fence", "code_block", "hr", "inline", "tr_open"):
        return token.map[1] if token.map else 0
    return 0
