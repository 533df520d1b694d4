"""`export` and `import` as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alpaca_tui.chat.store import chats
from alpaca_tui.chat.store.archive import FILE_NAME, Archive
from alpaca_tui.cli import main
from tests.chat.store.test_saving import talk


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder; the chats are in `data` below it."""
    for module in ("chats_export", "chats_import"):
        monkeypatch.setattr(f"alpaca_tui.commands.{module}.data_dir", lambda: tmp_path / "data")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


def fill(home: Path) -> None:
    archive = Archive(home.parent / "data")
    for question, answer in (
        ("天气怎么样？", "晴。"),
        ("How is the weather?", "Sunny."),
        ("天空为什么蓝？", "散射。"),
    ):
        archive.run(chats.add, talk((question, answer))).result()
    archive.close()


def test_one_chat_to_a_file_named_by_its_title(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(home)
    assert main(["export", "天气"]) == 0
    assert capsys.readouterr().out.strip() == "天气怎么样？.md"
    assert "## m\n\n晴。" in (home / "天气怎么样？.md").read_text("utf-8")
    assert main(["export", "天气"]) == 0 and (home / "天气怎么样？ 2.md").exists()
    assert main(["export", "weather", "-o", "a.txt"]) == 0 and (home / "a.txt").read_text().startswith("You:")
    assert main(["export", "weather", "-o", "-"]) == 0 and "# How is the weather?" in capsys.readouterr().out
    assert main(["export", "weather", "-o", "a.txt"]) == 2 and "already" in capsys.readouterr().err


def test_which_chat_is_asked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export"]) == 2 and "no chats yet" in capsys.readouterr().err
    fill(home)
    assert main(["export", "天"]) == 2
    error = capsys.readouterr().err
    assert "天气怎么样？" in error and "天空为什么蓝？" in error and "weather" not in error
    assert main(["export", "nothing like it"]) == 2 and "No chat" in capsys.readouterr().err
    assert main(["export", "weather", "-o", "a.pdf"]) == 2 and ".json" in capsys.readouterr().err
    assert main(["export", "--all", "-o", "no/folder"]) == 2 and not list(home.iterdir())


def test_all_of_them_into_a_folder_or_one_file(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(home)
    assert main(["export", "--all", "--format", "txt"]) == 0
    assert sorted(p.name for p in home.iterdir()) == sorted(capsys.readouterr().out.split("\n"))[1:]
    assert main(["export", "天", "--all", "-o", "two.json"]) == 0
    assert len(json.loads((home / "two.json").read_text("utf-8"))["chats"]) == 2


def test_what_was_exported_is_imported(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(home)
    assert main(["export", "--all", "-o", "all.json"]) == 0
    (home.parent / "data" / FILE_NAME).unlink()
    capsys.readouterr()
    assert main(["import", "all.json"]) == 0
    assert "天气怎么样？" in capsys.readouterr().out.splitlines()
    assert main(["export", "天气", "-o", "-"]) == 0 and "晴。" in capsys.readouterr().out


def test_a_bad_file_leaves_nothing_half_done(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(home)
    main(["export", "--all", "-o", "all.json"])
    (home / "bad.json").write_text("{}")
    assert main(["import", "all.json", "bad.json"]) == 2 and "bad.json" in capsys.readouterr().err
    archive = Archive(home.parent / "data")
    assert len(archive.run(chats.summaries).result()) == 3
    archive.close()


def test_a_damaged_file_of_chats_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home.parent / "data").mkdir()
    (home.parent / "data" / FILE_NAME).write_bytes(b"nothing" * 500)
    assert main(["export"]) == 2 and "damaged" in capsys.readouterr().err
