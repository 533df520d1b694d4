"""Presets and the settings of a chat."""

from __future__ import annotations

import pytest

from alpaca_tui.chat.presets import COVERED, SHIPPED, apply, from_settings, in_force, own_preset
from alpaca_tui.chat.settings import BY_KEY, SETTINGS, Settings
from alpaca_tui.errors import UserError


def test_those_that_ship_are_possible_and_different() -> None:
    assert [p.name for p in SHIPPED] == ["precise", "balanced", "creative", "tutorial"]
    for preset in SHIPPED:
        assert all(BY_KEY[key].parse(value) == value for key, value in preset.full().items())
        assert preset.title("en") != preset.title("zh") and preset.about("en") != preset.about("zh")
    assert len({tuple(p.full().values()) for p in SHIPPED}) == len(SHIPPED)


def test_the_tutorials_is_its_command_line() -> None:
    values = next(p for p in SHIPPED if p.name == "tutorial").full()
    assert (values["temp"], values["repeat_penalty"], values["n_predict"]) == (0.2, 1.3, 256)


@pytest.mark.parametrize("preset", SHIPPED, ids=lambda p: p.name)
def test_one_that_is_applied_is_in_force_whatever_was_set_before(preset) -> None:
    settings = Settings(temp=1.7, mirostat=2, seed=7, n_ctx=4096)
    apply(preset, settings)
    assert in_force(SHIPPED, settings) is preset
    assert settings["seed"] == 7 and settings["n_ctx"] == 4096
    settings.set("temp", 1.7)
    assert in_force(SHIPPED, settings) is None


def test_balanced_leaves_nothing_chosen_so_that_the_model_may_decide() -> None:
    settings = Settings(temp=1.7)
    apply(SHIPPED[1], settings)
    assert "temp" not in settings.chosen and settings.suggest("temp", 0.2)
    assert in_force(SHIPPED, settings) is SHIPPED[1]


def test_the_users_own_hold_what_differs() -> None:
    mine = from_settings(" 我的 ", Settings(temp=0.3, seed=4, n_threads=2))
    assert (mine.name, dict(mine.values), mine.own) == ("我的", {"temp": 0.3}, True)
    assert mine.about("zh") == "温度 0.30"


@pytest.mark.parametrize("name", ["", "  ", "x" * 41, 'a"b', "a\nb", "precise"])
def test_impossible_names_are_refused(name: str) -> None:
    with pytest.raises(UserError):
        own_preset(name, {})


@pytest.mark.parametrize("values", [{"seed": 1}, {"temp": 99}, {"nothing": 1}, {"temp": "hot"}])
def test_impossible_values_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(UserError):
        own_preset("x", values)


def test_a_chat_keeps_what_was_chosen_of_its_own_settings() -> None:
    settings = Settings(temp=0.8, n_threads=2, seed=3)
    assert settings.of_chat() == {"temp": 0.8, "seed": 3}
    other = Settings(top_k=5, n_threads=1)
    other.use_of_chat({"temp": 0.3, "unknown": 1, "top_p": 9, "n_ctx": 64, "seed": "3"})
    assert (other["temp"], other["top_k"], other["top_p"], other["n_ctx"]) == (0.3, 40, 0.95, 0)
    assert other["n_threads"] == 1 and other.of_chat() == {"temp": 0.3, "seed": 3}


def test_the_users_defaults_are_what_a_reset_goes_back_to() -> None:
    settings = Settings(temp=0.3)
    settings.use_defaults({"temp": 0.6, "top_k": 10})
    assert (settings["temp"], settings["top_k"]) == (0.3, 10)
    settings.reset(["temp"])
    assert settings["temp"] == 0.6 and not settings.chosen
    settings.use_defaults({})
    assert settings["temp"] == 0.8 and settings["top_k"] == 40
    with pytest.raises(UserError):
        settings.use_defaults({"temp": 99})


def test_every_setting_is_in_a_preset_or_says_why_not() -> None:
    assert {s.key for s in SETTINGS if s.per_chat} - set(COVERED) == {"seed"}
