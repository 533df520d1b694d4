"""What the guide can do besides knowing the program: small sums, counting, units, lists, verse, stories.

data/*/skills.txt has the wordings, data/*/words.txt the words; here the numbers are drawn and the results
worked out. Pairs of numbers that stand in held-out questions are never drawn.
"""

from __future__ import annotations

import functools
import itertools
import random
import re
from dataclasses import dataclass, field

from tools.guide import facts, heldout

# How often each is drawn; the sums have more than a million questions to tell apart, the rest has few.
WEIGHTS = {
    "add": 12.0, "sub": 8.0, "mul": 8.0, "div": 3.0, "double": 1.2, "half": 1.2, "larger": 1.5,
    "smaller": 1.0, "count": 2.5, "countone": 1.5, "countdown": 2.0, "countzero": 1.2, "next": 1.2,
    "before": 1.0, "steps": 1.2, "even": 0.8, "odd": 0.8, "parity": 1.2, "letters": 1.5, "convert": 4.0,
    "convertback": 1.5, "convertone": 1.5, "sort": 1.0, "list": 4.0, "listany": 2.0,
    "listline": 0.8, "one": 0.8, "haiku": 4.0, "haikuany": 0.4, "story": 4.0, "storyany": 0.4,
    "sentence": 1.2, "big": 2.0,
}  # fmt: skip
FAMILIES = ("add", "sub", "mul", "div")
MOST = {"add": 199, "sub": 100, "mul": 145, "div": 100}  # what comes of them is less
UNITS = {
    "en": (
        ("minutes", "seconds", 60, 10), ("hours", "minutes", 60, 12), ("days", "hours", 24, 10),
        ("weeks", "days", 7, 12), ("years", "months", 12, 12), ("kilometres", "metres", 1000, 20),
        ("kilometers", "meters", 1000, 20), ("km", "m", 1000, 20), ("metres", "centimetres", 100, 20),
        ("meters", "centimeters", 100, 20), ("m", "cm", 100, 20), ("centimetres", "millimetres", 10, 20),
        ("cm", "mm", 10, 20), ("kilograms", "grams", 1000, 20), ("kg", "g", 1000, 20),
        ("tons", "kilograms", 1000, 20), ("litres", "millilitres", 1000, 20), ("liters", "ml", 1000, 20),
        ("dozens", "pieces", 12, 10), ("dozen", "eggs", 12, 10), ("dollars", "cents", 100, 20),
        ("euros", "cents", 100, 20), ("feet", "inches", 12, 10), ("yards", "feet", 3, 20),
        ("GiB", "MiB", 1024, 8), ("MiB", "KiB", 1024, 8), ("bytes", "bits", 8, 12), ("GB", "MB", 1000, 20),
        ("centuries", "years", 100, 12), ("decades", "years", 10, 12),
    ),
    "zh": (
        ("分钟", "秒", 60, 10), ("小时", "分钟", 60, 12), ("天", "小时", 24, 10), ("周", "天", 7, 12),
        ("星期", "天", 7, 12), ("年", "个月", 12, 12), ("千米", "米", 1000, 20), ("公里", "米", 1000, 20),
        ("米", "厘米", 100, 20), ("厘米", "毫米", 10, 20), ("分米", "厘米", 10, 20), ("千克", "克", 1000, 20),
        ("公斤", "克", 1000, 20), ("公斤", "斤", 2, 20), ("斤", "克", 500, 12), ("吨", "千克", 1000, 20),
        ("吨", "公斤", 1000, 20), ("升", "毫升", 1000, 20), ("元", "角", 10, 20), ("元", "分", 100, 20),
        ("角", "分", 10, 20), ("块钱", "毛", 10, 20), ("打", "个", 12, 10), ("世纪", "年", 100, 12),
        ("GiB", "MiB", 1024, 8), ("字节", "比特", 8, 12), ("GB", "MB", 1000, 20), ("斤", "两", 10, 20),
        ("公里", "里", 2, 20),
    ),
}  # fmt: skip
ONE = {
    "minutes": "a minute", "hours": "an hour", "days": "a day", "weeks": "a week", "years": "a year",
    "kilometres": "a kilometre", "kilometers": "a kilometer", "metres": "a metre", "meters": "a meter",
    "kilograms": "a kilogram", "tons": "a ton", "litres": "a litre", "liters": "a liter", "dozen": "a dozen",
    "feet": "a foot", "yards": "a yard", "bytes": "a byte", "centuries": "a century", "decades": "a decade",
    "dollars": "a dollar", "centimetres": "a centimetre",
}  # fmt: skip
TEENS = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
HAN = "零一二三四五六七八九十"
SYLLABLES = [
    "ba", "be", "bo", "da", "di", "do", "fa", "fi", "ga", "go", "ka", "ki", "la", "le", "lo", "ma",
    "mi", "mo", "na", "ne", "no", "pa", "po", "ra", "ri", "ro", "sa", "so", "ta", "ti", "to", "va",
    "wi", "za",
]  # fmt: skip


