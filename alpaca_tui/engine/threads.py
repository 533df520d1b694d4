"""How many threads evaluate: one for each core that this process may use, unless another number is asked."""

from __future__ import annotations

from alpaca_tui import system
from alpaca_tui.engine.protocol import MAX_THREADS
from alpaca_tui.errors import UserError


def thread_count(wanted: int | None) -> int:
    """`wanted`; for None and 0 the number of usable cores (affinity and cgroup limits count).

    More than there are cores is slower, and allowed. Raises UserError for what cannot be.
    """
    if not wanted:
        return min(system.usable_cores(), MAX_THREADS)
    if not 0 < wanted <= MAX_THREADS:
        raise UserError(
            f"{wanted} threads cannot be: it takes 1 to {MAX_THREADS}, or 0 for one for each of the "
            f"{system.usable_cores()} cores that this program may use."
        )
    return wanted
