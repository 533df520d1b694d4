"""Kernels by name, compiled when a model first asks for them.

A kernel is a function `(arguments: int64*, thread: int64, n_threads: int64)`. All have this one signature,
so that a forward pass is a list of addresses and arguments (`team.run` walks it), each kernel compiles and
caches alone, and only those that a model uses are ever compiled.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from numba import cfunc, njit, types

from alpaca_tui.kernels import cache

SIGNATURE = types.void(types.CPointer(types.int64), types.int64, types.int64)
OPTIONS: dict[str, Any] = {"boundscheck": False, "error_model": "numpy"}

_functions: dict[str, Callable[..., None]] = {}
_compiled: dict[str, Any] = {}
_lock = threading.Lock()


def kernel(function: Callable[..., None]) -> Callable[..., None]:
    """Registers a kernel under its function's name, without compiling it."""
    _functions[function.__name__] = function
    return function


def compiled(name: str) -> Any:
    """Numba's CFunc of a kernel: loaded from the cache on disk, or compiled now."""
    with _lock:
        if name not in _compiled:
            function = _functions[name]
            _compiled[name] = cache.through_disk(
                lambda on_disk: cfunc(SIGNATURE, cache=on_disk, **OPTIONS)(function)
            )
        return _compiled[name]


def at_once(signature: str) -> Callable[[Callable[..., None]], Any]:
    """Makes a function that Python calls and that runs without the GIL, loaded or compiled right away."""

    def make(function: Callable[..., None]) -> Any:
        return cache.through_disk(
            lambda on_disk: njit(signature, nogil=True, cache=on_disk, **OPTIONS)(function)
        )

    return make


def address(name: str) -> int:
    """Where the machine code of a kernel is."""
    return int(compiled(name).address)


def assembly(name: str) -> str:
    """What LLVM made of a kernel, compiled afresh: the proof of which instructions it holds."""
    fresh: Any = cfunc(SIGNATURE, **OPTIONS)(_functions[name])
    return str(fresh._library.get_asm_str())
