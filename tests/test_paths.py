"""The kernels and the model on lesser instruction sets: the same tests again, in processes forced there."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from alpaca_tui.kernels import target

FORCED = "ALPACA_TUI_TESTS_FORCED"
ROOT = Path(__file__).resolve().parent.parent
ON_EACH_PATH = ["tests/kernels", "tests/engine/test_model.py"]

pytestmark = pytest.mark.skipif(FORCED in os.environ, reason="this is such a process")


def forced(cpu: str, features: str) -> dict[str, str]:
    return {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features, FORCED: "1"}


def lesser() -> dict[str, dict[str, str]]:
    """Environments that make Numba compile for less than this machine has."""
    paths = {"plain": forced("generic", "")}
    if platform.machine().lower() in ("x86_64", "amd64"):
        paths["plain"] = forced("x86-64", "")
        if target.path() is target.Path.VNNI:
            above = ("avx512", "avx10", "avxvnni", "amx", "avx-")
            kept = [f for f in sorted(target.features()) if not f.startswith(above)]
            paths["avx2"] = forced("haswell", ",".join(f"+{f}" for f in kept))
    return paths


@pytest.mark.parametrize("name", lesser())
def test_the_same_tests_hold_on(name: str) -> None:
    environment = os.environ | lesser()[name]
    check = f"from alpaca_tui.kernels import target; assert target.path().value == {name!r}, target.path()"
    subprocess.run([sys.executable, "-c", check], cwd=ROOT, env=environment, check=True)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *ON_EACH_PATH]
    command.append("--ignore=tests/kernels/test_neon.py")  # which says itself what to compile for
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
