"""The tokens that the model is given for a prompt, with what each stands for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from alpaca_tui.engine.protocol import PromptToken, Segment
from alpaca_tui.engine.view import encode

if TYPE_CHECKING:
    from alpaca_tui.engine.tokenizer import Tokenizer


def _prompt_token(tokenizer: Tokenizer, token: int, part: int) -> PromptToken:
    data = tokenizer.piece(token)
    if not data:
        name = {tokenizer.bos: "<s>", tokenizer.eos: "</s>"}.get(token, f"<{token}>")
        return PromptToken(token, name, part, special=True)
    try:
        return PromptToken(token, data.decode(), part)
    except UnicodeDecodeError:
        return PromptToken(token, "".join(f"<{byte:02X}>" for byte in data), part, special=True)


def prompt_tokens(tokenizer: Tokenizer, parts: Iterable[Sequence[Segment]]) -> list[PromptToken]:
    """The tokens of the prefix and of each turn, with what they stand for."""
    return [
        _prompt_token(tokenizer, token, number)
        for number, segments in enumerate(parts)
        for token in encode(tokenizer, segments)
    ]
