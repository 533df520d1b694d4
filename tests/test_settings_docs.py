"""docs/settings.md is what the tables say now."""

from __future__ import annotations

import re
import tomllib

import pytest

from alpaca_tui.chat.config import Config
from alpaca_tui.chat.settings import SETTINGS
from tools.settings_docs import FILES, page


@pytest.mark.parametrize("language", FILES)
def test_the_page_is_current(language: str) -> None:
    written = FILES[language].read_text(encoding="utf-8")
    assert written == page(language), "run: python -m tools.settings_docs"
    assert all(f"`{setting.key}`" in written for setting in SETTINGS)


@pytest.mark.parametrize("language", FILES)
def test_its_example_is_a_config_without_a_mistake(language: str) -> None:
    example = re.search(r"```toml\n(.*?)```", page(language), re.DOTALL)
    assert example
    config = Config()
    config._take(tomllib.loads(example[1]))
    assert not config.problems and config.presets and config.settings and config.keys
