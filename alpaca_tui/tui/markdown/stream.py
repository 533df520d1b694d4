"""A reply while it is being written: finished blocks are kept, only the open end is parsed again.

With each piece of text the source from the last place that cannot change any more is parsed. As soon as a
block behind it begins, what is before it is kept for good. A long list is kept item by item, an open fence
line by line (coloured when it closes), a paragraph past `LONG` characters row by row. So the work of one
flush depends on the open block, which is bounded, and not on how long the reply is. What was kept in pieces
is parsed once more as a whole: when it ends, or where it is too long for that in `finish`, which also takes
the last block, and a short reply from its beginning. So what stays is exactly the Markdown of the full
text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import accumulate

from alpaca_tui.tui.markdown.blocks import Block, fence_lines, gap, parse
from alpaca_tui.tui.markdown.code import plain_lines
from alpaca_tui.tui.markdown.inline import clean
from alpaca_tui.tui.markdown.lines import BLANK, Line
from alpaca_tui.tui.wrap import break_offsets

LONG = 1200  # characters of a paragraph from which on its finished rows are kept
SHORT = 2000  # characters of a reply that is parsed again when it is finished
MOST = 3 * LONG  # characters of a block in pieces that is parsed again when it ends
TRIES = 4  # row ends of it that are tried as places to cut

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})[^`\n]*\n")
_ONLY_MARKS = re.compile(r"(?:\A|(?<=\n))[ \t]*(?:[-+*=_>#|:`~ \t]+|\d{1,9}[.)]?[ \t]*)\Z")
_CODE = re.compile(r"`[^`]*`")
_REFERENCE = re.compile(r"^[ >]*\[[^\]\n]+\]:", re.MULTILINE)  # what is before it may link to it
_BLANK_END = re.compile(r"\n[ \t]*\n[ \t]*\Z")


@dataclass(frozen=True)
class _Place:
    """Where a block begins, in the source and in the kept lines (with the blank one), and behind which."""

    source: int
    line: int
    before: Block | None


@dataclass
class _Fence:
    """An open fence, and how many lines of code are kept of it."""

    mark: str
    start: _Place
    n_lines: int = 0

    def closed_by(self, line: str) -> bool:
        text = line.strip()
        return len(text) >= len(self.mark) and not text.strip(self.mark[0])

    def may_be_closed_by(self, beginning: str) -> bool:
        """Could this, the beginning of a line, become the closing fence?"""
        return not beginning.strip().strip(self.mark[0])


class Document:
    """The lines of a reply. `lines[:first_changed]` are as they were before the last `append`."""

    def __init__(self, width: int = 80) -> None:
        self.source = ""
        self.first_changed = 0
        self.parsed = 0  # characters parsed in the last `append`: bounded, as tests hold
        self._width = width
        self._finished = False
        self._reset()

    def _reset(self) -> None:
        self._kept: list[Line] = []
        self._open: list[Line] = []
        self._start = 0  # the source from here on is open
        self._last: Block | None = None  # the block kept last
        self._pieces: _Place | None = None  # of the open block, where some of it is kept
        self._left: _Place | None = None  # the first block that stayed in pieces
        self._joins = False  # what is open goes on with a paragraph whose rows were kept
        self._blank_due = False  # a blank line stands between the items of a list, one kept and one open
        self._fence: _Fence | None = None
        self._patience = LONG  # length of the open paragraph at which cutting is tried next

    @property
    def lines(self) -> list[Line]:
        return self._kept + self._open

    def append(self, text: str) -> None:
        self.source += clean(text)
        self._finished = False
        self.first_changed = len(self._kept)
        self.parsed = 0
        while not (self._flush_fence(self._fence) if self._fence else self._flush_blocks()):
            pass

    def finish(self) -> None:
        """The reply is over for now."""
        place = _Place(0, 0, None)
        if len(self.source) > SHORT and not self._finished and not _REFERENCE.search(self.source):
            fence = self._fence.start if self._fence else None
            place = self._left or self._pieces or fence or self._here()
        kept = self._kept[: place.line]
        self._reset()
        self._kept, self.first_changed = kept, place.line
        self._finished = True
        self._whole(place, len(self.source))

    def _here(self) -> _Place:
        return _Place(self._start, len(self._kept), self._last)

    def _whole(self, place: _Place, end: int) -> None:
        """Keeps the blocks from a place on up to `end` as they are when they are parsed together."""
        del self._kept[place.line :]
        self.first_changed = min(self.first_changed, place.line)
        self._last, self._joins, self._blank_due, self._pieces = place.before, False, False, None
        for block in self._parse(self.source[place.source : end]):
            self._keep(block)
        self._start = end

    def resume(self) -> None:
        """More will come behind a finished text: its open end is open again."""
        if self._finished:
            self._finished = False
            self._reset()
            self.append("")
            self.first_changed = 0

    def set_width(self, width: int) -> None:
        """Rows kept of a long paragraph were cut for another width: parses all again."""
        if width != self._width:
            self._width = width
            if self._start and not self._finished:
                self._reset()
                self.append("")
                self.first_changed = 0

    def _parse(self, source: str) -> list[Block]:
        self.parsed += len(source)
        return parse(source)

    def _flush_blocks(self) -> bool:
        """Parses the open end and keeps what is finished of it. False: there is more to do at once."""
        tail = self.source[self._start :]
        if marks := _ONLY_MARKS.search(tail):  # "-" may become a list, a rule or a heading: wait
            tail = tail[: marks.start()]
        blocks = self._parse(closed(tail))
        if not blocks:
            self._open = []
            return True
        *done, block = blocks
        if done and self._pieces:
            end = self._start + _line_starts(tail)[blocks[1].start]
            if end - self._pieces.source <= MOST:
                self._whole(self._pieces, end)
                return False
            self._left, self._pieces = self._left or self._pieces, None
        for finished in done:
            self._keep(finished)
        cut = _line_starts(tail)[block.start]
        self._start += cut
        tail = tail[cut:]
        if block.kind == "fence" and (opening := _FENCE.match(tail)):
            self._open_fence(block, opening)
            return False
        if block.kind.endswith("list_open") and (cut := _last_item(block, tail)):
            self._pieces = self._pieces or self._here()
            self._keep(self._parse(tail[:cut])[0])
            self._blank_due = bool(_BLANK_END.search(tail[:cut]))
            self._start += cut
            return False
        if block.kind == "paragraph_open" and len(tail) > self._patience:
            if self._keep_rows(block, tail):
                return False
            self._patience = len(tail) + LONG // 2
        self._open = self._before(block) + block.lines
        return True

    def _before(self, block: Block) -> list[Line]:
        """The blank line, if any, between what is kept and `block`."""
        if self._joins:
            return []
        if self._last is not None and self._last.kind == block.kind and block.kind.endswith("list_open"):
            return [BLANK] if self._blank_due else []
        return gap(self._last, block)

    def _keep(self, block: Block) -> None:
        self._kept += self._before(block) + block.lines
        self._last = block
        self._joins = self._blank_due = False
        self._patience = LONG

    def _open_fence(self, block: Block, opening: re.Match[str]) -> None:
        place = self._here()
        self._kept += self._before(block)
        self._last = block
        self._joins = self._blank_due = False
        self._start += opening.end()
        self._fence = _Fence(opening.group(1), place)
        self._open = []

    def _flush_fence(self, fence: _Fence) -> bool:
        """Takes in finished lines of code; at the closing fence they get their colours."""
        *done, rest = self.source[self._start :].split("\n")
        for line in done:
            self._start += len(line) + 1
            self.parsed += len(line)
            if fence.closed_by(line):
                self._fence = None
                self._whole(fence.start, self._start)
                return False
            self._kept += fence_lines(plain_lines(line), begins=not fence.n_lines)
            fence.n_lines += 1
        begins = not fence.n_lines
        self._open = [] if fence.may_be_closed_by(rest) else fence_lines(plain_lines(rest), begins)
        return True

    def _keep_rows(self, block: Block, tail: str) -> bool:
        """Keeps the finished rows of a long paragraph. False where no place to cut it can be found."""
        for cut in _places(block, tail, self._width):
            head, rest = self._parse(tail[:cut]), self._parse(closed(tail[cut:]))
            same = "\n".join(line.plain for line in block.lines).replace("\n", " ")
            parts = [line.plain for part in (head, rest) for piece in part for line in piece.lines]
            alike = " ".join(" ".join(parts).split()) == " ".join(same.split()) or "".join(parts) == same
            kinds = {piece.kind for part in (head, rest) for piece in part}
            if alike and len(head) == len(rest) == 1 and kinds == {"paragraph_open"}:
                self._pieces = self._pieces or self._here()
                self._keep(head[0])
                self._joins = True
                self._start += cut
                return True
        return False


def closed(tail: str) -> str:
    """`tail` with the emphasis and the code that its last line has opened closed, for the time being."""
    begin = tail.rfind("\n") + 1
    line = tail[begin:]
    if line.lstrip().startswith(("```", "~~~")):
        return tail
    if line.count("`") % 2:
        return tail.rstrip("`") if line.endswith("`") else tail + "`"
    if line.strip("* "):
        tail = tail.rstrip("* ")
        line = tail[begin:]
    return tail + "**" * (_CODE.sub("", line).count("**") % 2)


def _line_starts(text: str) -> list[int]:
    """The offset of each line, as Markdown counts them."""
    return list(accumulate((len(line) + 1 for line in text.split("\n")), initial=0))


def _last_item(block: Block, tail: str) -> int:
    """The offset in `tail`, which begins with this list, of its last item; 0 where it has but one."""
    lines = [token.map[0] for token in block.tokens if token.type == "list_item_open" and token.map]
    levels = [token.level for token in block.tokens if token.type == "list_item_open" and token.map]
    own = [line for line, level in zip(lines, levels, strict=True) if level == 1]
    return _line_starts(tail)[own[-1] - block.start] if len(own) > 1 else 0


def _places(block: Block, tail: str, width: int) -> list[int]:
    """Offsets at which the source of a long paragraph may be cut: before its last line, or at row ends."""
    newline = tail.rstrip("\n").rfind("\n") + 1
    if newline:
        return [newline]
    plain = block.lines[0].plain
    wanted = break_offsets(plain, width)[-1 - TRIES : -1][::-1]
    return [at for offset in wanted if (at := _source_offset(plain, tail, offset))]


def _source_offset(plain: str, source: str, offset: int) -> int:
    """Where in `source` the character `offset` of its rendering is; markers in between are skipped over."""
    at = 0
    for character in plain[:offset]:
        at = source.find(character, at) + 1
        if not at:
            return 0
    return at
