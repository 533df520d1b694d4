"""A reply while it is written: what is shown, and how much is parsed for it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_tui.tui.markdown import stream as stream_module
from alpaca_tui.tui.markdown.blocks import render
from alpaca_tui.tui.markdown.lines import Line, rows_of
from alpaca_tui.tui.markdown.stream import LONG, Document, closed
from tests.tui.samples import CHINESE, MIXED
from tests.tui.samples import LONG as LONG_REPLY

WIDTH = 60


def drawn(lines: list[Line], width: int = WIDTH) -> list[str]:
    return [(row.prefix + row.text).plain.rstrip() for _, row in rows_of(lines, width)]


def stream(text: str, size: int = 3, width: int = WIDTH) -> Document:
    document = Document(width)
    for i in range(0, len(text), size):
        document.append(text[i : i + size])
    return document


PARAGRAPH = "Words with **emphasis** and `code` in them, again and again, to fill the rows. "
PARAGRAPH_ZH = "一段没有空格的中文，里面有**重点：**和标点（括号），一直写下去。"
SAMPLES = {
    "mixed": MIXED,
    "chinese": CHINESE,
    "long": LONG_REPLY[:5000],
    "paragraph": PARAGRAPH * 60 + "\n\nend",
    "paragraph_zh": PARAGRAPH_ZH * 120 + "\n\nend",
    "poem": "\n".join(f"line {i} of a poem" for i in range(200)),
    "fences": "```\na\n```\n~~~py\nx = 1\n```\n~~~\n\n```\nnot closed\n",
    "loose": "- a\n\n- b\n\n  more\n\n- c\n\n1. x\n2. y\n",
    "brackets": "[red]x[/red] [/] [[ $var @click=app.quit",
}


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("size", [1, 7])
def test_what_was_streamed_is_what_stays(name: str, size: int) -> None:
    text = SAMPLES[name][:1500] if size == 1 else SAMPLES[name]
    document = stream(text + "\n\nlast.", size)
    streamed = drawn(document.lines)
    document.finish()
    assert drawn(document.lines) == drawn(render(text + "\n\nlast."))
    assert streamed == drawn(document.lines)


@pytest.mark.parametrize("before", ["", "\n", "```\ncode\n```\n\n"])
def test_a_list_behind_blank_lines(before: str) -> None:
    document = stream(before + "- one\n- two\n- three", 1)
    assert drawn(document.lines)[-3:] == [" • one", " • two", " • three"]


def test_the_end_of_a_long_reply_parses_its_last_block_only() -> None:
    document = stream(LONG_REPLY + "\n\nThe end.", 50)
    document.parsed = 0
    document.finish()
    assert document.parsed < 20 and document.first_changed == len(document.lines) - 2
    assert drawn(document.lines) == drawn(render(LONG_REPLY + "\n\nThe end."))


def test_a_link_that_is_explained_at_the_end_is_found_in_a_long_reply_too() -> None:
    text = "See [the page][1].\n\n" + "Words.\n\n" * 400 + "[1]: https://example.org\n"
    document = stream(text, 50)
    document.finish()
    assert drawn(document.lines) == drawn(render(text)) and "[1]" not in drawn(document.lines)[0]


def test_a_flush_parses_the_open_block_only() -> None:
    document, most = Document(WIDTH), 0
    text = LONG_REPLY + PARAGRAPH * 200 + "\n\n" + PARAGRAPH_ZH * 200
    assert len(text) > 40_000
    for i in range(0, len(text), 4):
        document.append(text[i : i + 4])
        most = max(most, document.parsed)
    assert most < 4 * LONG


def test_a_long_list_is_kept_item_by_item() -> None:
    document, most = Document(WIDTH), 0
    for i in range(500):
        document.append(f"{i + 1}. item number {i + 1} with **some** words\n")
        most = max(most, document.parsed)
    assert most < 300 and len(document.lines) == 500


def test_a_long_fence_is_taken_line_by_line_and_coloured_at_its_end() -> None:
    document, most = Document(WIDTH), 0
    document.append("```python\n")
    for i in range(500):
        document.append(f"def f{i}(): return {i}\n")
        most = max(most, document.parsed)
    assert most < 100 and not document.lines[0].text.spans
    document.append("```\n")
    assert document.first_changed == 0 and document.lines[0].text.spans


def test_lines_before_the_first_changed_are_as_they_were() -> None:
    document, before = Document(WIDTH), [""]
    for i in range(0, len(MIXED), 5):
        document.append(MIXED[i : i + 5])
        now = [line.plain for line in document.lines]
        assert now[: document.first_changed] == before[: document.first_changed]
        before = now


@pytest.mark.parametrize(
    "marks", ["-", "- ", "*", "**", "1", "1.", "#", "##", ">", "|", "`", "```", "---", "==="]
)
def test_half_a_marker_is_not_shown_yet(marks: str) -> None:
    document = stream("A paragraph.\n\n" + marks, 1)
    assert drawn(document.lines)[0] == "A paragraph." and not "".join(drawn(document.lines)[1:]).strip()


def test_a_title_does_not_flash_up_under_a_paragraph() -> None:
    document = stream("Some text\n-", 1)
    assert drawn(document.lines) == ["Some text"] and not any(
        "bold" in str(s) for s in document.lines[0].text.spans
    )


@pytest.mark.parametrize(
    ("tail", "shown"),
    [
        ("a **b", "a **b**"),
        ("a **b*", "a **b**"),
        ("a **b**", "a **b**"),
        ("a **", "a "),
        ("x `y", "x `y`"),
        ("x `y`", "x `y`"),
        ("x `**`", "x `**`"),
        ("1. **Check", "1. **Check**"),
        ("plain", "plain"),
        ("```py", "```py"),
        ("a **b**\nnext", "a **b**\nnext"),
        ("", ""),
    ],
)
def test_open_emphasis_is_closed_for_the_time_being(tail: str, shown: str) -> None:
    assert closed(tail).rstrip() == shown.rstrip()


def test_emphasis_never_shows_its_marks_while_it_is_written() -> None:
    document = Document(WIDTH)
    for character in "Some **bold words** and `code` here":
        document.append(character)
        assert "**" not in "".join(drawn(document.lines))


def test_more_may_come_behind_a_finished_text() -> None:
    document = stream("- a\n- b")
    document.finish()
    document.resume()
    document.append("c\n- d\n\nend")
    assert drawn(document.lines) == [" • a", " • bc", " • d", "", "end"]


def test_another_width_wraps_the_rows_of_a_long_paragraph_anew() -> None:
    document = stream(PARAGRAPH * 60)
    assert len(document.lines) > 1
    document.set_width(40)
    document.append(" end")
    rows = drawn(document.lines, 40)
    document.finish()
    assert rows == drawn(document.lines, 40)


def test_controls_and_carriage_returns_in_pieces() -> None:
    document = stream("a\r\nb\x1b[31m\r\n\r\nc", 1)
    assert drawn(document.lines) == ["a", "b␛[31m", "", "c"]


FRAGMENTS = st.sampled_from(
    [
        "word ",
        "中文，",
        "\n",
        "\n\n",
        "- ",
        "1. ",
        "**",
        "`",
        "```\n",
        "# ",
        "> ",
        "| a | b |\n",
        "|---|---|\n",
        "   ",
        "x",
        "~~~",
        "\n- item ",
        "\n1. item ",
        "\n> quote ",
        "\n```\n",
    ]
)


class LongOrShort(Document):
    """One that takes replies for short up to so many characters."""

    def __init__(self, width: int, short: int) -> None:
        super().__init__(width)
        self._short = short

    def finish(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stream_module, "SHORT", self._short)
            super().finish()


@pytest.mark.parametrize("short", [0, stream_module.SHORT])
@settings(max_examples=150, deadline=None)
@given(pieces=st.lists(FRAGMENTS, max_size=40))
def test_nothing_that_a_model_writes_breaks_it(pieces: list[str], short: int) -> None:
    document = LongOrShort(24, short)
    for piece in pieces:
        document.append(piece)
        rows_of(document.lines, 24)
    document.finish()
    assert drawn(document.lines, 24) == drawn(render("".join(pieces)), 24)
