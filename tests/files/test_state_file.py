"""State files: what was written comes back, and nothing else does."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaca_tui.errors import UserError
from alpaca_tui.files import state_file
from alpaca_tui.files.state_file import Head, TooSlowError, read_data, read_head, write_state

PIECES = [np.arange(n, dtype=np.uint8) + n for n in (100, 0, 7, 64)]
HEAD = Head("a model", "abc", {"cache_type": "f16", "yarn": None}, 171, 0.01, (2, 5, 9), (1, 5, 30000))


def write(path: Path) -> Path:
    assert write_state(path, HEAD, PIECES)
    return path


def read(path: Path, cut: int = 0, seconds: float = float("inf")) -> list[np.ndarray]:
    """All pieces, each without its last `cut` bytes."""
    head = read_head(path)
    pieces = [np.zeros(max(len(piece) - cut, 0), np.uint8) for piece in PIECES]
    read_data(path, head, [(p, len(whole)) for p, whole in zip(pieces, PIECES, strict=True)], seconds)
    return pieces


@pytest.mark.parametrize("cut", [0, 1, 10])
def test_round_trip(tmp_path: Path, cut: int) -> None:
    path = write(tmp_path / "a.state")
    head = read_head(path)
    assert replace(head, start=0) == HEAD and head.tokens == HEAD.tokens
    assert head.start % 64 == 0
    for ours, whole in zip(read(path, cut), PIECES, strict=True):
        np.testing.assert_array_equal(ours, whole[: len(ours)])
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_cancelled_leaves_what_was_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.state")
    before = path.read_bytes()
    answers = iter([False, False, True])
    assert not write_state(path, replace(HEAD, tokens=(7,)), PIECES, lambda: next(answers))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.state")

    def pieces():
        yield PIECES[0]
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="No space left"):
        write_state(path, HEAD, pieces())
    assert read_head(path).tokens == HEAD.tokens
    assert list(tmp_path.iterdir()) == [path]


def test_slow_files_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.state")
    monkeypatch.setattr(state_file, "_SLOW_AFTER", 0.0)
    with pytest.raises(TooSlowError):
        read(path, seconds=0.0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no saved state"),
        (b"hello, this is some text that somebody wrote", "no saved state"),
        (b"nsgg" + bytes(40), "session file of llama.cpp"),
        (struct.pack("<8s4I", b"ALPSTATE", 2, 0, 0, 0), "version 2"),
        (struct.pack("<8s4I", b"ALPSTATE", 1, 1 << 30, 0, 0), "head of 1,073,741,824 bytes"),
        (struct.pack("<8s4I", b"ALPSTATE", 1, 2, 1 << 31, 0), "2,147,483,648 tokens"),
        (struct.pack("<8s4I", b"ALPSTATE", 1, 2, 100, 0) + b"{}", "is damaged"),
    ],
)
def test_other_files(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "a.state"
    path.write_bytes(data)
    with pytest.raises(UserError, match=message):
        read_head(path)


@given(where=st.floats(0, 1), value=st.integers(0, 255), end=st.none() | st.floats(0, 1))
def test_damage_is_found(
    tmp_path_factory: pytest.TempPathFactory, where: float, value: int, end: float | None
) -> None:
    """Any byte changed, or any part of the end missing."""
    path = write(tmp_path_factory.mktemp("state") / "a.state")
    data = bytearray(path.read_bytes())
    before = bytes(data)
    data[int(where * (len(data) - 1))] = value
    data = data[: int(end * len(data))] if end is not None else data
    padding = slice(before.rindex(b"\x30\x75\0\0") + 4, read_head(path).start)
    data[padding] = before[padding][: len(data[padding])]  # that means nothing
    path.write_bytes(data)
    if bytes(data) == before:
        read(path)
    else:
        with pytest.raises(UserError) as caught:
            read(path)
        assert "\n" not in str(caught.value)
