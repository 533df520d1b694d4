"""Which tokens may come: exactly those with which the text can still match, whatever the tokens are."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_tui.engine.grammar.automaton import DEAD
from alpaca_tui.engine.grammar.matcher import Grammar, Grammars, Matcher
from alpaca_tui.engine.grammar.trie import Trie
from alpaca_tui.engine.protocol import SamplingParams
from alpaca_tui.engine.sampling import Sampler
from alpaca_tui.errors import UserError
from tests.engine.grammar.language import BYTES, EOS, Node, Tree, Words, reply, tree

LETTERS = "abé猫🦙\n"
texts = st.text(LETTERS, max_size=3)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Up to three rules. A rule is used by an earlier one, or, behind some text, by any."""
    n = draw(st.integers(1, 3))

    def node(rule: int, depth: int) -> Node:
        kinds = ["text", "one_of", "loop"] + ["rule"] * (rule < n - 1)
        kinds += ["seq", "either", "repeat"] * (depth < 3)
        kind = draw(st.sampled_from(kinds))
        if kind == "text":
            return Node("text", draw(texts))
        if kind == "one_of":
            return Node("one_of", draw(st.text(LETTERS, min_size=1, max_size=3)))
        if kind == "rule":
            return Node("rule", rule=draw(st.integers(rule + 1, n - 1)))
        if kind == "loop":  # always with another way, so that it can end
            again = Node("rule", rule=draw(st.integers(0, n - 1)))
            text = Node("text", draw(st.text(LETTERS, min_size=1, max_size=2)))
            return Node("either", parts=(Node("text", draw(texts)), Node("seq", parts=(text, again))))
        parts = [node(rule, depth + 1) for _ in range(draw(st.integers(1, 3)))]
        if kind == "repeat":
            least = draw(st.integers(0, 2))
            most = draw(st.one_of(st.none(), st.integers(least, 3)))
            return Node("repeat", parts=tuple(parts[:1]), least=least, most=most)
        return Node(kind, parts=tuple(parts))

    return Tree([node(rule, 0) for rule in range(n)])


pieces = st.lists(
    st.one_of(
        st.text(LETTERS, min_size=1, max_size=4).map(str.encode),
        st.sampled_from(
            [c for x in "é猫🦙" for c in (x.encode()[:1], x.encode()[1:], x.encode()[-1:] + b"a")]
        ),
    ),
    max_size=12,
)


@settings(max_examples=250, deadline=None)
@given(trees(), pieces, st.randoms(use_true_random=False))
def test_completed_texts_match(grammar: Tree, extra: list[bytes], rng: random.Random) -> None:
    tokens = tree(BYTES + extra)
    for _ in range(3):
        text = reply(grammar.gbnf(), tokens, rng)
        if text is not None:
            assert grammar.accepts(text.decode()), grammar.gbnf()


@settings(max_examples=250, deadline=None)
@given(trees(), pieces, st.randoms(use_true_random=False))
def test_every_text_of_the_grammar_can_come(grammar: Tree, extra: list[bytes], rng: random.Random) -> None:
    said = grammar.say(rng)
    if said is None or len(said) > 200:
        return
    tokens = tree(BYTES + extra)
    matcher = Matcher(Grammar(grammar.gbnf(), tokens))
    rest = said.encode()
    while rest:
        fitting = [i for i, piece in enumerate(tokens.pieces) if piece and rest.startswith(piece)]
        allowed = matcher.allowed
        assert all(allowed[i] for i in fitting), grammar.gbnf()
        token = rng.choice(fitting)
        matcher.accept(token)
        rest = rest[len(tokens.pieces[token]) :]
    assert matcher.may_end, grammar.gbnf()
    assert matcher.allowed[EOS]


@settings(max_examples=100, deadline=None)
@given(trees(), pieces, st.randoms(use_true_random=False))
def test_a_mask_is_what_single_steps_say(grammar: Tree, extra: list[bytes], rng: random.Random) -> None:
    tokens = tree(BYTES + extra)
    made = Grammar(grammar.gbnf(), tokens)
    matcher = Matcher(made)
    for _ in range(6):
        for token, piece in enumerate(tokens.pieces):
            state = matcher._after(matcher._state, piece) if piece else DEAD
            wanted = matcher.may_end if tokens.ends[token] else state != DEAD
            assert matcher.allowed[token] == wanted
        open_ = [i for i in np.flatnonzero(matcher.allowed).tolist() if i != EOS]
        if not open_:
            break
        matcher.accept(rng.choice(open_))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=5), max_size=40))
def test_tree_of_tokens(words: list[bytes]) -> None:
    made = Trie(words)

    def spelled(node: int) -> bytes:
        return spelled(int(made.parent[node])) + bytes([made.byte[node]]) if node else b""

    assert [spelled(int(node)) for node in made.node_of] == words
    prefixes = {word[:n] for word in words for n in range(len(word) + 1)} | {b""}
    assert made.n_nodes == len(prefixes)
    assert {spelled(node) for node in range(made.n_nodes)} == prefixes
    for node in range(made.n_nodes):
        children = range(int(made.first_child[node]), int(made.first_child[node] + made.n_children[node]))
        assert all(made.parent[child] == node for child in children)


