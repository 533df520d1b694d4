"""`main --compat 2023-08` with --prompt-cache and --cfg-scale: the file and the second context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from alpaca_tui.engine.protocol import PromptCache
from alpaca_tui.errors import UserError

if TYPE_CHECKING:
    from alpaca_tui.engine.compat.contexts import Evaluator, Guidance, Session
    from alpaca_tui.engine.engine import Engine


def session_of(cache: PromptCache, engine: Engine, notice: Callable[[str], object]) -> Session:
    """What `cache` names, read into the engine's context. Raises UserError for a file that does not fit."""
    from alpaca_tui.engine import state
    from alpaca_tui.engine.compat.contexts import Session
    from alpaca_tui.files.output import check_output

    path, model = cache.path, engine.executor
    if not cache.read_only:
        check_output(path)
    notice(f"main: attempting to load saved session from '{path}'")
    tokens: Sequence[int] = ()
    if path.exists():
        head = engine.state_head(path)
        if len(head.tokens) > model.n_ctx:
            raise UserError(
                f"{path} holds {len(head.tokens)} tokens, {len(head.tokens) - model.n_ctx} too many for a "
                f"context of {model.n_ctx}; give a larger one with -c, or another name."
            )
        tokens = head.tokens
        engine.restore(path, head, len(tokens))
        notice(f"main: loaded a session with prompt size of {len(tokens)} tokens")
    else:
        notice("main: session file does not exist, will create")

    def save(tokens: Sequence[int]) -> None:
        try:
            state.save(path, engine.identity, model, tokens)
        except UserError as error:  # the text is none the worse
            notice(f"({error})")

    return Session(tokens, None if cache.read_only else save, cache.whole)


def told(n: int, n_prompt: int, n_session: int) -> str | None:
    """What the program said of a session that has n tokens of the prompt."""
    if not n_session:
        return None
    if n >= n_prompt:
        return "main: session file has exact match for prompt!"
    if n < n_prompt // 2:
        return (
            f"main: warning: session file has low similarity to prompt ({n} / {n_prompt} tokens); "
            "will mostly be reevaluated"
        )
    return f"main: session file matches {n} / {n_prompt} tokens of prompt"


def guide_of(
    scale: float, negative: str, engine: Engine, in_thread: Callable[[Evaluator], Evaluator]
) -> Callable[[int], Guidance]:
    """Makes the second context of a prompt with so many tokens. Raises UserError for a long `negative`."""
    from alpaca_tui.engine.compat.contexts import Guidance
    from alpaca_tui.engine.guidance import second_context

    tokens = engine.tokenizer.encode(" " + negative, bos=True, space_prefix=False)
    model = second_context(engine.executor).model
    excess = len(tokens) - (model.n_ctx - 4)
    if excess > 0:
        raise UserError(
            f"The negative prompt is {excess} tokens too long for a context of {model.n_ctx}; shorten it, or "
            "give a larger one with -c."
        )
    return lambda n_prompt: Guidance(in_thread(model), tokens, n_prompt, scale)
