"""Both languages say the same things."""

from __future__ import annotations

import ast
import string
from pathlib import Path

import pytest

import alpaca_tui.tui
from alpaca_tui.chat.settings import SETTINGS
from alpaca_tui.tui.commands import COMMANDS
from alpaca_tui.tui.keymap import KEYS
from alpaca_tui.tui.strings import LANGUAGES, Strings, choose, en, zh

TUI = Path(alpaca_tui.tui.__file__).parent


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_the_same_keys_in_both() -> None:
    assert set(en.TEXTS) == set(zh.TEXTS)


@pytest.mark.parametrize("key", sorted(en.TEXTS))
def test_the_same_fields_in_both(key: str) -> None:
    assert fields(en.TEXTS[key]) == fields(zh.TEXTS[key])


def test_no_text_is_empty() -> None:
    assert all(text.strip() for texts in (en.TEXTS, zh.TEXTS) for text in texts.values())


def test_chinese_is_chinese() -> None:
    same = {key for key in en.TEXTS if en.TEXTS[key] == zh.TEXTS[key]}
    assert same <= {"gauge", "range_special"}


def test_every_setting_is_named_and_explained() -> None:
    for setting in SETTINGS:
        words = [setting.name, setting.help, *(name for _, name in setting.special)]
        assert all(en.strip() and zh.strip() for en, zh in words)
        assert setting.help.en != setting.help.zh


def test_every_key_is_explained() -> None:
    assert {key.help for key in KEYS} | {command.about for command in COMMANDS} <= set(en.TEXTS)


def test_every_string_that_the_code_asks_for_is_there_and_none_is_left_over() -> None:
    asked: set[str] = set()
    stems: set[str] = set()
    for path in TUI.rglob("*.py"):
        if path.parent.name == "strings":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                asked.add(node.value)
            elif isinstance(node, ast.JoinedStr) and node.values and isinstance(node.values[0], ast.Constant):
                stems.add(str(node.values[0].value))
    unused = {
        key
        for key in en.TEXTS
        if key not in asked and not any(stem and key.startswith(stem) for stem in stems)
    }
    assert not unused


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({"LC_ALL": "zh_CN.UTF-8", "LANG": "en_US.UTF-8"}, "zh"),
        ({"LC_MESSAGES": "zh_TW.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
    ],
)
def test_the_locale_chooses(environ: dict[str, str], language: str) -> None:
    assert choose(None, environ) == language


def test_an_argument_is_stronger_than_the_locale() -> None:
    assert choose("zh-CN", {"LANG": "en_US.UTF-8"}) == "zh" and choose("en", {"LANG": "zh_CN"}) == "en"


def test_a_system_without_the_variables_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("locale.getlocale", lambda: ("Chinese (Simplified)_China", "936"))
    assert choose(None, {}) == "zh"
    monkeypatch.setattr("locale.getlocale", lambda: (None, None))
    assert choose(None, {}) == "en"


def test_languages_are_callable() -> None:
    assert Strings("en")("seconds", seconds=3) == "3 s" and "seconds" in Strings("zh")
    assert LANGUAGES == ("en", "zh")
