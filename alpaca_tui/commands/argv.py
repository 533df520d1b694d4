"""A command line as `main` reads it, made ready for argparse: the word behind a flag is its value."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

# Of flags whose value may be left out, these words alone are taken for one.
OPTIONAL_VALUES = frozenset(("on", "off", "auto", "distribute", "isolate", "numactl"))


def bind_values(argv: Sequence[str], actions: Mapping[str, argparse.Action]) -> list[str]:
    """`argv` with `flag=value` for every flag that takes one value, so that `-r "-"` and `-p "-x"` work.

    `actions`: by the names of all flags. A word that is itself a flag is no value: its owner then lacks one.
    A long flag may have _ where it is known with -.
    """
    out: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        if word == "--":
            return [*out, word, *words]
        flag, equals, value = word.partition("=")
        name = flag if flag in actions or not flag.startswith("--") else "--" + flag[2:].replace("_", "-")
        action = actions.get(name)
        if action is None or equals:
            out.append(name + equals + value if action is not None else word)
        elif action.nargs == "?":
            given = bool(words) and words[0] in OPTIONAL_VALUES
            out.append(f"{name}={words.pop(0) if given else action.const}")
        elif action.nargs is None and words and (words[0] not in actions or _is_number(words[0])):
            out.append(f"{name}={words.pop(0)}")
        else:
            out.append(name)
    return out


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
