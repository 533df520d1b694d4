"""Themes of our own: TOML files that give a colour to each thing there is to tell apart on the screen.

A file has `name`, `dark`, a `[title]` per language and `[colors]` with the names in `COLORS`, each `#rrggbb`.
With `terminal = true` the colours are the names of the sixteen that a terminal has ("bright_cyan"), or
"default". Textual's own themes work too: what they lack is taken from what they have (`fallbacks`).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual.theme import Theme

from alpaca_tui.errors import UserError

COLORS = (
    "ground",
    "surface",
    "panel",
    "ink",
    "quiet",
    "rule",
    "act",
    "now",
    "loss",
    "code-ink",
    "code-keyword",
    "code-string",
    "code-number",
    "code-ground",
    "select",
)
DEFAULT = "dusk"
WITHOUT = "textual-dark"  # Textual's own, where ours are missing
AUTO = "auto"
MAX_BYTES = 64 * 1024
MAX_FILES = 200
_EIGHT = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
TERMINAL_COLORS = ("default", *_EIGHT, *(f"bright_{name}" for name in _EIGHT))
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class ThemeFile:
    """A theme as read. `colors` holds every name of `COLORS`."""

    name: str
    dark: bool
    title: dict[str, str]
    colors: dict[str, str]
    terminal: bool = False


def read_theme(path: Path) -> ThemeFile:
    """Raises UserError, naming the file and the place, where it is no theme."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"The theme file {path} is over {MAX_BYTES // 1024} KiB; a theme is a few lines.")
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"Cannot read the theme file {path}: {error}.") from error
    name, dark, title, colors = (data.get(key) for key in ("name", "dark", "title", "colors"))
    terminal = data.get("terminal") is True
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9-]{1,32}", name):
        raise UserError(f"The theme file {path} needs a name of small letters, digits and '-'.")
    if not isinstance(dark, bool):
        raise UserError(f"The theme file {path} needs `dark = true` or `dark = false`.")
    if not isinstance(colors, dict):
        raise UserError(f"The theme file {path} has no [colors].")
    for key in COLORS:
        color = colors.get(key)
        if terminal and color not in TERMINAL_COLORS:
            known = ", ".join(TERMINAL_COLORS)
            raise UserError(f"In the theme file {path}, colors.{key} must be one of {known}.")
        if not terminal and not (isinstance(color, str) and _COLOR.fullmatch(color)):
            raise UserError(f"In the theme file {path}, colors.{key} must be a colour like #8fb8f6.")
    if unknown := sorted(set(colors) - set(COLORS)):
        raise UserError(
            f"In the theme file {path}, colors.{unknown[0]} is not known; known are {', '.join(COLORS)}."
        )
    titles = {k: str(v) for k, v in title.items()} if isinstance(title, dict) else {}
    prefix = "ansi_" if terminal else ""
    return ThemeFile(name, dark, titles, {key: prefix + colors[key] for key in COLORS}, terminal)


def themes_in(folder: Path) -> tuple[list[ThemeFile], list[str]]:
    """The themes in a folder, in the order of their files, and what is wrong with the others."""
    found: list[ThemeFile] = []
    problems: list[str] = []
    for path in sorted(folder.glob("*.toml"))[:MAX_FILES]:
        try:
            found.append(read_theme(path))
        except UserError as error:
            problems.append(str(error))
    return found, problems


def stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Something that is another when a theme in the folder is."""
    found = []
    try:
        for path in sorted(folder.glob("*.toml"))[:MAX_FILES]:
            status = path.stat()
            found.append((path.name, status.st_mtime_ns, status.st_size))
    except OSError:
        pass  # it is being written just now; the next look sees it
    return tuple(found)


def suited(environ: Mapping[str, str]) -> str:
    """The theme for a terminal that says what it is: without colours, with sixteen, or a light one."""
    light = environ.get("COLORFGBG", "").rpartition(";")[2] in ("7", "15")
    if environ.get("NO_COLOR") or environ.get("TERM") in ("linux", "dumb", "ansi", "vt100", "vt220"):
        return "sixteen-light" if light else "sixteen-dark"
    return "paper" if light else DEFAULT


# What shows on any of the sixteen colours, and without colours too.
_REVERSED = {
    "ansi-background": "ansi_default",
    "ansi-foreground": "ansi_default",
    "block-cursor-background": "ansi_default",
    "block-cursor-foreground": "ansi_default",
    "block-cursor-text-style": "reverse",
    "input-cursor-background": "ansi_default",
    "input-cursor-foreground": "ansi_default",
    "input-cursor-text-style": "reverse",
    "input-selection-foreground": "ansi_bright_white",
    "screen-selection-foreground": "ansi_bright_white",
}


def to_textual(theme: ThemeFile) -> Theme:
    c = theme.colors
    return Theme(
        name=theme.name,
        dark=theme.dark,
        ansi=theme.terminal,
        primary=c["act"],
        secondary=c["act"],
        accent=c["act"],
        warning=c["now"],
        error=c["loss"],
        success=c["act"],
        foreground=c["ink"],
        background=c["ground"],
        surface=c["surface"],
        panel=c["panel"],
        variables={
            **{key: c[key] for key in COLORS if key not in ("surface", "panel")},
            "text-muted": c["quiet"],
            "text-disabled": c["quiet"],
            "link-color": c["act"],
            "link-style": "none",
            "link-color-hover": c["act"],
            "link-style-hover": "underline",
            "link-background-hover": c["panel"],
            "border": c["act"],
            "border-blurred": c["rule"],
            "input-selection-background": c["select"],
            "input-selection-foreground": c["ink"],
            "screen-selection-background": c["select"],
            "screen-selection-foreground": c["ink"],
            "input-cursor-background": c["ink"],
            "input-cursor-foreground": c["ground"],
            "block-cursor-background": c["panel"],
            "block-cursor-foreground": c["ink"],
            "block-cursor-text-style": "bold",
            "block-cursor-blurred-background": c["panel"],
            "block-cursor-blurred-foreground": c["ink"],
            "block-cursor-blurred-text-style": "none",
            "block-hover-background": c["panel"],
            "scrollbar": c["rule"],
            "scrollbar-hover": c["quiet"],
            "scrollbar-active": c["act"],
            "scrollbar-background": c["ground"],
            "scrollbar-background-hover": c["ground"],
            "scrollbar-background-active": c["ground"],
            "scrollbar-corner-color": c["ground"],
            "focus-text-style": "bold reverse" if theme.terminal else "bold",
            **(_REVERSED if theme.terminal else {}),
        },
    )


def fallbacks(variables: dict[str, str]) -> dict[str, str]:
    """Our colour names for a theme that has only Textual's."""
    pairs = {
        "ground": "background",
        "ink": "foreground",
        "quiet": "text-muted",
        "rule": "surface-lighten-2",
        "act": "primary",
        "now": "warning",
        "loss": "error",
        "code-ink": "foreground",
        "code-keyword": "primary",
        "code-string": "success",
        "code-number": "warning",
        "code-ground": "surface",
        "select": "primary-muted",
    }
    found: dict[str, Any] = {"focus-text-style": "bold"}
    found |= {ours: variables[theirs] for ours, theirs in pairs.items() if theirs in variables}
    return found
