"""Copying out of a full-screen program: the terminal's escape sequence, and tmux's own buffer inside tmux."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping

from textual.app import App

from alpaca_tui.tui.terminals import terminal

SECONDS = 2.0


def copy_text(app: App[int], text: str, environ: Mapping[str, str] = os.environ) -> bool:
    """What this computer has for its clipboard, and OSC 52 through the terminal (over SSH too).

    False where neither is known to take the text; within the program it can be pasted all the same.
    """
    app.copy_to_clipboard(text)
    command = native_command(environ)
    if command is not None and not app.is_headless:
        threading.Thread(target=_feed, args=(command, text), daemon=True).start()
    return command is not None or terminal(environ).osc52


def native_command(environ: Mapping[str, str], platform: str = sys.platform) -> list[str] | None:
    """The program that takes a text for the clipboard, None where there is none that would see it."""
    candidates = []
    if environ.get("TMUX"):
        candidates.append(["tmux", "load-buffer", "-w", "-"])
    elif not environ.get("SSH_CONNECTION"):
        if platform == "win32" or environ.get("WSL_DISTRO_NAME"):
            candidates.append(["clip.exe"])
        candidates.append(["pbcopy"])
        if environ.get("WAYLAND_DISPLAY"):
            candidates.append(["wl-copy"])
        if environ.get("DISPLAY"):
            candidates += [["xclip", "-selection", "clipboard"], ["xsel", "--clipboard", "--input"]]
    return next((command for command in candidates if shutil.which(command[0])), None)


def _feed(command: list[str], text: str) -> None:
    quiet = subprocess.DEVNULL
    # clip.exe takes the code page of the console, unless a byte order mark says UTF-16.
    raw = text.encode("utf-16" if command[0] == "clip.exe" else "utf-8", "replace")
    # Where it fails, the escape sequence may have reached the terminal all the same.
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(command, input=raw, stdout=quiet, stderr=quiet, timeout=SECONDS, check=False)
