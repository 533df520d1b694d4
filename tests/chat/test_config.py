"""The config file: read with what is wrong in it named, written with comments kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from alpaca_tui.chat.config import Config
from alpaca_tui.errors import UserError


def config(tmp_path: Path, text: str | bytes | None = None) -> Config:
    path = tmp_path / "设置" / "config.toml"
    if text is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Config(path, known_keys=("regenerate", "quit"))


def test_no_file_is_no_problem(tmp_path: Path) -> None:
    found = config(tmp_path)
    assert found["theme"] == "auto" and not found.problems and not found.settings


def test_everything_in_it_is_taken(tmp_path: Path) -> None:
    found = config(
        tmp_path,
        'theme = "paper"\nlanguage = "zh"\n[settings]\ntemp = 1\nn_ctx = 4096\n'
        '[presets.mine]\ntemp = 0.3\n[presets."我的"]\ntop_k = 20\n[keys]\nquit = "ctrl+x"\n',
    )
    assert not found.problems
    assert (found["theme"], found["language"]) == ("paper", "zh")
    assert found.settings == {"temp": 1.0, "n_ctx": 4096} and isinstance(found.settings["temp"], float)
    assert [(p.name, dict(p.values)) for p in found.presets] == [
        ("mine", {"temp": 0.3}),
        ("我的", {"top_k": 20}),
    ]
    assert found.keys == {"quit": "ctrl+x"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('them = "x"', "them is unknown; did you mean theme?"),
        ("[setings]\ntemp = 1", "setings is unknown; did you mean settings?"),
        ("[settings]\ntemperatur = 1", "settings.temperatur is unknown; known are temp, top_k"),
        ("[settings]\ntop_kk = 1", "settings.top_kk is unknown; did you mean top_k?"),
        ("[settings]\ntemp = 99", "settings.temp takes a number from 0 to 5, not 99."),
        ("[settings]\ntop_k = 2.5", "settings.top_k takes a whole number from 0 to 1,000,000, not 2.5."),
        ("[settings]\ntop_k = true", "settings.top_k takes"),
        ('[settings]\ntemp = "0.5"', "settings.temp takes"),
        ("[settings]\ntemp = nan", "settings.temp takes"),
        ('language = "fr"', 'language is one of "auto", "en", "zh".'),
        ("theme = 3", "theme is a text."),
        ("settings = 3", "settings is a table: write [settings]."),
        ("[presets]\nmine = 3", "presets.mine is a table: write [presets.mine]."),
        ("[presets.precise]\ntemp = 1", "ships with the program"),
        ("[presets.x]\nseed = 1", "presets.x.seed is unknown"),
        ('[keys]\nregenrate = "f5"', "keys.regenrate is unknown; did you mean regenerate?"),
        ("[keys]\nquit = 3", "keys.quit is a text such as"),
        ("theme = ", "is no TOML"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"# " + b"x" * (1 << 20), "over 1 MiB"),
        ("[" * 5000, "is no TOML"),
    ],
)
def test_what_is_wrong_is_said_in_both_languages(tmp_path: Path, text: str | bytes, says: str) -> None:
    found = config(tmp_path, text)
    assert len(found.problems) == 1
    assert says in found.problems[0].en and "config.toml" in found.problems[0].en
    assert found.problems[0].zh != found.problems[0].en
    assert found["theme"] == "auto" and not found.settings


def test_the_rest_of_a_file_with_a_mistake_counts(tmp_path: Path) -> None:
    found = config(tmp_path, 'theme = "paper"\nnonsense = 1\n[settings]\ntemp = 9\ntop_k = 3\n')
    assert len(found.problems) == 2 and found["theme"] == "paper" and found.settings == {"top_k": 3}


def test_a_value_is_written_and_comments_stay(tmp_path: Path) -> None:
    text = '# 我的设置\ntheme = "paper"  # for reading\nodd = 1\n\n[settings]\n# sober\ntemp = 0.5 # yes\n'
    found = config(tmp_path, text)
    found.set(("theme",), "dusk")
    found.set(("settings", "top_k"), 7)
    found.set(("presets", "晚上", "temp"), 0.3)
    written = found.path.read_text(encoding="utf-8")
    assert written.startswith(
        '# 我的设置\ntheme = "dusk"  # for reading\nodd = 1\n\n[settings]\n# sober\ntemp = 0.5 # yes\n'
    )
    assert found["theme"] == "dusk" and found.settings == {"temp": 0.5, "top_k": 7}
    assert found.presets[0].name == "晚上" and not found.changed_on_disk()
    found.set(("presets", "晚上"), None)
    assert not found.presets and "晚上" not in found.path.read_text(encoding="utf-8")
    found.set(("presets", "nobody"), None)  # is not there, and need not be
    assert [path.name for path in found.path.parent.iterdir()] == ["config.toml"]


def test_the_first_value_makes_the_file(tmp_path: Path) -> None:
    found = config(tmp_path)
    found.set(("language",), "zh")
    text = found.path.read_text(encoding="utf-8")
    assert text.startswith("# Settings of alpaca-tui.") and 'language = "zh"' in text
    assert Config(found.path)["language"] == "zh"


def test_a_broken_file_is_never_written_over(tmp_path: Path) -> None:
    found = config(tmp_path, "theme = ")
    with pytest.raises(UserError, match="no TOML"):
        found.set(("theme",), "dusk")
    assert found.path.read_text() == "theme = "


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = Config(tmp_path / "file" / "config.toml")
    with pytest.raises(UserError, match=r"config\.toml"):
        found.set(("theme",), "dusk")
    assert found["theme"] == "auto"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "dotfiles.toml").write_text("# mine\n")
    link = tmp_path / "config.toml"
    link.symlink_to(tmp_path / "dotfiles.toml")
    Config(link).set(("theme",), "paper")
    assert link.is_symlink() and 'theme = "paper"' in (tmp_path / "dotfiles.toml").read_text()


def test_a_change_on_disk_is_seen_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    found = config(tmp_path, 'theme = "paper"\n')
    found.path.write_text('theme = "dusk-and-more"\n')
    assert found.changed_on_disk()
    found.read()
    assert found["theme"] == "dusk-and-more" and not found.changed_on_disk()
    found.path.write_text("theme = [")
    found.read()
    assert found["theme"] == "dusk-and-more" and "no TOML" in found.problems[0].en


def test_without_a_file_it_lasts_as_long_as_the_program() -> None:
    found = Config()
    found.set(("theme",), "paper")
    found.set(("presets", "x", "temp"), 0.4)
    assert found["theme"] == "paper" and found.presets[0].values == {"temp": 0.4}
    assert not found.changed_on_disk()
