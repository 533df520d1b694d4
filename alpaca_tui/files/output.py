"""Writing a file that is either whole or not there."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from alpaca_tui.errors import UserError
from alpaca_tui.system import process_exists

_PART = re.compile(r"\..+\.(\d{1,9})\.part")


@contextmanager
def new_file(path: Path, size: int, inputs: Iterable[Path] = ()) -> Iterator[BinaryIO]:
    """A file to write `size` bytes to (about); it gets its name when all went well, and else is removed.

    Raises UserError before anything is written where `path` cannot be written, is one of `inputs`, or the
    disk has too little room; and OSErrors while writing as such.
    """
    check_output(path, inputs)
    remove_abandoned(path.absolute().parent)
    check_room(path, size)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        file = part.open("xb")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}.") from None
    try:
        try:
            yield file
        finally:
            file.close()
        part.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink()
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            raise UserError(f"{path} could not be written: {error.strerror or error}.") from error
        raise


def remove_abandoned(folder: Path) -> None:
    """Takes away what a process had half written when it was killed, so that it could not do that itself."""
    with contextlib.suppress(OSError):
        for part in folder.iterdir():
            match = _PART.fullmatch(part.name)
            if match and not process_exists(int(match[1])):
                part.unlink()


def check_output(path: Path, inputs: Iterable[Path] = ()) -> None:
    """UserError where `path` is a folder, lies in none, or is one of the files that are read."""
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the name of the file to write.")
    if not path.absolute().parent.is_dir():
        raise UserError(f"There is no folder {str(path.absolute().parent)!r}; make it first.")
    for source in inputs:
        with contextlib.suppress(OSError):
            if path.exists() and path.samefile(source):
                raise UserError(f"{path} is the file that is read; give another name for the one to write.")


def check_room(path: Path, size: int) -> None:
    """UserError where the disk that `path` is on has less than `size` bytes left."""
    try:
        free = shutil.disk_usage(path.absolute().parent).free
    except OSError:
        return  # some network drives do not say
    if free < size:
        raise UserError(
            f"{path} needs {gigabytes(size)} on the disk, and {gigabytes(free)} are free; make room or write "
            "it elsewhere."
        )


def gigabytes(size: int) -> str:
    """A size for messages: "3.9 GB", "12.3 MB"."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"
