"""Where what nobody should see is written down: a small log file, never the screen."""

from __future__ import annotations

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

from alpaca_tui.system import cache_dir

MAX_BYTES = 512 * 1024


class QuietFileHandler(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """A full disk is no reason to write on the screen, which logging does by default."""


def log_file() -> Path:
    return cache_dir() / "alpaca-tui.log"


def set_up_log() -> None:
    """Sends the program's log to `log_file()` (once full, it is kept as `.1`); nowhere if that fails."""
    logger = logging.getLogger("alpaca_tui")
    logger.propagate = False  # a traceback must not fall onto the screen
    try:
        log_file().parent.mkdir(parents=True, exist_ok=True)
        handler: logging.Handler = QuietFileHandler(
            log_file(), maxBytes=MAX_BYTES, backupCount=1, encoding="utf-8"
        )
    except OSError:
        handler = logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    for old in logger.handlers[:]:
        logger.removeHandler(old)
        logging.getLogger().removeHandler(old)
        old.close()
    logger.addHandler(handler)
    logging.getLogger().addHandler(handler)  # what libraries warn of belongs there, too
    logging.captureWarnings(True)


def tail(size: int = 64 << 10) -> list[str]:
    """The last lines of the log, oldest first; none where there is no log."""
    try:
        with log_file().open("rb") as file:
            file.seek(0, 2)
            begin = max(file.tell() - size, 0)
            file.seek(begin)
            lines = file.read(size).decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    return lines[1:] if begin else lines
