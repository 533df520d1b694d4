"""What F1 says of the thing that has the focus, and of the terminal that all this runs in."""

from __future__ import annotations

from collections.abc import Sequence

from textual.screen import Screen
from textual.widget import Widget

from alpaca_tui.tui.commands import COMMANDS
from alpaca_tui.tui.keymap import GROUPS, KeyMap, shown_key
from alpaca_tui.tui.strings import Strings
from alpaca_tui.tui.terminals import Terminal
from alpaca_tui.tui.widgets.find_bar import FindBar
from alpaca_tui.tui.widgets.prompt import Prompt
from alpaca_tui.tui.widgets.setting_row import SettingRow
from alpaca_tui.tui.widgets.transcript import Transcript

# What is open over the chat, by the name of its class.
DIALOGS = {
    "ChatsScreen": "topic_chats",
    "OpenModelScreen": "topic_open",
    "SetupScreen": "topic_setup",
    "PresetScreen": "topic_presets",
    "PickScreen": "topic_pick",
    "PromptScreen": "topic_prompts",
    "RawPromptScreen": "topic_raw",
    "ActivityScreen": "topic_activity",
    "AskScreen": "topic_ask",
    "FirstRunScreen": "topic_first",
}


def topic(screen: Screen[object], modal: bool, focused: Widget | None, say: Strings) -> str:
    """A sentence or three about what is in use; empty where there is nothing to say."""
    if modal:
        key = next((DIALOGS[c.__name__] for c in type(screen).__mro__ if c.__name__ in DIALOGS), "")
        return say(key) if key else ""
    if isinstance(focused, SettingRow):
        setting = focused.setting
        language = say.language
        return f"{setting.name.of(language)}: {setting.help.of(language)} {say('topic_setting')}"
    if isinstance(focused, Transcript):
        return say("topic_read")
    if isinstance(focused, FindBar.Field):
        return say("topic_find")
    return say("topic_prompt") if isinstance(focused, Prompt) else say("topic_sidebar") if focused else ""


def groups_for(focused: Widget | None) -> tuple[str, ...]:
    """The groups of keys, those that count now first."""
    first = "group_read" if isinstance(focused, Transcript) else GROUPS[0]
    return (first, *(group for group in GROUPS if group != first))


def terminal_lines(terminal: Terminal, keys: KeyMap, say: Strings) -> Sequence[str]:
    """What the terminal does otherwise than one might expect."""
    lines = []
    kept = []
    for key in terminal.keeps:
        command = next((c for c in COMMANDS if c.key and key in keys[c.key]), None)
        if command is not None:
            kept.append(f"{shown_key(key)} (/{command.name})")
    if kept:
        lines.append(say("terminal_keeps", name=terminal.name, keys=", ".join(kept)))
    if terminal.fn_keys:
        lines.append(say("terminal_fn"))
    if terminal.select:
        lines.append(say("terminal_select", held=terminal.select))
    if not terminal.osc52:
        lines.append(say("terminal_copy", name=terminal.name))
    return lines
