"""Instructions under names: the files of prompts/ that ship, and the user's own in the config folder.

A prompt is a text file and nothing else, as `-f` takes it. One of the user's stands in front of a shipped one
of the same name, which it hides until it is deleted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from alpaca_tui import resources
from alpaca_tui.chat.atomic import write_text
from alpaca_tui.chat.formats import FORMATS, PromptFormat
from alpaca_tui.errors import UserError

SUFFIX = ".txt"
MAX_PROMPTS = 500
MAX_NAME = 60
# Shipped instructions that go with another format than Alpaca's.
_FORMAT_OF = {f.prompt_file: f.key for f in FORMATS.values()} | {"alpaca-2.txt": "llama2"}
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f\\/:*?"<>|]')


@dataclass(frozen=True)
class PromptFile:
    """`name` with its suffix. `own`: the user's."""

    name: str
    path: Path
    own: bool

    def read(self) -> str:
        """The text, without the newline at its end. Raises UserError."""
        return resources.read_prompt(self.path)


class PromptLibrary:
    """`folder`: that of the user's own prompts; None: there is none, and nothing can be saved."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def all(self) -> list[PromptFile]:
        """The user's own first, then those that ship; by name."""
        own = _in(self.folder, own=True) if self.folder else []
        names = {prompt.name for prompt in own}
        return own + [
            prompt for prompt in _in(resources.prompts_dir(), own=False) if prompt.name not in names
        ]

    def find(self, name: str) -> PromptFile | None:
        return next((prompt for prompt in self.all() if prompt.name == name), None)

    def save(self, name: str, text: str) -> PromptFile:
        """Writes one of the user's own. Raises UserError for an impossible name, and where it cannot be."""
        name = name.strip().removesuffix(SUFFIX)
        if not 0 < len(name) <= MAX_NAME or _FORBIDDEN.search(name) or name.startswith("."):
            raise UserError(
                f"A prompt's name has 1 to {MAX_NAME} characters, none of them one of "
                '\\ / : * ? " < > |, and no dot first.'
            )
        if self.folder is None:
            raise UserError("There is no folder to save prompts in.")
        path = self.folder / f"{name}{SUFFIX}"
        try:
            write_text(path, text + "\n")
        except (OSError, ValueError) as error:
            raise UserError(f"Cannot write {path}: {getattr(error, 'strerror', None) or error}.") from error
        return PromptFile(path.name, path, own=True)

    def delete(self, prompt: PromptFile) -> str:
        """Takes one of the user's own away and returns its text, to be saved again if that was a mistake."""
        if not prompt.own:
            raise UserError(f"{prompt.name} ships with the program and stays.")
        text = prompt.read()
        try:
            prompt.path.unlink()
        except OSError as error:
            raise UserError(f"Cannot delete {prompt.path}: {error.strerror or error}.") from error
        return text


def format_for(name: str, otherwise: PromptFormat) -> PromptFormat:
    """The format that models were trained with together with this shipped instruction."""
    return FORMATS[_FORMAT_OF[name]] if name in _FORMAT_OF else otherwise


def _in(folder: Path, own: bool) -> list[PromptFile]:
    try:
        paths = sorted(path for path in folder.glob(f"*{SUFFIX}") if path.is_file())
    except OSError:
        return []
    return [PromptFile(path.name, path, own) for path in paths[:MAX_PROMPTS]]
