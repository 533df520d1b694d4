"""The held-out questions of data/heldout/, and how a reply to one is judged.

A line is `question => checks`, with `>>` between the questions of a conversation, the last reply of which is
judged. All checks, separated by ` & `, must hold:

- `F2 / Ctrl+O`: one of these texts is in the reply, not as a part of a longer word or number. A plain word in
  small letters may be capitalised; keys, flags, commands and numbers are exact. `regenerat*` may go on.
- `!TEXT`: it is not.
- `DECLINE`: the reply declines, and names the way to a real model. `GUIDE`: it says what model it is.
- `ONE`: one sentence. `SENTENCES 2`: at least so many. `LIST 3`: at least so many items, a line each.
  `LINES 3`: exactly so many lines. `WORDS 4`: at most so many words (or Chinese characters).
- `EN`, `ZH`: the language, where it is not that of the last question.

And a reply must have ended by itself, and must not turn in circles.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections import Counter
from dataclasses import dataclass

from tools.guide.facts import DATA, LANGUAGES

FOLDER = DATA / "heldout"
SUMS = FOLDER / "SHA256SUMS"
CATEGORIES = (
    "program", "concepts", "talk", "arithmetic", "counting", "writing", "form", "typos", "mixed", "outside",
    "follow",
)  # fmt: skip
DECLINES = (
    "small guide to alpaca-tui; for that",
    "only know alpaca-tui",
    "小向导，这个请按",
    "只懂 alpaca-tui",
)
GUIDES = ("guide model", "向导模型")
ALIKE = 0.8  # of their three-letter runs, and two questions are the same
COUNTED = ("SENTENCES", "LIST", "LINES", "WORDS")
WHOLE = ("DECLINE", "GUIDE", "ONE", "EN", "ZH")
ITEM = re.compile(r"\s*(?:[-*•]|\d+[.)、])\s*\S")
SENTENCE_END = re.compile(r"[.!?](?=\s|$)|[。！？]")
HAN = re.compile("[一-鿿]")


@dataclass(frozen=True)
class Case:
    lang: str  # the file it stands in
    category: str
    asked: tuple[str, ...]
    checks: tuple[str, ...]

    @property
    def reply_lang(self) -> str:
        for lang in LANGUAGES:
            if lang.upper() in self.checks:
                return lang
        return self.lang

    def right(self, reply: str, ended: bool) -> bool:
        han = bool(HAN.search(reply))
        bare = len(re.findall("[A-Za-z]{2,}", reply)) <= 1  # a key or a flag, in any language
        language = not han if self.reply_lang == "en" else han or bare
        return ended and language and not circles(reply) and all(holds(check, reply) for check in self.checks)


def cases() -> list[Case]:
    found = []
    for lang in LANGUAGES:
        category = ""
        for line in (FOLDER / f"{lang}.txt").read_text(encoding="utf-8").splitlines():
            if line.startswith("== "):
                category = line[3:]
            elif line and not line.startswith("#"):
                asked, checks = line.split(" => ")
                found.append(Case(lang, category, tuple(asked.split(" >> ")), tuple(checks.split(" & "))))
    return found


def holds(check: str, reply: str) -> bool:
    word, _, number = check.partition(" ")
    if word in COUNTED:
        n, lines = int(number), [line for line in reply.splitlines() if line.strip()]
        return {
            "SENTENCES": len(SENTENCE_END.findall(reply)) >= n,
            "LIST": sum(bool(ITEM.match(line)) for line in lines) >= n,
            "LINES": len(lines) == n,
            "WORDS": len(re.findall("[一-鿿]|[^\\s一-鿿。，、；：！？]+", reply)) <= n,
        }[word]
    if check == "ONE":
        return "\n" not in reply.strip() and len(SENTENCE_END.findall(reply)) <= 1
    if check == "DECLINE":
        return "Ctrl+O" in reply and any(text in reply for text in DECLINES)
    if check == "GUIDE":
        return any(text in reply for text in GUIDES)
    if check in WHOLE:
        return True  # the language: see `Case.right`
    if check.startswith("!"):
        return not contains(check[1:], reply)
    return any(contains(text, reply) for text in check.split(" / "))


def contains(wanted: str, reply: str) -> bool:
    """Is the text there by itself: F2 is not in F20, 42 not in 142 or 42.5, -n not in --no-lookup?"""
    text, goes_on = wanted.removesuffix("*"), wanted.endswith("*")
    before = r"(?<![A-Za-z0-9_\-])" if re.match(r"[A-Za-z0-9\-]", text) else r"(?<![A-Za-z0-9_/])"
    if text[0].isdigit():
        before += r"(?<!\d[.,])"
    after = r"(?![A-Za-z0-9_]|[.,]\d)" if text[-1].isascii() and text[-1].isalnum() and not goes_on else ""
    if after and text.startswith(("-", "/")):
        after += r"(?!-)"
    flags = re.IGNORECASE if re.fullmatch("[a-z ]+", text) else 0
    return (
        re.search(before + re.escape(text) + after if text.isascii() else re.escape(text), reply, flags)
        is not None
    )


def circles(reply: str) -> bool:
    """Does it say the same four words, or eight Chinese characters, three times?"""
    words = re.findall("[一-鿿]|[^\\s一-鿿]+", reply)
    n = 8 if len(HAN.findall(reply)) > len(words) / 2 else 4
    runs = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    return max(runs.values(), default=0) >= 3


def normal(question: str) -> str:
    """What of a question counts where it is asked whether two are the same."""
    return re.sub(r"[^a-z0-9一-鿿]+", " ", question.casefold()).strip()


def runs(text: str) -> set[str]:
    return {text[i : i + 3] for i in range(len(text) - 2)}


@functools.cache
def _index() -> tuple[dict[str, set[str]], dict[str, list[str]]]:
    questions = {normal(case.asked[-1]) for case in cases() if len(case.asked) == 1}
    parts = {question: runs(question) for question in questions}
    where: dict[str, list[str]] = {}
    for question in sorted(questions):
        for part in parts[question]:
            where.setdefault(part, []).append(question)
    return parts, where


def alike(question: str) -> bool:
    """Is the question held out, or does it share four fifths of its runs of letters with one that is?"""
    text = normal(question)
    parts, where = _index()
    if text in parts:
        return True
    own = runs(text)
    shared: Counter[str] = Counter()
    for part in own:
        shared.update(where.get(part, ()))
    return any(n > ALIKE * len(own | parts[other]) for other, n in shared.most_common(3))


def sums() -> dict[str, str]:
    """SHA256 of each file, as `sha256sum` says."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(FOLDER.glob("*.txt"))}


def recorded() -> dict[str, str]:
    lines = SUMS.read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}
