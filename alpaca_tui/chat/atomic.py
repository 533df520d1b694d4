"""Writing a small text file so that it is the old or the new one at any moment, never half of one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 to a temporary name beside `path`, then renames it. Makes the folder where it lacks.

    A link, as dotfiles are kept, stays a link. Raises OSError, and ValueError for what has no UTF-8.
    """
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
