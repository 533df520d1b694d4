"""The settings: what they show, what they refuse, when they apply."""

from __future__ import annotations

import pytest

from alpaca_tui.chat.schema import APPLIES
from alpaca_tui.chat.settings import BY_KEY, SETTINGS
from alpaca_tui.tui.widgets.setting_row import SettingRow, number
from tests.tui.helpers import Chat, chat
from tests.tui.scripted_engine import Script

WIDE = (120, 40)


async def focus(c: Chat, key: str) -> SettingRow:
    row = c.app.sidebar.row(key)
    c.app.sidebar.unfold(row.setting.advanced)
    await c.pilot.pause()
    c.app.main.set_focus(row)
    await c.settle()
    return row


async def test_it_is_open_where_there_is_room_and_f4_hides_it() -> None:
    async with chat(size=WIDE) as c:
        assert "Temperature" in c.text() and c.app.prompt.has_focus
        await c.press("f4")
        assert "Temperature" not in c.text() and c.app.prompt.has_focus
        await c.press("ctrl+t")
        assert "Temperature" in c.text() and c.app.focused is c.app.sidebar.rows[0]


async def test_on_a_narrow_screen_it_opens_over_the_transcript_and_escape_closes_it() -> None:
    async with chat(Script(replies=["An answer."]), size=(80, 24)) as c:
        await c.ask("hello")
        width = c.app.transcript.size.width
        assert "Temperature" not in c.text()
        await c.press("f4")
        assert "Temperature" in c.text() and c.app.transcript.size.width == width
        await c.press("escape")
        assert "Temperature" not in c.text() and c.app.prompt.has_focus


async def test_every_setting_is_there() -> None:
    async with chat(size=WIDE) as c:
        assert {row.setting.key for row in c.app.sidebar.rows} == {setting.key for setting in SETTINGS}


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_the_one_in_focus_is_explained(language: str) -> None:
    async with chat(size=WIDE, language=language) as c:
        for setting in SETTINGS:
            await focus(c, setting.key)
            text = "".join(line[80:].strip() for line in c.lines()).replace(" ", "")
            about = (
                setting.help.of(language),
                APPLIES[setting.applies].of(language),
                number(setting.high),
            )
            assert all(part.replace(" ", "") in text for part in about)


async def test_arrows_change_a_value_by_a_step() -> None:
    async with chat(size=WIDE) as c:
        await focus(c, "temp")
        await c.press("right", "right", "left")
        assert c.app.session.settings["temp"] == pytest.approx(0.85)
        assert "0.85" in c.lines()[c.row_of("Temperature")]
        assert c.engine.samplings[-1].temp == pytest.approx(0.85)


async def test_a_value_is_typed() -> None:
    async with chat(size=WIDE) as c:
        await focus(c, "top_k")
        await c.press(*"100", "enter")
        assert c.app.session.settings["top_k"] == 100 and c.engine.samplings[-1].top_k == 100


NONSENSE = (
    ("temp", "99", "99 is out of range"),
    ("temp", "warm", "warm is no number"),
    ("top_k", "1.5", "1.5 is no whole number"),
    ("top_p", "nan", "nan is out of range"),
    ("seed", "-7", "-7 is out of range"),
    ("n_ctx", "3", "3 is out of range"),
    ("n_threads", "9999999", "out of range"),
    ("temp", "1e999", "out of range"),
)


async def test_nonsense_is_refused_in_place() -> None:
    async with chat(size=WIDE) as c:
        for key, typed, why in NONSENSE:
            before = c.app.session.settings[key]
            row = await focus(c, key)
            await c.press(*typed, "enter")
            text = " ".join(line[80:].strip() for line in c.lines())
            assert why in text and "Allowed:" in text
            assert c.app.session.settings[key] == before and row.typed == typed and row.has_focus
            await c.press("escape")
            assert row.typed is None and row.value == before
            assert "Allowed:" not in c.text()


async def test_nonsense_is_refused_in_chinese_too() -> None:
    async with chat(size=WIDE, language="zh") as c:
        await focus(c, "temp")
        await c.press(*"99", "enter")
        assert "99 超出范围" in c.text()


async def test_leaving_a_row_leaves_its_value() -> None:
    async with chat(size=WIDE) as c:
        row = await focus(c, "temp")
        await c.press("9", "down")
        assert row.typed is None and c.app.session.settings["temp"] == 0.8
        assert c.app.focused is c.app.sidebar.row("top_k")
        await c.press("up")
        assert c.app.focused is row


