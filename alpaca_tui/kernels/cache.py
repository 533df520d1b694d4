"""Where Numba keeps compiled kernels: a folder of ours, named by what the code depends on.

Numba's own freshness check looks at one file; it does not see a change in a function that the cached one
calls. So the folder's name is a hash of every source in this package and of Numba's version: changed code
never meets old machine code. (CPU name and features are part of Numba's own key inside it.)
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

from alpaca_tui import system

KEEP = 3  # folders of other versions that stay: going back to one costs no compilation


def source_hash() -> str:
    """16 hex digits over this package's sources and the versions of Numba and llvmlite."""
    digest = hashlib.sha256(f"{version('numba')} {version('llvmlite')}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def prepare() -> Path | None:
    """Points Numba at its folder; call before Numba is imported. None where no folder can be written.

    Without a folder everything still works: kernels are compiled anew at each start.
    """
    root = system.cache_dir() / "kernels"
    folder = root / source_hash()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
    except OSError:
        return None
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    if "numba" in sys.modules:  # imported by the program that uses us as a library
        sys.modules["numba"].config.CACHE_DIR = str(folder)
    _prune(root, folder)
    return folder


def _prune(root: Path, current: Path) -> None:
    with contextlib.suppress(OSError):
        others = sorted(
            (p for p in root.iterdir() if p != current), key=lambda p: p.stat().st_mtime, reverse=True
        )
        for stale in others[KEEP:]:
            shutil.rmtree(stale, ignore_errors=True)
