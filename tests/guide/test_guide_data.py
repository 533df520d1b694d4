"""What the guide is taught must be true of the program: its keys, flags, defaults and formats exist."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from alpaca_tui.chat.presets import SHIPPED
from alpaca_tui.chat.settings import SETTINGS, Applies
from alpaca_tui.cli import ALIASES, VERBS
from alpaca_tui.tui import keymap
from alpaca_tui.tui.commands import BY_NAME
from alpaca_tui.tui.keymap import shown_key
from alpaca_tui.tui.screens.chats import ChatsScreen
from alpaca_tui.tui.strings import Strings
from tests.guide.test_heldout import all_flags
from tools.guide import facts, forms, heldout, skills
from tools.guide.generate import Generator

KEYS = {shown_key(key) for entry in keymap.KEYS for key in entry.keys.split(",")} | {"Enter"}
QUOTED = {  # sections about a message, the string of it, and its beginning
    "en": {"memory_line": ("memory_begins", "the model's memory begins here"),
           "cut_off": ("cut_length", "cut off at the reply limit")},
    "zh": {"memory_line": ("memory_begins", "模型的记忆从这里开始"),
           "cut_off": ("cut_length", "已达到回复上限")},
}  # fmt: skip
ROOT = Path(__file__).parents[2]
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


def flags_in(text: str) -> set[str]:
    """The long flags and the short ones, written with "-"."""
    return {flag.replace("_", "-") for flag in re.findall(r"(?<![\w\-/.<])--?[a-z][a-z_\-]*", text)}


def test_flags_exist(known: facts.Facts) -> None:
    flags = {flag.replace("_", "-") for flag in all_flags()} | {"-inf"}  # the value that bans a token
    items = "\n".join(item for items in forms.forms(known.lang).items.values() for item in items)
    named = flags_in(says(known) + items)
    assert named - flags == set()
    assert {"--temp", "-m", "-c", "--lora", "--mirostat"} <= named


def test_keys_exist(known: facts.Facts) -> None:
    items = "\n".join(item for items in forms.forms(known.lang).items.values() for item in items)
    named = set(re.findall(r"(?:Ctrl|Shift)\+\w+|\bF\d{1,2}\b(?<!F16)(?<!F32)", says(known) + items))
    in_list = {shown_key(binding.key) for binding in ChatsScreen.BINDINGS}
    assert named - KEYS - in_list == set()
    assert {f"F{n}" for n in (1, 2, 3, 4, 5, 6, 7, 9)} <= named
    assert {f"Ctrl+{letter}" for letter in "CDFJNOPQRSTY"} <= named


def test_slash_commands_exist(known: facts.Facts) -> None:
    named = set(re.findall(r"(?<![\w./~])/([a-z]+)", says(known)))
    assert named <= set(BY_NAME)
    assert {"find", "theme", "lang", "preset", "branch", "export"} <= named


def test_themes_and_presets_exist(known: facts.Facts) -> None:
    say = known.sections["theme"].says[0]
    assert set(re.findall(r"/theme (\w+)", say)) - {"changes", "换颜色"} <= {
        path.stem for path in (ROOT / "themes").glob("*.toml")
    }
    say = known.sections["preset"].says[0]
    assert set(re.findall(r"[A-Z][a-z]+", say)) & {preset.title("en") for preset in SHIPPED} == {
        preset.title("en") for preset in SHIPPED
    }


def test_messages_that_are_asked_about_exist(known: facts.Facts) -> None:
    say = Strings(known.lang)
    for name, (string, text) in QUOTED[known.lang].items():
        assert say(string).casefold().startswith(text)
        assert text in "\n".join(pattern for _, pattern in known.sections[name].asks)


def test_advanced_samplers_are_all_there(known: facts.Facts) -> None:
    """Each that is off by default or cuts tokens off; what only tunes another one is left to the sidebar."""
    for name, section in known.sections.items():
        if name.startswith("adv_default:"):
            setting = by_flag(name.partition(":")[2])
            assert setting.advanced
            assert section.says[0].rstrip(".。").endswith(f" {setting.default:g}")


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
    assert {name.upper() for name in named} <= FORMATS | {"Q4_K"}  # which it says that it refuses
    assert set(re.findall(r"[QBF]+\d+\w*", known.sections["formats"].says[0])) == FORMATS


def test_both_languages_know_the_same() -> None:
    english, chinese = (facts.load(lang) for lang in facts.LANGUAGES)
    assert list(english.sections) == list(chinese.sections)
    assert [s.name for s in english.follow] == [s.name for s in chinese.follow]


def test_answers_are_in_the_language_of_the_question(known: facts.Facts) -> None:
    for section in known.sections.values():
        for say in section.says:
            assert bool(re.search("[一-鿿]", say)) == (known.lang == "zh") or section.name == "speakzh"
            assert not re.search(r"\{\w", say) and len(say) < 200


def test_the_same_seed_gives_the_same_examples() -> None:
    one, two = Generator(seed=3), Generator(seed=3)
    assert [one.turn() for _ in range(50)] == [two.turn() for _ in range(50)]
    assert [one.turn() for _ in range(50)] != [Generator(seed=4).turn() for _ in range(50)]


def test_sums_are_right_and_never_those_that_are_held_out() -> None:
    rng = random.Random(4)
    assert (7, 8) not in skills.held_out() or len(skills.held_out()) > 1
    for _ in range(3000):
        name = rng.choice(skills.FAMILIES)
        a, b, c = skills.pair(name, rng)
        assert c == {"add": a + b, "sub": a - b, "mul": a * b, "div": a / max(b, 1)}[name]
        assert (min(a, b), max(a, b)) not in skills.held_out()


@pytest.mark.parametrize("lang", facts.LANGUAGES)
def test_every_skill_fills_its_slots(lang: str) -> None:
    rng = random.Random(5)
    assert set(skills.sections(lang)) == set(skills.WEIGHTS)
    for name in skills.WEIGHTS:
        for _ in range(40):
            _, asked, answer = skills.example(lang, rng, name)
            assert asked and answer and "[" not in asked
            if name in ("haiku", "story", "sentence"):
                values = skills.slots(name, lang, rng)
                assert values["word"].casefold() in values[name].casefold()
            if name == "haiku":
                assert answer.count("\n") == 2
            if name == "big":
                assert heldout.holds("DECLINE", answer)


def test_forms_are_what_they_say() -> None:
    source = Generator(seed=6)
    for lang in facts.LANGUAGES:
        for _ in range(400):
            turn = source.form(source.facts[lang])
            kind = turn.section.split(":")[1]
            if kind == "one":
                assert heldout.holds("ONE", turn.answer), turn
            elif kind == "short":
                assert heldout.holds("WORDS 1", turn.answer), turn
            elif kind == "list":
                assert heldout.holds("LIST 3", turn.answer), turn
            else:
                assert bool(heldout.HAN.search(turn.answer)) == (lang == "en"), turn
