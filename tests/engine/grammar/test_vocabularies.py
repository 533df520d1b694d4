"""Grammars with the vocabularies of LLaMA and Chinese-Alpaca: pieces with spaces, bytes, split characters."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from alpaca_tui.engine.grammar.matcher import Grammar, Matcher, TokenTree
from alpaca_tui.engine.grammar.schema import to_gbnf
from alpaca_tui.engine.tokenizer import Tokenizer
from alpaca_tui.files.vocab import from_tokenizer_model
from tests.engine.grammar.language import reply
from tests.engine.grammar.valid import valid

SCHEMA = {
    "properties": {
        "title": {"type": "string", "minLength": 1, "maxLength": 30},
        "price": {"type": "number", "minimum": 0, "maximum": 1000},
        "tags": {"type": "array", "items": {"enum": ["红", "green", "b l u e"]}, "maxItems": 2},
        "size": {"$ref": "#/$defs/size"},
    },
    "required": ["title", "price", "tags", "size"],
    "$defs": {"size": {"type": "object", "properties": {"w": {"type": "integer"}}, "required": ["w"]}},
}


@pytest.fixture(scope="module", params=["llama", "chinese_alpaca"])
def tokenizer(kits: Path, request: pytest.FixtureRequest) -> Tokenizer:
    return Tokenizer(from_tokenizer_model(kits / f"tokenizers/{request.param}.model"))


@pytest.fixture(scope="module")
def tokens(tokenizer: Tokenizer) -> TokenTree:
    return TokenTree(tokenizer)


def test_random_replies_are_valid(tokens: TokenTree) -> None:
    grammar, made = to_gbnf(json.dumps(SCHEMA)), 0
    for seed in range(6):
        text = reply(grammar, tokens, random.Random(seed), most=250)
        if text is not None:
            assert valid(json.loads(text), SCHEMA, SCHEMA), text
            made += 1
    assert made > 2


def test_what_the_tokenizer_makes_is_allowed(tokenizer: Tokenizer, tokens: TokenTree) -> None:
    value = {"title": "猫和🦙, “quoted”\n", "price": 12.5, "tags": ["green", "b l u e"], "size": {"w": -3}}
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        matcher = Matcher(Grammar(to_gbnf(json.dumps(SCHEMA)), tokens))
        for token in tokenizer.encode(text, bos=False, space_prefix=False):
            assert matcher.allowed[token], tokenizer.piece(token)
            matcher.accept(token)
        assert matcher.complete


def test_characters_of_several_tokens(tokenizer: Tokenizer, tokens: TokenTree) -> None:
    matcher = Matcher(Grammar("root ::= [一-龥🦙]{4}", tokens))
    for byte in "猫🦙狗鸟".encode():
        token = tokenizer.token_of(f"<0x{byte:02X}>")
        assert token is not None
        assert matcher.allowed[token]
        matcher.accept(token)
    assert matcher.complete
    assert matcher.allowed[tokenizer.eos]
    assert not matcher.allowed[[tokenizer.bos, tokenizer.unk]].any()


def test_single_tokens_by_name(tokens: TokenTree, tokenizer: Tokenizer) -> None:
    matcher = Matcher(Grammar("root ::= <s> [a-z]+", tokens))
    assert matcher.allowed.nonzero()[0].tolist() == [tokenizer.bos]
