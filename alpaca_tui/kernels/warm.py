"""Compiling many kernels at once, outside this process, into the cache on disk.

Numba compiles in Python, holding the lock that a user interface needs as well; child processes leave it
alone and use all cores. Afterwards this process loads the machine code in milliseconds. Where the cache
cannot be written, or a child fails, kernels are compiled here.

    python -m alpaca_tui.kernels.warm NAME...    compiles these, naming each as it is done
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

from alpaca_tui import system
from alpaca_tui.kernels import activations, attention, cache, matmul, quantize, registry, repack, shift

Report = Callable[[int, int, str], None]  # kernels done, kernels in all, the one being worked on

# Importing them registers their kernels.
KERNEL_MODULES = (activations, attention, matmul, quantize, repack, shift)
MAX_CHILDREN = 4
POLL_SECONDS = 0.1


def ready(names: Sequence[str], report: Report, check_stop: Callable[[], None]) -> None:
    """Has all these kernels loaded into this process; `check_stop` may raise to give up."""
    missing = [name for name in names if not _is_kept(name)]
    done = len(names) - len(missing)
    if len(missing) > 1 and cache.folder():
        with contextlib.suppress(OSError):
            _compile_apart(missing, lambda n, what: report(done + n, len(names), what), check_stop)
    for i, name in enumerate(names):
        check_stop()
        if name in missing and not _is_kept(name):
            report(i, len(names), name)
        registry.address(name)
        _mark(name)
    report(len(names), len(names), "")


def _compile_apart(
    names: list[str], report: Callable[[int, str], None], check_stop: Callable[[], None]
) -> None:
    n_children = min(MAX_CHILDREN, system.usable_cores(), len(names))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    finished: list[str] = []
    children = []
    try:
        for i in range(n_children):
            child = subprocess.Popen(
                [sys.executable, "-m", __name__, *names[i::n_children]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                text=True,
            )
            reader = threading.Thread(target=_collect, args=(child, finished), daemon=True)
            reader.start()
            children.append((child, reader))
        report(0, names[0])
        for child, reader in children:
            while reader.is_alive():
                reader.join(POLL_SECONDS)
                check_stop()
                left = [name for name in names if name not in finished]
                report(len(names) - len(left), left[0] if left else "")
            child.wait()
    finally:
        for child, _ in children:
            if child.poll() is None:
                child.kill()
            child.wait()


def _collect(child: subprocess.Popen[str], finished: list[str]) -> None:
    assert child.stdout
    with child.stdout:
        finished.extend(line.strip() for line in child.stdout)


# --- which kernels are in the folder ------------------------------------------------------------------------


def _is_kept(name: str) -> bool:
    folder = cache.folder()
    return folder is not None and (folder / f"{name}.ready").exists()


def _mark(name: str) -> None:
    if folder := cache.folder():
        with contextlib.suppress(OSError):
            (folder / f"{name}.ready").touch()


def main(names: Sequence[str]) -> None:
    if hasattr(os, "nice"):
        with contextlib.suppress(OSError):
            os.nice(5)  # the user is typing meanwhile
    for name in names:
        registry.address(name)
        if cache.folder() is None:
            return  # nothing that is compiled here reaches the program
        _mark(name)
        print(name, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
