"""Line breaking: Chinese between characters, closing marks never in front, English at words."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from alpaca_tui.tui.wrap import CHUNK, CLOSING, OPENING, WORD, break_offsets


def rows(text: str, width: int) -> list[str]:
    offsets = [0, *break_offsets(text, width), len(text)]
    return [text[a:b].rstrip() for a, b in pairwise(offsets)]


def test_chinese_fills_the_row_after_a_word() -> None:
    assert rows("Hello 这是一个没有空格的很长的中文句子", 16) == [
        "Hello 这是一个没",
        "有空格的很长的中",
        "文句子",
    ]


def test_closing_marks_stay_with_what_is_before_them() -> None:
    assert rows("一二三四，五六", 8) == ["一二三", "四，五六"]
    assert rows("他说“好。”然后", 10) == ["他说“好。”", "然后"]


def test_opening_marks_stay_with_what_follows() -> None:
    assert rows("一二三（四）", 8) == ["一二三", "（四）"]


def test_ascii_marks_after_chinese() -> None:
    assert rows("一二三四,五", 8) == ["一二三", "四,五"]


def test_english_breaks_at_words_as_before() -> None:
    assert rows("the quick brown fox", 10) == ["the quick", "brown fox"]


def test_a_long_word_is_cut() -> None:
    assert rows("abcdefghijkl xy", 5) == ["abcde", "fghij", "kl xy"]


def test_emoji_are_two_cells() -> None:
    assert rows("😀😀😀", 4) == ["😀😀", "😀"]
    assert all("👨‍👩‍👧" in row or "👨" not in row for row in rows("👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧", 4))


@pytest.mark.parametrize("text", ["", " ", "abc", "   a"])
def test_what_fits_is_not_broken(text: str) -> None:
    assert break_offsets(text, 10) == []


CHARACTERS = st.sampled_from("ab c,.()中文字。，（）“”、!?😀１ー\t-")


@given(st.text(CHARACTERS, max_size=60), st.integers(2, 24))
def test_no_row_is_too_wide_and_nothing_is_lost(text: str, width: int) -> None:
    offsets = break_offsets(text, width)
    assert offsets == sorted(set(offsets)) and all(0 < offset < len(text) for offset in offsets)
    assert all(cell_len(row) <= width for row in rows(text, width))


@given(st.text(st.sampled_from("中文字。，（）"), min_size=1, max_size=40))
def test_kinsoku_holds_where_a_row_has_room(text: str) -> None:
    pieces = [m.group() for m in WORD.finditer(text)]
    width = max(2, *(cell_len(piece) for piece in pieces))
    for offset in break_offsets(text, width):
        before, after = text[offset - 1], text[offset]
        assert before not in OPENING or after in OPENING
        assert after not in CLOSING or before in CLOSING + OPENING or offset == 0


@given(st.text(CHARACTERS, max_size=60), st.text(CHARACTERS, max_size=10), st.integers(4, 24))
def test_appending_moves_the_last_break_at_most(text: str, more: str, width: int) -> None:
    before = break_offsets(text, width)
    assert break_offsets(text + more, width)[: max(len(before) - 1, 0)] == before[:-1]


@given(st.text(CHARACTERS, max_size=60))
def test_the_patterns_cover_the_whole_text(text: str) -> None:
    assert "".join(m.group() for m in CHUNK.finditer(text)) == text
    assert "".join(m.group() for m in WORD.finditer(text)).strip() == text.strip()
