"""The flags that the chat and `main` share, made from the table of settings; and a parser that says, in one
sentence, what is wrong with a command line.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from alpaca_tui.chat.settings import SETTINGS, Setting, Settings
from alpaca_tui.commands import values
from alpaca_tui.commands.argv import bind_values
from alpaca_tui.engine.protocol import LoadOptions
from alpaca_tui.errors import UserError


class Parser(argparse.ArgumentParser):
    """ArgumentParser whose complaints are UserErrors, and who knows no abbreviations."""

    def __init__(self, prog: str, usage: str, description: str, epilog: str | None = None) -> None:
        super().__init__(
            prog=prog,
            usage=usage,
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """The flags in `argv`. Raises UserError for one that is unknown or lacks a good value."""
        args, unknown = self.parse_known_args(bind_values(argv, self._option_string_actions))
        if unknown:
            flag = unknown[0].partition("=")[0]
            if not flag.startswith("-"):
                raise UserError(f"{flag!r} is one argument too many; {self.prog} --help lists what there is.")
            hint = nearest(flag, self._option_string_actions)
            more = f"did you mean {hint}?" if hint else f"{self.prog} --help lists those there are."
            raise UserError(f"There is no flag {flag}; {more}")
        return args

    def error(self, message: str) -> NoReturn:
        found = re.match(r"argument (\S+): expected one argument", message)
        if found:
            message = f"{found[1]} needs a value after it"
        raise UserError(f"{message[0].upper()}{message[1:]}; {self.prog} --help tells more.")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that looks most like `word` (- and _ being the same), if any looks like it."""
    import difflib

    plain = {name.replace("_", "-"): name for name in reversed(list(known))}
    close = difflib.get_close_matches(word.replace("_", "-"), plain, n=1)
    return plain[close[0]] if close else None


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    group.add_argument("-m", "--model", metavar="FILE", type=Path, help="GGUF, or ggml/ggmf/ggjt of 2023")
    group.add_argument(
        "--tokenizer",
        metavar="FILE",
        type=Path,
        help="its tokenizer.model, where it has none of its own and none is beside it",
    )
    both_spellings(
        group,
        ("-eps", "--rms-norm-eps"),
        dest="norm_eps",
        metavar="X",
        type=norm_eps,
        help="epsilon of its norms, where the file does not say (default: 1e-6)",
    )


def add_settings_flags(parser: argparse.ArgumentParser) -> None:
    """One flag a setting, in both spellings; absent from the namespace where it was not given."""
    group = parser.add_argument_group("settings")
    for setting in SETTINGS:
        both_spellings(
            group,
            setting.flags,
            dest=setting.key,
            metavar="N" if setting.kind is int else "X",
            type=values.PARSERS.get(setting.key, setting.parse),
            default=argparse.SUPPRESS,
            help=help_text(setting),
        )
    both_spellings(
        group,
        ("--no-lookup",),
        dest="lookup",
        action="store_false",
        default=argparse.SUPPRESS,
        help="never evaluate several tokens at once where a reply repeats what was said; it stays the same",
    )


def help_text(setting: Setting) -> str:
    """What a setting does, and what its special values and its default mean."""
    special = "".join(f" {value}: {name.en}." for value, name in setting.special)
    return f"{setting.help.en}{special} (default: {setting.default:g})".replace("%", "%%")


def settings_from(args: argparse.Namespace) -> tuple[Settings, frozenset[str]]:
    """The settings, and the keys of those that were given as flags."""
    given = {s.key: getattr(args, s.key) for s in SETTINGS if hasattr(args, s.key)}
    if given.get("n_predict") == values.UNTIL_FULL:
        given["n_predict"] = values.NO_LIMIT
    settings = Settings(**given)
    settings.lookup = getattr(args, "lookup", True)
    return settings, frozenset(given)


def load_options(args: argparse.Namespace, settings: Settings) -> LoadOptions:
    if args.tokenizer is not None:
        readable_file(args.tokenizer, "tokenizer.model file")
    return replace(settings.load_options(), norm_eps=args.norm_eps, tokenizer=args.tokenizer)


def readable_file(path: Path, what: str) -> Path:
    """`path`, if it is a file that can be opened; else raises UserError with the nearest name beside it."""
    try:
        if path.is_dir():
            raise UserError(f"{str(path)!r} is a folder; name the {what} in it.")
        with path.open("rb"):
            return path
    except FileNotFoundError:
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = nearest(path.name, beside)
        more = f"did you mean {str(path.parent / hint)!r}?" if hint else f"name the {what} by its full path."
        raise UserError(f"There is no file {str(path)!r}; {more}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UserError(f"Cannot open the {what} {str(path)!r}: {reason}.") from None


def norm_eps(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1e-12 <= value <= 1e-2:
        raise UserError(f"-eps takes a number from 1e-12 to 0.01, not {text!r}.")
    return value


def both_spellings(group: argparse._ActionsContainer, flags: Sequence[str], **keywords: object) -> None:
    """Adds a flag under the spelling with - (shown in --help) and, unseen, the one with _."""
    shown = [flag for flag in flags if "_" not in flag]
    unseen = ["--" + f[2:].replace("-", "_") for f in shown if f.startswith("--") and "-" in f[2:]]
    group.add_argument(*shown, **keywords)  # type: ignore[arg-type]
    if unseen:
        group.add_argument(*unseen, **{**keywords, "help": argparse.SUPPRESS})  # type: ignore[arg-type]
