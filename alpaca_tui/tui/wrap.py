"""Line breaking that knows Chinese: between ideographs, but never before a closing or after an opening mark.

Textual and Rich break at spaces only, so that a Chinese sentence counts as one long word. `WORD` splits text
into the smallest pieces that must stay together; `patches` puts it in the place of their patterns, and
`break_offsets` is what our own widgets wrap with. The rules are the plain ones of "kinsoku": closing marks
stay with what is before them, opening marks with what follows.
"""

from __future__ import annotations

import re

from rich.cells import cell_len, chop_cells

OPENING = "（《〈「『【〔〖〘〚｛［“‘"
CLOSING = (
    "、。，．：；？！）》〉」』】〕〗〙〛｝］”’…—～·‰％℃" + "々ーゝゞヽヾぁぃぅぇぉっゃゅょァィゥェォッャュョ"
)
ASCII_CLOSING = ",.!?;:)]}%"
# Han with its extensions, radicals, kana, bopomofo, CJK symbols, full-width forms.
WIDE = (
    "\u2e80-\u2fdf\u3000-\u303f\u3040-\u30ff\u3100-\u312f\u3190-\u31ff\u3200-\u33ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6\U0001f200-\U0001f2ff"
    "\U00020000-\U0003ffff"
)

_open = f"[{re.escape(OPENING)}]*"
_close = f"(?:[{re.escape(CLOSING)}]|[{re.escape(ASCII_CLOSING)}](?![A-Za-z0-9]))*"
_wide = f"[{WIDE}]"
_narrow = f"[^\\s{WIDE}{re.escape(OPENING)}]+"
_piece = f"(?:{_open}(?:{_wide}|{_narrow}){_close}|[{re.escape(OPENING)}]+)"

WORD = re.compile(rf"\s*{_piece}\s*")
"""A piece with the space around it, as `rich._wrap.re_word` is used."""

CHUNK = re.compile(rf"{_piece}\s*|\s+")
"""A piece with the space behind it, or space alone, as `textual._wrap.re_chunk` is used."""


def break_offsets(text: str, width: int) -> list[int]:
    """Where to break one line of text (no newline in it) so that no row is wider than `width` cells.

    Returns the indices at which rows after the first begin. Space at the end of a row does not count. A
    piece wider than a row is cut between characters. Greedy from the left: appending text never moves a
    break, but for the last one.
    """
    width = max(width, 2)
    if cell_len(text) <= width:
        return []
    breaks: list[int] = []
    used = 0
    for match in WORD.finditer(text):
        piece = match.group()
        size = cell_len(piece.rstrip())
        start = match.start()
        if used + size > width:
            if used:
                breaks.append(start)
                used = 0
            if size > width:
                *full, piece = chop_cells(piece, width)
                for part in full:
                    start += len(part)
                    breaks.append(start)
        used += cell_len(piece)
    return breaks
