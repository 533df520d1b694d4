"""What the words behind flags mean. Each function raises UserError, with the flag and what it takes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from alpaca_tui.chat.settings import BY_KEY
from alpaca_tui.engine.protocol import Adapter
from alpaca_tui.errors import UserError
from alpaca_tui.resources import MAX_PROMPT_BYTES

NO_LIMIT, UNTIL_FULL = -1, -2  # of -n
LETTERS = {
    "e": "penalties",
    "d": "dry",
    "s": "top_n_sigma",
    "k": "top_k",
    "f": "tfs_z",
    "y": "typ_p",
    "p": "top_p",
    "m": "min_p",
    "x": "xtc",
    "t": "temperature",
}
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "'": "'", '"': '"', "\\": "\\"}


def n_predict(text: str) -> int | float:
    """The value of -n: a reply's limit, or UNTIL_FULL."""
    return UNTIL_FULL if text.strip() == str(UNTIL_FULL) else BY_KEY["n_predict"].parse(text)


def top_k(text: str) -> int | float:
    """The value of --top-k, where llama.cpp takes all below 1 for "all"."""
    return BY_KEY["top_k"].parse("0" if re.fullmatch(r"-\d{1,9}", text.strip(), re.ASCII) else text)


def n_threads(text: str) -> int | float:
    """The value of -t, where -1 is today's word for "as many as are best"."""
    return BY_KEY["n_threads"].parse("0" if text.strip() == "-1" else text)


PARSERS = {"n_predict": n_predict, "top_k": top_k, "n_threads": n_threads}  # others go by the table


class Part(NamedTuple):
    """A piece of the prompt: "-p" TEXT begins it anew, "-f" and "-bf" FILE add to it."""

    flag: str
    value: str


def prompt_text(text: str) -> Part:
    return Part("-p", text)


def prompt_file(text: str) -> Part:
    return Part("-f", text)


def prompt_bytes(text: str) -> Part:
    return Part("-bf", text)


def one_of(flag: str, choices: Sequence[str], text: str) -> str:
    if text not in choices:
        raise UserError(f"{flag} takes {', '.join(choices[:-1])} or {choices[-1]}, not {text!r}.")
    return text


def number(flag: str, low: float, high: float, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise UserError(f"{flag} takes a number from {low:g} to {high:,g}, not {text!r}.")
    return value


def whole(flag: str, low: int, high: int, text: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII) or not low <= int(text) <= high:
        raise UserError(f"{flag} takes a whole number from {low:,} to {high:,}, not {text!r}.")
    return int(text)


def sampler_letters(text: str) -> tuple[str, ...]:
    """`edkypmxt`: the samplers by the letters that llama.cpp has for them."""
    wrong = next((letter for letter in text if letter not in LETTERS), None)
    if wrong is not None:
        raise UserError(f"--sampling-seq knows no {wrong!r}; it takes letters from {''.join(LETTERS)}.")
    return tuple(LETTERS[letter] for letter in text)


def lora(text: str) -> Adapter:
    return Adapter(Path(text))


def lora_scaled(text: str) -> Adapter:
    """`FILE:0.5`. A Windows path has a colon of its own, but no number behind it."""
    path, _, scale = text.rpartition(":")
    if not path:
        raise UserError(f"--lora-scaled takes a file, a colon and a factor, as in x.gguf:0.5, not {text!r}.")
    return Adapter(Path(path), number("The factor of --lora-scaled", -100, 100, scale))


def unescape(text: str) -> str:
    r"""`\n`, `\r`, `\t`, `\'`, `\"`, `\\` and `\xE4` in `text`, as main's -e has them; others stay.

    The bytes of `\x` are UTF-8 together with what stands around them.
    """

    def meaning(found: re.Match[str]) -> str:
        word = found[1]
        if word[0] == "x" and len(word) == 3:
            return bytes([int(word[1:], 16)]).decode("utf-8", "surrogateescape")
        return ESCAPES.get(word, found[0])

    out = re.sub(r"\\(x[0-9A-Fa-f]{2}|.)", meaning, text, flags=re.DOTALL)
    return out.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def read_text(flag: str, path: Path) -> str:
    """A text file of at most 1 MiB that a flag names. Raises UserError where it cannot be read as UTF-8."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_PROMPT_BYTES + 1)
    except OSError as error:
        raise UserError(f"Cannot read the file {str(path)!r} of {flag}: {error.strerror or error}.") from None
    if len(raw) > MAX_PROMPT_BYTES:
        raise UserError(f"The file {str(path)!r} of {flag} is over 1 MiB; it should be a few lines of text.")
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise UserError(
            f"The file {str(path)!r} of {flag} is not UTF-8 text (byte {error.start}); save it as UTF-8."
        ) from None
