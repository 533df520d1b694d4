"""What the guide is taught must be true of the program: its keys, flags, defaults and formats exist."""

from __future__ import annotations

import importlib
import re

import pytest

from alpaca_tui.chat.settings import SETTINGS, Applies
from alpaca_tui.cli import ALIASES, VERBS, parser_for
from tools.guide import facts
from tools.guide.generate import Generator

KEYS = {
    "Ctrl+J", "Ctrl+C", "Ctrl+R", "Ctrl+N", "Ctrl+O", "Ctrl+T", "Ctrl+Y", "Ctrl+P", "Ctrl+Q", "Ctrl+S",
    "F1", "F2", "F3", "F4", "F5", "F6", "F7", "Enter", "Esc", "Up", "Down", "PgUp", "PgDn",
}  # fmt: skip
OTHER_FLAGS = {"-m", "-o", "-f", "-ins", "-p", "--help", "--version"}
VERB_FLAGS = {  # flags of a verb, and what verb
    "--base_model": "merge", "--lora_model": "merge", "--output_type": "merge", "--output_dir": "merge",
    "--container": "convert", "--all": "export", "-o": "export",
}  # fmt: skip
MODULES = {"export": "chats_export"}  # named otherwise than their verbs
FORMATS = {"F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q6_K"}
WHEN = {
    "en": {Applies.TOKEN: "next token", Applies.MESSAGE: "next message", Applies.RELOAD: "reload"},
    "zh": {Applies.TOKEN: "下一个 token", Applies.MESSAGE: "下一条消息", Applies.RELOAD: "重新加载"},
}


@pytest.fixture(scope="module", params=facts.LANGUAGES)
def known(request: pytest.FixtureRequest) -> facts.Facts:
    return facts.load(request.param)


def says(known: facts.Facts) -> str:
    return "\n".join(say for section in known.sections.values() for say in section.says)


def by_flag(flag: str):
    return next(s for s in SETTINGS if flag in s.flags)


def test_flags_exist(known: facts.Facts) -> None:
    flags = {flag for setting in SETTINGS for flag in setting.flags} | OTHER_FLAGS | set(VERB_FLAGS)
    named = set(re.findall(r"(?<![\w\-])--?[a-z][a-z_\-]*", says(known)))
    assert named - flags == set()
    assert {"--temp", "-m", "-c"} <= named


def test_keys_exist(known: facts.Facts) -> None:
    named = set(re.findall(r"Ctrl\+\w|\bF\d{1,2}\b(?<!F16)(?<!F32)", says(known)))
    assert named - KEYS == set()
    assert {key for key in KEYS if key not in says(known)} == set()


def test_commands_exist(known: facts.Facts) -> None:
    commands = set(VERBS) | set(ALIASES)
    named: set[str] = set()
    for section in known.sections.values():
        for say in section.says:
            assert "not in this version" not in say and "comes later" not in say, say
            verbs = set(re.findall(r"alpaca-tui ([a-z][a-z.\-]*)(?= -| [A-Z]| zh-models| ggml-| DIR)", say))
            assert verbs <= commands, say
            named |= verbs
    listed = known.sections["commands_list"].says[0].rstrip(".。")
    listed = re.split("Its commands: |命令有 ", listed)[1]
    assert set(re.split(", |、", listed)) == set(VERBS)
    assert named >= set(VERBS) - {"main"}


def test_flags_of_commands_exist() -> None:
    for flag, verb in VERB_FLAGS.items():
        parser = parser_for(verb)
        importlib.import_module(f"alpaca_tui.commands.{MODULES.get(verb, verb)}").add_arguments(parser)
        assert flag.replace("_", "-") in parser.format_help()


def test_defaults_are_those_of_the_program(known: facts.Facts) -> None:
    seen = set()
    for name, section in known.sections.items():
        if not name.startswith("setting_default:"):
            continue
        setting = by_flag(name.partition(":")[2])
        seen.add(setting.key)
        special = {"n_threads": ("auto", "自动"), "n_ctx": ("auto", "自动")}.get(
            setting.key, (f"{setting.default:g}",) * 2
        )
        assert section.says[0].rstrip(".。").endswith(special[facts.LANGUAGES.index(known.lang)])
    assert seen == {s.key for s in SETTINGS if not s.advanced}  # the others it was not taught


def test_when_a_change_applies(known: facts.Facts) -> None:
    for name, section in known.sections.items():
        if name.startswith("setting_when:"):
            setting = by_flag(name.partition(":")[2])
            assert WHEN[known.lang][setting.applies] in section.says[0]


def test_block_formats_exist(known: facts.Facts) -> None:
    named = set(re.findall(r"\b[qQ]\d_\w+", says(known)))
    assert {name.upper() for name in named} <= FORMATS
    assert set(re.findall(r"[QBF]+\d+\w*", known.sections["formats"].says[0])) == FORMATS


def test_both_languages_know_the_same() -> None:
    english, chinese = (facts.load(lang) for lang in facts.LANGUAGES)
    assert list(english.sections) == list(chinese.sections)
    assert [s.name for s in english.follow] == [s.name for s in chinese.follow]


def test_answers_are_in_the_language_of_the_question(known: facts.Facts) -> None:
    for section in known.sections.values():
        for say in section.says:
            assert bool(re.search("[一-鿿]", say)) == (known.lang == "zh") or section.name == "speakzh"
            assert "{" not in say and len(say) < 200


def test_the_same_seed_gives_the_same_examples() -> None:
    one, two = Generator(seed=3), Generator(seed=3)
    assert [one.turn() for _ in range(50)] == [two.turn() for _ in range(50)]
    assert [one.turn() for _ in range(50)] != [Generator(seed=4).turn() for _ in range(50)]
