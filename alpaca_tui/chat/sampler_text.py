"""Samplers and biases as a command line spells them."""

from __future__ import annotations

import re

from alpaca_tui.engine.protocol import SAMPLERS
from alpaca_tui.errors import UserError

# Other spellings that llama.cpp takes
_SAMPLER_NAMES = {
    "nucleus": "top_p",
    "typical_p": "typ_p",
    "typical": "typ_p",
    "typ": "typ_p",
    "tfs": "tfs_z",
    "temp": "temperature",
}


def parse_samplers(text: str) -> tuple[str, ...]:
    """The samplers of `--samplers "top_k;temperature"`, in that order; UserError for an unknown one."""
    names = [name.strip() for name in text.split(";") if name.strip()]
    known = {name: name for name in SAMPLERS} | _SAMPLER_NAMES
    wrong = next((name for name in names if name.replace("-", "_") not in known), None)
    if wrong is not None:
        raise UserError(
            f"--samplers knows no {wrong!r}; it takes names from {';'.join(SAMPLERS)}, with ; between them."
        )
    return tuple(known[name.replace("-", "_")] for name in names)


def parse_logit_bias(text: str) -> tuple[int, float]:
    """The token of `--logit-bias 29905-5`, and what is added to its logit; also `15043+inf`."""
    found = re.fullmatch(r"\s*(\d{1,9})([+-](?:\d{1,9}(?:\.\d{0,9})?|\.\d{1,9}|inf))\s*", text)
    if not found:
        raise UserError(
            f"--logit-bias takes the number of a token, + or -, and how much, as in 15043-1; not {text!r}."
        )
    return int(found[1]), float(found[2])