@dataclass
class Words:
    """The lists of words.txt: `cats` are (plural, singular, measure, items)."""

    cats: list[tuple[str, str, str, list[str]]] = field(default_factory=list)
    nouns: list[str] = field(default_factory=list)
    spelled: list[str] = field(default_factory=list)
    adjectives: list[str] = field(default_factory=list)
    lines: dict[str, list[str]] = field(default_factory=dict)


@functools.cache
def words(lang: str) -> Words:
    found = Words()
    for title, lines in facts._raw(facts.DATA / lang / "words.txt"):
        if title == "lists":
            for line in lines:
                name, _, items = line.partition(": ")
                plural, single, measure = [*name.split(" / "), "", ""][:3]
                found.cats.append((plural, single, measure, items.split(" / ")))
        elif title in ("nouns", "spelled", "adjectives"):
            setattr(found, title, " / ".join(lines).split(" / "))
        else:
            found.lines[title] = lines
    return found


@functools.cache
def held_out() -> frozenset[tuple[int, int]]:
    """The pairs of numbers in held-out sums, the smaller first."""
    found = set()
    for case in heldout.cases():
        if case.category == "arithmetic":
            numbers = [int(n) for n in re.findall(r"\d+", case.asked[-1])] or _spelled(
                case.asked[-1], case.lang
            )
            found |= {(min(a, b), max(a, b)) for a, b in itertools.pairwise(numbers)}
    return frozenset(found)


def _spelled(text: str, lang: str) -> list[int]:
    names = {spoken(n, lang): n for n in range(100)}
    parts = (
        re.findall(r"[a-z]+(?:-[a-z]+)?", text.casefold()) if lang == "en" else re.findall(f"[{HAN}]+", text)
    )
    return [names[part] for part in parts if part in names]


def spoken(n: int, lang: str) -> str:
    """0 to 99 in words."""
    tens, ones = divmod(n, 10)
    if lang == "en":
        return TEENS[n] if n < 20 else TENS[tens - 2] + (f"-{TEENS[ones]}" if ones else "")
    if n <= 10:
        return HAN[n]
    return (HAN[tens] if tens > 1 else "") + "十" + (HAN[ones] if ones else "")


