"""Highlighting of fenced code."""

from __future__ import annotations

from textual.content import Content

MAX_HIGHLIGHT = 20_000  # characters; longer code stays plain, so that no frame waits for it
TAB = 4


def code_lines(code: str, language: str) -> list[Content]:
    """The lines of a finished block of code, coloured where the language is known."""
    code = code.expandtabs(TAB)
    if not language or len(code) > MAX_HIGHLIGHT:
        return plain_lines(code)
    from textual.highlight import highlight

    content = highlight(code, language=language)
    lines = content.split("\n", allow_blank=True)
    wanted = code.count("\n") + 1
    return lines[:wanted] if len(lines) >= wanted else plain_lines(code)


def plain_lines(code: str) -> list[Content]:
    """The lines of code that is still being written."""
    return [Content(line) for line in code.expandtabs(TAB).split("\n")]
