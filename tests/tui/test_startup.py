"""The first paint waits for nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from alpaca_tui.chat.settings import Settings
from alpaca_tui.tui.app import AlpacaApp
from tests.tui.scripted_engine import ScriptedEngine

HEAVY = (
    "numpy",
    "numba",
    "llvmlite",
    "sentencepiece",
    "alpaca_tui.engine.worker",
    "alpaca_tui.engine.engine",
)


def test_the_application_is_imported_without_numpy_and_numba() -> None:
    code = f"import sys, alpaca_tui.tui.app; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_the_engine_is_made_after_the_first_paint() -> None:
    painted: list[str] = []

    def engine() -> ScriptedEngine:
        strips = app.screen._compositor.render_strips()
        painted.append("\n".join("".join(segment.text for segment in strip) for strip in strips))
        return ScriptedEngine()

    app = AlpacaApp(engine, Path("x.gguf"), Settings(), "", "en")
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        await pilot.pause()
        assert painted and "x is being loaded" in painted[0] and "Type already" in painted[0]
