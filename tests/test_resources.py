"""resources.py: what ships is found from any folder; a prompt file is read or refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from alpaca_tui import resources
from alpaca_tui.errors import UserError

LINE = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request."
)


def test_alpaca_prompt_is_the_tutorials_to_the_byte() -> None:
    raw = (resources.prompts_dir() / "alpaca.txt").read_bytes()
    assert raw == LINE.encode() + b"\n"
    assert len(raw) == 106


@pytest.mark.parametrize("name", ["prompts/alpaca.txt", "./prompts/alpaca.txt", "alpaca.txt"])
def test_shipped_prompt_is_found_from_any_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resources.read_prompt(name) == LINE


def test_a_file_of_ones_own_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("prompts").mkdir()
    Path("prompts/alpaca.txt").write_bytes("用中文回答。\r\n\r\n".encode())
    assert resources.read_prompt("prompts/alpaca.txt") == "用中文回答。\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"a" * ((1 << 20) + 1), "over 1 MiB"),
        (None, "a folder"),
    ],
)
def test_a_prompt_that_is_none_is_refused(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "p.txt"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=reason):
        resources.read_prompt(path)


def test_a_missing_prompt_names_those_that_ship(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"alpaca\.txt"):
        resources.read_prompt("no-such-prompt.txt")
    with pytest.raises(UserError, match="no prompt file"):
        resources.read_prompt(tmp_path / "alpaca.txt")  # an absolute path means that very file


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_bytes("\ufeff好\n".encode())
    assert resources.read_prompt(path) == "好"


def test_guide_model_is_small_enough_to_ship_or_its_absence_is_said() -> None:
    try:
        path = resources.guide_model()
    except UserError as error:
        assert "-m" in str(error)
    else:
        assert path.stat().st_size <= 8 << 20
        assert path.open("rb").read(4) == b"GGUF"
