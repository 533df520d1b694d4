"""Models that were opened are remembered, whatever happens to the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alpaca_tui.chat.remembered import MAX_MODELS, Remembered


def test_the_newest_is_first_and_each_is_there_once(tmp_path: Path) -> None:
    file = tmp_path / "data" / "remembered.json"
    kept = Remembered(file)
    assert kept.last is None
    for name in ("a.gguf", "模型.gguf", "a.gguf"):
        kept.opened(tmp_path / name)
    again = Remembered(file)
    assert [m.path.name for m in again.models] == ["a.gguf", "模型.gguf"]
    assert again.last is not None and again.last.path == tmp_path / "a.gguf" and not again.last.guide


def test_two_programs_keep_what_the_other_wrote(tmp_path: Path) -> None:
    one, two = Remembered(tmp_path / "r.json"), Remembered(tmp_path / "r.json")
    one.opened(tmp_path / "a")
    two.opened(tmp_path / "b", guide=True)
    assert [(m.path.name, m.guide) for m in Remembered(tmp_path / "r.json").models] == [
        ("b", True),
        ("a", False),
    ]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"models": [1]}', '{"models": [{"path": "a\\u0000b", "when": 1, "guide": false}]}'],
)
def test_a_damaged_file_counts_as_empty(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    kept = Remembered(tmp_path / "r.json")
    assert kept.models == []
    kept.opened(tmp_path / "a")
    assert len(Remembered(tmp_path / "r.json").models) == 1


def test_it_is_bounded_and_needs_no_file(tmp_path: Path) -> None:
    kept = Remembered(tmp_path / "r.json")
    for i in range(MAX_MODELS + 5):
        kept.opened(tmp_path / str(i))
    assert len(json.loads((tmp_path / "r.json").read_text())["models"]) == MAX_MODELS
    bare = Remembered()
    bare.opened(Path("x"))
    assert bare.last is not None and bare.last.path == Path("x").absolute()
    (tmp_path / "file").write_text("")
    Remembered(tmp_path / "file" / "r.json").opened(Path("x"))  # cannot be written; nothing happens
