"""docs/settings.md and its Chinese twin, made from the tables of settings and preferences.

python -m tools.settings_docs            writes both
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from alpaca_tui.chat.config import NAME
from alpaca_tui.chat.preferences import PREFERENCES
from alpaca_tui.chat.presets import SHIPPED
from alpaca_tui.chat.schema import APPLIES, Setting, Words
from alpaca_tui.chat.settings_table import BY_KEY, SETTINGS
from alpaca_tui.resources import themes_dir
from alpaca_tui.tui.themes import themes_in

DOCS = Path(__file__).resolve().parent.parent / "docs"
FILES = {"en": DOCS / "settings.md", "zh": DOCS / "settings.zh-CN.md"}
NOTE = "<!-- Made by `python -m tools.settings_docs`; change the tables in alpaca_tui/chat instead. -->"
EXAMPLE = """\
language = "zh"
theme = "xuan"

[settings]            # {defaults}
temp = 0.7
n_predict = -1

[presets."{name}"]
temp = 0.3
repeat_penalty = 1.2

[keys]                # {keys}
regenerate = "ctrl+r,f5"
"""
TEXTS = {
    "title": Words("Settings", "设置"),
    "other": Words("[简体中文](settings.zh-CN.md)", "[English](settings.md)"),
    "intro": Words(
        "Settings are changed in the sidebar (F4), by flags, or in the config file. Those of the first table "
        "belong to a chat and are kept with it; what a flag or the sidebar sets is stronger than the config "
        "file. `alpaca-tui main` takes flags only, so that a script does the same everywhere.",
        "参数可以在侧栏（F4）、命令行或设置文件里更改。第一张表里的参数属于对话，随对话保存；命令行和侧栏的"
        "设置优先于设置文件。`alpaca-tui main` 只认命令行参数，脚本在哪里运行都一样。",
    ),
    "chat": Words("Of a chat", "属于对话的"),
    "advanced": Words("More samplers", "更多采样参数"),
    "program": Words("Of the program", "属于程序的"),
    "name": Words("Setting", "参数"),
    "key": Words("key, flag", "键名、命令行参数"),
    "range": Words("range", "范围"),
    "default": Words("default", "默认"),
    "applies": Words("takes effect", "何时生效"),
    "does": Words("what it does", "作用"),
    "presets": Words("Presets", "预设"),
    "presets_intro": Words(
        "The row Preset of the sidebar opens the list: Enter applies one, S saves the present settings under "
        "a name, D deletes one of your own and U brings it back. A preset sets all that belongs to a chat, "
        "but for the seed; what is not named here is as by default.",
        "侧栏的“预设”一行打开列表：Enter 应用，S 把当前参数存为新预设，D 删除自己"
        "的预设，U 恢复。预设决定对话的"
        "全部参数（随机种子除外）；此处没有列出的为默认值。",
    ),
    "config": Words("The config file", "设置文件"),
    "config_intro": Words(
        f"`{NAME}` in the folder that the system has for settings: on Linux "
        "`~/.config/alpaca-tui/`, on macOS "
        "`~/Library/Application Support/alpaca-tui/`, on Windows `%LOCALAPPDATA%\\alpaca-tui\\`. It is "
        "looked at every second: what changes in it takes effect at once where it can. The program writes "
        "single values into it and keeps comments and order. What is unknown or impossible is said with the "
        "nearest that is known, and left out. Your own themes are TOML files in the folder `themes` beside "
        "it, your own prompts text files in `prompts`.",
        f"系统存放设置的文件夹里的 `{NAME}`：Linux 为 `~/.config/alpaca-tui/`，macOS 为 "
        "`~/Library/Application Support/alpaca-tui/`，Windows 为 `%LOCALAPPDATA%\\alpaca-tui\\`。程序每秒查看"
        "一次，能立即生效的改动立即生效。程序只改写个别值，保留注释和顺序。不认识或不可能的内容会连同最接近的"
        "名称一起指出，并被忽略。旁边的 `themes` 文件夹放自己的配色（TOML 文件）"
        "，`prompts` 文件夹放自己的提示"
        "（文本文件）。",
    ),
    "values": Words("values", "可用的值"),
    "any": Words("a name or a path", "名称或路径"),
    "themes": Words("Themes", "配色"),
    "themes_intro": Words(
        "A theme has a name, `dark = true` or `false`, a `[title]` in each language and `[colors]`; "
        "copy one of [themes/](../themes) to begin with. With `terminal = true` colours are the names of the "
        "terminal's own sixteen. Every text of those that ship has a contrast of 4.5:1 or more. `NO_COLOR` "
        "chooses one of the terminal's own, without colours.",
        "一个配色有名称、`dark = true` 或 `false`、各语言的 `[title]` 和 "
        "`[colors]`；可以从 [themes/](../themes) "
        "复制一个开始。写上 `terminal = true`，颜色就用终端自带的十六色名称。自带"
        "配色里每种文字的对比度都不低于 "
        "4.5:1。设置了 `NO_COLOR` 时使用终端自身的一套，不带颜色。",
    ),
    "defaults": Words("defaults of new chats", "新对话的默认值"),
    "preset_name": Words("evening", "晚上"),
    "keys": Words("keys of actions", "各操作的按键"),
}


def page(language: str) -> str:
    """The whole document."""
    return "\n".join(_lines(language)) + "\n"


def _lines(language: str) -> Iterator[str]:
    def say(key: str) -> str:
        return TEXTS[key].of(language)

    yield from (NOTE, "", f"# {say('title')}", "", say("other"), "", say("intro"))
    groups = (
        ("chat", [s for s in SETTINGS if s.per_chat and not s.advanced]),
        ("advanced", [s for s in SETTINGS if s.advanced]),
        ("program", [s for s in SETTINGS if not s.per_chat]),
    )
    for title, settings in groups:
        yield from ("", f"## {say(title)}", "")
        heads = ("name", "key", "range", "default", "applies", "does")
        yield _row(*map(say, heads))
        yield _row(*["---"] * len(heads))
        for setting in settings:
            yield _setting(setting, language)
    yield from ("", f"## {say('presets')}", "", say("presets_intro"), "")
    for preset in SHIPPED:
        values = ", ".join(f"`{key} = {value:g}`" for key, value in preset.values.items())
        tail = f" {values}" if values else ""
        colon = ":" if language == "en" else "："
        yield f"- **{preset.title(language)}** (`{preset.name}`){colon} {preset.about(language)}.{tail}"
    yield from ("", f"## {say('config')}", "", say("config_intro"), "", "```toml")
    yield EXAMPLE.format(defaults=say("defaults"), name=say("preset_name"), keys=say("keys")).rstrip()
    yield from ("```", "", _row(say("name"), say("values"), say("default"), say("applies"), say("does")))
    yield _row(*["---"] * 5)
    for preference in PREFERENCES:
        values = ", ".join(f"`{value}`" for value in preference.values) or say("any")
        yield _row(
            f"`{preference.key}`",
            values,
            f"`{preference.default}`",
            preference.applies.of(language),
            preference.help.of(language),
        )
    yield from ("", f"## {say('themes')}", "", say("themes_intro"), "")
    for theme in themes_in(themes_dir())[0]:
        yield f"- `{theme.name}`: {theme.title[language]}"


def _setting(setting: Setting, language: str) -> str:
    flags = [flag for flag in setting.flags if "_" not in flag]
    special = "".join(f"; {value}: {name.of(language)}" for value, name in setting.special)
    unit = f" {setting.unit.of(language)}" if setting.unit else ""
    return _row(
        setting.name.of(language),
        f"`{setting.key}` " + " ".join(f"`{flag}`" for flag in flags),
        f"{_number(setting, setting.low)} … {_number(setting, setting.high)}{unit}{special}",
        BY_KEY[setting.key].text(setting.default, language),
        APPLIES[setting.applies].of(language).rstrip(".。"),
        setting.help.of(language),
    )


def _number(setting: Setting, value: int | float) -> str:
    return f"{value:,}" if setting.kind is int else f"{value:g}"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> None:
    for language, path in FILES.items():
        path.write_text(page(language), encoding="utf-8")


if __name__ == "__main__":
    main()
