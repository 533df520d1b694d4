"""Copying out of a full-screen program: the terminal's escape sequence, and tmux's own buffer inside tmux."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Mapping

from textual.app import App

SECONDS = 2.0


def copy_text(app: App[int], text: str, environ: Mapping[str, str] = os.environ) -> None:
    """OSC 52 through the terminal (over SSH too), and what this computer has beside it."""
    app.copy_to_clipboard(text)
    command = native_command(environ)
    if command is not None and not app.is_headless:
        threading.Thread(target=_feed, args=(command, text), daemon=True).start()


def native_command(environ: Mapping[str, str]) -> list[str] | None:
    """The program that takes a text for the clipboard, None where there is none that would see it."""
    candidates = []
    if environ.get("TMUX"):
        candidates.append(["tmux", "load-buffer", "-w", "-"])
    elif not environ.get("SSH_CONNECTION"):
        candidates.append(["pbcopy"])
        if environ.get("WAYLAND_DISPLAY"):
            candidates.append(["wl-copy"])
        if environ.get("DISPLAY"):
            candidates.append(["xclip", "-selection", "clipboard"])
    return next((command for command in candidates if shutil.which(command[0])), None)


def _feed(command: list[str], text: str) -> None:
    quiet = subprocess.DEVNULL
    # Where it fails, the escape sequence may have reached the terminal all the same.
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(command, input=text.encode(), stdout=quiet, stderr=quiet, timeout=SECONDS, check=False)