def test_partial_characters() -> None:
    cat = "猫".encode()
    tokens = tree([*BYTES, cat[:2], cat[2:] + b"!", cat[1:]])
    matcher = Matcher(Grammar('root ::= [猫犬]+ "!"', tokens))
    first = tokens.pieces.index(cat[:2])
    assert matcher.allowed[first]
    matcher.accept(first)
    assert not matcher.may_end
    allowed = {tokens.pieces[i] for i in np.flatnonzero(matcher.allowed)}
    assert allowed == {cat[2:], cat[2:] + b"!"}
    matcher.accept(tokens.pieces.index(cat[2:] + b"!"))
    assert matcher.complete
    assert np.flatnonzero(matcher.allowed).tolist() == [EOS]


def test_control_tokens_and_unknown_ones_are_not_text() -> None:
    words = Words([*BYTES, b" \xe2\x81\x87 "])
    words.unk = 257
    mask = Matcher(Grammar("root ::= .+", Grammars(words)._tokens or tree_of(words))).allowed
    assert not mask[EOS]
    assert not mask[257]


def tree_of(words: Words):
    from alpaca_tui.engine.grammar.matcher import TokenTree

    return TokenTree(words)


def test_single_tokens() -> None:
    tokens = tree([*BYTES, b"<think>", b"</think>", b"ab"])
    think, end, ab = 257, 258, 259
    matcher = Matcher(Grammar('root ::= <think> inner </think> "."\ninner ::= !</think>*', tokens))
    assert np.flatnonzero(matcher.allowed).tolist() == [think]
    matcher.accept(think)
    assert matcher.allowed[[think, end, ab, 1, 100]].all()
    matcher.accept(ab)
    matcher.accept(end)
    assert np.flatnonzero(matcher.allowed).tolist() == [1 + ord(".")]
    by_number = Matcher(Grammar('root ::= <[259]> | "abc"', tokens))
    by_number.accept(ab)  # as the token, and as the letters
    assert {EOS, 1 + ord("c")} == set(np.flatnonzero(by_number.allowed).tolist())
    with pytest.raises(UserError, match=r"names token 900.* 0 to 259"):
        Grammar("root ::= <[900]>", tokens)


def test_no_token_spells_what_is_wanted() -> None:
    matcher = Matcher(Grammar('root ::= "ab" [0-9]', tree([b"a", b"ab", b"b"])))
    matcher.accept(2)
    with pytest.raises(UserError, match="cannot be followed further"):
        _ = matcher.allowed


def test_a_reply_that_is_continued() -> None:
    grammars = Grammars(Words(BYTES))
    params = SamplingParams(grammar='root ::= "ab" "c"*')
    matcher = grammars.matcher(params, "abc")
    assert matcher is not None
    assert matcher.may_end
    assert {EOS, 1 + ord("c")} == set(np.flatnonzero(matcher.allowed).tolist())
    with pytest.raises(UserError, match="does not fit the grammar"):
        grammars.matcher(params, "ac")
    assert grammars.matcher(SamplingParams()) is None


def test_states_are_forgotten_where_they_become_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alpaca_tui.engine.grammar.automaton.MAX_STATES", 20)
    tokens = tree()
    matcher = Matcher(Grammar('root ::= "(" root ")" | [a-z]{1,100}', tokens))
    for text in b"((" + b"abcdefgh" * 8 + b"))":
        assert matcher.allowed[1 + text]
        matcher.accept(1 + text)
    assert matcher.complete


def test_ambiguity_does_not_grow() -> None:
    tokens = tree([*BYTES, b"aaaaaaaa"])
    matcher = Matcher(Grammar('root ::= s\ns ::= "a" s "b" | "a" s "c" | "a" s s | "d"', tokens))
    for _ in range(30):
        assert matcher.allowed[257]
        matcher.accept(257)
    grammar = matcher._grammar
    assert max(len(points) for points, _ in grammar.automaton._points) < 50


def test_a_sampler_under_a_grammar_ends() -> None:
    words = Words(BYTES)
    params = SamplingParams(grammar='root ::= [0-9]{3} "-" ("yes" | "no")', seed=1, repeat_penalty=1.0)
    grammars = Grammars(words)
    rng = np.random.default_rng(0)
    for _ in range(5):
        sampler = Sampler(params, words.n_vocab, words, grammars.matcher(params))
        out = b""
        while not sampler.complete:
            out += words.piece(sampler.sample(rng.standard_normal(words.n_vocab).astype(np.float32), []))
        number, _, word = out.partition(b"-")
        assert len(number) == 3
        assert number.isdigit()
        assert word in (b"yes", b"no")


def test_grammars_are_kept() -> None:
    grammars = Grammars(Words(BYTES))
    one = grammars.matcher(SamplingParams(grammar='root ::= "a"'))
    two = grammars.matcher(SamplingParams(grammar='root ::= "a"'))
    assert one is not two
    assert one._grammar is two._grammar
    for n in range(9):
        grammars.matcher(SamplingParams(grammar=f'root ::= "{n}"'))
    assert grammars.matcher(SamplingParams(grammar='root ::= "a"'))._grammar is not one._grammar
