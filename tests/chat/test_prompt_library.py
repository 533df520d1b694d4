"""The prompt library: files that ship, files of the user's own, and the format that goes with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from alpaca_tui.chat.formats import ALPACA, FORMATS, VICUNA
from alpaca_tui.chat.prompt_library import PromptLibrary, format_for
from alpaca_tui.errors import UserError


def test_those_that_ship_are_there_and_can_be_read(tmp_path: Path) -> None:
    library = PromptLibrary(tmp_path / "none")
    names = [prompt.name for prompt in library.all()]
    assert "alpaca.txt" in names and names == sorted(names)
    assert all(prompt.read() and not prompt.own for prompt in library.all())
    assert PromptLibrary(None).all() == library.all()


def test_ones_own_are_saved_first_and_hide_those_of_their_name(tmp_path: Path) -> None:
    library = PromptLibrary(tmp_path / "prompts")
    shipped = len(library.all())
    saved = library.save("翻译", "请翻译：\n第二行")
    assert (saved.name, saved.own) == ("翻译.txt", True)
    assert saved.path.read_text(encoding="utf-8") == "请翻译：\n第二行\n"
    assert library.all()[0] == saved and saved.read() == "请翻译：\n第二行"
    library.save("alpaca.txt", "mine")
    found = library.find("alpaca.txt")
    assert found is not None and found.own and found.read() == "mine"
    assert len(library.all()) == shipped + 1
    assert library.delete(found) == "mine"
    again = library.find("alpaca.txt")
    assert again is not None and not again.own and again.read().startswith("Below is")


@pytest.mark.parametrize("name", ["", "  ", "a/b", "..", ".hidden", "x" * 61, "a\nb", 'a"b', "a:b"])
def test_impossible_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="name has"):
        PromptLibrary(tmp_path).save(name, "x")


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    library = PromptLibrary(tmp_path)
    shipped = library.find("alpaca.txt")
    assert shipped is not None
    with pytest.raises(UserError, match="stays"):
        library.delete(shipped)
    with pytest.raises(UserError, match="no folder"):
        PromptLibrary(None).save("x", "x")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write"):
        PromptLibrary(tmp_path / "file").save("x", "x")


def test_an_instruction_brings_the_format_it_was_trained_with() -> None:
    assert format_for("alpaca.txt", VICUNA) is ALPACA
    assert format_for("llama-2.txt", ALPACA) is FORMATS["llama2"] is format_for("alpaca-2.txt", ALPACA)
    assert format_for("mine.txt", VICUNA) is VICUNA
