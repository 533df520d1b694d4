"""What the worker keeps of contexts on disk: the file of `--prompt-cache`, and states of its own accord.

A state is read where that is faster than evaluating what it holds, going by how fast prompts were evaluated
when it was saved or since, and by how fast it comes in; it is written where evaluating it again would be
worth the room.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from alpaca_tui.engine.protocol import ContextCut, GenerateRequest
from alpaca_tui.engine.view import keep_apart
from alpaca_tui.engine.window import common_prefix, elide
from alpaca_tui.errors import UserError
from alpaca_tui.files.output import check_output
from alpaca_tui.files.state_file import Head, TooSlowError

if TYPE_CHECKING:
    from alpaca_tui.engine.engine import Engine
    from alpaca_tui.engine.state_store import StateStore

log = logging.getLogger(__name__)
WORTH_SECONDS = 0.5  # of evaluation, below which nothing is kept
DISK_SPEED = 400e6  # bytes per second that reading is taken to make when it is decided whether to write
LEAST = 0.05  # seconds of evaluation, for which no file is opened
FEW = 8  # tokens more than what is on disk are no reason to write it anew


class Keeper:
    """For the thread that owns the engine. `store` is None where nothing is kept of its own accord."""

    def __init__(self, engine: Engine, store: StateStore | None) -> None:
        self._engine, self._store = engine, store
        self._file: Path | None = None  # in the store, what the present context was read from or written to
        self._on_disk: Sequence[int] = ()  # its tokens
        self.trouble = ""  # why a prompt cache could not be written; the reply is none the worse
        self._seconds = 0.0  # of evaluating a token, as a state says that was read

    def restore(
        self,
        request: GenerateRequest,
        prefix: Sequence[int],
        turns: Sequence[Sequence[int]],
        memory: ContextCut,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> ContextCut:
        """Reads what is on disk of this conversation, where that is more than the context holds.

        `memory` is how the context is cut, the result how it is cut now. A context that the conversation has
        no use for is put away first, if `cancelled` does not come true. Raises UserError for a prompt cache
        that is damaged, of another model, or cannot be written.
        """
        self.trouble = ""
        if request.keep is not None:
            prefix, rest = keep_apart(request, prefix, turns)
            turns = [rest]
        held = _matching(self._engine.context, memory, prefix, turns)
        if request.prompt_cache is not None:
            return self._from_file(request, held, memory, prefix, turns)
        if self._store is None or request.keep is not None:
            return memory
        if held < len(self._engine.context) // 2:  # it will be another conversation's
            self.put_away(memory, cancelled)
            self._file, self._on_disk = None, ()
        return self._from_store(held, memory, prefix, turns)

    def _from_file(
        self,
        request: GenerateRequest,
        held: int,
        memory: ContextCut,
        prefix: Sequence[int],
        turns: Sequence[Sequence[int]],
    ) -> ContextCut:
        cache = request.prompt_cache
        assert cache is not None
        if not cache.read_only:
            check_output(cache.path)
        if not cache.path.exists():
            return memory
        head = self._engine.state_head(cache.path)
        n = _matching(head.tokens, cut_of(head), prefix, turns)
        return self._read(cache.path, head, n, held, memory)

    def _from_store(
        self, held: int, memory: ContextCut, prefix: Sequence[int], turns: Sequence[Sequence[int]]
    ) -> ContextCut:
        assert self._store is not None
        best: tuple[int, Path, Head] | None = None
        for path, head in self._store.states(self._engine.identity):
            n = _matching(head.tokens, cut_of(head), prefix, turns)
            if n > (best[0] if best else held):
                best = n, path, head
        if best is None:
            return memory
        n, path, head = best
        try:
            self._engine.state_head(path)
            cut = self._read(path, head, n, held, memory)
        except UserError as error:
            log.warning("a saved state could not be used: %s", error)
            self._store.remove(path)
            return ContextCut(0)
        if common_prefix(self._engine.context, head.tokens) >= n:
            self._store.used(path)
            self._file, self._on_disk = path, head.tokens
        return cut

    def _read(self, path: Path, head: Head, n: int, held: int, memory: ContextCut) -> ContextCut:
        n = min(n, self._engine.model.n_ctx - 1)
        budget = self._budget(n - held, head)
        if n <= held or budget < LEAST:
            return memory
        try:
            self._engine.restore(path, head, n, budget)
        except TooSlowError:
            log.info("%s comes in more slowly than its %d tokens are evaluated", path, n)
            return ContextCut(0)
        self._seconds = head.seconds
        return cut_of(head)

    def _budget(self, n: int, head: Head) -> float:
        """Seconds that evaluating n tokens takes, as far as is known."""
        seconds = self._engine.seconds_per_token or head.seconds
        return n * seconds if seconds else float("inf")

    def prompt_evaluated(self, request: GenerateRequest, memory: ContextCut) -> None:
        """The prompt is in the context, and nothing else."""
        cache = request.prompt_cache
        if cache and not cache.read_only and not cache.whole:
            self._write(cache.path, memory)

    def reply_made(self, request: GenerateRequest, memory: ContextCut) -> None:
        """The prompt and a reply are in the context."""
        cache = request.prompt_cache
        if cache and not cache.read_only and cache.whole:
            self._write(cache.path, memory)

    def _write(self, path: Path, memory: ContextCut) -> None:
        try:
            if not path.exists() or self._engine.state_head(path).tokens != self._engine.context:
                self._engine.save_state(path, cut=memory)
        except UserError as error:
            self.trouble = str(error)

    def put_away(self, memory: ContextCut, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Writes the present context to the store, where that is worth it and not done yet."""
        engine, store = self._engine, self._store
        tokens = engine.context
        common = common_prefix(tokens, self._on_disk)
        if store is None or len(tokens) - common <= FEW:
            return
        seconds = len(tokens) * (engine.seconds_per_token or self._seconds)
        size = engine.state_bytes
        if seconds < max(WORTH_SECONDS, 2 * size / DISK_SPEED) or not store.fits(size):
            return
        if common < len(self._on_disk) // 2:  # another conversation
            self._file = None
        try:
            path = self._file or store.new_path(engine.identity)
            if engine.save_state(path, cut=memory, cancelled=cancelled):
                self._file, self._on_disk = path, tokens
                store.prune()
        except UserError as error:
            log.warning("the state of a conversation is not kept: %s", error)


def cut_of(head: Head) -> ContextCut:
    first, start, stop = head.cut
    return ContextCut(first, (start, stop))


def _matching(
    tokens: Sequence[int], cut: ContextCut, prefix: Sequence[int], turns: Sequence[Sequence[int]]
) -> int:
    """How many of a context's tokens are those of this conversation, when that is cut in the same way."""
    first, gap = cut.first_turn, cut.gap
    if first >= len(turns):
        return 0
    turn = turns[first] if gap[1] > len(turns[first]) else elide(turns[first], gap)
    return common_prefix(tokens, chain(prefix, turn, chain.from_iterable(turns[first + 1 :])))
