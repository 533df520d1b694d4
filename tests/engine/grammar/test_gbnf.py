"""GBNF: what each notation matches, and one sentence for what is wrong."""

from __future__ import annotations

import pytest

from alpaca_tui.engine.grammar import gbnf
from alpaca_tui.engine.grammar.automaton import Automaton
from alpaca_tui.errors import UserError
from tests.engine.grammar.language import matches


@pytest.mark.parametrize(
    ("grammar", "right", "wrong"),
    [
        ('root ::= "abc"', ["abc"], ["", "ab", "abcd", "Abc"]),
        ('root ::= "a" | "b"', ["a", "b"], ["ab", ""]),
        ('root ::= "a"*', ["", "a", "aaa"], ["b", "ab"]),
        ('root ::= "ab"+', ["ab", "abab"], ["", "aba"]),
        ('root ::= "ab"? "c"', ["abc", "c"], ["ab", "ac"]),
        ('root ::= "a"{3}', ["aaa"], ["aa", "aaaa"]),
        ('root ::= "a"{2,}', ["aa", "aaaaa"], ["a"]),
        ('root ::= "ab"{1,2} "."', ["ab.", "abab."], [".", "ababab."]),
        ('root ::= ("a" | "bc"){2}', ["aa", "abc", "bcbc"], ["a", "bc", "aaa"]),
        ("root ::= [a-c_]", ["a", "b", "c", "_"], ["d", "", "ab"]),
        ("root ::= [^a-c]", ["d", "\n", "é", "猫", "🦙"], ["a", "c", "", "dd"]),
        ("root ::= [-a]", ["-", "a"], ["b"]),
        ("root ::= [a-]", ["-", "a"], ["b"]),
        (r"root ::= [\]\[\\]", ["]", "[", "\\"], ["a"]),
        ("root ::= .", ["\n", "猫"], ["", "ab"]),
        (r'root ::= "\x41\u00e9\U0001F999\n\t\r\"\\"', ['Aé🦙\n\t\r"\\'], ["A"]),
        ("root ::= [ぁ-ゟ]+", ["ひらがな"], ["カ", "a", ""]),
        (r"root ::= [\U0001F600-\U0001F64F]", ["😀", "🙏"], ["🦙", "😀😀"]),
        ('root ::= ""', [""], ["a"]),
        ('root ::= | "a"', ["", "a"], ["aa"]),
        ('root ::= ("a"?)* "b"', ["b", "aab"], ["a"]),
        ('root ::= (("a"*)* "c"?)* "b"', ["b", "aacacb"], ["ca"]),
        ('root ::= "a"** "b"', ["aab", "b"], ["a"]),
        ('root ::= x x\nx ::= "1" | y # a comment "\ny ::= "2"', ["11", "12", "22"], ["1", "3"]),
        ('# first\n\nroot ::= (\n "a" # one\n\n| "b"\n)\r\n# last', ["a", "b"], ["ab"]),
        ('root ::= "a" |\n  "b"\n  | "c"', ["a", "b", "c"], ["bc"]),
        ('root ::= a_1 B-2\na_1 ::= "x"\nB-2 ::= "y"', ["xy"], ["x"]),
        ('root ::= "(" root ")" | "x"', ["x", "((x))"], ["(x", "x)", ""]),
        ('root ::= s\ns ::= "a" s "b" | "a" s "c" | "d"', ["aadbc", "d"], ["aadb"]),
        ('root ::= a a\na ::= b | ""\nb ::= "x" a', ["", "x", "xx", "xxxx"], ["y"]),
        ('root ::= "a" root | x\nx ::= "b" never | "c"\nnever ::= "n" never', ["c", "aac"], ["b", "bn"]),
        ('root ::= [] "a" | "b"', ["b"], ["a"]),
    ],
)  # fmt: skip
def test_what_matches(grammar: str, right: list[str], wrong: list[str]) -> None:
    assert [text for text in right if not matches(grammar, text)] == []
    assert [text for text in wrong if matches(grammar, text)] == []


@pytest.mark.parametrize(
    ("grammar", "sentence"),
    [
        ("", "no rule `root`"),
        ('other ::= "a"', "no rule `root`"),
        ('root ::= "a', r'line 1, column 10: this is not closed with "'),
        ("root ::= [a-z", r"column 10: this is not closed with ]"),
        ('root ::= ("a"', r"expected \) here"),
        ('root ::= "a")', r"'\)' means nothing here"),
        ("root ::= missing", "rule 'missing' but does not define"),
        ('root ::= "a"\nroot ::= "b"', "line 2.*'root' is defined twice"),
        ('root = "a"', "line 1, column 1: expected a rule"),
        ('root ::= "a"\n}', "line 2, column 1: '}' means nothing here"),
        ("root ::= *", r"'\*' must follow what it repeats"),
        ('root ::= "a"{', "expected {m}, {m,} or {m,n}"),
        ('root ::= "a"{,3}', "expected {m}"),
        ('root ::= "a"{3,2}', "fewer than the least"),
        ('root ::= "a"{2001}', "more than 2000 repetitions"),
        ('root ::= "a"{999999999}', "more than 2000 repetitions"),
        (r'root ::= "\q"', r"\\q is no escape"),
        (r'root ::= "\x4"', r"\\x is no escape"),
        (r'root ::= "\U00110000"', "no character 00110000"),
        (r'root ::= "\uD83D"', "half of a surrogate pair"),
        ('root ::= root "a" | "b"', "'root' begins with itself"),
        ('root ::= "x" list\nlist ::= b list "," | "a"\nb ::= "b"?', "'list' begins with itself"),
        ("root ::= a\na ::= b\nb ::= a | c\nc ::= root | b | [x]", "begins with itself"),
        ('root ::= "a" root', "'root' never comes to an end"),
        ("root ::= []", "never comes to an end"),
        ("root ::= <nonsense>", "<nonsense> is no single token"),
        ("root ::= <", "expected a token"),
    ],
)
def test_one_sentence(grammar: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as error:
        Automaton(*gbnf.parse(grammar))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "grammar",
    [
        "root ::= " + "(" * 5000 + '"a"' + ")" * 5000,
        'root ::= "a"' + "{2000}" * 50,
        "root ::= " + '"ab"{2000} ' * 1000,
        "root ::= (" + '[^"]{0,2000} ' * 300 + ")",
        'root ::= "' + "a" * 2_000_000 + '"',
        "root ::= " + '"a"?' * 200_000,
    ],
    ids=["nested", "repeated repeats", "many repeats", "long optional", "long", "many options"],
)
def test_hostile_grammars_are_bounded(grammar: str) -> None:
    try:
        gbnf.parse(grammar)
    except UserError as error:
        assert len(str(error)) < 300


@pytest.mark.parametrize(
    "grammar",
    [
        'root ::= "a"' + "*" * 100_000,
        "root ::= r0\nr9999 ::= [a]\n" + "".join(f"r{i} ::= r{i + 1}*\n" for i in range(9999)),
        "root ::= " + "|".join(f'"a{i}"' for i in range(40_000)),
    ],
    ids=["stars", "stars of rules", "alternatives"],
)
def test_what_is_too_ambiguous_says_so(grammar: str) -> None:
    with pytest.raises(UserError, match="too ambiguous"):
        matches(grammar, "aa")


def test_many_stars_and_long_chains_are_no_recursion() -> None:
    assert matches('root ::= "a"' + "*" * 300, "aaa")
    chain = "".join(f"r{i} ::= r{i + 1}\n" for i in range(20_000))
    assert matches('root ::= r0\nr20000 ::= "x"\n' + chain, "x")
