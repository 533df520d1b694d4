"""The keys, in one table: bindings, the help page and the hints are made from it, and the user's own map.

All reach a program through Windows Terminal, tmux and macOS: plain Ctrl+letter, function keys below F10, and
keys without a chord. Every binding has an id, by which `[keys]` in the config file gives it others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from textual.binding import Binding, BindingType

from alpaca_tui.chat.schema import Words

APP, PROMPT, READ = "app", "prompt", "read"  # where a key counts: everywhere, or where the focus is


@dataclass(frozen=True)
class Key:
    """`keys` in Textual's names. `help` is a key of the strings. `where`: APP, PROMPT or READ."""

    id: str
    keys: str
    action: str
    group: str
    help: str
    where: str = APP

    @property
    def priority(self) -> bool:
        return self.where == APP


KEYS = (
    Key("newline", "ctrl+j,shift+enter,alt+enter", "newline", "group_talk", "do_newline", PROMPT),
    Key("escape", "escape", "escape", "group_talk", "do_escape"),
    Key("interrupt", "ctrl+c", "interrupt", "group_talk", "do_interrupt"),
    Key("regenerate", "ctrl+r,f5", "regenerate", "group_talk", "do_regenerate"),
    Key("continue_reply", "f6", "continue_reply", "group_talk", "do_continue_reply"),
    Key("history_back", "up", "up", "group_talk", "do_history", PROMPT),
    Key("history_forward", "down", "down", "group_talk", "do_history_forward", PROMPT),
    Key("editor", "ctrl+g", "editor", "group_talk", "do_editor"),
    Key("read", "shift+tab", "app.read", "group_transcript", "do_read", PROMPT),
    Key("find", "ctrl+f", "find", "group_transcript", "do_find"),
    Key("copy", "ctrl+y", "copy", "group_transcript", "do_copy"),
    Key("page_up", "pageup", "page(-1)", "group_transcript", "do_scroll", PROMPT),
    Key("page_down", "pagedown", "page(1)", "group_transcript", "do_scroll_on", PROMPT),
    Key("scroll_start", "ctrl+home", "to_start", "group_transcript", "do_scroll_start", PROMPT),
    Key("scroll_end", "ctrl+end", "to_end", "group_transcript", "do_scroll_end", PROMPT),
    Key("new_chat", "ctrl+n", "new_chat", "group_program", "do_new_chat"),
    Key("chats", "ctrl+s,f3,ctrl+backslash", "chats", "group_program", "do_chats"),
    Key("open_model", "ctrl+o,f2", "open_model", "group_program", "do_open_model"),
    Key("setup", "f9", "setup", "group_program", "do_setup"),
    Key("reload", "f7", "reload", "group_program", "do_reload"),
    Key("sidebar", "ctrl+t,f4", "toggle_sidebar", "group_program", "do_sidebar"),
    Key("activity", "f8", "activity", "group_program", "do_activity"),
    Key("command_palette", "ctrl+p", "command_palette", "group_program", "do_command_palette"),
    Key("help", "f1", "help", "group_program", "do_help"),
    Key("quit", "ctrl+q", "quit", "group_program", "do_quit"),
    Key("delete_or_quit", "ctrl+d", "delete_or_quit", "group_program", "do_delete_or_quit", PROMPT),
    # without a chord, while the transcript has the focus
    Key("read_up", "up,k", "move(-1)", "group_read", "read_up", READ),
    Key("read_down", "down,j", "move(1)", "group_read", "read_down", READ),
    Key("read_first", "g,home", "ends(-1)", "group_read", "read_first", READ),
    Key("read_last", "G,end", "ends(1)", "group_read", "read_last", READ),
    Key("read_page_up", "pageup", "page(-1)", "group_read", "do_scroll", READ),
    Key("read_page_down", "pagedown,space", "page(1)", "group_read", "do_scroll_on", READ),
    Key("read_copy", "y", "app.read_do('copy')", "group_read", "read_copy", READ),
    Key("read_code", "c", "app.read_do('code')", "group_read", "read_code", READ),
    Key("read_edit", "e", "app.read_do('edit')", "group_read", "read_edit", READ),
    Key("read_anew", "r", "app.read_do('anew')", "group_read", "read_anew", READ),
    Key("read_branch", "b", "app.read_do('branch')", "group_read", "read_branch", READ),
    Key("read_delete", "d", "app.read_do('delete')", "group_read", "read_delete", READ),
    Key("read_undo", "u", "app.read_do('undo')", "group_read", "read_undo", READ),
    Key("read_older", "left", "app.read_do('older')", "group_read", "do_version_back", READ),
    Key("read_newer", "right", "app.read_do('newer')", "group_read", "do_version_on", READ),
    Key("read_find", "slash", "app.find", "group_read", "do_find", READ),
    Key("read_next", "n", "app.find_on", "group_read", "read_next", READ),
    Key("read_previous", "N", "app.find_back", "group_read", "read_previous", READ),
    Key("read_leave", "i,enter,shift+tab", "app.leave_reading", "group_read", "read_leave", READ),
)
BY_ID = {key.id: key for key in KEYS}
IDS = tuple(BY_ID)
ALSO = (("group_talk", "Enter", "do_send"),)  # what the prompt handles itself
GROUPS = ("group_talk", "group_transcript", "group_read", "group_program")
NO_KEY = "f24"  # what an action has that is left without a key: Textual has no word for none
MAX_KEYS = 6

