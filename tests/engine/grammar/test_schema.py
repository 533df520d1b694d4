"""JSON Schema: what comes out is JSON and valid, what should be possible is, the rest is one sentence."""

from __future__ import annotations

import json
import random
import re
from datetime import date, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alpaca_tui.engine.grammar import gbnf, numbers
from alpaca_tui.engine.grammar.automaton import Automaton
from alpaca_tui.engine.grammar.schema import to_gbnf
from alpaca_tui.errors import UserError
from tests.engine.grammar.language import BYTES, matches, reply, tree
from tests.engine.grammar.valid import valid

# what a model says in JSON, so that texts come to an end
JSON_WORDS = [
    w.encode() for w in ('{"', '":', '",', '"}', '"]', "true", "null", "12", "[]", "{}", "a", "猫", "\\n")
]
TOKENS = tree(BYTES + JSON_WORDS * 15)


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        ({}, ["{}", '{"a": [1, null]}'], ["1", "[]", '"a"']),
        ({"type": "array"}, ["[]", "[1, [2]]"], ["{}", "[1"]),
        ({"type": "null"}, [None], [0, False]),
        ({"type": ["integer", "null"]}, [None, 0, -7], [0.5, True]),
        ({"type": "integer"}, [0, -1, 123456789], ["01", "1.0", "--1", "+1"]),
        ({"type": "number"}, [0, -1.5, "1e5", "1.25E-9"], ["1.", ".5", "0x1", "1e", "NaN"]),
        ({"type": "boolean"}, [True, False], ["True", 1]),
        ({"type": "string"}, ['""', r'"\n\u00e9é"', r'"\\"'], [r'"\x"', '"\n"', '"', r'"\ud83d"']),
        ({"maxLength": 1}, [r'"\ud83e\udd99"', '"🦙"', r'"\uD7FF"'], [r'"\udd99\ud83e"', r'"\ud83ea"']),
        ({"minLength": 2, "maxLength": 3}, ['"ab"', '"猫猫猫"', r'"\n\n"'], ['"a"', '"abcd"']),
        ({"enum": ["a", 1, None, {"b": [2]}]}, ['"a"', 1, None, '{"b": [2]}'], ['"b"', 2, "{}"]),
        ({"const": 'say "hi"\n'}, [r'"say \"hi\"\n"'], ['"say"']),
        ({"type": "integer", "enum": [1, "1", 2.0]}, [1, 2.0], ['"1"']),
        ({"anyOf": [{"type": "null"}, {"const": 5}]}, [None, 5], [4]),
        ({"oneOf": [{"type": "null"}, {"const": 5}], "description": "x"}, [None, 5], [4]),
        (
            {"oneOf": [{"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}], "$defs": {
                "cat": {"properties": {"is": {"const": "cat"}, "n": {"type": "integer"}}, "required": ["is"]},
                "dog": {"properties": {"is": {"const": "dog"}}, "required": ["is"]},
            }},
            ['{"is": "cat", "n": 9}', '{"is": "dog"}'], ['{"is": "dog", "n": 9}', '{"is": "cow"}'],
        ),
        (
            {"oneOf": [{"properties": {"a": {}}, "required": ["a"]},
                       {"properties": {"b": {}}, "required": ["b"]}]},
            ['{"a": 1}', '{"b": 1}'], ['{"a": 1, "b": 1}', "{}"],
        ),
        ({"oneOf": [{"type": "integer", "maximum": 4}, {"type": "number", "minimum": 5}]}, [4, 5], [4.5]),
        (
            {"properties": {"a": {"type": "integer"}, "b": {}}, "required": ["a"]},
            ['{"a": 1}', '{"a":1,"b":{}}', '{ "a" : 1 ,\n\t"b" : [] }'],
            ["{}", '{"b": 1}', '{"a": 1,}', '{"a": 1, "c": 1}', '{"b": 1, "a": 1}', '{"a": "1"}'],
        ),
        (
            {"properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}}},
            ["{}", '{"a": 1}', '{"c": 3}', '{"a": 1, "c": 3}', '{"a": 1, "b": 2, "c": 3}'],
            ['{"a": 1 "b": 2}', '{, "a": 1}', '{"a": 1, "a": 1}', '{"c": 3, "a": 1}'],
        ),
        (
            {"properties": {"ab": {"const": 1}, "a": {}}, "additionalProperties": {"type": "boolean"}},
            ["{}", '{"ab": 1, "abc": true}', '{"b": true, "": false}', '{"a": 1, "x": true}', '{"aa": true}'],
            ['{"ab": true}', '{"x": 1}', '{"x": true, "ab": true}', r'{"a\u0062": true}'],
        ),
        ({"type": "object", "additionalProperties": {"const": 1}}, ["{}", '{"x": 1, "y": 1}'], ['{"x": 2}']),
        ({"type": "object", "required": ["k"]}, ['{"k": 1}', '{"k": [], "l": 2}'], ["{}", '{"l": 1}']),
        ({"items": {"type": "integer"}, "minItems": 1, "maxItems": 2}, ["[1]", "[1, 2]"], ["[]", "[1,2,3]"]),
        ({"items": {"const": 1}, "minItems": 2}, ["[1,1]", "[1,1,1,1]"], ["[1]"]),
        ({"items": {"const": 1}, "maxItems": 0}, ["[]"], ["[1]"]),
        ({"prefixItems": [{"const": 1}, {"const": 2}]}, ["[1, 2]"], ["[1]", "[1, 2, 3]", "[]"]),
        ({"prefixItems": [{"const": 1}], "items": {"const": 9}}, ["[1]", "[1, 9, 9]"], ["[9]", "[]"]),
        ({"items": [{"const": 1}, {"const": 2}], "additionalItems": False}, ["[1, 2]"], ["[1, 2, 3]"]),
        (
            {"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}},
            ["[]", "[[], [[]]]"],
            ["[1]", "{}"],
        ),
        (
            {"properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["next"]},
            ['{"next": null}', '{"next": {"next": null}}'],
            ["{}", '{"next": {}}'],
        ),
        (
            {"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]},
                       {"properties": {"b": {"const": 2}, "a": {"minimum": 3}}}]},
            ['{"a": 3}', '{"a": 9, "b": 2}'],
            ['{"a": 1}', '{"b": 2}', '{"a": 3.5}'],
        ),
        (
            {"type": "object", "properties": {"kind": {"type": "string"}},
             "anyOf": [{"properties": {"kind": {"const": "a"}, "x": {}}, "required": ["kind", "x"]},
                       {"properties": {"kind": {"const": "b"}}, "required": ["kind"]}]},
            ['{"kind": "a", "x": 1}', '{"kind": "b"}'],
            ['{"kind": "a"}', '{"kind": "c"}', '{"kind": "b", "x": 1}'],
        ),
        ({"format": "date"}, ['"2023-04-28"'], ['"2023-13-01"', '"yesterday"']),
        ({"pattern": "^ab?c$"}, ['"abc"', '"ac"'], ['"abbc"', '"xabc"']),
        ({"pattern": "b+"}, ['"b"', '"xbbx"'], ['"x"']),
        ({"pattern": r'^[^a-z"]\\"\d{2,3}(x|yz)*.$'}, [r'"A\\\"12xyz!"'], [r'"a\\\"12!"', r'"A\\\"1!"']),
        ({"pattern": r"^(?:\w+\s)+\.[\]\-]$"}, [r'"ab c\n.]"', '"a .-"'], ['"ab.]"']),
        ({"pattern": "^(?<year>\\d{4})$|x"}, None, None),
    ],
)  # fmt: skip
def test_what_is_allowed(schema: Any, right: list[Any], wrong: list[Any]) -> None:
    if right is None:
        with pytest.raises(UserError, match="pattern"):
            to_gbnf(json.dumps(schema))
        return

    def allows(value: Any) -> bool:
        text = value if isinstance(value, str) else json.dumps(value)
        return matches(to_gbnf(json.dumps(schema)), text)

    assert [value for value in right if not allows(value)] == []
    assert [value for value in wrong if allows(value)] == []


def test_formats() -> None:
    def made(name: str, rng: random.Random) -> str:
        text = reply(to_gbnf(json.dumps({"type": "string", "format": name})), TOKENS, rng)
        assert text is not None
        return json.loads(text)

    for seed in range(20):
        rng = random.Random(seed)
        if (day := made("date", rng)) >= "0001":
            date.fromisoformat(day)
        if (moment := made("date-time", rng)) >= "0001":
            datetime.fromisoformat(moment)
        UUID(made("uuid", rng))


bound = st.one_of(st.none(), st.integers(-1200, 1200))


@settings(max_examples=60, deadline=None)
@given(bound, bound, st.lists(st.integers(-1500, 1500), max_size=20))
def test_whole_numbers_within_bounds(low: int | None, high: int | None, others: list[int]) -> None:
    text = numbers.integers(low, high)
    if text is None:
        assert low is not None
        assert high is not None
        assert low > high
        return
    automaton = Automaton(*gbnf.parse(f"root ::= {text}"))
    near = [n + d for n in (low, high, 0, 10, -10, 99, 100, -1000) if n is not None for d in (-1, 0, 1)]
    for n in {*near, *others}:
        state = automaton.start
        for byte in str(n).encode():
            state = automaton.step(state, byte)
        assert automaton.accepts(state) == ((low is None or n >= low) and (high is None or n <= high)), n


floats = st.one_of(st.none(), st.floats(-30, 30), st.integers(-30, 30))


@settings(max_examples=60, deadline=None)
@given(floats, floats, st.booleans(), st.booleans(), st.randoms(use_true_random=False))
def test_numbers_within_bounds(low: Any, high: Any, above: bool, below: bool, rng: random.Random) -> None:
    schema: dict[str, Any] = {"type": "number"}
    if low is not None:
        schema["exclusiveMinimum" if above else "minimum"] = low
    if high is not None:
        schema["exclusiveMaximum" if below else "maximum"] = high
    try:
        grammar = to_gbnf(json.dumps(schema))
    except UserError as error:
        assert "bounds" in str(error)
        return
    for _ in range(10):
        text = reply(grammar, TOKENS, rng)
        assert text is None or valid(json.loads(text), schema, schema), (text, grammar)


# --- any schema --------------------------------------------------------------------------------------------

names = st.sampled_from(["a", "ab", "name", "猫", 'q"uote', "line\n"])
scalars = st.one_of(st.none(), st.booleans(), st.integers(-99, 99), st.text("ab猫\n", max_size=3))


def schemas(depth: int) -> st.SearchStrategy[Any]:
    leaf = st.one_of(
        st.fixed_dictionaries({"type": st.sampled_from(["null", "boolean", "integer", "number", "string"])}),
        st.builds(lambda values: {"enum": values}, st.lists(scalars, min_size=1, max_size=3)),
        st.builds(lambda value: {"const": value}, scalars),
        st.builds(
            lambda n, m: {"type": "string", "minLength": n, "maxLength": n + m},
            st.integers(0, 3), st.integers(0, 3),
        ),
        st.builds(lambda n, m: {"type": "integer", "minimum": n, "maximum": n + m},
                  st.integers(-50, 50), st.integers(0, 99)),
        st.sampled_from([{"pattern": p} for p in ("^[ab]+$", "a|b", r"^\d{2,3}-\w$", '^"?[^a]$')]),
        st.just(True),
    )  # fmt: skip
    if depth == 0:
        return leaf
    inner = schemas(depth - 1)
    objects = st.builds(
        lambda properties, needed, more: {
            "type": "object", "properties": properties,
            "required": [k for k, n in zip(properties, needed, strict=False) if n], **more,
        },
        st.dictionaries(names, inner, max_size=3),
        st.lists(st.booleans(), min_size=3, max_size=3),
        st.fixed_dictionaries({}, optional={"additionalProperties": st.one_of(st.booleans(), inner)}),
    )  # fmt: skip
    arrays = st.builds(
        lambda items, n, m, first: {
            "type": "array", "items": items, "minItems": n, "maxItems": n + m, "prefixItems": first,
        },
        inner, st.integers(0, 2), st.integers(0, 2), st.lists(inner, max_size=2),
    )  # fmt: skip
    either = st.builds(
        lambda key, each: {key: each},
        st.sampled_from(["anyOf", "oneOf"]),
        st.lists(inner, min_size=1, max_size=3),
    )
    both = st.builds(lambda a, b: {"allOf": [a, b]}, inner, inner)
    return st.one_of(leaf, objects, objects, arrays, either, both)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(schemas(2), st.randoms(use_true_random=False))
def test_what_comes_out_is_valid(schema: Any, rng: random.Random) -> None:
    try:
        grammar = to_gbnf(json.dumps(schema))
    except UserError as error:
        assert re.search(
            "allows nothing|at once|both be true|an enum by something|no whole number|a pattern and a length",
            str(error),
        )
        return
    for _ in range(2):
        text = reply(grammar, TOKENS, rng, most=120, end=0.5)
        if text is not None:
            value = json.loads(text)
            assert schema == {} or valid(value, schema, schema), (text, grammar)


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        scalars, lambda s: st.lists(s, max_size=3) | st.dictionaries(names, s, max_size=3), max_leaves=8
    )
)
def test_every_value_fits_the_schema_of_all(value: Any) -> None:
    grammar = to_gbnf("true")
    assert matches(grammar, json.dumps(value))
    assert matches(grammar, json.dumps(value, ensure_ascii=False, indent=2))


