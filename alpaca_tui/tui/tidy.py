"""Python's collector of garbage, at times when nobody waits for it.

A full collection looks at every object and holds everything up meanwhile: 50 to 150 ms in the middle of a
reply, and more with Numba loaded, which a person feels in the keys. So what is there at the start is left out
of it for good, young objects are collected as ever, and a full collection waits until nothing goes on.
"""

from __future__ import annotations

import gc
import time

from alpaca_tui.tui.base import BaseApp

RARE = 400  # times the middle generation is collected for one full collection, where no pause comes
QUIET = 1.0  # seconds without work and keys before one


def begin() -> None:
    """From now on; what is loaded by now stays."""
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, RARE)


class Tidy(BaseApp, inherit_bindings=False):
    _untidy = False
    _libraries_kept = False  # those that come with a model

    def tidy_later(self, busy: bool) -> None:
        """Called again and again: when work has ended, garbage is collected in the next pause."""
        if self._untidy and not busy:
            self.set_timer(QUIET, self._tidy)
        self._untidy = busy

    def _tidy(self) -> None:
        if self.session.busy:
            return  # its end comes here again
        if time.monotonic() - self.prompt.last_key < QUIET:
            self.set_timer(QUIET, self._tidy)
            return
        gc.collect()
        if self.session.model is not None and not self._libraries_kept:
            self._libraries_kept = True
            gc.freeze()
