"""Slash commands as the application runs them, their completion while they are typed, and the palette."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from pathlib import Path

from textual import on
from textual.app import SystemCommand
from textual.screen import Screen
from textual.widgets import TextArea

from alpaca_tui.chat.config import Config
from alpaca_tui.chat.preferences import BY_NAME as PREFERENCES
from alpaca_tui.chat.settings import BY_KEY
from alpaca_tui.errors import UserError
from alpaca_tui.tui import themes
from alpaca_tui.tui.base import BaseApp
from alpaca_tui.tui.commands import BY_NAME, COMMANDS, Call, Completion, Takes, completions, literal, parse
from alpaca_tui.tui.completion import complete
from alpaca_tui.tui.strings import LANGUAGES
from alpaca_tui.tui.widgets.completion_list import CompletionList
from alpaca_tui.tui.widgets.prompt import Prompt

SAID_SECONDS = 8.0


class SlashActions(BaseApp, inherit_bindings=False):
    config: Config
    completion_list: CompletionList
    _completion_left = ""  # the line whose completion was closed with Esc

    # --- running -------------------------------------------------------------------------------------------

    @on(Prompt.Submitted)
    async def _submitted(self, event: Prompt.Submitted) -> None:
        text = event.text
        self.completion_list.show(())
        if self.sent_edit(text):
            return
        call = parse(text)
        if call is not None:
            await self.run_command(call, text)
        else:
            self.session.submit(literal(text))
        self.pump()

    async def run_command(self, call: Call, text: str) -> None:
        """Runs a line. One that cannot be run goes back into the prompt, and the reason is said."""
        try:
            await self._run(call)
        except UserError as error:
            if not self.prompt.text:
                self.prompt.replace_text(text)
            self.notice.flash(str(error), SAID_SECONDS)

    async def _run(self, call: Call) -> None:
        say, command, argument = self.strings, call.command, call.argument
        if command is None:
            near = say("command_near", name=call.nearest) if call.nearest else ""
            raise UserError(f"{say('command_unknown', name=call.name[:40])} {near}{say('command_literal')}")
        if argument and command.takes is Takes.NOTHING:
            raise UserError(say("command_takes_nothing", name=command.name))
        if not argument and command.needs:
            raise UserError(say("command_needs", name=command.name, what=say(f"takes_{command.takes.value}")))
        does = f"with_{command.action}" if argument else f"action_{command.action}"
        method = getattr(self, does)
        result = method(argument) if argument else method()
        if inspect.isawaitable(result):
            await result

    def with_set(self, argument: str) -> None:
        """`temp 0.2`, `enter newline`; a name alone tells the value."""
        say, (name, _, value) = self.strings, argument.replace("=", " ", 1).partition(" ")
        name, value = name.strip().lstrip("-").replace("-", "_"), value.strip()
        settings, language = self.session.settings, self.strings.language
        by_flag = {flag.lstrip("-").replace("-", "_"): s for s in BY_KEY.values() for flag in s.flags}
        if (setting := BY_KEY.get(name) or by_flag.get(name)) is not None:
            key = setting.key
            if value:
                default = value in ("default", say("set_default"))
                self.session.change_setting(key, None if default else value)
                self.sidebar.refresh_values()
            now = setting.text(settings[key], language)
            text = f"{setting.name.of(language)}: {now}. {setting.help.of(language)}"
            self.notice.flash(text if not value else f"{setting.name.of(language)}: {now}", SAID_SECONDS)
        elif (preference := PREFERENCES.get(name)) is not None:
            if value and preference.values and value not in preference.values:
                raise UserError(say("set_one_of", name=name, values=", ".join(preference.values)))
            if value:
                self.config.set((name,), value)
                self.config_changed()
            self.notice.flash(f"{name}: {self.config[name]}. {preference.help.of(language)}", SAID_SECONDS)
        else:
            raise UserError(say("set_unknown", name=name))

    def with_change_theme(self, name: str) -> None:
        if name not in self.available_themes and name != themes.AUTO:
            raise UserError(self.strings("theme_none", name=name[:40]))
        self.config.set(("theme",), name)
        self.config_changed()

    def with_change_language(self, name: str) -> None:
        code = {"english": "en", "chinese": "zh", "中文": "zh", "简体中文": "zh"}.get(name.lower(), name)
        if code not in LANGUAGES:
            raise UserError(self.strings("language_none"))
        self.language_chosen(code)

    def with_presets(self, name: str) -> None:
        preset = next((preset for preset in self.presets() if preset.name == name), None)
        if preset is None:
            raise UserError(self.strings("preset_none", name=name[:40]))
        self.apply_preset(preset)

    def with_open_model(self, argument: str) -> None:
        path = Path(argument).expanduser()
        if not path.is_file():
            raise UserError(self.strings("open_missing", path=argument))
        if not self.session.load(path):
            raise UserError(self.strings("open_busy"))
        self.notice.clear_kept()

    def with_help(self, argument: str) -> None:
        """One command, explained in a line."""
        command = BY_NAME.get(argument.lstrip("/").lower())
        if command is None:
            raise UserError(self.strings("command_unknown", name=argument[:40]))
        self.notice.flash(f"{self._usage(command.name)}  {self.strings(command.about)}", SAID_SECONDS)

    def _usage(self, name: str) -> str:
        say, command = self.strings, BY_NAME[name]
        takes = f" {say(f'takes_{command.takes.value}')}" if command.takes is not Takes.NOTHING else ""
        also = "".join(f"  /{alias}" for alias in command.aliases)
        keys = f"  {self.keys.shown(command.key)}" if command.key else ""
        return f"/{command.name}{takes}{also}{keys}"

    # --- completing ----------------------------------------------------------------------------------------

    @on(Prompt.HeldBack)
    def _held_back(self) -> None:
        self.notice.flash(self.strings("held_back"), SAID_SECONDS)

    @on(TextArea.Changed, "#prompt")
    def _complete(self) -> None:
        text = self.prompt.text
        found: Sequence[Completion] = ()
        if text.startswith("/") and text != self._completion_left and not self.editing:
            found = [Completion(c.line, self._about(c.about)) for c in completions(text, self._choices)]
        self.completion_list.show(found, self.size.height // 3)

    def _about(self, about: str) -> str:
        return self.strings(about) if about in self.strings else about

    def _choices(self, takes: Takes, argument: str) -> Sequence[tuple[str, str]]:
        language = self.strings.language
        match takes:
            case Takes.COMMAND:
                return [(c.name, c.about) for c in COMMANDS]
            case Takes.SETTING:
                return self._setting_choices(argument, language)
            case Takes.THEME:
                return [(name, "") for name in sorted(self.available_themes)]
            case Takes.LANGUAGE:
                return [(code, "") for code in LANGUAGES]
            case Takes.PRESET:
                return [(preset.name, "") for preset in self.presets()]
            case Takes.PATH:
                path = complete(argument)
                return [(path, "")] if path else []
            case _:
                return []

    def _setting_choices(self, argument: str, language: str) -> Sequence[tuple[str, str]]:
        name, space, _ = argument.partition(" ")
        if space:
            preference = PREFERENCES.get(name)
            values = preference.values if preference is not None else ()
            if setting := BY_KEY.get(name):
                values = ("default", f"{setting.default:g}")
            return [(value, "") for value in values]
        own = [(key, setting.name.of(language)) for key, setting in BY_KEY.items()]
        return own + [(key, preference.help.of(language)) for key, preference in PREFERENCES.items()]

    def completion_key(self, key: str) -> bool:
        """A key while the prompt has the focus. True: it was meant for the list over it."""
        shown, prompt = self.completion_list, self.prompt
        if not shown.open:
            return False
        match key:
            case "up" | "down":
                shown.move(-1 if key == "up" else 1)
            case "tab":
                self._take_completion()
            case "enter" if self._half_a_command(prompt.text):
                self._take_completion()
            case _:
                return False
        return True

    def _half_a_command(self, text: str) -> bool:
        """Is this the beginning of a command's name, or of what has to stand behind it?"""
        call = parse(text)
        if call is None or (call.command is not None and call.command.name != call.name.lower()):
            return False
        return call.command is None or (call.command.needs and not call.argument)

    def _take_completion(self) -> None:
        chosen = self.completion_list.chosen
        if chosen is not None:
            self.prompt.replace_text(chosen.line)

    def close_completion(self) -> bool:
        """Esc: the list goes, the text stays. False where there is none."""
        if not self.completion_list.open:
            return False
        self._completion_left = self.prompt.text
        self.completion_list.show(())
        return True

    @on(CompletionList.Clicked)
    async def _completion_clicked(self) -> None:
        chosen = self.completion_list.chosen
        self._take_completion()
        self.main.set_focus(self.prompt)
        call = parse(chosen.line) if chosen is not None else None
        if call is not None and call.command is not None and not call.command.needs:
            self.prompt.send()

    # --- the palette ---------------------------------------------------------------------------------------

    def get_system_commands(self, screen: Screen[None]) -> Iterable[SystemCommand]:
        say = self.strings
        for command in COMMANDS:
            if command.palette:
                text = say(command.about)
                keys = self.keys.shown(command.key) if command.key else ""
                method = getattr(self, f"action_{command.action}")
                yield SystemCommand(text[:1].upper() + text[1:], f"/{command.name}  {keys}".strip(), method)
