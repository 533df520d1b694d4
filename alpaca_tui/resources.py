"""Where the files that ship with the program are: the guide model, the prompts, the themes.

In a wheel they lie inside the package; in a checkout `prompts/` and `themes/` lie beside it.
"""

from __future__ import annotations

from pathlib import Path

from alpaca_tui.errors import UserError

PACKAGE = Path(__file__).resolve().parent
MAX_PROMPT_BYTES = 1 << 20


def guide_model() -> Path:
    """The small model that ships with the program. Raises UserError where an installation lacks it."""
    path = PACKAGE / "data" / "guide.gguf"
    if not path.is_file():
        raise UserError(
            f"The built-in guide model is missing from this installation ({path}); "
            "name a model of your own with -m, or install the program again."
        )
    return path


def prompts_dir() -> Path:
    return _shipped("prompts")


def themes_dir() -> Path:
    return _shipped("themes")


def find_prompt(path: str | Path) -> Path:
    """The prompt file that `path` means: the file itself, else the shipped one of the same name.

    So `-f prompts/alpaca.txt`, as the tutorials write it, works in every folder. Raises UserError where
    there is neither.
    """
    path = Path(path)
    if path.exists():
        return path
    if not path.is_absolute():
        shipped = prompts_dir() / path.name
        if shipped.is_file():
            return shipped
    known = ", ".join(sorted(p.name for p in prompts_dir().glob("*.txt")))
    raise UserError(f"There is no prompt file {str(path)!r}; those that ship with the program are: {known}.")


def read_prompt(path: str | Path) -> str:
    """The text of a prompt file (UTF-8, at most 1 MiB) without its one trailing newline, as `-f` takes it.

    Raises UserError where the file is not there, not readable, too long or not UTF-8.
    """
    found = find_prompt(path)
    if found.is_dir():
        raise UserError(f"The prompt file {str(path)!r} is a folder; name a text file.")
    try:
        with found.open("rb") as file:
            raw = file.read(MAX_PROMPT_BYTES + 1)
    except OSError as error:
        raise UserError(f"Cannot read the prompt file {str(path)!r}: {error.strerror or error}.") from error
    if len(raw) > MAX_PROMPT_BYTES:
        raise UserError(f"The prompt file {str(path)!r} is over 1 MiB; a prompt is a few lines of text.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"The prompt file {str(path)!r} is not UTF-8 text; save it as UTF-8.") from error
    text = text.replace("\r\n", "\n")
    return text.removesuffix("\n")


def _shipped(name: str) -> Path:
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name