async def test_delete_brings_the_default_back() -> None:
    async with chat(size=WIDE) as c:
        await focus(c, "top_p")
        await c.press("left", "left", "delete")
        assert c.app.session.settings["top_p"] == 0.95


STEPS = (
    ("top_k", 0, -1, 0),
    ("top_k", 0, 1, 5),
    ("top_k", 12, 1, 15),
    ("top_k", 12, -1, 10),
    ("n_predict", 64, -1, -1),
    ("n_predict", -1, 1, 64),
    ("n_predict", -1, -1, -1),
    ("repeat_last_n", 0, -1, -1),
    ("repeat_last_n", -1, 1, 0),
    ("seed", -1, 1, 0),
    ("seed", 0, -1, -1),
    ("n_ctx", 0, 1, 256),
    ("n_ctx", 256, -1, 0),
    ("n_threads", 0, 1, 1),
    ("temp", 5.0, 1, 5.0),
    ("temp", 0.0, -1, 0.0),
    ("n_batch", 32, -1, 32),
)


async def test_steps_stay_within_the_range_and_reach_the_special_values() -> None:
    async with chat(size=WIDE) as c:
        for key, value, direction, after in STEPS:
            row = c.app.sidebar.row(key)
            row.take(value)
            row.step(direction)
            assert (c.app.session.settings[key], row.error) == (after, ""), (key, value, direction)


async def test_special_values_are_named() -> None:
    async with chat(size=WIDE) as c:
        for key, value, name in (("top_k", 0, "off"), ("seed", -1, "random"), ("n_ctx", 0, "automatic")):
            c.app.sidebar.row(key).take(value)
            await c.settle()
            label = BY_KEY[key].name.en
            assert name in c.lines()[c.row_of(label)]


async def test_a_click_on_the_slider_sets_the_value() -> None:
    async with chat(size=WIDE) as c:
        y = c.row_of("Temperature")
        line = c.lines()[y]
        await c.pilot.click(offset=(line.index("▏") + 1, y))
        assert c.app.session.settings["temp"] == 0.0
        await c.pilot.click(offset=(line.index("▏") + 8, y))
        assert c.app.session.settings["temp"] == 2.0
        assert c.app.focused is c.app.sidebar.row("temp")


async def test_a_new_context_size_offers_a_reload_and_enter_does_it() -> None:
    async with chat(Script(replies=["An answer."]), size=WIDE) as c:
        await c.ask("hello")
        await focus(c, "n_ctx")
        await c.press(*"4096", "enter")
        assert "F7 loads the model again with 4096" in " ".join(line[80:].strip() for line in c.lines())
        assert len(c.engine.loads) == 1
        await c.press("enter")
        await c.finish()
        assert c.engine.loads[-1][1].n_ctx == 4096 and "/4096" in c.lines()[-1]
        assert "F7 loads" not in c.text() and "An answer." in c.text()


async def test_the_same_context_size_again_offers_nothing() -> None:
    async with chat(size=WIDE) as c:
        await focus(c, "n_ctx")
        await c.press(*"4096", "enter", "delete")
        assert "F7 loads" not in c.text()


async def test_f7_reloads_from_anywhere() -> None:
    async with chat(size=WIDE) as c:
        c.app.change_setting("n_ctx", 512)
        await c.press("f7")
        await c.finish()
        assert c.engine.loads[-1][1].n_ctx == 512


async def test_a_change_in_the_middle_of_a_reply_reaches_it() -> None:
    async with chat(Script(replies=["word " * 50], rate=10), size=WIDE) as c:
        await c.send("hello")
        await c.advance(1)
        await focus(c, "temp")
        await c.press("right")
        assert c.engine.samplings[-1].temp == pytest.approx(0.85) and c.app.session.replying is not None


async def test_typing_in_a_row_is_bounded_and_can_be_taken_back() -> None:
    async with chat(size=WIDE) as c:
        row = await focus(c, "seed")
        await c.press(*("1" * 40))
        assert row.typed is not None and len(row.typed) == 12
        for _ in range(12):
            await c.pilot.press("backspace")
        assert row.typed == ""
        await c.press("enter")
        assert row.typed is None and c.app.session.settings["seed"] == -1
