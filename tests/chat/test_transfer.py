"""Out to files and back: nothing is lost but token ids, and no file is believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpaca_tui.chat.conversation import Conversation
from alpaca_tui.chat.read_export import MAX_ID, read_chats
from alpaca_tui.chat.transfer import as_json, export, file_name, free_path
from alpaca_tui.engine.protocol import FinishReason
from alpaca_tui.errors import UserError
from tests.chat.store.test_saving import talk


def sample() -> Conversation:
    c = talk(("怎么转换？", "先 `convert`，\n再 `quantize`。"), ("more", "two"))
    reply = c.add_reply(c.path()[2], "other", True, {"temp": 0.5})
    reply.text = "a version"
    reply.finish(FinishReason.LENGTH)
    c.add_version(c.path()[0], "edited")
    c.choose(c.path()[0], -1)
    c.title, c.pinned, c.draft, c.waiting = "标题", True, "d", ["w"]
    c.choices = {"settings": {"temp": 0.5}}
    return c


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("怎么把模型变成 4 位？", "怎么把模型变成 4 位？.md"),
        ('a/b\\c:d*e?f"g<h>i|j', "a b c d e f g h i j.md"),
        ("con", "_con.md"),
        ("NUL.txt", "_NUL.txt.md"),
        ("Com1 .x", "_Com1 .x.md"),
        ("console", "console.md"),
        ("...hidden. ", "hidden.md"),
        ("tab\tand\nline\x00\u202e", "tab and line.md"),
        ("", "chat.md"),
        ("？" * 300, "？" * 40 + ".md"),
    ],
)
def test_names_of_files(title: str, name: str) -> None:
    assert file_name(title, ".md") == name


@given(st.text())
def test_any_title_makes_a_name_that_every_system_takes(title: str) -> None:
    name = file_name(title, ".md")
    assert len(name.encode()) <= 130 and not set(name) & set('\\/:*?"<>|\n\0') and not name.startswith(".")


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "chat.md"
    export(sample(), path)
    with pytest.raises(UserError, match="already"):
        export(sample(), path)
    assert free_path(path) == tmp_path / "chat 2.md" and list(tmp_path.iterdir()) == [path]


def test_markdown_and_text_have_what_is_on_screen(tmp_path: Path) -> None:
    export(sample(), tmp_path / "a.md", "你", "回答")
    markdown = (tmp_path / "a.md").read_text("utf-8")
    assert markdown.startswith("# 标题\n\n20") and "## 你\n\n怎么转换？\n\n## m\n\n先 `convert`" in markdown
    assert "a version" in markdown and "two" not in markdown and "edited" not in markdown
    export(sample(), tmp_path / "a.txt", "You", "Model")
    assert (tmp_path / "a.txt").read_text("utf-8").startswith("You:\n怎么转换？\n\nm:\n先")


@pytest.mark.parametrize("name", ["chat", "chat.pdf", "no/such/folder/chat.md"])
def test_a_file_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError):
        export(sample(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_json_comes_back_whole(tmp_path: Path) -> None:
    c = sample()
    export(c, tmp_path / "a.json")
    [again] = read_chats(tmp_path / "a.json")
    assert again.key != c.key
    for name in ("title", "pinned", "created", "draft", "waiting", "choices"):
        assert getattr(again, name) == getattr(c, name)
    assert [m.id for m in again.path()] == [m.id for m in c.path()]
    for message, original in zip(again, c, strict=True):
        assert vars(message) == {**vars(original), "tokens": None}


# --- files that nobody should believe ----------------------------------------------------------------------


def data() -> Any:
    return json.loads(as_json([sample()]))


def refused(path: Path, content: object) -> str:
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    with pytest.raises(UserError) as error:
        read_chats(path)
    return str(error.value)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"format": "x"}', "[" * 100_000, '{"a": ' * 100_000, "\x00", "1e999"]
)
def test_what_is_no_export(tmp_path: Path, content: str) -> None:
    assert "a.json" in refused(tmp_path / "a.json", content)


WRONG = {
    "version": 99,
    "chats": None,
    "chats.0": [],
    "chats.0.title": 5,
    "chats.0.created": "now",
    "chats.0.messages": {},
    "chats.0.shown": 12,
    "chats.0.shown ": "1",
    "chats.0.messages.0": None,
    "chats.0.messages.0.id": 0,
    "chats.0.messages.0.id ": True,
    "chats.0.messages.0.id  ": MAX_ID + 1,
    "chats.0.messages.0.parent": 1,
    "chats.0.messages.0.role": "assistant",
    "chats.0.messages.0.created": float("nan"),
    "chats.0.messages.1.id": 1,
    "chats.0.messages.1.parent": 99,
    "chats.0.messages.1.parent ": [1],
    "chats.0.messages.1.role": "system",
    "chats.0.messages.1.text": 5,
    "chats.0.messages.1.state": "dreaming",
    "chats.0.messages.1.reason": [],
    "chats.0.messages.1.shown": 1,
    "chats.0.messages.1.ended": "yes",
    "chats.0.messages.1.stats": [],
    "chats.0.messages.1.stats.seed": -1,
    "chats.0.messages.1.stats.generated_tokens": 1.5,
    "chats.0.messages.1.stats.generate_seconds": 1e300,
}


@pytest.mark.parametrize("where", WRONG)
def test_what_is_wrong_is_refused_in_a_sentence(tmp_path: Path, where: str) -> None:
    whole = data()
    *path, last = where.strip().split(".")
    inner = whole
    for step in path:
        inner = inner[int(step) if isinstance(inner, list) else step]
    inner[int(last) if isinstance(inner, list) else last] = WRONG[where]
    sentence = refused(tmp_path / "a.json", whole)
    assert sentence.endswith(".") and len(sentence) < len(str(tmp_path)) + 200


def test_what_nobody_needs_is_left_out(tmp_path: Path) -> None:
    whole = data()
    message = whole["chats"][0]["messages"][1]
    message["text"] = "\ud800 half"
    message["settings"] = {
        "temp": 0.5,
        "x": [1],
        "y": {},
        "big": 1 << 70,
        "inf": 1e999,
        "k" * 5000: "v" * 5000,
    }
    message["state"] = "streaming"
    whole["chats"][0]["choices"] = {"editing": {"id": 1}, "settings": 5}
    whole["chats"][0]["waiting"] = ["w", 5]
    (tmp_path / "a.json").write_text(json.dumps(whole))
    [c] = read_chats(tmp_path / "a.json")
    assert c[2].text == "? half" and c[2].settings == {"temp": 0.5} and c[2].state.value == "stopped"
    assert c.choices == {"settings": {}} and c.waiting == ["w"]


def test_a_missing_file_and_a_huge_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_chats(tmp_path / "none.json")
    monkeypatch.setattr("alpaca_tui.chat.read_export.MAX_FILE", 100)
    assert "larger" in refused(tmp_path / "a.json", data())
