"""One table of settings: the sidebar, the flags, their checks and their help are made from it.

No NumPy, no Textual here. Values live in `Settings`, which never holds one that is out of range.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from alpaca_tui.engine.protocol import MAX_THREADS, LoadOptions, SamplingParams
from alpaca_tui.errors import UserError


class Applies(enum.Enum):
    """When a change takes effect."""

    TOKEN = "token"
    MESSAGE = "message"
    RELOAD = "reload"


@dataclass(frozen=True)
class Setting:
    """One thing that can be set. `zero`/`minus_one` name what 0 or -1 mean where they are special."""

    key: str
    flags: tuple[str, ...]
    kind: type[int] | type[float]
    default: int | float
    low: int | float
    high: int | float
    step: int | float
    applies: Applies
    special: tuple[tuple[int, str], ...] = ()  # (value, key of its name in the strings table)

    def parse(self, text: str | int | float) -> int | float:
        """The value that `text` means. Raises UserError, naming the range, where it means none."""
        try:
            value = self.kind(text)
        except (TypeError, ValueError, OverflowError):
            value = None
        if value is None or not math.isfinite(value) or not self.allows(value):
            raise UserError(f"{self.flags[-1]} takes {self.range_text()}, not {text!r}.")
        return value

    def allows(self, value: int | float) -> bool:
        return any(value == v for v, _ in self.special) or self.low <= value <= self.high

    def range_text(self) -> str:
        kind = "a whole number" if self.kind is int else "a number"
        extra = "".join(f", or {v}" for v, _ in self.special if not self.low <= v <= self.high)
        low, high = (f"{v:,}" if self.kind is int else f"{v:g}" for v in (self.low, self.high))
        return f"{kind} from {low} to {high}{extra}"


T, M, R = Applies.TOKEN, Applies.MESSAGE, Applies.RELOAD
SETTINGS: tuple[Setting, ...] = (
    Setting("temp", ("--temp", "--temperature"), float, 0.8, 0.0, 5.0, 0.05, T),
    Setting("top_k", ("--top_k", "--top-k"), int, 40, 0, 1_000_000, 5, T, ((0, "off"),)),
    Setting("top_p", ("--top_p", "--top-p"), float, 0.95, 0.0, 1.0, 0.05, T),
    Setting("repeat_penalty", ("--repeat_penalty", "--repeat-penalty"), float, 1.1, 0.1, 5.0, 0.05, T),
    Setting("repeat_last_n", ("--repeat_last_n", "--repeat-last-n"), int, 64, 0, 1_000_000, 16, T,
            ((0, "off"), (-1, "whole_context"))),
    Setting("n_predict", ("-n", "--n_predict", "--n-predict", "--predict"), int, 512, 1, 1_000_000, 64, M,
            ((-1, "no_limit"),)),
    Setting("seed", ("-s", "--seed"), int, -1, 0, 2**32 - 1, 1, M, ((-1, "random"),)),
    Setting("n_batch", ("-b", "--batch_size", "--batch-size"), int, 512, 1, 2048, 32, M),
    Setting("n_threads", ("-t", "--threads"), int, 0, 1, MAX_THREADS, 1, M, ((0, "auto"),)),
    Setting("n_ctx", ("-c", "--ctx_size", "--ctx-size"), int, 0, 8, 1_048_576, 256, R, ((0, "auto"),)),
)  # fmt: skip
BY_KEY = {setting.key: setting for setting in SETTINGS}


class Settings:
    """The values in force. `Settings(temp=0.2)`, `settings["temp"]`, `settings.set("temp", "0.2")`.

    `lookup` is as in `LoadOptions`; it changes no reply, and so is no setting to look at.
    """

    lookup = True

    def __init__(self, **values: int | float | str) -> None:
        self._values: dict[str, int | float] = {s.key: s.default for s in SETTINGS}
        for key, value in values.items():
            self.set(key, value)

    def __getitem__(self, key: str) -> int | float:
        return self._values[key]

    def set(self, key: str, value: int | float | str) -> int | float:
        """Checks and stores; raises UserError and changes nothing when out of range."""
        if key not in BY_KEY:
            raise UserError(f"There is no setting {key!r}; known are {', '.join(BY_KEY)}.")
        self._values[key] = BY_KEY[key].parse(value)
        return self._values[key]

    def as_dict(self) -> dict[str, int | float]:
        return dict(self._values)

    def sampling(self) -> SamplingParams:
        v = self._values
        return SamplingParams(
            temp=float(v["temp"]),
            top_k=int(v["top_k"]),
            top_p=float(v["top_p"]),
            repeat_penalty=float(v["repeat_penalty"]),
            repeat_last_n=int(v["repeat_last_n"]),
            seed=int(v["seed"]),
        )

    def load_options(self) -> LoadOptions:
        v = self._values
        return LoadOptions(
            n_ctx=int(v["n_ctx"]) or None,
            n_threads=int(v["n_threads"]) or None,
            n_batch=int(v["n_batch"]),
            lookup=self.lookup,
        )
