"""The keys, in one table: bindings, the help page and the command palette are made from it.

All reach a program through Windows Terminal, tmux and macOS: plain Ctrl+letter, function keys below F10, and
keys without a chord. Every binding has an id, for a key map of the user's own.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding, BindingType


@dataclass(frozen=True)
class Key:
    """`keys` in Textual's names; `shown` as the help page prints them. `help` is a key of the strings."""

    id: str
    keys: str
    action: str
    shown: str
    group: str
    help: str
    priority: bool = True
    palette: bool = True


KEYS = (
    Key("regenerate", "ctrl+r,f5", "regenerate", "Ctrl+R  F5", "group_talk", "do_regenerate"),
    Key("continue_reply", "f6", "continue_reply", "F6", "group_talk", "do_continue_reply"),
    Key("interrupt", "ctrl+c", "interrupt", "Ctrl+C", "group_talk", "do_interrupt", palette=False),
    Key("escape", "escape", "escape", "Esc", "group_talk", "do_stop", palette=False),
    Key("copy", "ctrl+y", "copy", "Ctrl+Y", "group_transcript", "do_copy"),
    Key("chats", "ctrl+s,f3", "chats", "Ctrl+S  F3", "group_program", "do_chats"),
    Key("new_chat", "ctrl+n", "new_chat", "Ctrl+N", "group_program", "do_new_chat"),
    Key("open_model", "ctrl+o,f2", "open_model", "Ctrl+O  F2", "group_program", "do_open_model"),
    Key("setup", "f9", "setup", "F9", "group_program", "do_setup"),
    Key("reload", "f7", "reload", "F7", "group_program", "do_reload"),
    Key("sidebar", "ctrl+t,f4", "toggle_sidebar", "Ctrl+T  F4", "group_program", "do_sidebar"),
    Key(
        "command_palette",
        "ctrl+p",
        "command_palette",
        "Ctrl+P",
        "group_program",
        "do_command_palette",
        palette=False,
    ),
    Key("help", "f1", "help", "F1", "group_program", "do_help"),
    Key("quit", "ctrl+q", "quit", "Ctrl+Q", "group_program", "do_quit"),
)

# Keys that widgets handle themselves, for the help page.
OTHERS = (
    ("group_talk", "Enter", "do_send"),
    ("group_talk", "Ctrl+J  \\ Enter", "do_newline"),
    ("group_talk", "↑ ↓", "do_history"),
    ("group_transcript", "PgUp PgDn", "do_scroll"),
    ("group_transcript", "Ctrl+Home Ctrl+End", "do_scroll_end"),
    ("group_transcript", "‹ ›", "do_versions"),
)
GROUPS = ("group_talk", "group_transcript", "group_program")


def app_bindings() -> list[BindingType]:
    """What `App.BINDINGS` holds. The palette's own binding is Textual's."""
    return [
        Binding(key.keys, key.action, key.help, id=key.id, show=False, priority=key.priority)
        for key in KEYS
        if key.id != "command_palette"
    ]


def help_rows() -> list[tuple[str, list[tuple[str, str]]]]:
    """(group, [(keys, help)]) for the help page."""
    rows = [(group, keys, text) for group, keys, text in OTHERS] + [(k.group, k.shown, k.help) for k in KEYS]
    return [(group, [(keys, text) for g, keys, text in rows if g == group]) for group in GROUPS]
