"""What every screen looks like, in both languages and three sizes: the characters, row by row.

The files in snapshots/ are what was looked at and found right. After a change that is meant, renew them and
look at what `git diff` says:

    ALPACA_TUI_SNAPSHOTS=renew python -m pytest tests/tui/test_looks_en.py tests/tui/test_looks_zh.py
"""

from __future__ import annotations

import difflib
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from alpaca_tui import system
from alpaca_tui.chat import model_places
from alpaca_tui.tui.eta import TimeLeft
from alpaca_tui.tui.meter import Meter
from alpaca_tui.tui.screens import setup
from alpaca_tui.tui.widgets import chat_list
from tests.tui.helpers import Chat, chat
from tests.tui.scenes import SCENES, archive

FOLDER = Path(__file__).parent / "snapshots"
RENEW = os.environ.get("ALPACA_TUI_SNAPSHOTS") == "renew"
SIZES = ((80, 24), (120, 40), (200, 60))
GiB = 1 << 30

same_paths = pytest.mark.skipif(sys.platform == "win32", reason="paths look different there")


def stand_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with models; and what differs between runs or computers is the same."""
    monkeypatch.setattr(system, "process_memory", lambda: GiB)
    for where in (system, setup):
        monkeypatch.setattr(where, "available_memory", lambda: 6 * GiB)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=50 * GiB))
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in (
        "TERM_PROGRAM",
        "TMUX",
        "STY",
        "VTE_VERSION",
        "WT_SESSION",
        "KITTY_WINDOW_ID",
        "XTERM_VERSION",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(chat_list, "when_text", lambda *times: "12:34")
    monkeypatch.setattr(TimeLeft, "seconds", property(lambda self: 42.0))
    monkeypatch.setattr(Meter, "speed", property(lambda self: 12.5))
    monkeypatch.setattr(model_places, "LEVELS_UP", 1)
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name in ("LLAMA_CACHE", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "models").mkdir()
    for name in ("中文 7B.gguf", "broken.gguf"):
        (tmp_path / "models" / name).write_bytes(b"GGUF")


def frame(c: Chat, size: tuple[int, int]) -> str:
    """The screen, and what has the focus."""
    focused = c.app.focused
    where = f"{type(focused).__name__}#{focused.id or ''}" if focused is not None else "nothing"
    return "\n".join([f"=== {size[0]}x{size[1]}, focus: {where}", *c.lines(), ""])


async def check(name: str, language: str, folder: Path) -> None:
    """Plays a scene, and compares what is seen with its file."""
    scene = SCENES[name]
    script = replace(scene.script, bad_heads={"broken.gguf": "broken.gguf is no model."})
    made = archive(folder / "data", scene.talks)
    async with chat(script, size=SIZES[0], language=language, archive=made, loaded=scene.loaded) as c:
        await scene.act(c, folder)
        frames = []
        for size in SIZES:
            await c.pilot.resize_terminal(*size)
            await c.settle()
            await c.settle()
            frames.append(frame(c, size))
        if c.app.workshop is not None:
            c.app.close_setup()
    now = "\n".join(frames)
    path = FOLDER / language / f"{name}.txt"
    if RENEW:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(now, encoding="utf-8")
        return
    assert path.exists(), f"{path} was never made: see the head of looks.py"
    before = path.read_text(encoding="utf-8")
    difference = difflib.unified_diff(before.split("\n"), now.split("\n"), path.name, "now", lineterm="")
    assert before == now, "\n".join(difference)
