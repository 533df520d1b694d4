"""Markdown as rows of text."""

from __future__ import annotations

import pytest

from alpaca_tui.tui.markdown.blocks import plain, render
from alpaca_tui.tui.markdown.lines import Row, rows_of


def drawn(source: str, width: int = 40) -> list[str]:
    return [(row.prefix + row.text).plain.rstrip() for _, row in rows_of(render(source), width)]


def row_with(source: str, piece: str, width: int = 60) -> Row:
    return next(row for _, row in rows_of(render(source), width) if piece in row.text.plain)


def styles(row: Row) -> list[tuple[str, str]]:
    return [(row.text.plain[span.start : span.end], str(span.style)) for span in row.text.spans]


def test_paragraphs_have_a_blank_line_between_and_headings_none_below() -> None:
    assert drawn("# Title\n\none\n\ntwo\n\n## Next\nthree") == [
        "Title",
        "one",
        "",
        "two",
        "",
        "Next",
        "three",
    ]


def test_a_line_that_the_model_broke_stays_broken() -> None:
    assert drawn("roses are red\nviolets are blue") == ["roses are red", "violets are blue"]


def test_lists_hang_and_nest() -> None:
    assert drawn("1. one\n   - a\n   - b\n2. a second item that is long enough to wrap\n") == [
        " 1. one",
        "     ◦ a",
        "     ◦ b",
        " 2. a second item that is long enough to",
        "    wrap",
    ]


def test_numbers_are_those_of_the_source() -> None:
    assert drawn("9. nine\n10. ten") == [" 9. nine", "10. ten"]


def test_blank_lines_between_items_are_those_of_the_source() -> None:
    assert drawn("- a\n- b\n\n- c") == [" • a", " • b", "", " • c"]


def test_an_item_with_two_paragraphs() -> None:
    assert drawn("- a\n\n  more\n- b") == [" • a", "", "   more", " • b"]


def test_quotes_and_rules() -> None:
    assert drawn("> said\n> - twice\n\n---") == ["▎ said", "▎  • twice", "", "─" * 24]


def test_code_keeps_its_space_and_its_brackets() -> None:
    assert drawn("```python\ndef f():\n    return [red]x[/red]\n```") == [
        "  def f():",
        "      return [red]x[/red]",
    ]
    assert row_with("```\nx\n```", "x").fill


def test_code_of_a_known_language_is_coloured_and_of_none_is_not() -> None:
    assert row_with("```python\nimport os\n```", "import").text.spans
    assert not row_with("```\nimport os\n```", "import").text.spans
    assert row_with("```no-such-language\nimport os\n```", "import").text.plain == "import os"


def test_long_code_wraps_and_nothing_is_hidden() -> None:
    assert "".join(row.strip() for row in drawn("```\n" + "x" * 90 + "\n```", 40)) == "x" * 90


@pytest.mark.parametrize("source", ["[red]not markup[/red]", "[link=x]", "[/]", "[[", "\\[", "a [b] c"])
def test_brackets_are_text(source: str) -> None:
    assert drawn(source) == [source.replace("\\", "")]


def test_html_is_text() -> None:
    assert drawn("<b>bold</b> &amp; <script>x</script>") == ["<b>bold</b> & <script>x</script>"]
    assert drawn("<div>\nblock\n</div>") == ["<div>", "block", "</div>"]


def test_escape_sequences_never_reach_the_terminal() -> None:
    text = "\n".join(drawn("red \x1b[31m \x07 \x9b31m \u202e `\x1b]52;c;x\x07`\n\n```\n\x1b[2J\n```"))
    assert not any((ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 or c == "\u202e" for c in text)
    assert "␛[31m" in text


def test_emphasis() -> None:
    row = row_with("a **bold** and *thin* and `code` and ~~gone~~", "bold")
    assert row.text.plain == "a bold and thin and code and gone"
    assert [word for word, _ in styles(row)] == ["bold", "thin", "code", "gone"]


@pytest.mark.parametrize(
    ("source", "bold"),
    [
        ("**注意：**后面", "注意："),
        ("前面**“引用”**后面", "“引用”"),
        ("这是**重点**吗", "重点"),
        ("**（一）**首先", "（一）"),
    ],
)
def test_emphasis_beside_chinese(source: str, bold: str) -> None:
    row = row_with(source, bold)
    assert "*" not in row.text.plain and (bold, "bold") in styles(row)


def test_asterisks_that_are_no_emphasis_stay() -> None:
    assert drawn("2 * 3 * 4 = 24") == ["2 * 3 * 4 = 24"]


def test_links_show_where_they_lead_and_do_nothing() -> None:
    row = row_with("see [the page](https://example.org/x) or <https://example.org>", "page")
    assert row.text.plain == "see the page (https://example.org/x) or https://example.org"
    assert not any("@click" in str(span.style) for span in row.text.spans)


TABLE = "| name | size |\n|:-----|-----:|\n| 中文 | 3.9 |\n| a longer name that wraps | 12 |\n"


def test_tables_fit_and_align() -> None:
    assert drawn(TABLE, 60) == [
        "name                     │ size",
        "─────────────────────────┼─────",
        "中文                     │  3.9",
        "a longer name that wraps │   12",
    ]
    narrow = drawn(TABLE, 20)
    assert max(len(row) for row in narrow) <= 20 and "that wraps" in " ".join(narrow)


def test_a_ragged_table_is_filled_up() -> None:
    assert len(drawn("| a | b |\n|---|---|\n| 1 |\n| 1 | 2 | 3 |\n")) == 4


def test_a_table_too_narrow_for_its_columns_is_still_drawn() -> None:
    source = "|" + "|".join("abcdef" for _ in range(12)) + "|\n|" + "---|" * 12 + "\n"
    assert drawn(source, 20)


def test_lines_of_the_user_are_as_typed() -> None:
    assert [line.plain for line in plain("# no title\n\n- no list\x1b")] == ["# no title", "", "- no list␛"]


def test_rows_know_where_their_text_is_in_the_line() -> None:
    rows = [row for _, row in rows_of(render("one two three four five six seven eight"), 12)]
    text = render("one two three four five six seven eight")[0].plain
    assert all(text[row.offset :].startswith(row.text.plain) for row in rows) and len(rows) > 2


def test_deep_nesting_is_cut_short_not_broken() -> None:
    source = "\n".join("  " * depth + "- x" for depth in range(12))
    assert all(len(row) <= 20 for row in drawn(source, 20))
    assert drawn("> " * 30 + "deep", 20)
