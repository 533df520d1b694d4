"""Presets, resets, language and the config file, as a user meets them."""

from __future__ import annotations

from pathlib import Path

import pytest

from alpaca_tui.chat.config import Config
from alpaca_tui.chat.settings import SETTINGS, Settings
from alpaca_tui.tui.tailoring import animated
from tests.tui.helpers import Chat, chat
from tests.tui.samples import MIXED
from tests.tui.scripted_engine import Script

SIZES = ((80, 24), (120, 40), (200, 60))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(tmp_path / "config.toml")


async def opened(c: Chat, row: str) -> None:
    """Presses a row of the sidebar."""
    if not c.app.main.has_class("with-sidebar"):
        await c.press("f4")
    c.app.main.set_focus(c.app.sidebar.action(row))
    await c.settle()
    await c.press("enter")


async def test_a_preset_is_applied_and_named() -> None:
    async with chat(size=(120, 40), settings=Settings()) as c:
        assert "Balanced" in c.lines()[c.row_of("Preset")]
        await opened(c, "preset")
        assert "Tutorial" in c.text() and "as Chinese-LLaMA-Alpaca's tutorials" in c.text()
        await c.press("down", "down", "enter")
        assert not c.app.modal_open and c.app.session.settings["repeat_penalty"] == 1.3
        assert "Tutorial" in c.lines()[c.row_of("Preset")]
        assert c.engine.samplings[-1].repeat_penalty == 1.3 and c.engine.samplings[-1].temp == 0.2
        assert "1.30" in c.lines()[c.row_of("Repeat penalty")]
        c.app.change_setting("temp", 1.0)
        c.app.sidebar.refresh_values()
        await c.settle()
        assert "your own values" in c.lines()[c.row_of("Preset")]


async def test_the_users_own_presets_are_saved_deleted_and_brought_back(config: Config) -> None:
    async with chat(size=(120, 40), config=config) as c:
        c.app.change_setting("temp", 0.35)
        await opened(c, "preset")
        await c.press("s", *"mine", "enter")
        assert "Saved as mine." in c.text() and Config(config.path).presets[0].values["temp"] == 0.35
        await c.press("d")
        assert "Deleted mine" in c.text() and not Config(config.path).presets
        await c.press("u")
        assert Config(config.path).presets[0].name == "mine"
        await c.press("escape")
        assert "mine" in c.lines()[c.row_of("Preset")]


async def test_what_is_impossible_is_said_in_the_list_of_presets(config: Config) -> None:
    async with chat(size=(120, 40), config=config) as c:
        await opened(c, "preset")
        await c.press("d")
        assert "ships with the program" in c.text()
        await c.press("s", *"precise", "enter")
        assert "choose another name" in c.text() and c.app.modal_open
        await c.press("escape", "escape")
        assert not c.app.modal_open and not config.presets


async def test_resetting_all_and_taking_that_back() -> None:
    async with chat(size=(120, 40)) as c:
        c.app.change_setting("temp", 1.5)
        c.app.change_setting("mirostat", 2)
        c.app.sidebar.refresh_values()
        await c.settle()
        assert "1 changed" in c.lines()[c.row_of("More samplers")]
        assert "Temperature •" in c.text() and "Top-k •" not in c.text()
        await opened(c, "reset")
        assert c.app.session.settings["temp"] == 0.8 and c.engine.samplings[-1].mirostat == 0
        assert "•" not in c.lines()[c.row_of("Temperature")]
        await c.press("enter")
        assert c.app.session.settings["temp"] == 1.5 and c.app.session.settings["mirostat"] == 2


async def test_more_samplers_are_folded_away_and_unfolded() -> None:
    async with chat(size=(120, 40)) as c:
        assert "Min-p" not in c.text()
        await opened(c, "more")
        assert "Min-p" in c.text() and "Mirostat" in c.text()
        await c.press("down", "right")
        assert c.app.session.settings["min_p"] == pytest.approx(0.06)
        await c.press("up", "enter")
        assert "Min-p" not in c.text() and "1 changed" in c.text()


