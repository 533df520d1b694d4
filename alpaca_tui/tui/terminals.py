"""What terminals can and cannot do, by what they say of themselves in the environment.

A terminal cannot be asked most of this. The facts are those of the terminals' own documentation and sources;
`docs/terminals.md` says which were tried. Unknown terminals count as those of today: they take OSC 52, tell
of their focus, and mark what is pasted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

OSC9, OSC777, OSC99 = "9", "777", "99"


@dataclass(frozen=True)
class Terminal:
    """`keeps`: keys that the terminal uses itself, in Textual's names, so that they may not arrive.

    `osc52`: it takes text for the clipboard. `brackets`: it marks what is pasted. `focus`: it tells when its
    window gets and loses the focus. `notifies`: the sequence by which it shows a notification, "" for none.
    `select`: the key that, held, makes the mouse select in the terminal's own way. `fn_keys`: function keys
    need Fn. `few_signs`: its font has the signs of old text screens only. `tmux`: tmux stands between.
    """

    name: str = "terminal"
    keeps: tuple[str, ...] = ()
    osc52: bool = True
    brackets: bool = True
    focus: bool = True
    notifies: str = ""
    select: str = "Shift"
    fn_keys: bool = False
    few_signs: bool = False
    tmux: bool = False


WINDOWS_TERMINAL = Terminal("Windows Terminal", keeps=("f11", "alt+enter", "ctrl+tab", "ctrl+v"))
WINDOWS_CONSOLE = Terminal("Windows console", osc52=False, brackets=False, few_signs=False, focus=False)
MACOS_TERMINAL = Terminal(
    "macOS Terminal", keeps=("ctrl+up", "ctrl+down"), osc52=False, focus=True, select="Fn", fn_keys=True
)
ITERM = Terminal("iTerm2", keeps=("ctrl+up", "ctrl+down"), notifies=OSC9, select="Option", fn_keys=True)
VSCODE = Terminal(
    "VS Code", keeps=("f1", "ctrl+p", "ctrl+f", "ctrl+g", "f5", "f6"), select="Shift (macOS: Option)"
)
GNOME = Terminal("GNOME Terminal", keeps=("f10", "f11"), osc52=False, notifies="")
LINUX_CONSOLE = Terminal("Linux console", osc52=False, brackets=False, focus=False, select="", few_signs=True)
KITTY = Terminal("kitty", notifies=OSC99)
WEZTERM = Terminal("WezTerm", notifies=OSC777)
GHOSTTY = Terminal("Ghostty", notifies=OSC777)
FOOT = Terminal("foot", notifies=OSC777)
XTERM = Terminal("xterm", osc52=False)  # off by its defaults (allowWindowOps)


def terminal(environ: Mapping[str, str] | None = None, platform: str = "") -> Terminal:
    """The terminal that the program runs in."""
    environ = os.environ if environ is None else environ
    found = _outer(environ, platform or sys.platform)
    if environ.get("TMUX"):
        # tmux passes OSC 52 on where `set-clipboard` allows it, and takes text into its own buffer.
        return replace(found, name=f"tmux in {found.name}", keeps=(*found.keeps, "ctrl+b"), tmux=True)
    if environ.get("STY"):
        return replace(found, name=f"screen in {found.name}", keeps=(*found.keeps, "ctrl+a"), notifies="")
    return found


def _outer(environ: Mapping[str, str], platform: str) -> Terminal:
    program, term = environ.get("TERM_PROGRAM", ""), environ.get("TERM", "")
    if environ.get("WT_SESSION"):
        return WINDOWS_TERMINAL
    if program == "tmux":
        program = environ.get("LC_TERMINAL", "")
    by_program = {
        "vscode": VSCODE,
        "Apple_Terminal": MACOS_TERMINAL,
        "iTerm.app": ITERM,
        "iTerm2": ITERM,
        "WezTerm": WEZTERM,
        "ghostty": GHOSTTY,
    }
    if program in by_program:
        return by_program[program]
    if environ.get("KITTY_WINDOW_ID") or term == "xterm-kitty":
        return KITTY
    if term.startswith("foot"):
        return FOOT
    if environ.get("VTE_VERSION"):
        return GNOME
    if environ.get("XTERM_VERSION"):
        return XTERM
    if platform == "win32":
        return WINDOWS_CONSOLE
    return LINUX_CONSOLE if term == "linux" else Terminal()


def notification(known: Terminal, title: str, text: str) -> str:
    """The sequence that shows a notification; the bell where the terminal has none."""
    title, text = _bare(title), _bare(text)
    match known.notifies:
        case "9":
            sequence = f"\x1b]9;{title}: {text}\a"
        case "99":
            sequence = f"\x1b]99;i=alpaca-tui:d=0;{title}\x1b\\\x1b]99;i=alpaca-tui:d=1:p=body;{text}\x1b\\"
        case "777":
            sequence = f"\x1b]777;notify;{title.replace(';', ',')};{text.replace(';', ',')}\x1b\\"
        case _:
            return "\a"
    return through_tmux(sequence) if known.tmux else sequence


def through_tmux(sequence: str) -> str:
    """For the terminal that tmux runs in (where tmux lets that pass: `allow-passthrough`)."""
    return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"


def _bare(text: str) -> str:
    """One line without control characters: nothing in it can end the sequence that it stands in."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]
