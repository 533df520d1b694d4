"""Nothing but the program writes on the screen: in a fresh interpreter, where descriptor 2 is what it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from alpaca_tui import log
from tests.tui.helpers import chat

NOISY = """
import os, sys, logging, warnings
from pathlib import Path
from alpaca_tui.tui.quiet import quiet
with quiet(Path(sys.argv[1])):
    os.write(2, b"a library in C\\n")
    print("drawn", file=sys.__stderr__, flush=True)
    os.system("echo a program >&2")
os.write(2, b"afterwards\\n")
print("and by Python", file=sys.stderr)
"""


@pytest.mark.skipif(os.name != "posix", reason="descriptors of Windows' libraries are their own")
def test_what_libraries_write_goes_to_the_log_and_what_is_drawn_to_the_screen(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NOISY, str(tmp_path / "log")], capture_output=True, text=True
    )
    assert done.stderr == "drawn\nafterwards\nand by Python\n"
    assert (tmp_path / "log").read_text() == "a library in C\na program\n"


@pytest.mark.skipif(os.name != "posix", reason="descriptors of Windows' libraries are their own")
def test_without_a_log_the_screen_works_all_the_same(tmp_path: Path) -> None:
    no_folder = tmp_path / "missing" / "log"
    done = subprocess.run([sys.executable, "-c", NOISY, str(no_folder)], capture_output=True, text=True)
    assert done.returncode == 0 and "drawn" in done.stderr


async def test_what_is_printed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with chat() as c:
        print("NumbaWarning: something")
        await c.until(lambda: "NumbaWarning" in caplog.text)
        assert "NumbaWarning" not in c.text()


def test_the_end_of_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "log"
    monkeypatch.setattr(log, "log_file", lambda: file)
    assert log.tail() == []
    file.write_text("".join(f"line {i}\n" for i in range(100)), encoding="utf-8")
    assert log.tail()[0] == "line 0" and log.tail()[-1] == "line 99"
    assert log.tail(20) == ["line 98", "line 99"]
