"""Themes: what ships can be read by people, and broken files are refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.color import Color

from alpaca_tui import resources
from alpaca_tui.errors import UserError
from alpaca_tui.tui.themes import COLORS, DEFAULT, ThemeFile, fallbacks, read_theme, themes_in, to_textual
from tests.tui.helpers import chat
from tests.tui.samples import MIXED
from tests.tui.scripted_engine import Script

SHIPPED, PROBLEMS = themes_in(resources.themes_dir())
TEXTS = ("ink", "quiet", "act", "now", "loss")


def contrast(a: str, b: str) -> float:
    def light(colour: str) -> float:
        parts = [part / 255 for part in Color.parse(colour).rgb]
        r, g, b = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    high, low = sorted((light(a), light(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_a_dark_and_a_light_one_ship() -> None:
    assert not PROBLEMS and {theme.dark for theme in SHIPPED} == {True, False}
    assert DEFAULT in {theme.name for theme in SHIPPED}
    assert all(set(theme.title) >= {"en", "zh"} for theme in SHIPPED)


@pytest.mark.parametrize("theme", SHIPPED, ids=lambda theme: theme.name)
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("ground", ["ground", "surface", "panel"])
def test_every_text_is_readable(theme: ThemeFile, text: str, ground: str) -> None:
    assert contrast(theme.colors[text], theme.colors[ground]) >= 4.5


@pytest.mark.parametrize("theme", SHIPPED, ids=lambda theme: theme.name)
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
    assert found == {"act": "#111111", "code-keyword": "#111111", "ground": "#222222"}


async def test_other_themes_can_be_chosen() -> None:
    async with chat(Script(replies=[MIXED])) as c:
        await c.ask("hello")
        for name in ("paper", "nord", "textual-light", "ansi-dark", DEFAULT):
            c.app.theme = name
            await c.settle()
            assert "hello" in c.text()


async def test_a_broken_or_missing_theme_does_not_keep_the_chat_from_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dusk.toml").write_text("name = ", encoding="utf-8")
    monkeypatch.setattr(resources, "themes_dir", lambda: tmp_path)
    async with chat() as c:
        assert c.app.theme == "textual-dark" and "dusk.toml" in c.app.notice.text
        await c.ask("hello")
        assert "hello" in c.text()
