"""Where Numba keeps compiled kernels: a folder of ours, named by what the machine code depends on.

Numba's own freshness check looks at one file; it does not see a change in a function that the cached one
calls. So the folder's name is a hash of every source in this package, of the versions of Numba, llvmlite and
Python, and of the processor that is compiled for: changed code never meets old machine code, and two
different processors with one home folder never write into the same index.

Everything works without a folder, too: kernels are then compiled anew at each start.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from numba import config
from numba.core.registry import cpu_target

from alpaca_tui import system

log = logging.getLogger(__name__)
T = TypeVar("T")

KEEP = 6  # other folders that stay, of some MB: going back to a version costs no compilation

_folder: Path | None = None
_prepared = False


def folder() -> Path | None:
    """Of this process's kernels, made when first asked for. None where none can be written."""
    global _folder, _prepared
    if not _prepared:
        _prepared = True
        _folder = _prepare(system.cache_dir() / "kernels")
    return _folder


def through_disk(make: Callable[[bool], T]) -> T:
    """`make(True)` has Numba look into the folder, and write what it compiles; else it is `make(False)`.

    A full disk ends the use of the folder for this process; damaged files end the folder's contents.
    """
    for last in (False, True):
        here = folder()
        if here is None:
            break
        try:
            with _used_by_numba(here):
                return make(True)
        except Exception as error:  # unpickling half a file raises whatever it likes
            if last or isinstance(error, OSError):
                _give_up(error)
            else:
                log.warning("compiled kernels in %s are of no use: %s", here, error)
                shutil.rmtree(here, ignore_errors=True)
                here.mkdir(parents=True, exist_ok=True)
    return make(False)


def name() -> str:
    """16 hex digits over all that compiled kernels depend on."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    processor = cpu_target.target_context.codegen().magic_tuple()
    versions = version("numba"), version("llvmlite"), sys.implementation.cache_tag
    digest.update(repr((processor, versions)).encode())
    return digest.hexdigest()[:16]


def _prepare(root: Path) -> Path | None:
    here = root / name()
    try:
        here.mkdir(parents=True, exist_ok=True)
        os.utime(here)
        tempfile.TemporaryFile(dir=here).close()
    except OSError as error:
        log.warning("compiled kernels cannot be kept: %s", error)
        return None
    _prune(root, here)
    return here


def _prune(root: Path, current: Path) -> None:
    with contextlib.suppress(OSError):
        others = sorted(
            (p for p in root.iterdir() if p != current), key=lambda p: p.stat().st_mtime, reverse=True
        )
        for stale in others[KEEP:]:
            shutil.rmtree(stale, ignore_errors=True)


def _give_up(error: Exception) -> None:
    global _folder
    log.warning("compiled kernels cannot be kept: %s", error)
    _folder = None


@contextlib.contextmanager
def _used_by_numba(here: Path) -> Iterator[None]:
    """Only while a kernel of ours is made: a program that uses this one as a library may have its own.

    Without the second of the two settings Numba would go on to other places, where its own check holds.
    """
    ours = {"CACHE_DIR": str(here), "CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
    before = {key: getattr(config, key, "") for key in ours}
    vars(config).update(ours)
    try:
        yield
    finally:
        vars(config).update(before)