def pair(name: str, rng: random.Random) -> tuple[int, int, int]:
    """a, b and what comes of them: nothing below 0, little above 99, and no pair that is held out."""
    while True:
        if name == "add":
            most = rng.choice((10, 20, 50, 99))
            a = rng.randint(0 if rng.random() < 0.1 else 1, most)
            b = rng.randint(0 if rng.random() < 0.1 else 1, most)
            c = a + b
            if c > 99 and rng.random() < 0.7:
                continue
        elif name == "sub":
            a = rng.randint(1, rng.choice((10, 20, 99, 99)))
            b = rng.randint(0 if rng.random() < 0.1 else 1, a)
            c = a - b
        elif name == "mul":
            a, b = rng.randint(1, 12), rng.randint(1, 12)
            if rng.random() < 0.25:
                a = rng.randint(1, 49)
                b = rng.randint(1, 99 // a)
            if rng.random() < 0.5:
                a, b = b, a
            if rng.random() < 0.03:
                b = 0
            c = a * b
        else:
            b, c = rng.randint(1, 12), rng.randint(1, 12)
            a = b * c
        if max(a, b) < 100 and c < MOST[name] and (min(a, b), max(a, b)) not in held_out():
            return a, b, c


def drill(rng: random.Random, n: int) -> list[tuple[str, str]]:
    """n sums without any words: (what is asked, what is right)."""
    found = []
    for _ in range(n):
        name = rng.choices(FAMILIES, (5, 3, 3, 1))[0]
        a, b, c = pair(name, rng)
        sign = dict(zip(FAMILIES, "+-×/", strict=True))[name]
        found.append((f"{a} {sign} {b} =", f" {c}."))
    return found


def _run(numbers: range | list[int], lang: str) -> str:
    return ", ".join(map(str, numbers)) + "." if lang == "en" else "、".join(map(str, numbers)) + "。"


def _word(lang: str, rng: random.Random) -> str:
    """A noun; now and then one that nobody has heard of, so that copying is learned, not the list."""
    if rng.random() < 0.12:
        if lang == "en":
            return "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(2, 3)))
        return "".join(rng.choice("".join(words("zh").nouns)) for _ in range(2))
    word = rng.choice(words(lang).nouns)
    if lang == "en" and rng.random() < 0.12:
        return f"{rng.choice(words('en').adjectives)} {word}"
    return word


def _verse(kind: str, word: str, lang: str, rng: random.Random) -> str:
    parts = words(lang).lines
    if kind == "haiku":
        chosen = [rng.choice(parts[f"haiku{i}"]) for i in (1, 2, 3)]
        text = "{br}".join(chosen)
    elif kind == "sentence":
        text = rng.choice(parts["sentence"])
    else:
        sep = " " if lang == "en" else ""
        text = sep.join(rng.choice(parts[f"story{i}"]) for i in (1, 2, 3))
    article = "an" if word[:1].casefold() in "aeiou" else "a"
    text = text.replace("{a word}", f"{article} {word}").replace("{A word}", f"{article.capitalize()} {word}")
    return text.replace("{word}", word).replace("{Word}", word[:1].upper() + word[1:])


def slots(name: str, lang: str, rng: random.Random) -> dict[str, str]:
    """What stands in the slots of one question of this kind and of its answer."""
    say = functools.partial(_say, lang=lang, rng=rng)
    if name in FAMILIES:
        a, b, c = pair(name, rng)
        sides = say(a, b)
        return {"a": str(a), "b": str(b), "c": str(c), "x": sides[0], "y": sides[1]}
    if name in ("double", "half"):
        c = rng.randint(1, 49)
        a, c = (c, 2 * c) if name == "double" else (2 * c, c)
        return {"a": str(a), "c": str(c), "x": say(a)[0]}
    if name in ("larger", "smaller"):
        a, b = rng.sample(range(100), 2)
        x, y = say(a, b)
        return {"x": x, "y": y, "c": str(max(a, b) if name == "larger" else min(a, b))}
    if name in ("count", "countdown"):
        a = rng.choice((rng.randint(1, 10), rng.randint(1, 89)))
        b = a + rng.randint(2, 10)
        x, y = say(a, b)
        if name == "count":
            return {"x": x, "y": y, "run": _run(range(a, b + 1), lang)}
        return {"x": y, "y": x, "run": _run(range(b, a - 1, -1), lang)}
    if name in ("countone", "countzero"):
        n = rng.randint(3, 20 if name == "countone" else 12)
        numbers = range(1, n + 1) if name == "countone" else range(n, 0, -1)
        return {"x": say(n)[0], "y": say(n)[0], "run": _run(numbers, lang)}
    if name in ("next", "before"):
        a = rng.randint(3, 98)
        return {
            "a": str(a), "x": say(a)[0], "p": str(a - 2), "q": str(a - 1),
            "c": str(a + 1 if name == "next" else a - 1),
        }  # fmt: skip
    if name == "steps":
        step = rng.choice((2, 3, 5, 10))
        n = rng.randint(3, 10)
        names = (
            ("twos", "threes", "fives", "tens")
            if lang == "en"
            else ("两个两个", "三个三个", "五个五个", "十个十个")
        )
        return {
            "a": str(step), "b": str(step * n), "step": say(step)[0],
            "stepname": names[(2, 3, 5, 10).index(step)], "run": _run(range(step, step * n + 1, step), lang),
        }  # fmt: skip
    if name in ("even", "odd"):
        n = 2 * rng.randint(3, 10)
        return {
            "b": str(n),
            "over": str(n + 1),
            "run": _run(range(2 if name == "even" else 1, n + 1, 2), lang),
        }
    if name == "parity":
        a = rng.randint(1, 99)
        kinds = ("even", "odd") if lang == "en" else ("偶数", "奇数")
        return {"a": str(a), "x": say(a)[0], "parity": kinds[a % 2]}
    if name == "letters":
        word = rng.choice(words("en").spelled)
        return {"word": word, "Word": word, "c": str(len(word)), "spelled": "-".join(word)}
    if name in ("convert", "convertback"):
        big, small, factor, most = rng.choice(UNITS[lang])
        a = rng.randint(2, most)
        c = a * factor
        shown = say(a)[0] if name == "convert" or c > 99 else say(c)[0]
        if name == "convertback" and c > 99:
            shown = str(c)
        return {"a": str(a), "c": str(c), "x": shown, "big": big, "small": small}
    if name == "convertone":
        big, small, factor, _ = rng.choice([unit for unit in UNITS[lang] if lang == "zh" or unit[0] in ONE])
        return {
            "one": ONE.get(big, "an " + big),
            "big": ONE.get(big, big).split()[-1],
            "small": small,
            "c": str(factor),
        }
    if name == "sort":
        numbers = rng.sample(range(1, rng.choice((10, 50, 100))), rng.randint(3, 5))
        joined = (", " if lang == "en" else rng.choice(("、", "，"))).join(map(str, numbers))
        return {"items": joined, "run": _run(sorted(numbers), lang)}
    if name in ("list", "listany", "listline", "one"):
        plural, single, measure, items = rng.choice(words(lang).cats)
        n = rng.choice((2, 3, 3, 3, 4, 4, 5, 5, 6)) if name != "listany" else 4
        chosen = rng.sample(items, n)
        count = rng.choice((str(n), spoken(n, lang) if lang == "en" or n != 2 else "两"))
        return {
            "k": count, "cat": plural if lang == "en" else measure + plural, "single": single or plural,
            "measure": measure, "bullets": "{br}".join(f"- {item}" for item in chosen),
            "comma": (", ".join(chosen) + "." if lang == "en" else "、".join(chosen) + "。"),
            "Item": chosen[0],
        }  # fmt: skip
    if name == "big":
        return {"x": str(rng.randint(100, 99_999)), "y": str(rng.randint(20, 9_999))}
    word = _word(lang, rng)
    kind = name.removesuffix("any")
    return {"word": word, kind: _verse(kind, word, lang, rng)}


def _say(*numbers: int, lang: str, rng: random.Random) -> tuple[str, ...]:
    """The numbers of a question: in figures, or all in words."""
    if rng.random() < 0.25 and max(numbers) < 100:
        return tuple(spoken(n, lang) for n in numbers)
    return tuple(map(str, numbers))


@functools.cache
def sections(lang: str) -> dict[str, tuple[list[str], list[str]]]:
    """Name -> (what is asked, what is answered) of skills.txt."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    for title, lines in facts._raw(facts.DATA / lang / "skills.txt"):
        if not title.startswith("<"):
            asks = [line[5:] for line in lines if line.startswith("ask: ")]
            found[title] = (asks, [line[5:] for line in lines if line.startswith("say: ")])
    return found


@functools.cache
def lists(lang: str) -> dict[str, list[str]]:
    return {
        title.strip("<>"): [word.strip() for word in " ".join(lines).split(" / ")]
        for title, lines in facts._raw(facts.DATA / lang / "skills.txt")
        if title.startswith("<")
    }


def example(lang: str, rng: random.Random, name: str = "") -> tuple[str, str, str]:
    """A name, a question and its answer."""
    known = sections(lang)
    name = name or rng.choices(list(known), [WEIGHTS[n] for n in known])[0]
    asks, says = known[name]
    values = slots(name, lang, rng)
    return name, fill(facts.draw(rng.choice(asks), rng, lists(lang)), values), fill(rng.choice(says), values)


def fill(text: str, values: dict[str, str]) -> str:
    for key, value in values.items():
        text = text.replace("{" + key + "}", value)
    text = text.replace("{br}", "\n")
    assert "{" not in text, text
    return text
