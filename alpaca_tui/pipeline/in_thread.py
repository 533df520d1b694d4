"""Evaluating in a second thread, so that the first one notices Ctrl+C at once and stops the evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from alpaca_tui.engine.model import Model

POLL_SECONDS = 0.1  # on Windows a wait without end cannot be interrupted


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
        job = self._pool.submit(self._model.eval, tokens, pos, n_logits)
        try:
            while not job.done():
                wait([job], POLL_SECONDS)
        except BaseException:
            self._model.request_stop()
            wait([job])
            raise
        return job.result()

    def close(self) -> None:
        """Ends the thread, and closes the model."""
        self._pool.shutdown()
        self._model.close()
