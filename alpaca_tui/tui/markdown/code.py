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
    content = _highlighted(code, language)
    lines = content.split("\n", allow_blank=True)
    wanted = code.count("\n") + 1
    return lines[:wanted] if len(lines) >= wanted else plain_lines(code)


def _highlighted(code: str, language: str) -> Content:
    """With few colours, those of the theme. Imported late: Pygments takes a while."""
    from pygments.token import Token
    from textual.highlight import HighlightTheme, highlight

    class Calm(HighlightTheme):
        STYLES = {  # noqa: RUF012 - as in the class above
            Token.Comment: "italic $quiet",
            Token.Keyword: "$code-keyword",
            Token.Name.Builtin: "$code-keyword",
            Token.Name.Decorator: "$code-keyword",
            Token.Name.Tag: "$code-keyword",
            Token.Name.Function: "bold",
            Token.Name.Class: "bold",
            Token.Operator.Word: "$code-keyword",
            Token.String: "$code-string",
            Token.Number: "$code-number",
            Token.Keyword.Constant: "$code-number",
            Token.Generic.Deleted: "$loss",
            Token.Generic.Inserted: "$code-string",
            Token.Generic.Heading: "bold",
        }

    return highlight(code, language=language, theme=Calm)


def plain_lines(code: str) -> list[Content]:
    """The lines of code that is still being written."""
    return [Content(line) for line in code.expandtabs(TAB).split("\n")]