async def test_settings_are_kept_for_new_chats(config: Config) -> None:
    async with chat(size=(120, 40), config=config) as c:
        c.app.change_setting("temp", 0.55)
        c.app.action_keep_settings()
        await c.settle()
        assert Config(config.path).settings == {"temp": 0.55, "n_predict": -1}
        assert "•" not in c.lines()[c.row_of("Temperature")]


async def test_the_config_is_taken_up_while_it_is_written(config: Config) -> None:
    async with chat(size=(120, 40), config=config, language="") as c:
        config.path.write_text(
            'language = "zh"\ntheme = "xuan"\nanimations = "off"\n[settings]\ntemp = 0.4\n[presets."晚上"]\n'
            "temp = 0.4\nn_predict = -1\n",
            encoding="utf-8",
        )
        c.app.look_at_files()
        await c.settle()
        await c.settle()
        assert "温度" in c.text() and "0.40" in c.lines()[c.row_of("温度")]
        assert c.app.theme == "xuan" and c.app.animation_level == "none"
        assert "晚上" in c.lines()[c.row_of("预设")] and c.engine.samplings[-1].temp == 0.4
        config.path.write_text('them = "x"\n', encoding="utf-8")
        c.app.look_at_files()
        await c.settle()
        assert "them is unknown; did you mean theme?" in c.app.notice.text and "温度" not in c.text()


async def test_what_is_wrong_in_the_config_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[settings]\ntemp = 99\n", encoding="utf-8")
    async with chat(config=Config(tmp_path / "config.toml")) as c:
        assert "settings.temp takes a number from 0 to 5, not 99." in c.app.notice.text
        await c.ask("hello")
        assert "Hello from the script." in c.text()


@pytest.mark.parametrize("size", SIZES)
async def test_the_language_changes_at_once_everywhere(config: Config, size: tuple[int, int]) -> None:
    async with chat(Script(replies=[MIXED], rate=10), size=size, config=config) as c:
        await c.send("hello")
        await c.advance(1)
        c.app.action_change_language()
        await c.settle()
        await c.press("down", "enter")
        await c.settle()
        assert "你" in c.text() and "You" not in c.text() and "停止" in c.lines()[-1]
        assert c.app.session.replying is not None and config["language"] == "zh"
        await c.finish()
        if not c.app.main.has_class("with-sidebar"):
            await c.press("f4")
        assert "温度" in c.text() and "Temperature" not in c.text()
        c.app.speak("en")
        await c.settle()
        await c.settle()
        assert "Temperature" in c.text() and "温度" not in c.text()


async def test_every_row_of_the_sidebar_changes_its_language() -> None:
    async with chat(size=(120, 60)) as c:
        c.app.sidebar.unfold(True)
        c.app.speak("zh")
        await c.settle()
        await c.settle()
        assert all(setting.name.zh in c.text() for setting in SETTINGS)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("size", SIZES)
async def test_the_pages_fit_at_every_size(size: tuple[int, int], language: str) -> None:
    async with chat(size=size, language=language) as c:
        for action in ("action_presets", "action_change_theme", "action_change_language"):
            getattr(c.app, action)()
            await c.settle()
            screen = c.app.screen
            box = screen.query_one("#pick-box").region
            assert screen.region.contains_region(box) and box.height <= size[1]
            keys = screen.query_one("#pick-keys")
            assert box.contains_region(keys.region) and "Esc" in c.text()
            await c.press("escape")
            assert not c.app.modal_open


@pytest.mark.parametrize(
    ("wanted", "environ", "moves"),
    [
        ("auto", {"TERM": "xterm"}, True),
        ("auto", {"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}, False),
        ("auto", {"TERM": "linux"}, False),
        ("on", {"SSH_TTY": "/dev/pts/1"}, True),
        ("off", {}, False),
    ],
)
def test_things_glide_only_where_that_is_cheap(wanted: str, environ: dict[str, str], moves: bool) -> None:
    assert animated(wanted, environ) is moves
