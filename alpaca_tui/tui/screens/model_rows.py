"""A row of the list of models, and the lines about the one that is highlighted."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from textual.content import Content

from alpaca_tui.chat.model_places import Found
from alpaca_tui.engine.protocol import ModelHead
from alpaca_tui.tui import glyphs
from alpaca_tui.tui.markdown.inline import clean
from alpaca_tui.tui.strings import Strings
from alpaca_tui.tui.widgets.status import size_text

SIZE, QUANT, CONTEXT, MEMORY = 9, 7, 7, 10  # cells
FIGURES = SIZE + QUANT + CONTEXT + MEMORY + 4
LEAST_NAME = 24
DAY = 86_400.0


@dataclass
class Entry:
    """A model of the list. `head` is None until it is read; `problem` says why it cannot be opened."""

    found: Found
    head: ModelHead | None = None
    problem: str = ""


def name_of(entry: Entry, say: Strings) -> str:
    if entry.found.guide:
        return say("open_guide")
    stem = entry.found.path.stem
    if stem.startswith("ggml-model"):  # as the tutorials have them: the folder says which one it is
        return clean(f"{entry.found.path.parent.name}/{stem}")
    return clean(stem)


def row(entry: Entry, width: int, free: int | None, open_now: bool, say: Strings) -> Content:
    """Name, size, quantisation, context and memory, of which as many as fit in `width` cells."""
    mark = Content.styled(f"{glyphs.DOT} ", "$act") if open_now else Content("  ")
    figures = width >= FIGURES + LEAST_NAME
    room = width - 2 - (FIGURES if figures else SIZE + 1)
    name = Content(name_of(entry, say)).truncate(max(room, 4), ellipsis=True)
    line = mark + name + Content(" " * max(room - name.cell_length, 0))
    line += Content.styled(" " + size_text(entry.found.size).rjust(SIZE), "$quiet")
    if not figures:
        return line
    head = entry.head
    if entry.problem:
        return line + Content.styled(
            f"  {glyphs.CROSS} {say('open_no_model')}".ljust(FIGURES - SIZE - 1), "$loss"
        )
    if head is None:
        return line + Content(" " * (FIGURES - SIZE - 1))
    line += Content.styled(f" {head.quantisation:>{QUANT}} {head.n_ctx_train:>{CONTEXT}}", "$quiet")
    enough = free is None or head.memory <= free
    return line + Content.styled(" " + size_text(head.memory).rjust(MEMORY), "$quiet" if enough else "$loss")


def heading(width: int, say: Strings) -> Content:
    """What stands over the columns."""
    if width < FIGURES + LEAST_NAME:
        return Content(say("open_found"))
    titles = (
        (say("open_size"), SIZE),
        (say("open_quant"), QUANT),
        (say("open_context"), CONTEXT),
        (say("open_memory"), MEMORY),
    )
    line = Content(say("open_found"))
    line += Content(" " * max(width - FIGURES - line.cell_length, 1))
    for title, cells in titles:
        text = Content(title)
        line += Content(" " * max(cells + 1 - text.cell_length, 1)) + text
    return line


def about(entry: Entry, free: int | None, say: Strings, now: float | None = None) -> Content:
    """Two lines: where it is, and what it is and needs."""
    lines = [Content.styled(clean(shown(entry.found.path)), "$ink")]
    if entry.problem:
        lines.append(Content.styled(clean(entry.problem), "$loss"))
        return Content("\n").join(lines)
    parts: list[Content] = []
    if head := entry.head:
        parts.append(Content(f"{clean(head.name)} · {head.size_label} {head.quantisation}, {head.container}"))
        needs = {"needed": size_text(head.memory), "n": head.n_ctx}
        if free is None:
            parts.append(Content(say("open_needs", **needs)))
        elif head.memory <= free:
            parts.append(Content(say("open_needs_of", free=size_text(free), **needs)))
        else:
            text = say("open_needs_more", free=size_text(free), **needs)
            parts.append(Content.styled(text, "$loss"))
    if entry.found.opened:
        parts.append(Content(say("open_when", when=ago(entry.found.opened, say, now))))
    return Content("\n").join([*lines, Content(" · ").join(parts)])


def shown(path: Path) -> str:
    """A path as people write it: from the working folder, or from the home folder, where it lies in them."""
    for base, sign in ((Path.cwd(), ""), (Path("~").expanduser(), "~/")):
        try:
            return sign + str(path.relative_to(base))
        except ValueError:
            continue
    return str(path)


def ago(when: float, say: Strings, now: float | None = None) -> str:
    days = int(((time.time() if now is None else now) - when) // DAY)
    if days < 1:
        return say("open_today")
    return say("open_yesterday") if days == 1 else say("open_days_ago", n=days)
