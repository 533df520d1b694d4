"""One setting in the sidebar: its name, its value, a slider; and how it is typed over."""

from __future__ import annotations

import math
from collections.abc import Callable

from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from alpaca_tui import system
from alpaca_tui.chat.schema import Applies, Setting
from alpaca_tui.errors import UserError
from alpaca_tui.tui import glyphs
from alpaca_tui.tui.strings import Strings

SLIDER = 8  # cells between the edges
VALUE = 9
MAX_TYPED = 12

Apply = Callable[[str, "int | float | str | None"], "int | float"]


def number(value: int | float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


def range_text(setting: Setting, say: Strings) -> str:
    parts = [say("range", low=number(setting.low), high=number(setting.high))]
    parts += [say("range_special", value=v, name=name.of(say.language)) for v, name in setting.special]
    return ", ".join(parts) if say.language == "en" else "，".join(parts)


def refusal(setting: Setting, text: str, say: Strings) -> str:
    """Why a text is no value of this setting, in the user's language."""
    try:
        setting.kind(text)
    except (ValueError, OverflowError):
        key = "refused_whole" if setting.kind is int else "refused_number"
    else:
        key = "refused_range"
    return say(key, text=text or "“”", range=range_text(setting, say))


class SettingRow(Widget, can_focus=True):
    """`apply(key, value)` stores a value or raises UserError. Posts `Looked` when there is news of it."""

    DEFAULT_CSS = """
    SettingRow {
        height: 1; width: 1fr; color: $ink; padding: 0 1; pointer: pointer;
        &:hover { background: $panel; }
        &:focus { background: $panel; text-style: $focus-text-style; }
    }
    """
    ALLOW_SELECT = False

    class Looked(Message):
        """This row is in focus, or what is to be said of it changed."""

        def __init__(self, row: SettingRow) -> None:
            super().__init__()
            self.row = row

    class Confirmed(Message):
        """Enter on a row whose value waits for a reload."""

    value: reactive[int | float] = reactive(0)
    typed: reactive[str | None] = reactive(None)
    error: reactive[str] = reactive("")
    changed: reactive[bool] = reactive(False)  # from what a reset goes back to

    def __init__(self, setting: Setting, value: int | float, apply: Apply, strings: Strings) -> None:
        super().__init__(id=f"setting-{setting.key}", classes="sidebar-row")
        self.setting = setting
        self.waits_for_reload = False
        self._apply = apply
        self._strings = strings
        self.set_reactive(SettingRow.value, value)

    def render(self) -> Content:
        say, width = self._strings, self.content_size.width
        slider = self._slider() if width >= 34 else Content("")
        name = Content(self.setting.name.of(say.language))
        if self.changed:
            name += Content.styled(f" {glyphs.CHANGED}", "$act")
        if self.typed is not None:
            value = Content.styled(self.typed + glyphs.CARET, "$loss" if self.error else "$now")
        else:
            value = Content.styled(self.setting.text(self.value, say.language), "$loss" if self.error else "")
        space = width - name.cell_length - value.cell_length - slider.cell_length - bool(slider)
        return name + Content(" " * max(space, 1)) + value + Content(" " * bool(slider)) + slider

    def _slider(self) -> Content:
        span = self._span()
        if span is None:
            mark = f" {glyphs.RELOAD}" if self.setting.applies is Applies.RELOAD else ""
            return Content.styled(mark.ljust(SLIDER + 2), "$quiet")
        low, high = span
        if self.value < low and any(self.value == special for special, _ in self.setting.special):
            track = glyphs.EDGE_LEFT + glyphs.TRACK * SLIDER + glyphs.EDGE_RIGHT
            return Content.styled(track, "$rule")
        share = min(max((self.value - low) / (high - low), 0.0), 1.0)
        at = round(share * (SLIDER - 1))
        edge = "$rule"
        return (
            Content.styled(glyphs.EDGE_LEFT, edge)
            + Content.styled(glyphs.FILLED * at + glyphs.KNOB, "$act")
            + Content.styled(glyphs.TRACK * (SLIDER - 1 - at) + glyphs.EDGE_RIGHT, edge)
        )

    def _span(self) -> tuple[float, float] | None:
        if self.setting.key == "n_threads":
            return (1, max(system.usable_cores(), 2))
        return self.setting.span

    # --- changing ------------------------------------------------------------------------------------------

    def take(self, value: int | float | str | None) -> bool:
        """Applies a value, or with None the default; where it is impossible, says why and changes nothing."""
        try:
            self.value = self._apply(self.setting.key, value)
        except UserError:
            self.error = refusal(self.setting, str(value), self._strings)
            return False
        self.error = ""
        self.typed = None
        return True

    def step(self, direction: int) -> None:
        """One step of the slider, within the range; special values lie below its lower end."""
        setting = self.setting
        grid = round(self.value / setting.step) + direction
        if abs(self.value / setting.step - round(self.value / setting.step)) > 1e-9:
            grid = int(self.value / setting.step) + (direction > 0)  # to the next mark of the grid
        value = setting.kind(round(grid * setting.step, 6))
        specials = sorted(v for v, _ in setting.special)
        if not setting.allows(value):
            below = [v for v in specials if v < self.value]
            value = below[-1] if value < setting.low and below else self.value
        if direction > 0 and self.value < setting.low:
            value = setting.kind(math.ceil(setting.low / setting.step) * setting.step)
        self.take(value)

    def key_left(self) -> None:
        if self.typed is None:
            self.step(-1)

    def key_right(self) -> None:
        if self.typed is None:
            self.step(1)

    def key_up(self) -> None:
        self.screen.focus_previous(".sidebar-row")

    def key_down(self) -> None:
        self.screen.focus_next(".sidebar-row")

    def key_delete(self) -> None:
        self.take(None)

    def key_enter(self) -> None:
        if self.typed is None and self.waits_for_reload:
            self.post_message(self.Confirmed())
        elif self.typed is None:
            self.typed = ""
        elif self.typed == "":
            self.typed, self.error = None, ""
        else:
            self.take(self.typed)

    def key_backspace(self) -> None:
        if self.typed:
            self.typed = self.typed[:-1]
        self.error = ""

    def cancel_typing(self) -> bool:
        """Leaves the value as it was. False where nothing was being typed."""
        typing = self.typed is not None or bool(self.error)
        self.typed, self.error = None, ""
        return typing

    def on_key(self, event: events.Key) -> None:
        if event.is_printable and event.character:
            event.stop()
            self.error = ""
            self.typed = ((self.typed or "") + event.character)[:MAX_TYPED]

    def on_paste(self, event: events.Paste) -> None:
        event.stop()
        self.error = ""
        self.typed = ((self.typed or "") + event.text.strip())[:MAX_TYPED]

    def on_click(self, event: events.Click) -> None:
        span = self._span()
        x = event.x - self.gutter.left - (self.content_size.width - SLIDER - 1)
        if span is None or not 0 <= x < SLIDER or self.content_size.width < 34:
            return
        low, high = span
        steps = round((low + (high - low) * x / (SLIDER - 1)) / self.setting.step)
        self.take(self.setting.kind(round(max(steps * self.setting.step, self.setting.low), 6)))

    def on_focus(self) -> None:
        self.post_message(self.Looked(self))

    def on_blur(self) -> None:
        self.cancel_typing()

    def watch_error(self) -> None:
        self.post_message(self.Looked(self))

    def watch_value(self) -> None:
        self.post_message(self.Looked(self))
