"""Themes: what ships can be read by people, and broken files are refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.segment import Segment
from textual.color import Color

from alpaca_tui import resources
from alpaca_tui.chat.config import Config
from alpaca_tui.errors import UserError
from alpaca_tui.tui.themes import (
    COLORS,
    DEFAULT,
    ThemeFile,
    fallbacks,
    read_theme,
    suited,
    themes_in,
    to_textual,
)
from tests.tui.helpers import Chat, chat
from tests.tui.samples import MIXED
from tests.tui.scripted_engine import Script

SHIPPED, PROBLEMS = themes_in(resources.themes_dir())
OURS = [theme for theme in SHIPPED if not theme.terminal]  # the sixteen colours are the terminal's affair
TEXTS = ("ink", "quiet", "act", "now", "loss")


def contrast(a: str, b: str) -> float:
    def light(colour: str) -> float:
        parts = [part / 255 for part in Color.parse(colour).rgb]
        r, g, b = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    high, low = sorted((light(a), light(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_dark_and_light_ones_ship_and_some_for_special_needs() -> None:
    assert not PROBLEMS and {theme.dark for theme in SHIPPED} == {True, False}
    assert len(SHIPPED) >= 6
    assert {"xuan", "lamp", "contrast-dark", "contrast-light", "sixteen-dark", "sixteen-light"} <= {
        theme.name for theme in SHIPPED
    }
    assert [theme.name for theme in SHIPPED if theme.terminal] == ["sixteen-dark", "sixteen-light"]
    assert DEFAULT in {theme.name for theme in SHIPPED}
    assert all(set(theme.title) >= {"en", "zh"} for theme in SHIPPED)


@pytest.mark.parametrize("theme", OURS, ids=lambda theme: theme.name)
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("ground", ["ground", "surface", "panel"])
def test_every_text_is_readable(theme: ThemeFile, text: str, ground: str) -> None:
    least = 7 if theme.name.startswith("contrast-") else 4.5
    assert contrast(theme.colors[text], theme.colors[ground]) >= least


@pytest.mark.parametrize("theme", OURS, ids=lambda theme: theme.name)
def test_code_and_selections_are_readable(theme: ThemeFile) -> None:
    colors = theme.colors
    for name in ("code-ink", "code-keyword", "code-string", "code-number", "quiet", "loss"):
        assert contrast(colors[name], colors["code-ground"]) >= 4.5
    assert contrast(colors["ink"], colors["code-ground"]) >= 4.5
    assert contrast(colors["ink"], colors["select"]) >= 4.5


GOOD = 'name = "x"\ndark = true\n[title]\nen = "X"\n[colors]\n' + "".join(
    f'{c} = "#123456"\n' for c in COLORS
)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name = ", "Cannot read"),
        (GOOD.replace('name = "x"', 'name = "Big Name"'), "small letters"),
        (GOOD.replace("dark = true", 'dark = "yes"'), "dark = true"),
        (GOOD.replace('act = "#123456"', 'act = "blue"'), "colors.act"),
        (GOOD + 'glow = "#123456"\n', "colors.glow"),
        (GOOD.replace("dark = true", "dark = true\nterminal = true"), "must be one of default, black"),
        ('name = "x"\ndark = true\n', "no [colors]"),
        ("# " + "x" * 70_000, "64 KiB"),
    ],
)
def test_a_broken_file_is_refused_by_name(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_theme(path)
    assert complaint in str(caught.value) and "broken.toml" in str(caught.value)


def test_a_good_file_becomes_a_theme(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(GOOD, encoding="utf-8")
    theme = to_textual(read_theme(path))
    assert theme.name == "x" and theme.dark and theme.variables["act"] == "#123456"


def test_what_textual_has_stands_in_for_what_it_lacks() -> None:
    found = fallbacks({"primary": "#111111", "background": "#222222"})
    assert found == {
        "focus-text-style": "bold",
        "act": "#111111",
        "code-keyword": "#111111",
        "ground": "#222222",
    }


async def test_other_themes_can_be_chosen() -> None:
    async with chat(Script(replies=[MIXED])) as c:
        await c.ask("hello")
        for name in ("paper", "nord", "textual-light", "ansi-dark", DEFAULT):
            c.app.theme = name
            await c.settle()
            assert "hello" in c.text()


def segments(c: Chat) -> list[Segment]:
    """What is drawn, of a dialog only its own part: behind it the chat is dimmed."""
    strips = c.app.screen._compositor.render_strips()
    x, y, width, height = c.app.screen.children[0].region if c.app.modal_open else c.app.screen.region
    return [segment for strip in strips[y : y + height] for segment in strip.crop(x, x + width)]


def faint(c: Chat) -> set[tuple[str, str, str]]:
    """(text, colour, ground) of all words on the screen that are hard to read."""
    found = set()
    for segment in segments(c):
        style = segment.style
        if not any(ch.isalnum() for ch in segment.text) or style is None or not style.color:
            continue
        ink = style.color.get_truecolor().hex
        ground = style.bgcolor.get_truecolor().hex if style.bgcolor else "#000000"
        if contrast(*((ground, ink) if style.reverse else (ink, ground))) < 4.5:
            found.add((segment.text, ink, ground))
    return found


async def test_every_word_on_every_page_is_readable_in_every_theme() -> None:
    async with chat(Script(replies=[MIXED]), size=(120, 40)) as c:
        await c.ask("hello")
        c.app.sidebar.unfold(True)
        for keys in ([], ["f4", "f4"], ["f1"], ["ctrl+o"], ["ctrl+p"]):
            await c.press(*keys)
            for theme in OURS:
                c.app.theme = theme.name
                await c.settle()
                assert not faint(c), (keys, theme.name)
            if c.app.modal_open:
                await c.press("escape")


@pytest.mark.parametrize("name", ["sixteen-dark", "sixteen-light"])
async def test_the_terminals_own_colours_are_all_that_is_used(name: str) -> None:
    async with chat(Script(replies=[MIXED]), size=(120, 40)) as c:
        await c.ask("hello")
        c.app.theme = name
        await c.press("f4", "f4")
        colours = {colour for s in segments(c) if s.style for colour in (s.style.color, s.style.bgcolor)}
        assert all(colour.triplet is None for colour in colours if colour is not None)
        row = next(s for s in segments(c) if s.style and s.style.reverse and "Temperature" in s.text)
        assert row.style is not None and row.style.bold  # the focus shows without a colour of its own


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"TERM": "xterm-256color"}, DEFAULT),
        ({"TERM": "linux"}, "sixteen-dark"),
        ({"TERM": "xterm", "NO_COLOR": "1"}, "sixteen-dark"),
        ({"TERM": "rxvt", "COLORFGBG": "0;15"}, "paper"),
        ({"TERM": "rxvt", "COLORFGBG": "15;default;0"}, DEFAULT),
        ({"TERM": "rxvt", "COLORFGBG": "0;7", "NO_COLOR": "1"}, "sixteen-light"),
    ],
)
def test_the_terminal_chooses(environ: dict[str, str], name: str) -> None:
    assert suited(environ) == name


async def test_no_color_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with chat(Script(replies=[MIXED]), size=(120, 40)) as c:
        await c.ask("hello")
        await c.press("f4", "f4")
        assert c.app.theme == "sixteen-dark" and c.app.no_color
        row = next(s for s in segments(c) if "Temperature" in s.text)
        assert row.style is not None and row.style.reverse


async def test_a_theme_of_the_users_own_is_taken_up_while_it_is_written(tmp_path: Path) -> None:
    async with chat(config=Config(tmp_path / "config.toml")) as c:
        (tmp_path / "themes").mkdir()
        file = tmp_path / "themes" / "mine.toml"
        file.write_text(GOOD.replace('name = "x"', 'name = "mine"'), encoding="utf-8")
        c.app.look_at_files()
        assert "mine" in c.app.available_themes and c.app.theme == DEFAULT
        (tmp_path / "config.toml").write_text('theme = "mine"\n', encoding="utf-8")
        c.app.look_at_files()
        await c.settle()
        assert c.app.theme == "mine" and c.app.screen.styles.background.hex == "#123456"
        text = file.read_text(encoding="utf-8").replace('ground = "#123456"', 'ground = "#204060"', 1)
        file.write_text(text.replace('name = "mine"', 'name = "mine"  # changed'), encoding="utf-8")
        c.app.look_at_files()
        await c.settle()
        assert c.app.screen.styles.background.hex == "#204060"
        file.write_text("name = ", encoding="utf-8")
        c.app.look_at_files()
        assert "mine.toml" in c.app.notice.text


async def test_colours_are_tried_out_and_kept_or_not(tmp_path: Path) -> None:
    config = Config(tmp_path / "config.toml")
    async with chat(config=config) as c:
        c.app.action_change_theme()
        await c.settle()
        assert "Xuan paper" in c.text()
        await c.press("down")
        assert c.app.theme == SHIPPED[0].name
        await c.press("escape")
        assert c.app.theme == DEFAULT and not (tmp_path / "config.toml").exists()
        c.app.action_change_theme()
        await c.settle()
        await c.press("down", "down", "enter")
        assert c.app.theme == config["theme"] == SHIPPED[1].name
        assert f'theme = "{SHIPPED[1].name}"' in (tmp_path / "config.toml").read_text()


async def test_a_broken_or_missing_theme_does_not_keep_the_chat_from_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dusk.toml").write_text("name = ", encoding="utf-8")
    monkeypatch.setattr(resources, "themes_dir", lambda: tmp_path)
    async with chat() as c:
        assert c.app.theme == "textual-dark" and "dusk.toml" in c.app.notice.text
        await c.ask("hello")
        assert "hello" in c.text()
