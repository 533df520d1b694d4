"""Reads the files in data/: what is asked, what is answered, and how questions are put.

A file is made of sections. `== name` opens one; `do:`, `what:` and `key:` lines are phrases for the frames of
frames.txt, `ask:` lines are whole questions, `say:` lines are answers. In a line `[a|b|]` is a choice,
`<word>` a word of a list section, `{n}` a number, `{column}` a column of a table. A section
`== name @table` stands for one section per row of that table. `== a > b` in follow.txt is what is asked after
an answer of `a`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

DATA = Path(__file__).resolve().parent / "data"
LANGUAGES = ("en", "zh")
TOPICS = ("keys", "settings", "commands", "program", "concepts", "talk", "outside", "more", "situations")
KINDS = ("do", "what", "key", "ask")


@dataclass
class Section:
    """One thing to know. `asks` pairs a kind (do, what, key, ask) with its pattern."""

    name: str
    lang: str
    topic: str
    asks: list[tuple[str, str]] = field(default_factory=list)
    says: list[str] = field(default_factory=list)
    rows: int = 1  # how many sections the same text made: rows of its table


@dataclass
class Facts:
    lang: str
    sections: dict[str, Section]
    follow: list[Section]
    frames: dict[str, list[str]]
    lists: dict[str, list[str]]
    synonyms: list[tuple[str, list[str]]] = field(default_factory=list)


def load(lang: str, million: str = "4") -> Facts:
    """Everything known in one language; `million` is the size of the model, for its answers about itself."""
    folder = DATA / lang
    frames = dict(_raw(folder / "frames.txt"))
    tables = _tables(folder / "tables.txt")
    sections: dict[str, Section] = {}
    lists: dict[str, list[str]] = {}
    for row in tables["keys"]:
        name = f"key:{_first(row['key'])}"
        sections[name] = Section(name, lang, "key", [("key", row["key"])], [row["say"]], len(tables["keys"]))
    for topic in TOPICS:
        for title, lines in _raw(folder / f"{topic}.txt"):
            if title.startswith("<"):
                lists[title.strip("<>")] = [word.strip() for word in " ".join(lines).split(" / ")]
                continue
            name, _, table = title.partition(" @")
            for row in tables[table] if table else [{}]:
                full = f"{name}:{row['flag']}" if row else name
                new = Section(full, lang, topic, rows=len(tables[table]) if table else 1)
                section = sections.setdefault(full, new)  # more.txt adds to what is there
                _fill(section, lines, row | {"million": million})
    follow = []
    for title, lines in _raw(folder / "follow.txt"):
        section = Section(title, lang, "follow")
        _fill(section, lines, {})
        follow.append(section)
    return Facts(lang, sections, follow, frames, lists, _synonyms(folder / "synonyms.txt"))


def draw(pattern: str, rng: random.Random, lists: dict[str, list[str]]) -> str:
    """One text that the pattern allows, spaces tidied."""
    text, _ = _draw(pattern, 0, rng, lists, "")
    return " ".join(text.split())


def plain(pattern: str) -> str:
    """The pattern with its marks taken away: every word that it can produce, for checks on the data."""
    for mark in "[]|":
        pattern = pattern.replace(mark, " ")
    return pattern


def _draw(
    pattern: str, i: int, rng: random.Random, lists: dict[str, list[str]], ends: str
) -> tuple[str, int]:
    out: list[str] = []
    while i < len(pattern) and pattern[i] not in ends:
        c = pattern[i]
        if c == "[":
            choices = []
            while pattern[i] != "]":
                text, i = _draw(pattern, i + 1, rng, lists, "|]")
                choices.append(text)
            out.append(rng.choice(choices))
        elif c == "<":
            stop = pattern.index(">", i)
            out.append(rng.choice(lists[pattern[i + 1 : stop]]))
            i = stop
        elif pattern.startswith("{n}", i):
            out.append(str(rng.choice((rng.randint(2, 20), rng.randint(2, 100), rng.randint(100, 5000)))))
            i += 2
        else:
            out.append(c)
        i += 1
    return "".join(out), i


def _synonyms(path: Path) -> list[tuple[str, list[str]]]:
    """(words, what may stand for them), the longest first."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    pairs = [(word, others.split(" / ")) for word, _, others in (line.partition(": ") for line in lines)]
    return sorted(pairs, key=lambda pair: -len(pair[0]))


def _raw(path: Path) -> list[tuple[str, list[str]]]:
    sections: list[tuple[str, list[str]]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            sections.append((line[3:].strip(), []))
        elif line.strip() and not line.startswith("#"):
            sections[-1][1].append(line.strip() if "frames" not in path.name else line)
    return sections


def _fill(section: Section, lines: list[str], row: dict[str, str]) -> None:
    for line in lines:
        kind, _, text = line.partition(": ")
        for column, value in row.items():
            text = text.replace("{" + column + "}", value)
        if kind == "say":
            section.says.append(text)
        elif kind in KINDS:
            section.asks.append((kind, text))
        else:
            raise ValueError(f"{section.lang}/{section.topic}: {section.name}: unknown line {line!r}")


def _tables(path: Path) -> dict[str, list[dict[str, str]]]:
    tables: dict[str, list[dict[str, str]]] = {}
    for title, lines in _raw(path):
        name, _, columns = title.partition(": ")
        keys = [column.strip() for column in columns.split(" / ")]
        tables[name] = [
            dict(zip(keys, (cell.strip() for cell in line.split(" / ")), strict=True)) for line in lines
        ]
    return tables


def _first(pattern: str) -> str:
    return pattern.strip("[]").split("|")[0]
