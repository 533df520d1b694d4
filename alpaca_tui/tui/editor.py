"""A text in the user's own editor: $VISUAL, $EDITOR, or what the system has."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from textual.app import App, SuspendNotSupported

from alpaca_tui.errors import UserError

MAX_BYTES = 1 << 20


def editor_command(environ: Mapping[str, str]) -> list[str]:
    """The editor and its arguments. Raises UserError where there is none."""
    for variable in ("VISUAL", "EDITOR"):
        if words := shlex.split(environ.get(variable, ""), posix=sys.platform != "win32"):
            return words
    for name in ("notepad",) if sys.platform == "win32" else ("nano", "vim", "vi"):
        if found := shutil.which(name):
            return [found]
    raise UserError("There is no editor: set EDITOR to one, such as nano.")


def edit(app: App[int], text: str) -> str:
    """Shows `text` in the editor, the program waiting behind it, and returns what was saved there.

    The file is UTF-8 whatever the locale. Raises UserError, and nothing is lost, where that cannot be.
    """
    command = editor_command(os.environ)
    folder = Path(tempfile.mkdtemp(prefix="alpaca-tui-"))
    file = folder / "prompt.txt"
    try:
        file.write_text(text, encoding="utf-8", newline="")
        screen = sys.__stderr__  # while the program is on the screen, descriptor 2 is its log
        with app.suspend():
            code = subprocess.run([*command, str(file)], stderr=screen, check=False).returncode
        if code:
            raise UserError(f"{command[0]} ended with an error ({code}); the text is as it was.")
        raw = file.read_bytes()
    except (OSError, SuspendNotSupported) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"The editor {command[0]} cannot be used: {reason}.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if len(raw) > MAX_BYTES:
        raise UserError("The text from the editor is over 1 MiB; a prompt is a few lines.")
    added = not text.endswith("\n")
    edited = raw.decode("utf-8-sig", "replace").replace("\r\n", "\n")
    return edited.removesuffix("\n") if added else edited
