"""Text inside a block: emphasis, code, links, as styled `Content`. Never markup of Textual."""

from __future__ import annotations

import re

from markdown_it.token import Token
from textual.content import Content, Span

# C0 and C1 controls but for tab and newline: an escape sequence in a reply must not reach the terminal. Nor
# must the bytes of a file's name that are no UTF-8, which could not be written there.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_SPACE = re.compile(r"[ \t]+")

STYLES = {
    "em": "italic",
    "strong": "bold",
    "s": "strike",
    "code": "$code-ink on $code-ground",
    "link": "underline",
    "url": "$quiet",
}


def clean(text: str) -> str:
    """`text` without what a terminal would obey: controls become pictures of themselves, one by one."""
    return _CONTROL.sub(_picture, text.replace("\r", ""))


def _picture(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"


def inline_content(token: Token, style: str = "") -> Content:
    """The content of an `inline` token; `style`, where given, lies under all of it."""
    texts: list[str] = []
    spans: list[Span] = []
    open_styles: list[tuple[int, str]] = []
    links: list[tuple[int, str]] = []
    position = 0

    def add(text: str, text_style: str = "") -> None:
        nonlocal position
        if text_style and text:
            spans.append(Span(position, position + len(text), text_style))
        texts.append(text)
        position += len(text)

    for child in token.children or ():
        kind = child.type
        if kind in ("text", "text_special"):
            add(_SPACE.sub(" ", child.content))
        elif kind in ("softbreak", "hardbreak"):  # a model that breaks a line means it, as in a poem
            add("\n")
        elif kind == "code_inline":
            add(child.content, STYLES["code"])
        elif kind == "link_open":
            open_styles.append((position, STYLES["link"]))
            links.append((position, str(child.attrs.get("href", ""))))
        elif kind == "image":
            add(child.content or "image", STYLES["link"])
            add(f" ({child.attrs.get('src', '')})", STYLES["url"])
        elif kind.endswith("_open"):
            open_styles.append((position, STYLES.get(kind.removesuffix("_open"), "")))
        elif kind.endswith("_close"):
            if open_styles:
                start, open_style = open_styles.pop()
                if open_style and position > start:
                    spans.append(Span(start, position, open_style))
            if kind == "link_close" and links:
                start, href = links.pop()
                if href and href not in "".join(texts)[start:]:
                    add(f" ({href})", STYLES["url"])
        else:  # html and anything else: as it was written
            add(child.content)
    text = "".join(texts)
    if style:
        spans.insert(0, Span(0, len(text), style))
    return Content(text, spans)
