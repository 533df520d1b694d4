"""Evaluating in a second thread, so that the first one notices Ctrl+C at once and stops the evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from alpaca_tui.engine.model import Model

T = TypeVar("T")
POLL_SECONDS = 0.1  # on Windows a wait without end cannot be interrupted


def interruptible(
    pool: Executor, job: Callable[[], T], stop: Callable[[], None], tick: Callable[[], None] | None = None
) -> T:
    """What `job` gives, run in the pool. What interrupts the wait is raised once `stop` has ended the job.

    `tick` is called ten times a second meanwhile.
    """
    running = pool.submit(job)
    try:
        while not running.done():
            wait([running], POLL_SECONDS)
            if tick is not None:
                tick()
    except BaseException:
        stop()
        wait([running])
        raise
    return running.result()


class InThread:
    """A model whose `eval` can be interrupted: what interrupts it is raised once the model has stopped."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._pool = ThreadPoolExecutor(1)

    @property
    def n_vocab(self) -> int:
        return self._model.n_vocab

    @property
    def n_batch(self) -> int:
        return self._model.n_batch

    def eval(self, tokens: Sequence[int], pos: int, n_logits: int) -> npt.NDArray[np.float32]:
        return interruptible(
            self._pool, lambda: self._model.eval(tokens, pos, n_logits), self._model.request_stop
        )

    def close(self) -> None:
        """Ends the thread, and closes the model."""
        self._pool.shutdown()
        self._model.close()
