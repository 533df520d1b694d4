"""Presets: settings under a name. Ours ship with the program; the user's own are in the config file.

A preset decides all that chooses a reply (the settings with which a chat is kept, but for the seed): what it
does not name goes back to the table's default, so that the same preset always gives the same settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from alpaca_tui.chat.schema import Words
from alpaca_tui.chat.settings import BY_KEY, SETTINGS, Settings
from alpaca_tui.errors import UserError

MAX_NAME = 40
NOT_IN_PRESETS = ("seed",)
COVERED = tuple(s.key for s in SETTINGS if s.per_chat and s.key not in NOT_IN_PRESETS)


@dataclass(frozen=True)
class Preset:
    """`words` are the title and the line about it of those that ship; None: the user's own, under `name`."""

    name: str
    values: Mapping[str, int | float] = field(default_factory=dict)
    words: tuple[Words, Words] | None = None

    @property
    def own(self) -> bool:
        return self.words is None

    def title(self, language: str) -> str:
        return self.words[0].of(language) if self.words else self.name

    def about(self, language: str) -> str:
        """What it is for; of the user's own, what it sets."""
        if self.words:
            return self.words[1].of(language)
        return "  ".join(f"{BY_KEY[key].name.of(language)} {BY_KEY[key].text(value, language)}"
                         for key, value in self.values.items())  # fmt: skip

    def full(self) -> dict[str, int | float]:
        return {key: self.values.get(key, BY_KEY[key].default) for key in COVERED}


SHIPPED = (
    Preset(
        "precise",
        {"temp": 0.2, "top_k": 40, "top_p": 0.9, "repeat_penalty": 1.1},
        (Words("Precise", "精确"), Words("for facts, code and translating", "适合事实、代码和翻译")),
    ),
    Preset(
        "balanced",
        {},
        (Words("Balanced", "均衡"), Words("the defaults, for most conversations", "默认值，适合多数对话")),
    ),
    Preset(
        "creative",
        {"temp": 1.1, "top_k": 0, "top_p": 0.98, "min_p": 0.03, "repeat_penalty": 1.05, "n_predict": 1024},
        (Words("Creative", "创意"), Words("for stories, ideas and verse", "适合故事、点子和诗歌")),
    ),
    # As the tutorials of Chinese-LLaMA-Alpaca start llama.cpp: --temp 0.2 -n 256 --repeat_penalty 1.3, and
    # the rest as its examples were made.
    Preset(
        "tutorial",
        {"temp": 0.2, "top_k": 40, "top_p": 0.9, "min_p": 0.0, "repeat_penalty": 1.3, "n_predict": 256},
        (
            Words("Tutorial", "教程"),
            Words("as Chinese-LLaMA-Alpaca's tutorials have it", "与 Chinese-LLaMA-Alpaca 教程一致"),
        ),
    ),
)


def own_preset(name: str, values: Mapping[str, object]) -> Preset:
    """A preset of the user's. Raises UserError for a name or a value that is impossible."""
    name = name.strip()
    if not re.fullmatch(rf"[^\x00-\x1f\x7f\"\\]{{1,{MAX_NAME}}}", name):
        raise UserError(f"A preset's name has 1 to {MAX_NAME} characters, without quotes and backslashes.")
    if name in {preset.name for preset in SHIPPED}:
        raise UserError(f"The preset {name!r} ships with the program; choose another name.")
    checked = {}
    for key, value in values.items():
        if key not in COVERED:
            raise UserError(f"A preset has no setting {key!r}; known are {', '.join(COVERED)}.")
        checked[key] = BY_KEY[key].parse(value)  # type: ignore[arg-type]
    return Preset(name, checked)


def from_settings(name: str, settings: Settings) -> Preset:
    """The settings in force as a preset: those that are not as in the table."""
    values = {key: settings[key] for key in COVERED if settings[key] != BY_KEY[key].default}
    return own_preset(name, values)


def in_force(presets: Iterable[Preset], settings: Settings) -> Preset | None:
    """The preset that the settings agree with, if any does."""
    now = {key: settings[key] if key in settings.chosen else settings.defaults[key] for key in COVERED}
    return next((preset for preset in presets if preset.full() == now), None)


def apply(preset: Preset, settings: Settings) -> None:
    """Sets all that a preset decides. What then is as by default counts as not chosen."""
    for key, value in preset.full().items():
        if value == settings.defaults[key]:
            settings.reset([key])
        else:
            settings.set(key, value)
