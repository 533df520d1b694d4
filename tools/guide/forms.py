"""Questions that ask for a form: one sentence, a list, the key, the other language (data/*/forms.txt)."""

from __future__ import annotations

import functools
import random
import re
from dataclasses import dataclass, field

from tools.guide import facts
from tools.guide.facts import Facts, Section

KEY = re.compile(r"Ctrl\+[A-Z]|\bF[1-9](?!\d)|\bEsc\b|\bEnter\b|\bPgUp\b")
FLAG = re.compile(r"(?<![\w\-])--?[a-z][\w\-]*")
KINDS = ("one", "other", "short", "list")


@dataclass
class Forms:
    behind: dict[str, list[str]] = field(default_factory=dict)
    asks: dict[str, list[str]] = field(default_factory=dict)
    items: dict[str, list[str]] = field(default_factory=dict)


@functools.cache
def forms(lang: str) -> Forms:
    found = Forms()
    for title, lines in facts._raw(facts.DATA / lang / "forms.txt"):
        kind, _, name = title.partition(": ")
        if not name:
            found.behind[kind] = lines
            continue
        found.asks[name] = [line[5:] for line in lines if line.startswith("ask: ")]
        found.items[name] = lines[-1].split(" / ")
    return found


def first_sentence(text: str) -> str:
    return re.split(r"(?<=[.!?])\s|(?<=[。！？])", text)[0]


def short(section: Section) -> tuple[str, str]:
    """(kind, the key or flag) that the answer comes down to; empty where there is none."""
    say = section.says[0]
    if any(kind == "key" for kind, _ in section.asks):
        return "", ""
    if key := KEY.search(say):
        return "short", key.group()
    if flag := FLAG.search(say):
        return "shortflag", flag.group()
    return "", ""


def bullets(items: list[str], rng: random.Random) -> str:
    return "\n".join(f"- {item}" for item in items[: rng.choice((5, 8, 20)) if len(items) > 6 else 20])


def asked(
    kind: str, f: Facts, other: Facts, section: Section, question: str, rng: random.Random
) -> tuple[str, str] | None:
    """The question, asking for the form, and the answer; None where this section has no such answer."""
    behind = forms(f.lang).behind
    bare = question.rstrip("?？.。!！")
    if kind == "one":
        if section.topic == "talk":
            return None
        return rng.choice(behind["one"]).replace("{}", bare), first_sentence(rng.choice(section.says))
    if kind == "other":
        return rng.choice(behind["other"]).replace("{}", bare), rng.choice(other.sections[section.name].says)
    if kind == "short":
        which, answer = short(section)
        return (rng.choice(behind[which]).replace("{}", bare), answer) if answer else None
    items = forms(f.lang).items.get(section.name)
    if not items:
        return None
    own = forms(f.lang).asks[section.name]
    if own and rng.random() < 0.5:
        return facts.draw(rng.choice(own), rng, f.lists), bullets(items, rng)
    return rng.choice(behind["list"]).replace("{}", bare), bullets(items, rng)
