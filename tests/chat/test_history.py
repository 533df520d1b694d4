"""Up and Down in the prompt."""

from __future__ import annotations

from alpaca_tui.chat.history import LIMIT, PromptHistory


def test_back_and_forward_with_the_draft_at_the_end() -> None:
    h = PromptHistory()
    h.add("one")
    h.add("two")
    assert h.back("draft") == "two"
    assert h.back("two") == "one"
    assert h.back("one") is None
    assert h.forward() == "two"
    assert h.forward() == "draft"
    assert h.forward() is None and not h.recalling


def test_nothing_to_recall() -> None:
    h = PromptHistory()
    assert h.back("draft") is None and h.forward() is None and not h.recalling


def test_the_same_twice_is_kept_once_and_blanks_not_at_all() -> None:
    h = PromptHistory()
    for text in ("a", "a", "  ", "b", "a"):
        h.add(text)
    assert [h.back(""), h.back(""), h.back(""), h.back("")] == ["a", "b", "a", None]


def test_it_is_bounded() -> None:
    h = PromptHistory()
    for i in range(LIMIT + 10):
        h.add(str(i))
    found = []
    while (text := h.back("")) is not None:
        found.append(text)
    assert len(found) == LIMIT and found[0] == str(LIMIT + 9)
