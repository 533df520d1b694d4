"""All that can be done by a command, in one table: slash commands, their completion, and the command palette.

A line that begins with "/" is a command; "//" at its beginning stands for a slash that is meant. Text of
several lines is never a command: what is pasted may begin with anything.
"""

from __future__ import annotations

import difflib
import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass


class Takes(enum.Enum):
    """What may stand behind a command."""

    NOTHING = "nothing"
    NUMBER = "number"
    WORDS = "words"
    PATH = "path"  # any file
    COMMAND = "command"
    SETTING = "setting"  # a name and a value
    THEME = "theme"
    LANGUAGE = "language"
    PRESET = "preset"


@dataclass(frozen=True)
class Command:
    """`/name`. Alone it is the application's `action_<action>`; with something behind it, `with_<action>`.

    `about` is a key of the strings. `key` is the id in the key map whose keys do the same. `needs`: it is
    nothing without what it takes.
    """

    name: str
    action: str
    about: str
    takes: Takes = Takes.NOTHING
    key: str = ""
    aliases: tuple[str, ...] = ()
    needs: bool = False
    palette: bool = True


C, T = Command, Takes
COMMANDS: tuple[Command, ...] = (
    # this reply, this chat
    C("regen", "regenerate", "do_regenerate", key="regenerate", aliases=("regenerate", "again")),
    C("continue", "continue_reply", "do_continue_reply", key="continue_reply", aliases=("go",)),
    C("stop", "stop", "do_stop", key="escape"),
    C("edit", "edit_last", "do_edit_last"),
    C("branch", "branch_here", "do_branch_here", aliases=("fork",)),
    C("delete", "delete_last", "do_delete_last"),
    C("undo", "undo_delete", "do_undo_delete"),
    C("older", "version_back_of_last", "do_version_back"),
    C("newer", "version_on_of_last", "do_version_on"),
    C("copy", "copy", "do_copy", key="copy"),
    C("code", "copy_code", "do_copy_code", T.NUMBER),
    C("find", "find", "do_find", T.WORDS, key="find", aliases=("search",)),
    C("read", "read", "do_read", key="read"),
    # chats
    C("new", "new_chat", "do_new_chat", key="new_chat", aliases=("clear",)),
    C("chats", "chats", "do_chats", key="chats", aliases=("sessions",)),
    C("last", "last_chat", "do_last_chat", aliases=("resume",)),
    C("rename", "rename_chat", "do_rename_chat", T.WORDS, aliases=("title",)),
    C("export", "export_chat", "do_export_chat", T.PATH, aliases=("save",)),
    C("import", "import_chats", "do_import_chats", T.PATH),
    # model and settings
    C("open", "open_model", "do_open_model", T.PATH, key="open_model", aliases=("model", "load")),
    C("reload", "reload", "do_reload", key="reload"),
    C("setup", "setup", "do_setup", T.PATH, key="setup"),
    C("set", "set", "do_set", T.SETTING, needs=True, palette=False),
    C("settings", "toggle_sidebar", "do_sidebar", key="sidebar", aliases=("parameters",)),
    C("preset", "presets", "do_presets", T.PRESET, aliases=("presets",)),
    C("reset", "reset_settings", "do_reset_settings"),
    C("prompt", "prompts", "do_prompts", aliases=("prompts", "system")),
    C("raw", "raw_prompt", "do_raw_prompt"),
    C("keep", "keep_settings", "do_keep_settings"),
    # the program
    C("theme", "change_theme", "do_theme", T.THEME, aliases=("themes", "colors", "colours")),
    C("lang", "change_language", "do_language", T.LANGUAGE, aliases=("language",)),
    C("editor", "editor", "do_editor", key="editor"),
    C("stats", "activity", "do_activity", key="activity"),
    C("log", "log", "do_log", aliases=("logs",)),
    C("tour", "first_run", "do_first_run"),
    C("commands", "command_palette", "do_command_palette", key="command_palette", palette=False),
    C("help", "help", "do_help", T.COMMAND, key="help", aliases=("?", "h")),
    C("quit", "quit", "do_quit", key="quit", aliases=("exit", "bye", "q")),
)
BY_NAME = {name: command for command in COMMANDS for name in (command.name, *command.aliases)}
LONGEST = 4096  # characters of a line that is looked at as a command


@dataclass(frozen=True)
class Call:
    """A line taken apart. `command` None: there is no such command, and `nearest` names one that is alike."""

    name: str
    argument: str
    command: Command | None
    nearest: str = ""


def literal(text: str) -> str:
    """What is sent for a text that is no command: one slash less, where a line begins with two."""
    return text[1:] if text.startswith("//") and "\n" not in text.strip() else text


def parse(text: str) -> Call | None:
    """The command that a text is. None: it is a message."""
    line = text.strip()
    if not text.startswith("/") or line.startswith("//") or "\n" in line or len(line) > LONGEST:
        return None
    name, _, argument = line[1:].partition(" ")
    command = BY_NAME.get(name.lower())
    nearest = ""
    if command is None:
        close = difflib.get_close_matches(name.lower(), BY_NAME, n=1, cutoff=0.5)
        nearest = close[0] if close else ""
    return Call(name, argument.strip(), command, nearest)


@dataclass(frozen=True)
class Completion:
    """`line` is what the prompt says when it is taken; `about` is a key of the strings, or text already."""

    line: str
    about: str = ""


Choices = Callable[[Takes, str], Sequence[tuple[str, str]]]
"""What may stand behind a command: (value, about it) by what it takes and what is there already."""

SHOWN = 8


def completions(text: str, choices: Choices) -> list[Completion]:
    """What a line that begins with "/" may become, the likeliest first."""
    if not text.startswith("/") or text.startswith("//") or "\n" in text or len(text) > LONGEST:
        return []
    name, space, argument = text[1:].partition(" ")
    if not space:
        return [Completion(f"/{c.name}" + (" " if c.needs else ""), c.about) for c in named(name)]
    command = BY_NAME.get(name.lower())
    if command is None or command.takes in (Takes.NOTHING, Takes.WORDS, Takes.NUMBER):
        return []
    head, _, begun = argument.rpartition(" ") if command.takes is Takes.SETTING else ("", "", argument)
    lead = f"/{name} {head} " if head else f"/{name} "
    found = choices(command.takes, argument)
    begins = [c for c in found if c[0].lower().startswith(begun.lower())]
    inside = [c for c in found if begun and c not in begins and begun.lower() in c[0].lower()]
    lines = [Completion(lead + value, about) for value, about in begins + inside]
    return [c for c in lines if c.line != text]


def named(begun: str) -> list[Command]:
    """The commands whose name begins with this, then those with an alias that does, then those it is in."""
    begun = begun.lower()
    first = sorted((c for c in COMMANDS if c.name.startswith(begun)), key=lambda c: c.name != begun)
    alias = [c for c in COMMANDS if any(a.startswith(begun) for a in c.aliases)]
    inside = [c for c in COMMANDS if len(begun) > 1 and begun in c.name]
    return list(dict.fromkeys([*first, *alias, *inside]))
