"""The held-out questions: well-formed, as recorded, true of the program, and never trained on."""

from __future__ import annotations

import argparse
import importlib
import re
from collections import Counter, defaultdict

import pytest

from alpaca_tui.cli import MODULES, VERBS, parser_for
from alpaca_tui.tui.commands import BY_NAME
from alpaca_tui.tui.keymap import KEYS, shown_key
from tools.guide import facts, heldout
from tools.guide.generate import Generator
from tools.guide.heldout import CATEGORIES, Case, cases, contains, holds, normal

KNOWN = cases()
DRAWN = 12_000


def named(case: Case) -> str:
    return "\n".join(check for check in case.checks if check not in heldout.WHOLE)


def all_flags() -> set[str]:
    flags: set[str] = {"-h", "--help", "--version"}
    for verb in ("chat", *VERBS):
        parser = parser_for(verb) if verb in VERBS else argparse.ArgumentParser()
        module = importlib.import_module(f"alpaca_tui.commands.{MODULES.get(verb, verb)}")
        module.add_arguments(parser)
        flags |= {flag for action in parser._actions for flag in action.option_strings}
    return flags


def test_there_are_enough_of_each_kind() -> None:
    count = Counter((case.lang, case.category) for case in KNOWN)
    for lang in facts.LANGUAGES:
        assert sum(n for (of, _), n in count.items() if of == lang) >= 300
        assert all(count[lang, category] >= 5 for category in CATEGORIES)
    assert {category for _, category in count} == set(CATEGORIES)


def test_the_files_are_those_recorded() -> None:
    assert heldout.sums() == heldout.recorded()


@pytest.mark.parametrize("lang", facts.LANGUAGES)
def test_questions_are_well_formed(lang: str) -> None:
    for case in (case for case in KNOWN if case.lang == lang):
        assert all(asked == asked.strip() and asked for asked in (*case.asked, *case.checks)), case
        assert (case.category == "follow") == (len(case.asked) > 1), case
        assert case.category != "outside" or case.checks == ("DECLINE",)
        for check in case.checks:
            word = check.split()[0]
            marks = (*heldout.WHOLE, *heldout.COUNTED)
            assert word in marks or not (word.isupper() and word.isalpha() and len(word) > 4), case
            if word in heldout.COUNTED:
                assert int(check.split()[1]) > 0
    asked = Counter((case.lang, case.asked[0] + case.asked[-1]) for case in KNOWN)
    assert [question for question, n in asked.items() if n > 1] == []


def test_keys_flags_and_commands_exist() -> None:
    checks = "\n".join(named(case) for case in KNOWN)
    keys = {shown_key(key) for entry in KEYS for key in entry.keys.split(",")} | {"Enter"}
    assert set(re.findall(r"(?:Ctrl|Shift|Alt)\+\w+|\bF\d\b", checks)) - keys == set()
    assert {"Ctrl+R", "F6", "Shift+Tab"} <= keys
    assert set(re.findall(r"(?<![\w\-])--?[a-z][\w\-]*", checks)) - all_flags() == set()
    assert set(re.findall(r"(?m)(?:^|(?<= ))/(\w+)", checks)) - set(BY_NAME) == set()
    assert set(re.findall(r"alpaca-tui ([a-z]+)", checks)) - set(VERBS) == set()


def test_none_is_in_the_training_data() -> None:
    questions = {normal(case.asked[-1]): case for case in KNOWN if len(case.asked) == 1}
    runs = {question: {question[i : i + 3] for i in range(len(question) - 2)} for question in questions}
    where: dict[str, list[str]] = defaultdict(list)
    for question, parts in runs.items():
        for part in parts:
            where[part].append(question)
    source = Generator(seed=5)
    made = {normal(source.turn().user) for _ in range(DRAWN)}
    assert not questions.keys() & made
    near = []
    for text in made:
        parts = {text[i : i + 3] for i in range(len(text) - 2)}
        shared = Counter(question for part in parts for question in where.get(part, ()))
        for question, n in shared.most_common(1):
            if n > heldout.ALIKE * len(parts | runs[question]):
                near.append((text, question))
    assert near == []


def test_no_whole_line_of_the_data_is_held_out() -> None:
    """Lines without choices are questions as they stand, drawn or not."""
    lines = set()
    for lang in facts.LANGUAGES:
        known = facts.load(lang)
        for section in (*known.sections.values(), *known.follow):
            lines |= {normal(pattern) for _, pattern in section.asks}
    assert not lines & {normal(case.asked[-1]) for case in KNOWN}


@pytest.mark.parametrize(
    ("text", "reply", "there"),
    [
        ("F2", "Press F2.", True),
        ("F2", "按F2打开", True),
        ("F2", "Press F20.", False),
        ("42", "That is 42.", True),
        ("42", "142", False),
        ("42", "42.5", False),
        ("-n", "Raise -n a little", True),
        ("-n", "Use --no-lookup", False),
        ("--lora", "--lora-scaled FILE:0.5", False),
        ("--lora", "--lora FILE", True),
        ("/new", "Type /newer", False),
        ("//", "Begin with // for that", True),
        ("welcome", "You are Welcome!", True),
        ("Esc", "esc", False),
        ("regenerat*", "It regenerates the reply", True),
        ("温度", "调低温度即可", True),
    ],
)
def test_texts_count_as_whole_words(text: str, reply: str, there: bool) -> None:
    assert contains(text, reply) is there


@pytest.mark.parametrize(
    ("check", "reply", "good"),
    [
        ("ONE", "It is small, q4_0 that is.", True),
        ("ONE", "It is small. It is fast.", False),
        ("LIST 3", "- a\n- b\n- c", True),
        ("LIST 3", "a, b, c", False),
        ("LINES 3", "a\nb\nc", True),
        ("SENTENCES 2", "有一只猫。它睡了。", True),
        ("WORDS 4", "Ctrl+R", True),
        ("WORDS 4", "That is the key Ctrl+R", False),
        (
            "DECLINE",
            "Sorry, I only know alpaca-tui. For other questions open a real model with Ctrl+O.",
            True,
        ),
        ("DECLINE", "Press Ctrl+O.", False),
        ("!Yes", "Yes, I am.", False),
        ("Esc / Ctrl+C", "按 Esc。", True),
    ],
)
def test_checks_can_fail(check: str, reply: str, good: bool) -> None:
    assert holds(check, reply) is good


def test_language_end_and_circles_count() -> None:
    case = Case("en", "program", ("how?",), ("Esc",))
    assert case.right("Press Esc to stop it.", True)
    assert not case.right("Press Esc to stop it.", False)
    assert not case.right("按 Esc 停止。", True)
    assert not case.right("Esc ends it all now " * 4, True)
    assert Case("en", "form", ("how?",), ("Esc", "ZH")).right("按 Esc 停止。", True)
    assert Case("zh", "form", ("怎么",), ("Ctrl+R",)).right("Ctrl+R", True)


def test_declining_answers_of_the_data_count_as_declining() -> None:
    for lang in facts.LANGUAGES:
        for say in facts.load(lang).sections["outside"].says:
            assert holds("DECLINE", say)
