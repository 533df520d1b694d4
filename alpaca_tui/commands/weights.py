"""What `convert` and `quantize` share: how far they are, and what they say about odd values."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from alpaca_tui.commands.progress import Bar
from alpaca_tui.errors import UserError
from alpaca_tui.system import usable_cores

if TYPE_CHECKING:
    from alpaca_tui.pipeline.containers import Container
    from alpaca_tui.pipeline.convert_rows import Counts
    from alpaca_tui.pipeline.jobs import Job
    from alpaca_tui.pipeline.sources import Source
    from alpaca_tui.pipeline.write_model import Written

MAX_THREADS = 256


class Reporter:
    """Watches a file being written: the bar on stderr. Subclasses say more."""

    def __init__(self, bar: Bar) -> None:
        self.bar = bar
        self.started = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def begin(self, source: Source, jobs: Sequence[Job], container: Container) -> None: ...

    def tensor_begins(self, index: int, job: Job) -> None: ...

    def tensor_done(self, index: int, job: Job, counts: Counts) -> None: ...

    def progress(self, done: int, total: int, what: str) -> None:
        self.bar(done, total, what)


def tell_odd(written: Written) -> None:
    """Warns of values that are no numbers, tensor by tensor."""
    for name, counts in written.odd.items():
        if counts.n_nan or counts.n_inf:
            print(
                f"Warning: the tensor {name} holds {counts.n_nan:,} NaN and {counts.n_inf:,} infinite "
                "values: the model was damaged before, and replies will suffer; get its weights again.",
                file=sys.stderr,
            )
        if counts.n_overflow:
            print(
                f"Warning: {counts.n_overflow:,} values of the tensor {name} are beyond the range of f16 and "
                "became infinite; write it with --outtype f32.",
                file=sys.stderr,
            )


def n_threads(text: str | None) -> int:
    """The number of threads in `text`; as many as there are cores without one, or for 0."""
    if text is None or text == "0":
        return usable_cores()
    if not text.isdigit() or not 0 < int(text) <= MAX_THREADS:
        raise UserError(f"The number of threads is a whole number from 1 to {MAX_THREADS}, not {text!r}.")
    return int(text)