# --- what cannot be ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "no JSON: .* line 1, column 2"),
        ("[1]", "should be an object"),
        ("false", "allows nothing at #"),
        ("[" * 100_000, "nested too deeply"),
        ("9" * 10_000, "no JSON"),
        ('{"type": "thing"}', "the type 'thing'"),
        ('{"type": 5}', "should have a list"),
        ('{"not": {}}', "#.*'not', which no grammar can express"),
        ('{"oneOf": [{"type": "integer"}, {"type": "number"}]}', "#.*choices 0 and 1 may both be true"),
        ('{"oneOf": [{"const": 1}, {"enum": [2, 1.0]}]}', "may both be true"),
        ('{"properties": {"a": {}, "b": {}}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}', "both"),
        ('{"oneOf": [{"pattern": "a"}, {"pattern": "b"}]}', "say 'anyOf'"),
        ('{"items": {"uniqueItems": true}}', "#/items has 'uniqueItems'"),
        ('{"properties": {"a": {"multipleOf": 3}}}', "#/properties/a has 'multipleOf'"),
        ('{"$ref": "http://x/y"}', "only what begins with #/"),
        ('{"$ref": "#/nowhere"}', "which is not there"),
        ('{"type": "integer", "minimum": 5, "maximum": 4}', "no whole number"),
        ('{"type": "number", "minimum": 0.25, "maximum": 0.75}', "no whole number"),
        ('{"minLength": 3, "maxLength": 2}', "allows nothing"),
        ('{"minItems": -1}', "has -1 as minItems"),
        ('{"minLength": 9999}', "above 2000"),
        ('{"pattern": "(?=a)"}', "pattern.*character 3"),
        ('{"pattern": "["}', "pattern"),
        ('{"pattern": "a{9999}"}', "pattern"),
        ('{"pattern": "^a", "minLength": 2}', "a pattern and a length"),
        ('{"allOf": [{"pattern": "a"}, {"pattern": "b"}]}', "two different 'pattern'"),
        ('{"allOf": [{"type": "string"}, {"type": "null"}]}', "allows nothing"),
        ('{"additionalProperties": false, "allOf": [{"required": ["a"]}]}', "nothing"),
        ('{"required": ["a"], "additionalProperties": false}', "allows nothing"),
        ('{"anyOf": {}}', "should have a list"),
        ('{"properties": []}', "should have an object"),
        ('{"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}, {}]}}, "$ref": "#/$defs/a"}', "back to itself"),
        ('{"minimum": "a"}', "has 'a' as a bound"),
        ('{"allOf": [{"minimum": "a"}, {"minimum": 2}]}', "two different 'minimum'"),
    ],
)  # fmt: skip
def test_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as error:
        to_gbnf(text)
    assert "\n" not in str(error.value)


def test_a_schema_that_is_only_itself() -> None:
    with pytest.raises(UserError, match="never comes to an end"):
        gbnf.parse(to_gbnf('{"$ref": "#"}'))


def test_combinations_are_bounded() -> None:
    many = {"anyOf": [{"properties": {f"p{i}": {"const": i}}} for i in range(50)]}
    with pytest.raises(UserError, match="combinations"):
        to_gbnf(json.dumps({"allOf": [many, many, many]}))
