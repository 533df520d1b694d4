"""log.py: what is logged goes to a file of limited size, and never to the screen."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from alpaca_tui import log


def test_an_error_goes_to_the_file_and_not_to_the_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(log, "cache_dir", lambda: tmp_path / "new")
    log.set_up_log()
    log.set_up_log()  # a second time does not write everything twice
    try:
        raise ValueError("羊驼")
    except ValueError:
        logging.getLogger("alpaca_tui.engine.worker").exception("it failed")
    written = log.log_file().read_text(encoding="utf-8")
    assert written.count("it failed") == 1
    assert "ValueError: 羊驼" in written
    assert capfd.readouterr() == ("", "")


def test_where_no_file_can_be_written_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr(log, "cache_dir", lambda: tmp_path / "file" / "folder")
    log.set_up_log()
    logging.getLogger("alpaca_tui.engine").error("it failed")
    assert capfd.readouterr() == ("", "")


@pytest.fixture(autouse=True)
def put_back() -> object:
    logger = logging.getLogger("alpaca_tui")
    yield
    for handler in logger.handlers[:]:
        handler.close()
        logger.removeHandler(handler)
    logger.propagate = True
