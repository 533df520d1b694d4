"""The folder of compiled kernels: never stale, never corrupt, never needed.

Most of these run in processes of their own, on a copy of the few modules that compiling takes, with a kernel
small enough to compile in an instant. `helper.py` has what it calls: the change that Numba itself misses.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from numba.core import caching

import alpaca_tui
from alpaca_tui import system
from alpaca_tui.kernels import cache, registry, warm

SOURCES = (
    "__init__.py",
    "errors.py",
    "system.py",
    "kernels/__init__.py",
    "kernels/cache.py",
    "kernels/registry.py",
)
HELPER = "from numba import njit\n\n@njit\ndef value():\n    return {}\n"
TINY = """
from alpaca_tui.kernels.helper import value
from alpaca_tui.kernels.registry import kernel

@kernel
def tiny(arguments, thread, n_threads):
    arguments[0] = value()
"""
# prints what the kernel says, and whether it was found on disk
RUN = """
import ctypes
from alpaca_tui.kernels import registry, tiny
compiled = registry.compiled("tiny")
box = ctypes.c_int64(0)
compiled.ctypes(ctypes.byref(box), 0, 1)
print(box.value, compiled.cache_hits)
"""
NEW, FOUND = 0, 1


class Copy:
    """A copy of the program, with a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.package = folder / "alpaca_tui"
        for name in SOURCES:
            target = self.package / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(alpaca_tui.__file__).parent / name, target)
        (self.package / "kernels/tiny.py").write_text(TINY)
        self.say(1)

    def say(self, value: int) -> None:
        (self.package / "kernels/helper.py").write_text(HELPER.format(value))

    def start(self, **environment: str) -> subprocess.Popen[str]:
        home = {name: str(self.home) for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA")}
        return subprocess.Popen(
            [sys.executable, "-c", RUN],
            cwd=self.package.parent,
            env=os.environ | home | {"PYTHONPATH": str(self.package.parent)} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, **environment: str) -> tuple[int, int]:
        return said(self.start(**environment))

    @property
    def folders(self) -> list[Path]:
        return [found.parent.parent for found in self.home.rglob("tiny.tiny-*.nbi")]


def said(process: subprocess.Popen[str]) -> tuple[int, int]:
    out, err = process.communicate()
    assert process.returncode == 0, err[-2000:]
    value, hits = out.split()
    return int(value), int(hits)


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def test_changed_code_and_another_processor_compile_anew(copy: Copy) -> None:
    assert copy.run() == (1, NEW)
    assert copy.run() == (1, FOUND)
    copy.say(2)  # the kernel's own file stays as it is
    assert copy.run() == (2, NEW)
    lesser = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    assert copy.run(**lesser) == (2, NEW)
    assert len(set(copy.folders)) == 3


def test_programs_that_start_at_once_share_an_empty_folder(copy: Copy) -> None:
    assert [said(process)[0] for process in [copy.start() for _ in range(3)]] == [1, 1, 1]
    assert copy.run() == (1, FOUND)


def test_damaged_files_are_compiled_again(copy: Copy) -> None:
    copy.run()
    for suffix in ("nbc", "nbi"):
        files = list(copy.home.rglob(f"*.{suffix}"))
        assert files
        for file in files:
            os.truncate(file, file.stat().st_size // 2)
        assert copy.run() == (1, NEW)
    assert copy.run() == (1, FOUND)


def test_a_home_that_cannot_be_written_costs_time_only(copy: Copy) -> None:
    copy.home.write_text("a file where a folder would be")
    assert copy.run() == (1, NEW)
    assert copy.run() == (1, NEW)
    assert not list(copy.package.rglob("*.nb?"))  # nor is Numba's own place for them used


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """This process with an empty cache."""
    monkeypatch.setattr(system, "cache_dir", lambda: tmp_path)
    monkeypatch.setattr(cache, "_prepared", False)
    monkeypatch.setattr(cache, "_folder", None)
    monkeypatch.setattr(registry, "_compiled", {})
    monkeypatch.setattr(warm.registry, "_functions", {"alone": alone, "beside": beside})
    yield tmp_path / "kernels"


def alone(arguments, thread, n_threads):  # type: ignore[no-untyped-def]
    arguments[0] = 5


def beside(arguments, thread, n_threads):  # type: ignore[no-untyped-def]
    arguments[0] = 6


def test_old_folders_go(root: Path) -> None:
    names = [f"{age:02}" for age in range(cache.KEEP + 3)]
    for age, name in enumerate(names):
        (root / name).mkdir(parents=True)
        os.utime(root / name, (1e9 - age, 1e9 - age))
    assert cache.folder() == root / cache.name()
    assert {path.name for path in root.iterdir()} == {*names[: cache.KEEP], cache.name()}


def test_a_full_disk_is_met_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def full(self: object, name: str, data: bytes) -> NoReturn:
        tried.append(name)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "_save_data", full)
    monkeypatch.setattr(warm, "_compile_apart", lambda *args: None)
    reports: list[tuple[int, int, str]] = []
    warm.ready(["alone", "beside"], lambda *report: reports.append(report), lambda: None)
    assert reports == [(0, 2, "alone"), (1, 2, "beside"), (2, 2, "")]
    assert registry.address("alone") and registry.address("beside")
    assert len(tried) == 1
    assert not list(root.rglob("*.ready"))


def test_the_settings_of_a_program_around_this_one_stay(root: Path) -> None:
    before = caching.config.CACHE_DIR
    registry.address("alone")
    assert list(root.rglob("*alone*.nbc"))
    assert before == caching.config.CACHE_DIR


def test_a_mistake_in_a_kernel_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(arguments, thread, n_threads):  # type: ignore[no-untyped-def]
        arguments.no_such_thing()

    monkeypatch.setitem(registry._functions, "wrong", wrong)
    with pytest.raises(Exception, match="no_such_thing"):
        registry.address("wrong")
