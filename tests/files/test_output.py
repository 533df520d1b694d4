"""Files are written whole or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from alpaca_tui.errors import UserError
from alpaca_tui.files.output import gigabytes, new_file

Usage = namedtuple("Usage", "total used free")


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    with new_file(path, 3) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["out.bin"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, UserError])
def test_nothing_stays_of_a_file_that_failed(error: type[BaseException], tmp_path: Path) -> None:
    with pytest.raises(error), new_file(tmp_path / "out.bin", 3) as file:
        file.write(b"half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_taken_away(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left, others, own = (
        tmp_path / f".out.bin.{dead.pid}.part",
        tmp_path / f".x.{os.getpid()}.part",
        tmp_path / ".part",
    )
    for path in (left, others, own):
        path.write_bytes(b"half")
    with new_file(tmp_path / "new.bin", 3):
        assert not left.exists() or sys.platform == "win32"
    assert others.exists() and own.exists()


def test_a_full_disk_is_noticed_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, 5 * 10**8))
    with pytest.raises(UserError, match=r"needs 3\.9 GB on the disk, and 500\.0 MB are free"):
        new_file(tmp_path / "out.bin", 3_900_000_000).__enter__()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="could not be written: No space left"),
        new_file(tmp_path / "out.bin", 3) as file,
    ):
        file.write(b"half")
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_inputs_and_folders_are_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "in.bin"
    path.write_bytes(b"in")
    link = tmp_path / "link.bin"
    link.hardlink_to(path)
    for output, words in (
        (path, "is the file that is read"),
        (link, "is the file that is read"),
        (tmp_path, "is a folder"),
        (tmp_path / "no" / "out.bin", "There is no folder"),
    ):
        with pytest.raises(UserError, match=words):
            new_file(output, 1, [tmp_path / "gone.bin", path]).__enter__()
    assert path.read_bytes() == b"in"


def test_sizes_in_words() -> None:
    assert [gigabytes(n) for n in (5, 1234, 5_600_000, 3_900_000_000)] == [
        "5 bytes",
        "1.2 kB",
        "5.6 MB",
        "3.9 GB",
    ]
