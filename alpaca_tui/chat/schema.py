"""What a setting is: its range and step, its words in each language, and when a change takes effect."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import NamedTuple

from alpaca_tui.errors import UserError


class Words(NamedTuple):
    """A text in each language of the interface."""

    en: str
    zh: str

    def of(self, language: str) -> str:
        return self.zh if language == "zh" else self.en


class Applies(enum.Enum):
    """When a change takes effect."""

    TOKEN = "token"
    MESSAGE = "message"
    RELOAD = "reload"


APPLIES = {
    Applies.TOKEN: Words("From the next token on.", "从下一个词元起生效。"),
    Applies.MESSAGE: Words("From the next message on.", "从下一条消息起生效。"),
    Applies.RELOAD: Words("When the model is loaded again (F7).", "重新加载模型（F7）后生效。"),
}
TOKENS = Words("tokens", "词元")
OFF = Words("off", "关闭")
AUTO = Words("automatic", "自动")
WHOLE_CONTEXT = Words("whole context", "整个上下文")
NO_LIMIT = Words("no limit", "不限")
RANDOM = Words("random", "随机")


@dataclass(frozen=True)
class Setting:
    """One number that can be set.

    `special` gives values that mean something else a name. `span` is what a slider runs over, where the range
    that is allowed is much wider than what is sensible; None: no slider. `per_chat` settings belong to a
    conversation and are kept with it, the others to the program. `advanced` ones are folded away at first.
    """

    key: str
    flags: tuple[str, ...]
    kind: type[int] | type[float]
    default: int | float
    low: int | float
    high: int | float
    step: int | float
    applies: Applies
    name: Words
    help: Words
    special: tuple[tuple[int, Words], ...] = ()
    span: tuple[float, float] | None = None
    unit: Words | None = None
    per_chat: bool = True
    advanced: bool = False

    @property
    def flag(self) -> str:
        """The one to call it by: that of the tutorials."""
        return self.flags[0].replace("_", "-")

    def parse(self, text: str | int | float) -> int | float:
        """The value that `text` means. Raises UserError, naming the range, where it means none."""
        try:
            value = self.kind(text)
        except (TypeError, ValueError, OverflowError):
            value = None
        if self.kind is int and isinstance(text, float) and value != text:
            value = None  # int(2.5) is 2, which nobody wrote
        if value is None or isinstance(text, bool) or not math.isfinite(value) or not self.allows(value):
            raise UserError(f"{self.flag} takes {self.range_text()}, not {text!r}.")
        return value

    def allows(self, value: int | float) -> bool:
        return any(value == v for v, _ in self.special) or self.low <= value <= self.high

    def range_text(self, language: str = "en") -> str:
        """ "a whole number from 1 to 64, or 0"."""
        low, high = (f"{v:,}" if self.kind is int else f"{v:g}" for v in (self.low, self.high))
        others = [v for v, _ in self.special if not self.low <= v <= self.high]
        if language == "zh":
            kind = "整数" if self.kind is int else "数"
            return f" {low} 到 {high} 的{kind}" + "".join(f"，或 {v}" for v in others)
        kind = "a whole number" if self.kind is int else "a number"
        return f"{kind} from {low} to {high}" + "".join(f", or {v}" for v in others)

    def text(self, value: int | float, language: str = "en") -> str:
        """A value for people: the name of a special one, else the number with as many digits as it needs."""
        for special, name in self.special:
            if value == special:
                return name.of(language)
        if self.kind is int:
            return str(int(value))
        return f"{value:.2f}" if round(value, 2) == round(value, 6) else f"{value:.4g}"