# What a terminal sends for these is the same as for another key.
SAME = {
    "ctrl+i": "tab",
    "ctrl+m": "enter",
    "ctrl+h": "backspace",
    "ctrl+left_square_bracket": "escape",
    "ctrl+[": "escape",
}
NAMES = {
    "escape": "Esc",
    "enter": "Enter",
    "space": "Space",
    "tab": "Tab",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "home": "Home",
    "end": "End",
    "insert": "Ins",
    "delete": "Del",
    "backspace": "Backspace",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "slash": "/",
    "backslash": "\\",
    "question_mark": "?",
}
MODIFIERS = ("ctrl", "shift", "alt")
ALWAYS_FIRST = ("interrupt", "quit", "help")  # another action cannot take the last key of these


class KeyMap:
    """The keys in force: those of the table, and those of the user's (`own`: ids to keys with commas).

    `problems` says what is wrong in the user's map, in each language; what is wrong is left out.
    """

    def __init__(self, own: Mapping[str, str] | None = None) -> None:
        self.problems: list[Words] = []
        self._keys = {key.id: key.keys.split(",") for key in KEYS}
        self.changed: set[str] = set()
        for name, text in (own or {}).items():
            if name in BY_ID:
                self._take(name, text)
        self._resolve(own or {})

    def __getitem__(self, name: str) -> list[str]:
        return self._keys[name]

    def _take(self, name: str, text: str) -> None:
        keys: list[str] = []
        for word in text.split(",") if text != "," else [","]:
            key = normal(word.strip())
            if not word.strip():
                continue
            if why := self._unfit(BY_ID[name], key):
                self._problem(name, *why)
            elif key not in keys:
                keys.append(key)
        if keys or not text.strip():
            self._keys[name] = keys[:MAX_KEYS]
            self.changed.add(name)

    def _unfit(self, key: Key, wanted: str) -> tuple[str, str] | None:
        if wanted in SAME:
            same = shown_key(SAME[wanted])
            return f"{wanted} is the same to a terminal as {same}", f"{wanted} 在终端里与 {same} 无法区分"
        *modifiers, base = wanted.split("+") if wanted != "+" else ["+"]
        known = len(base) == 1 or base in NAMES or (base[:1] == "f" and base[1:].isdigit()) or "_" in base
        if not known or any(modifier not in MODIFIERS for modifier in modifiers):
            return f"there is no key {wanted}", f"没有叫 {wanted} 的键"
        if key.where != READ and not modifiers and (len(base) == 1 or base in ("space", "slash")):
            return f"{wanted} is needed for typing", f"{wanted} 要用来打字"
        if key.where == APP and wanted in ("enter", "tab", "backspace", "up", "down", "left", "right"):
            return f"{wanted} is needed for typing", f"{wanted} 要用来打字"
        return None

    def _resolve(self, own: Mapping[str, str]) -> None:
        """Of two actions with the same key the user's own wins; of two of the user's, the first."""
        holders: dict[tuple[str, str], str] = {}
        order = [name for name in own if name in self.changed] + [n for n in IDS if n not in self.changed]
        for name in order:
            for key in list(self._keys[name]):
                clash = next((h for h in self._rivals(holders, BY_ID[name], key)), None)
                if clash is None:
                    holders[BY_ID[name].where, key] = name
                    continue
                self._keys[name].remove(key)
                both = name in self.changed
                self.changed.add(name)
                pretty = shown_key(key)
                if both:
                    self._problem(name, f"{pretty} is {clash} already", f"{pretty} 已经用于 {clash}")
                elif not self._keys[name]:
                    self._problem(
                        clash,
                        f"{pretty} was the only key of {name}, which has none now",
                        f"{pretty} 是 {name} 唯一的键，现在它没有键了",
                    )

    def _rivals(self, holders: Mapping[tuple[str, str], str], key: Key, wanted: str) -> list[str]:
        """Who has the key where it would count as well."""
        places = (APP, PROMPT, READ) if key.where == APP else (APP, key.where)
        return [holders[place, wanted] for place in places if (place, wanted) in holders]

    def _problem(self, name: str, en: str, zh: str) -> None:
        self.problems.append(Words(f"config.toml: keys.{name}: {en}.", f"config.toml：keys.{name}：{zh}。"))

    def keys_of(self, where: str) -> list[str]:
        """All keys that count in one place."""
        return [key for k in KEYS if k.where == where for key in self._keys[k.id]]

    def textual(self) -> dict[str, str]:
        """What `App.set_keymap` takes: the actions whose keys are not those of the table."""
        return {name: ",".join(self._keys[name]) or NO_KEY for name in self.changed}

    # --- as people see them --------------------------------------------------------------------------------

    def shown(self, name: str, count: int = MAX_KEYS) -> str:
        """The keys of an action for people: "Ctrl+R  F5"."""
        return "  ".join(shown_key(key) for key in self._keys[name][:count])

    def short(self, name: str) -> str:
        """The first key, as short as can be: "^R"."""
        keys = self._keys[name]
        if not keys:
            return ""
        return (
            "^" + keys[0][5:].upper() if keys[0][:5] == "ctrl+" and len(keys[0]) == 6 else shown_key(keys[0])
        )

    def help_rows(self, groups: tuple[str, ...] = GROUPS) -> list[tuple[str, list[tuple[str, str]]]]:
        """(group, [(keys, help)]) for the help page."""
        rows = [(key.group, self.shown(key.id), key.help) for key in KEYS if self._keys[key.id]]
        rows = [*ALSO, *rows]
        return [(group, [(keys, text) for g, keys, text in rows if g == group]) for group in groups]


