"""docs/sampling.md: its grammars and schemas match what it says, and every flag of sampling is in it."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from alpaca_tui.engine.grammar.schema import to_gbnf
from alpaca_tui.engine.protocol import SAMPLERS, SamplingParams
from tests.engine.grammar.language import matches

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [DOCS / "sampling.md", DOCS / "sampling.zh-CN.md"]


def blocks(page: Path, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_grammars(page: Path) -> None:
    grammars = blocks(page, "gbnf")
    assert len(grammars) >= 6
    for grammar in grammars:
        right = re.findall(r"^# fits: (.*)$", grammar, re.M)
        wrong = re.findall(r"^# does not fit: (.*)$", grammar, re.M)
        assert right
        assert wrong
        assert [text for text in right if not matches(grammar, text.replace("\\n", "\n"))] == []
        assert [text for text in wrong if matches(grammar, text.replace("\\n", "\n"))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_schemas(page: Path) -> None:
    (schema,), (reply,) = blocks(page, "json schema"), blocks(page, "json reply")
    assert matches(to_gbnf(schema), reply.strip())
    assert json.loads(reply)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_flag_and_sampler_is_told(page: Path) -> None:
    text = page.read_text("utf-8")
    source = (DOCS.parent / "alpaca_tui/engine/protocol.py").read_text("utf-8")
    body = source[source.index("class SamplingParams") :]
    for field in fields(SamplingParams):
        found = re.search(rf"^    {field.name}: .*?# (--[a-z-]+)", body, re.M)
        assert found, f"{field.name} names no flag"
        assert f"`{found[1]}" in text or f"{found[1]} " in text, found[1]
    assert all(f"`{name}`" in text for name in SAMPLERS)


def test_both_languages_have_the_same_examples() -> None:
    def code(page: Path) -> list[str]:
        fenced = re.sub(r"^#.*\n", "", "\n".join(blocks(page, r"[a-z ]+")), flags=re.M)
        return [fenced, *re.findall(r"^    alpaca-tui .*?--[a-z-]+", page.read_text("utf-8"), re.M)]

    assert len(code(PAGES[0])) > 3
    assert [len(code(page)) for page in PAGES] == [len(code(PAGES[0]))] * 2
    assert code(PAGES[0])[0] == code(PAGES[1])[0]
