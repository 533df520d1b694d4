"""The values of the settings in force. One that is out of range never gets in.

The table they are made from is `settings_table.SETTINGS`. No NumPy, no Textual here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from alpaca_tui.chat.schema import Applies, Setting
from alpaca_tui.chat.settings_table import BY_KEY, SETTINGS
from alpaca_tui.engine.protocol import LoadOptions, SamplingParams
from alpaca_tui.errors import UserError

__all__ = ["Applies", "BY_KEY", "SETTINGS", "Setting", "Settings"]

_SAMPLING = frozenset(field.name for field in fields(SamplingParams)) & set(BY_KEY)


class Settings:
    """The values in force. `Settings(temp=0.2)`, `settings["temp"]`, `settings.set("temp", "0.2")`.

    `chosen` are the keys that somebody set: only the others may follow the model that is loaded. `defaults`
    are what a reset goes back to: the table's, or the user's own (`use_defaults`). `other_sampling` are
    fields of `SamplingParams` that are no numbers, such as a grammar, `other_loading` those of
    `LoadOptions`, such as LoRAs, and `other_request` those of `GenerateRequest`; they come from flags only.
    `lookup` is as in `LoadOptions`; it changes no reply, and so is no setting to look at.
    """

    lookup = True

    def __init__(self, **values: int | float | str) -> None:
        self.other_sampling: dict[str, Any] = {}
        self.other_loading: dict[str, Any] = {}
        self.other_request: dict[str, Any] = {}
        self.defaults: dict[str, int | float] = {s.key: s.default for s in SETTINGS}
        self.chosen: set[str] = set()
        self._values = dict(self.defaults)
        for key, value in values.items():
            self.set(key, value)

    def __getitem__(self, key: str) -> int | float:
        return self._values[key]

    def set(self, key: str, value: int | float | str) -> int | float:
        """Checks and stores; raises UserError and changes nothing when out of range."""
        if key not in BY_KEY:
            raise UserError(f"There is no setting {key!r}; known are {', '.join(BY_KEY)}.")
        self._values[key] = BY_KEY[key].parse(value)
        self.chosen.add(key)
        return self._values[key]

    def changed(self, key: str) -> bool:
        """Is it another value than a reset would bring? What follows the model is not."""
        return key in self.chosen and self._values[key] != self.defaults[key]

    def suggest(self, key: str, value: int | float) -> bool:
        """Sets what nobody has chosen, as the model that is loaded would have it. True if it changed."""
        changed = key not in self.chosen and self._values[key] != value
        if changed:
            self._values[key] = BY_KEY[key].parse(value)
        return changed

    def reset(self, keys: Iterable[str] = tuple(BY_KEY)) -> None:
        """Goes back to the defaults."""
        for key in keys:
            self._values[key] = self.defaults[key]
            self.chosen.discard(key)

    def use_defaults(self, values: Mapping[str, Any]) -> None:
        """Takes the user's own defaults; what is not chosen follows them. Raises UserError for a bad one."""
        checked = {key: BY_KEY[key].parse(value) for key, value in values.items()}
        self.defaults = {s.key: checked.get(s.key, s.default) for s in SETTINGS}
        self.reset(set(BY_KEY) - self.chosen)

    # --- per chat ------------------------------------------------------------------------------------------

    def of_chat(self) -> dict[str, int | float]:
        """What was chosen of the settings that belong to a conversation: to be kept with it."""
        return {s.key: self._values[s.key] for s in SETTINGS if s.per_chat and s.key in self.chosen}

    def use_of_chat(self, values: Mapping[str, Any]) -> None:
        """The settings that were kept with a conversation. What is unknown or impossible is left out: it
        may come from another version of the program."""
        self.reset(s.key for s in SETTINGS if s.per_chat)
        for key, value in values.items():
            if key in BY_KEY and BY_KEY[key].per_chat:
                try:
                    self.set(key, value)
                except UserError:
                    continue

    # --- for others ----------------------------------------------------------------------------------------

    def as_dict(self) -> dict[str, int | float]:
        return dict(self._values)

    def sampling(self) -> SamplingParams:
        values = self._values
        numbers: dict[str, Any] = {key: BY_KEY[key].kind(values[key]) for key in _SAMPLING}
        return SamplingParams(**numbers, **self.other_sampling)

    def forget_model(self) -> None:
        """Drops what flags said of the model that was opened with them, and of no other."""
        for key in ("loras", "lora_base", "rope"):
            self.other_loading.pop(key, None)
        self.other_request.pop("prompt_cache", None)

    def load_options(self) -> LoadOptions:
        v = self._values
        return LoadOptions(
            n_ctx=int(v["n_ctx"]) or None,
            n_threads=int(v["n_threads"]) or None,
            n_batch=int(v["n_batch"]),
            lookup=self.lookup,
            **self.other_loading,
        )
