"""The config file: one TOML file of the user's, `config.toml` in the folder that the system has for that.

    theme = "paper"           preferences of the program, see `preferences.PREFERENCES`
    [settings]                defaults for new chats, by the names of `settings_table.SETTINGS`
    temp = 0.7
    [presets.mine]            settings under a name
    temp = 0.3
    [keys]                    keys for actions, by the ids of the key map

What is wrong in it is said and left out, and never keeps the program from starting. The program writes single
values into it; comments, order and what it does not know stay as they are.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from alpaca_tui.chat.atomic import write_text
from alpaca_tui.chat.preferences import BY_NAME, DEFAULTS
from alpaca_tui.chat.presets import COVERED, Preset, own_preset
from alpaca_tui.chat.schema import Words
from alpaca_tui.chat.settings import BY_KEY
from alpaca_tui.errors import UserError

NAME = "config.toml"
MAX_BYTES = 1 << 20
MAX_PRESETS = 200
TABLES = ("settings", "presets", "keys")
HEAD = """\
# Settings of alpaca-tui. docs/settings.md says what there is; the program keeps your comments.
# 这里是 alpaca-tui 的设置，可用的项目见 docs/settings.zh-CN.md；程序会保留你写的注释。
"""

Stamp = tuple[int, int] | None


class Config:
    """The config file as read. `path` None: there is no file, and what is set lasts as long as the program.

    `problems` say what was wrong at the last reading, in each language. `known_keys` are the ids of the key
    map, if they are to be checked.
    """

    def __init__(self, path: Path | None = None, known_keys: Iterable[str] = ()) -> None:
        self.path = path
        self.preferences: dict[str, str] = dict(DEFAULTS)
        self.settings: dict[str, int | float] = {}
        self.presets: list[Preset] = []
        self.keys: dict[str, str] = {}
        self.problems: list[Words] = []
        self._known_keys = tuple(known_keys)
        self._data: dict[str, Any] = {}
        self._stamp: Stamp = None
        self.read()

    def __getitem__(self, key: str) -> str:
        """A preference."""
        return self.preferences[key]

    # --- reading -------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Takes in what the file says now. A file that cannot be read leaves everything as it was."""
        self._stamp = self._stamp_now()
        try:
            data = self._parse()
        except UserError as error:
            self.problems = [Words(str(error), f"读不了设置文件：{error}")]
            return
        self._take(data)

    def changed_on_disk(self) -> bool:
        """Did somebody else write the file since it was read?"""
        return self._stamp_now() != self._stamp

    def _stamp_now(self) -> Stamp:
        try:
            status = self.path.stat() if self.path else None
        except OSError:
            status = None
        return (status.st_mtime_ns, status.st_size) if status else None

    def _text(self) -> str:
        """The file's text; empty where there is none yet. Raises UserError."""
        assert self.path is not None
        try:
            with self.path.open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise UserError(f"Cannot read {self.path}: {error.strerror or error}.") from error
        if len(raw) > MAX_BYTES:
            raise UserError(f"{self.path} is over 1 MiB; settings are a few lines.")
        try:
            return raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(f"{self.path} is not UTF-8 text; save it as UTF-8.") from error

    def _parse(self) -> dict[str, Any]:
        if self.path is None:
            return self._data
        try:
            return tomllib.loads(self._text())
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise UserError(
                f"{self.path} is no TOML: {error}; what it said before stays in force."
            ) from error

    def _take(self, data: dict[str, Any]) -> None:
        self.problems = []
        self._data = data
        self.preferences = dict(DEFAULTS)
        for key, value in data.items():
            if key in TABLES:
                if not isinstance(value, dict):
                    self._problem(key, "is a table: write [{0}]", "是一个表：写成 [{0}]")
            elif key not in BY_NAME:
                self._unknown(key, key, [*BY_NAME, *TABLES])
            else:
                self._take_preference(key, value)
        self.settings = self._numbers("settings", _table(data, "settings"), BY_KEY)
        self.presets = []
        for name, values in list(_table(data, "presets").items())[:MAX_PRESETS]:
            self._take_preset(str(name), values)
        self.keys = {}
        for name, value in _table(data, "keys").items():
            if self._known_keys and name not in self._known_keys:
                self._unknown(f"keys.{name}", name, self._known_keys)
            elif isinstance(value, str):
                self.keys[name] = value
            else:
                self._problem(f"keys.{name}", 'is a text such as "ctrl+r,f5"', '应是文本，如 "ctrl+r,f5"')

    def _take_preference(self, key: str, value: object) -> None:
        values = BY_NAME[key].values
        if isinstance(value, str) and (value in values or not values) and value.isprintable() and value:
            self.preferences[key] = value
        elif values:
            known = ", ".join(f'"{v}"' for v in values)
            self._problem(key, f"is one of {known}", f"只能是 {known} 之一")
        else:
            self._problem(key, "is a text", "应是文本")

    def _take_preset(self, name: str, values: object) -> None:
        where = f"presets.{name}"
        if not isinstance(values, dict):
            self._problem(where, "is a table: write [{0}]", "是一个表：写成 [{0}]")
            return
        numbers = self._numbers(where, values, COVERED)
        try:
            self.presets.append(own_preset(name, numbers))
        except UserError as error:
            self.problems.append(Words(f"{self._name}, {where}: {error}", f"{self._name}，{where}：{error}"))

    def _numbers(self, where: str, table: dict[str, Any], known: Iterable[str]) -> dict[str, int | float]:
        found: dict[str, int | float] = {}
        for key, value in table.items():
            if key not in known:
                self._unknown(f"{where}.{key}", key, known)
                continue
            setting = BY_KEY[key]
            try:
                if not isinstance(value, int | float):
                    raise UserError("no number")
                found[key] = setting.parse(value)
            except UserError:
                en, zh = setting.range_text(), setting.range_text("zh")
                self._problem(f"{where}.{key}", f"takes {en}, not {value!r}", f"应是{zh}，而不是 {value!r}")
        return found

    @property
    def _name(self) -> str:
        return self.path.name if self.path else NAME

    def _problem(self, where: str, en: str, zh: str) -> None:
        en, zh = en.replace("{0}", where), zh.replace("{0}", where)
        self.problems.append(Words(f"{self._name}: {where} {en}.", f"{self._name}：{where} {zh}。"))

    def _unknown(self, where: str, key: str, known: Iterable[str]) -> None:
        close = difflib.get_close_matches(key, list(known), n=1)
        if close:
            self._problem(where, f"is unknown; did you mean {close[0]}?", f"不认识；是不是 {close[0]}？")
            en, zh = self.problems.pop()
            self.problems.append(Words(en.replace("?.", "?"), zh.replace("？。", "？")))
        else:
            names = ", ".join(known)
            self._problem(where, f"is unknown; known are {names}", f"不认识；可用的有 {names}")

    # --- writing -------------------------------------------------------------------------------------------

    def set(self, where: tuple[str, ...], value: object) -> None:
        """Writes one value, `("theme",)` or `("settings", "temp")`; None takes it out.

        Raises UserError, and changes nothing, where the file cannot be read or written.
        """
        if self.path is None:
            _put(self._data, where, value)
            self._take(self._data)
            return
        import tomlkit  # only now: reading needs the standard library's reader only
        from tomlkit.exceptions import TOMLKitError

        text = self._text()
        try:
            document = tomlkit.parse(text or HEAD)
            _put(document, where, value)
            text = tomlkit.dumps(document)
            tomllib.loads(text)
        except (TOMLKitError, tomllib.TOMLDecodeError, TypeError, ValueError, RecursionError) as error:
            raise UserError(f"{self.path} is no TOML that can be added to: {error}.") from error
        self._replace(text)
        self.read()

    def _replace(self, text: str) -> None:
        assert self.path is not None
        try:
            write_text(self.path, text)
        except OSError as error:
            raise UserError(f"Cannot write {self.path}: {error.strerror or error}.") from error


def _table(data: dict[str, Any], name: str) -> dict[str, Any]:
    found = data.get(name)
    return found if isinstance(found, dict) else {}


def _put(data: Any, where: tuple[str, ...], value: object) -> None:
    *path, last = where
    for key in path:
        if not isinstance(data.get(key), dict):
            if value is None:
                return
            data[key] = {}
        data = data[key]
    if value is None:
        data.pop(last, None)
    else:
        data[last] = value