def normal(key: str) -> str:
    """A key as Textual names it, from what a person writes: "Ctrl+R", "PgUp", "/", "C-r"."""
    if len(key) == 1:
        return {"/": "slash", "?": "question_mark", " ": "space", "\\": "backslash"}.get(key, key)
    parts = key.replace("^", "ctrl+").split("+")
    parts = [p if len(p) == 1 and len(parts) == 1 else p.lower() for p in parts if p] or [key]
    parts = ["ctrl" if p in ("c", "control") and i < len(parts) - 1 else p for i, p in enumerate(parts)]
    base = {"esc": "escape", "return": "enter", "pgup": "pageup", "pgdn": "pagedown", "del": "delete"}
    parts[-1] = base.get(parts[-1], parts[-1])
    parts[-1] = {"/": "slash", "\\": "backslash"}.get(parts[-1], parts[-1])
    return "+".join(parts)


def shown_key(key: str) -> str:
    """A key for people: "ctrl+r" is "Ctrl+R"."""
    *modifiers, base = key.split("+") if key != "+" else ["+"]
    name = NAMES.get(base) or (base.upper() if len(base) > 1 or modifiers else base)
    return "+".join([*(m.capitalize() for m in modifiers), name])


def bindings(where: str) -> list[BindingType]:
    """What `BINDINGS` of the application, the prompt or the transcript holds."""
    return [
        Binding(key.keys, key.action, key.help, id=key.id, show=False, priority=key.priority)
        for key in KEYS
        if key.where == where and key.id != "command_palette"
    ]
