"""What is changed in Textual and Rich, each with its cause and when it can go. All of it is guarded and
tested: where a future version has no such place any more, nothing is touched.

1. Line breaking in Chinese. `textual._wrap.re_chunk` (TextArea) and `rich._wrap.re_word` (Content, Text) take
   a run without spaces as one word, so that "Hello 这是一个句子" leaves most of a row empty and a full stop
   may begin the next. Both are replaced by `wrap.CHUNK` and `wrap.WORD`; text without wide characters breaks
   as before. Can go when Textual breaks between ideographs itself.
2. Clicks while text streams (textual#6643, open in 8.2.8). Between the removal of a widget and the next
   layout the compositor still finds it under the mouse; `Screen._forward_event` then reads `parent.region` of
   a widget that has no parent. `AttachedScreen` says that nothing is there. Can go with a fix of that issue.
3. iTerm2 with the Kitty keyboard protocol loses what a Chinese input method commits. The protocol is left off
   there: `constants.DISABLE_KITTY_KEY`, which Textual reads from TEXTUAL_DISABLE_KITTY_KEY at import.
4. The bar at the left of boxes is a quarter of a cell wide, a sign that the font of the Linux console lacks:
   there `wide` borders are drawn as `outer` ones, and scrollbars end with a row. Can go when an application
   may choose the signs of a border.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping
from typing import Any

from textual.geometry import Offset
from textual.screen import Screen
from textual.scrollbar import ScrollBarRender
from textual.widget import Widget

from alpaca_tui.tui.terminals import terminal
from alpaca_tui.tui.wrap import CHUNK, WORD

PATTERNS = (("textual._wrap", "re_chunk", CHUNK), ("rich._wrap", "re_word", WORD))


def apply(environ: Mapping[str, str] = os.environ) -> None:
    """Puts the changes of modules in place; once more does no harm."""
    for module_name, name, pattern in PATTERNS:
        replace_pattern(module_name, name, pattern)
    if environ.get("TERM_PROGRAM") == "iTerm.app":
        from textual import constants

        vars(constants)["DISABLE_KITTY_KEY"] = True
    if terminal(environ).few_signs:
        from textual import _border

        _border.BORDER_CHARS["wide"] = _border.BORDER_CHARS["outer"]
        _border.BORDER_LOCATIONS["wide"] = _border.BORDER_LOCATIONS["outer"]
        ScrollBarRender.VERTICAL_BARS = [" "] * len(ScrollBarRender.VERTICAL_BARS)


def replace_pattern(module_name: str, name: str, pattern: re.Pattern[str]) -> bool:
    """Replaces a compiled pattern of a module. False where there is none of that name."""
    try:
        module = importlib.import_module(module_name)
    except ImportError:
        return False
    if not isinstance(getattr(module, name, None), re.Pattern):
        return False
    setattr(module, name, pattern)
    return True


class AttachedScreen(Screen[Any]):
    """A screen on which a widget that was removed is not found under the mouse any more."""

    def get_widget_and_offset_at(self, x: int, y: int) -> tuple[Widget | None, Offset | None]:
        widget, offset = super().get_widget_and_offset_at(x, y)
        if widget is None or (widget.is_attached and (widget is self or widget.parent is not None)):
            return widget, offset
        return None, None
