"""What the user makes the program's own: presets, colours, language; and the files in which that is kept.

The config file and the folder of the user's themes are looked at every second: what is changed in them, by an
editor or by another window of the program, takes effect at once where it can.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from textual import on

from alpaca_tui import resources
from alpaca_tui.chat import presets
from alpaca_tui.chat.config import Config
from alpaca_tui.chat.presets import SHIPPED, Preset
from alpaca_tui.errors import UserError
from alpaca_tui.tui import themes
from alpaca_tui.tui.base import BaseApp
from alpaca_tui.tui.keymap import READ, KeyMap
from alpaca_tui.tui.screens.pick import Pick, PickScreen
from alpaca_tui.tui.screens.presets import PresetScreen
from alpaca_tui.tui.strings import LANGUAGES, choose
from alpaca_tui.tui.widgets.action_row import ActionRow

LOOK_SECONDS = 1.0  # between looks at the files
PROBLEM_SECONDS = 10.0
LANGUAGE_NAMES = {"en": "English", "zh": "简体中文"}


class Tailoring(BaseApp, inherit_bindings=False):
    config: Config
    _theme_problems: list[str]
    _theme_titles: dict[str, Mapping[str, str]]
    _own_themes: Path | None = None
    _themes_stamp: tuple[object, ...] = ()
    _language_asked: str | None = None  # by a flag; stronger than the config
    _before_reset: dict[str, int | float] | None = None

    def take_config(self, config: Config, language: str | None) -> None:
        """Before the first paint: colours, language and animations as the config has them."""
        self.config = config
        self._language_asked = language
        self._own_themes = config.path.parent / "themes" if config.path else None
        self._read_themes()
        self._use_theme()
        self.strings.use(self._language())
        self._use_animations()

    def start_tailoring(self) -> None:
        """After the first paint: the sidebar's presets, what is wrong in the files, and the looks at them."""
        self.sidebar.presets = self.presets()
        self.sidebar.refresh_values()
        self.use_keys()
        self._tell_problems()
        self.set_interval(LOOK_SECONDS, self.look_at_files)

    def look_at_files(self) -> None:
        """Takes in what changed on disk."""
        if self.config.changed_on_disk():
            self.config.read()
            self.config_changed()
            self._tell_problems()
        if self._own_themes is not None and themes.stamp(self._own_themes) != self._themes_stamp:
            self._read_themes()
            self._use_theme()
            self.mutate_reactive(type(self).theme)
            self._tell_problems()

    def config_changed(self) -> None:
        self._use_theme()
        self._use_animations()
        self.use_keys()
        language = self._language()
        if choose(language, os.environ) != self.strings.language:
            self.speak(language)
        self.session.settings.use_defaults(self.config.settings)
        self.session.settings_replaced()
        self.sidebar.presets = self.presets()
        self.sidebar.refresh_values()
        self.pump()

    def _tell_problems(self) -> None:
        said = [words.of(self.strings.language) for words in (*self.config.problems, *self.keys.problems)]
        if problems := self._theme_problems + said:
            self.notice.flash(" ".join(problems), PROBLEM_SECONDS)

    def keep(self, where: tuple[str, ...], value: object) -> bool:
        """Writes a value into the config file; says why where that cannot be."""
        try:
            self.config.set(where, value)
        except UserError as error:
            self.notice.flash(str(error), PROBLEM_SECONDS)
            return False
        return True

    # --- colours -------------------------------------------------------------------------------------------

    def _read_themes(self) -> None:
        self._theme_problems, self._theme_titles = [], {}
        folders = [resources.themes_dir(), *([self._own_themes] if self._own_themes else [])]
        for folder in folders:
            found, problems = themes.themes_in(folder)
            self._theme_problems += problems
            for theme in found:
                self.register_theme(themes.to_textual(theme))
                self._theme_titles[theme.name] = theme.title
        self._themes_stamp = themes.stamp(self._own_themes) if self._own_themes else ()

    def _use_theme(self) -> None:
        wanted = self.config["theme"]
        if wanted == themes.AUTO:
            wanted = themes.suited(os.environ)
        names = (wanted, themes.DEFAULT, themes.WITHOUT)
        self.theme = next(name for name in names if name in self.available_themes)
        if self.theme != wanted:
            self._theme_problems.append(self.strings("theme_unknown", name=wanted))

    def action_change_theme(self) -> None:
        """Colours are tried out as they are highlighted; Esc goes back."""
        before, say = self.theme, self.strings

        def title(name: str) -> str:
            return self._theme_titles.get(name, {}).get(say.language, "")

        ours = [Pick(name, title(name) or name, name) for name in self._theme_titles]
        others = [
            Pick(name, name) for name in sorted(self.available_themes) if name not in self._theme_titles
        ]
        auto = Pick(themes.AUTO, say("theme_auto"), themes.AUTO)

        def tried(name: str) -> None:
            self.theme = themes.suited(os.environ) if name == themes.AUTO else name

        def chosen(name: str | None) -> None:
            if name is None:
                self.theme = before
            elif self.keep(("theme",), name):
                self._use_theme()

        screen = PickScreen(
            say("themes_title"), [auto, *ours, *others], self.config["theme"], say("themes_keys"), tried
        )
        self.push_screen(screen, chosen)

    # --- language ------------------------------------------------------------------------------------------

    def _language(self) -> str | None:
        """None: that of the locale, where the terminal's font has its characters."""
        kept = self.config["language"]
        auto = "en" if self.terminal.few_signs else None
        return self._language_asked or (auto if kept == "auto" else kept)

    def action_change_language(self) -> None:
        say = self.strings
        picks = [Pick(code, LANGUAGE_NAMES[code]) for code in LANGUAGES]
        screen = PickScreen(say("language_title"), picks, say.language, say("pick_keys"))
        self.push_screen(screen, self.language_chosen)

    def language_chosen(self, language: str | None) -> None:
        if language is not None and self.keep(("language",), language):
            self._language_asked = None
            self.speak(language)

    def speak(self, language: str | None) -> None:
        """Everything on the screen in another language, at once."""
        self.strings.use(language)
        self.sidebar.say_anew()
        self.transcript.show_anew(self.session.conversation)
        self.transcript.mark_memory(self.session.memory_start)
        self.queue_view.show(self.session.queue, self.session.queue_held or not self.session.busy)
        self.say_all()

    def say_all(self) -> None:
        """Says anew what the application says itself."""
        raise NotImplementedError

    # --- keys ----------------------------------------------------------------------------------------------

    def use_keys(self) -> None:
        """The key map and what Enter does, as the config has them."""
        self.keys = KeyMap(self.config.keys)
        self.set_keymap(self.keys.textual())
        self.transcript.own_keys = set(self.keys.keys_of(READ))
        self.prompt.enter_sends = self.config["enter"] == "send"
        self.show_prompt_hint()

    # --- animations ----------------------------------------------------------------------------------------

    def _use_animations(self) -> None:
        self.animation_level = "full" if animated(self.config["animations"], os.environ) else "none"

    # --- presets and resets --------------------------------------------------------------------------------

    def presets(self) -> list[Preset]:
        return [*SHIPPED, *self.config.presets]

    @on(ActionRow.Pressed, "#row-preset")
    def _preset_row(self) -> None:
        self.action_presets()

    @on(ActionRow.Pressed, "#row-reset")
    def _reset_row(self) -> None:
        self.action_reset_settings()

    def action_presets(self) -> None:
        if self.modal_open:
            return
        now = presets.in_force(self.presets(), self.session.settings)
        screen = PresetScreen(
            self.strings,
            self.presets(),
            now.name if now else "",
            self._save_preset,
            self._delete_preset,
            self._restore_preset,
        )
        self.push_screen(screen, self._preset_chosen)

    def _preset_chosen(self, name: str | None) -> None:
        preset = next((p for p in self.presets() if p.name == name), None)
        if preset is not None:
            self.apply_preset(preset)
        else:
            self._presets_changed()

    def apply_preset(self, preset: Preset) -> None:
        presets.apply(preset, self.session.settings)
        self.session.settings_replaced()
        self._presets_changed()

    def _presets_changed(self) -> list[Preset]:
        self.sidebar.presets = self.presets()
        self.sidebar.refresh_values()
        self.pump()
        return self.presets()

    def _save_preset(self, name: str) -> Sequence[Preset]:
        return self._restore_preset(presets.from_settings(name, self.session.settings))

    def _delete_preset(self, name: str) -> Sequence[Preset]:
        self.config.set(("presets", name), None)
        return self._presets_changed()

    def _restore_preset(self, preset: Preset) -> Sequence[Preset]:
        self.config.set(("presets", preset.name), dict(preset.values))
        return self._presets_changed()

    def action_reset_settings(self) -> None:
        """All settings of this chat as by default; once more, and they are as they were."""
        settings = self.session.settings
        now = settings.of_chat()
        if now:
            self._before_reset = now
            settings.use_of_chat({})
            self.notice.flash(self.strings("settings_reset"))
        elif self._before_reset:
            settings.use_of_chat(self._before_reset)
            self._before_reset = None
            self.notice.flash(self.strings("settings_restored"))
        self.session.settings_replaced()
        self.pump()

    def action_keep_settings(self) -> None:
        """The settings in force become the defaults of new chats."""
        settings = self.session.settings
        values = {**self.config.settings, **{key: settings[key] for key in settings.chosen}}
        if self.keep(("settings",), values):
            settings.use_defaults(self.config.settings)
            self.session.settings_replaced()
            self.notice.flash(self.strings("settings_kept"))
        self.pump()


def animated(wanted: str, environ: Mapping[str, str]) -> bool:
    """Whether things may glide: not where each frame goes over a network, or over a slow console."""
    if wanted != "auto":
        return wanted == "on"
    slow = any(environ.get(name) for name in ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY", "MOSH_CONNECTION"))
    return not slow and environ.get("TERM") not in ("linux", "dumb")
