"""The public Python API: `from alpaca_tui.engine import Engine, Sampling`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alpaca_tui.engine.engine import Engine
    from alpaca_tui.engine.protocol import SamplingParams as Sampling

__all__ = ["Engine", "Sampling"]


def __getattr__(name: str) -> Any:  # lazy: importing engine.protocol must not bring NumPy and Numba along
    if name == "Engine":
        from alpaca_tui.engine.engine import Engine

        return Engine
    if name == "Sampling":
        from alpaca_tui.engine.protocol import SamplingParams

        return SamplingParams
    raise AttributeError(name)
