"""JSON Schema as GBNF: what matches the grammar is JSON, and valid by the schema.

The subset is llama.cpp's and somewhat more. What a grammar cannot say is refused, not skipped. Where a schema
allows much the grammar may allow less: properties come in the order of the schema, and without
`additionalProperties` there are no others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any
from urllib.parse import unquote

from alpaca_tui.engine.grammar import numbers, strings
from alpaca_tui.engine.grammar.schema_apart import overlapping
from alpaca_tui.engine.grammar.schema_keys import (
    KNOWN,
    NOTES,
    OF_TYPE,
    Schema,
    as_list,
    as_schema,
    bad,
    merged,
    same,
    type_of,
    types,
)
from alpaca_tui.errors import UserError

MAX_LENGTH = 1_000_000  # characters
MAX_DEPTH = 60
MAX_REPEAT = 2000  # as GBNF has it
SPACE = '| " " | "\\n"{1,2} [ \\t]{0,20}'
BASE = {
    "space": SPACE,
    "char": strings.CHARACTER,
    "string": r'"\"" char* "\""',
    "number": numbers.NUMBER,
    "integer": numbers.INTEGER,
    "boolean": '"true" | "false"',
    "null": '"null"',
    "object": r'"{" space (pair (space "," space pair)* space)? "}"',
    "pair": r'string space ":" space value',
    "array": '"[" space (value (space "," space value)* space)? "]"',
    "value": "object | array | string | number | boolean | null",
}


def to_gbnf(text: str) -> str:
    """The grammar of a JSON Schema. {} means any object.

    Raises UserError for what is no schema, and for one that a grammar cannot express.
    """
    if len(text) > MAX_LENGTH:
        raise UserError(f"The JSON schema has {len(text):,} characters; {MAX_LENGTH:,} are the most.")
    try:
        schema = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"The JSON schema is no JSON: {error.msg} in line {error.lineno}, column {error.colno}."
        ) from None
    except ValueError as error:
        raise UserError(f"The JSON schema is no JSON: {error}.") from None
    except RecursionError:
        raise UserError("The JSON schema is nested too deeply.") from None
    return _Converter(schema).gbnf()


class _Converter:
    def __init__(self, schema: Any) -> None:
        self._root = schema
        self._rules: dict[str, str] = {}
        self._refs: dict[str, str] = {}

    def gbnf(self) -> str:
        root = "object" if self._root == {} else self._value(self._root, "root", "#", 0)
        rules = {"root": root, **self._rules}
        used = self._used(rules)
        return "".join(f"{name} ::= {body}\n" for name, body in {**rules, **used}.items())

    def _used(self, rules: dict[str, str]) -> dict[str, str]:
        """Those of the basic rules that are needed."""
        used: dict[str, str] = {}
        work = list(rules.values())
        while work:
            for name in _names(work.pop()):
                if name in BASE and name not in used:
                    used[name] = BASE[name]
                    work.append(BASE[name])
        return used

    def _rule(self, name: str, body: str) -> str:
        """A new rule, called `name` or the like."""
        name = unused = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "part"
        n = 1
        while unused in self._rules or unused in BASE or unused == "root":
            n += 1
            unused = f"{name}-{n}"
        self._rules[unused] = body
        return unused

    # --- what a schema allows ------------------------------------------------------------------------------

    def _value(self, schema: Any, name: str, path: str, depth: int) -> str:
        """An expression for the values that `schema` allows."""
        if depth > MAX_DEPTH:
            raise UserError(f"The JSON schema is nested too deeply at {path}.")
        if schema is True or schema == {}:
            return "value"
        if schema is False:
            raise UserError(f"The JSON schema allows nothing at {path}.")
        if not isinstance(schema, dict):
            raise bad(path, "should be an object")
        keys = set(schema) - NOTES
        if keys == {"$ref"}:
            return self._reference(schema["$ref"], path, depth)
        ways = []
        if keys in ({"anyOf"}, {"oneOf"}) or (keys == {"allOf"} and len(schema["allOf"]) == 1):
            key = keys.pop()
            if key == "oneOf":
                self._check_apart(schema[key], path, alone=True)
            for i, one in enumerate(as_list(schema[key], path)):
                ways += [self._value(one, name, f"{path}/{key}/{i}", depth + 1)] if one is not False else []
        else:
            for one in self._flat(schema, path, depth):
                ways += self._typed(one, name, path, depth)
        if not ways:
            raise UserError(f"The JSON schema allows nothing at {path}.")
        return _either(ways)

    def _reference(self, ref: Any, path: str, depth: int) -> str:
        target = self._resolve(ref, path)
        if ref not in self._refs:
            name = self._refs[ref] = self._rule(ref.rpartition("/")[2] or "ref", "")
            self._rules[name] = self._value(target, name, ref, depth + 1)
        return self._refs[ref]

    def _resolve(self, ref: Any, path: str) -> Any:
        if not isinstance(ref, str) or not re.fullmatch(r"#(/.*)?", ref):
            raise bad(path, f"refers to {ref!r}; only what begins with #/ can be followed")
        here = self._root
        for part in unquote(ref).split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(here, list) and key.isdecimal() and int(key) < len(here):
                here = here[int(key)]
            elif isinstance(here, dict) and key in here:
                here = here[key]
            else:
                raise bad(path, f"refers to {ref!r}, which is not there")
        return here

    def _flat(self, schema: Schema, path: str, depth: int) -> list[Schema]:
        """Schemas without references, anyOf, oneOf and allOf, one of which a value has to match."""
        if depth > MAX_DEPTH:
            raise UserError(f"The JSON schema leads back to itself at {path}.")
        unknown = sorted(set(schema) - KNOWN)
        if unknown:
            raise bad(path, f"has {unknown[0]!r}, which no grammar can express; leave it out")
        if "oneOf" in schema:
            self._check_apart(schema["oneOf"], path, alone=False)
        flat = [{k: v for k, v in schema.items() if k not in ("$ref", "anyOf", "oneOf", "allOf")}]
        groups = [schema[k] for k in ("anyOf", "oneOf") if k in schema]
        groups += [[one] for one in as_list(schema.get("allOf", []), path)]
        groups += [[self._resolve(schema["$ref"], path)]] if "$ref" in schema else []
        for group in groups:
            choices = [
                c for one in as_list(group, path) for c in self._flat(as_schema(one, path), path, depth + 1)
            ]
            flat = [both for a in flat for b in choices if (both := merged(a, b, path)) is not None]
            if len(flat) > MAX_REPEAT:
                raise bad(path, "has too many combinations of anyOf and allOf")
        return flat

    def _check_apart(self, choices: Any, path: str, alone: bool) -> None:
        """Raises UserError where a value could be of two choices of a oneOf."""
        both = overlapping(as_list(choices, path), lambda ref: self._resolve(ref, path), alone)
        if both:
            raise bad(
                path,
                f"has 'oneOf' whose choices {both[0]} and {both[1]} may both be true, which no grammar can "
                "rule out; say 'anyOf', or let a property with a 'const' tell them apart",
            )

    def _typed(self, schema: Schema, name: str, path: str, depth: int) -> list[str]:
        """An expression for each type that is allowed."""
        kinds = types(schema, path)
        if "const" in schema or "enum" in schema:
            if set(schema) - NOTES - {"type", "enum", "const"}:
                raise bad(path, "limits an enum by something else; leave out of it what does not fit")
            values = as_list(schema.get("enum", [schema.get("const")]), path)
            if "const" in schema:
                values = [v for v in values if same(v, schema["const"])]
            return [strings.value(v) for v in values if type_of(v) & set(kinds)]
        if set(kinds) == set(OF_TYPE) and not set(schema) - NOTES - {"type"}:
            return ["value"]
        return [self._of_type(one, schema, name, path, depth) for one in kinds]

    def _of_type(self, kind: str, schema: Schema, name: str, path: str, depth: int) -> str:
        if kind == "object":
            return self._object(schema, name, path, depth)
        if kind == "array":
            return self._array(schema, name, path, depth)
        if kind == "string":
            return _string(schema, path)
        if kind in ("integer", "number"):
            return _number(kind, schema, path)
        return kind

    # --- objects and arrays --------------------------------------------------------------------------------

    def _object(self, schema: Schema, name: str, path: str, depth: int) -> str:
        properties = as_schema(schema.get("properties", {}), path)
        more = schema.get("additionalProperties", not properties and "properties" not in schema)
        required = [str(key) for key in as_list(schema.get("required", []), path)]
        if not properties and not required and more in (True, {}):
            return "object"
        for key in required:
            if key not in properties:
                other = schema.get("additionalProperties", {})
                properties = {**properties, key: other}
        pairs = []
        for key, each in properties.items():
            if each is False and key not in required:
                continue
            value = self._value(each, f"{name}-{key}", f"{path}/properties/{key}", depth + 1)
            pair = f'{strings.value(key)} space ":" space {_grouped(value)}'
            pairs.append((self._rule(f"{name}-{key}-pair", pair), key in required))
        tail = head = ""
        if more is not False:
            value = self._value(more, f"{name}-more", f"{path}/additionalProperties", depth + 1)
            other = self._rule(
                f"{name}-more-pair",
                f'"\\"" {strings.other_than(list(properties))} "\\"" space ":" space {_grouped(value)}',
            )
            tail = f'(space "," space {other})*'
            head = f"({other} {tail})?"
        for i, (pair, needed) in reversed(list(enumerate(pairs))):
            first = f"{pair} {tail}"
            tail_of = f'space "," space {pair} {tail}' if needed else f'(space "," space {pair})? {tail}'
            head = first if needed else f"{first} | {head}" if head else f"({first})?"
            tail = self._rule(f"{name}-behind-{i}", tail_of) if i else ""
            head = self._rule(f"{name}-from-{i}", head)
        return f'"{{" space {head} space "}}"' if head else '"{" space "}"'

    def _array(self, schema: Schema, name: str, path: str, depth: int) -> str:
        items = schema.get("items", True)
        first = schema.get("prefixItems", [])
        if isinstance(items, list):  # as it was written before 2020
            first, items = items, schema.get("additionalItems", True)
        first = as_list(first, path)
        least, most = _count(schema, "minItems", path), _count(schema, "maxItems", path)
        if schema.get("uniqueItems") and (most is None or most > 1):
            raise bad(path, "has 'uniqueItems', which no grammar can express; leave it out")
        if most is not None and most < (least or 0):
            raise UserError(f"The JSON schema allows nothing at {path}.")
        if first and (items is True or "items" not in schema) and (least or 0) <= len(first):
            items = False  # no more than are described
        first = first[: most if most is not None else len(first)]
        parts = [
            _grouped(self._value(one, f"{name}-{i}", f"{path}/prefixItems/{i}", depth + 1))
            for i, one in enumerate(first)
        ]
        least = max((least or 0) - len(first), 0)
        most = None if most is None else most - len(first)
        start = ' space "," space '.join(parts)
        if items is False or most == 0:
            if least:
                raise UserError(f"The JSON schema allows nothing at {path}.")
            return f'"[" space {start} space "]"' if parts else '"[" space "]"'
        item = self._rule(f"{name}-item", self._value(items, f"{name}-item", f"{path}/items", depth + 1))
        if parts:
            return f'"[" space {start} (space "," space {item}){_times(least, most)} space "]"'
        listed = (
            f'{item} (space "," space {item}){_times(max(least - 1, 0), None if most is None else most - 1)}'
        )
        return f'"[" space {listed} space "]"' if least else f'"[" space ({listed} space)? "]"'


def _string(schema: Schema, path: str) -> str:
    least, most = _count(schema, "minLength", path), _count(schema, "maxLength", path)
    limited = least is not None or most is not None
    if "pattern" in schema:
        if limited:
            raise bad(path, "has a pattern and a length; put the length into the pattern, as in ^[a-z]{1,9}$")
        return f'"\\"" {strings.regex(str(schema["pattern"]))} "\\""'
    if most is not None and most < (least or 0):
        raise UserError(f"The JSON schema allows nothing at {path}.")
    if schema.get("format") in strings.FORMATS and not limited:
        return f'"\\"" {strings.FORMATS[schema["format"]]} "\\""'
    return f'"\\"" char{_times(least or 0, most)} "\\""' if limited else "string"


def _number(kind: str, schema: Schema, path: str) -> str:
    if schema.get("multipleOf", 1) != 1 or (kind == "number" and "multipleOf" in schema):
        raise bad(path, "has 'multipleOf', which no grammar can express; leave it out")
    low, above = _bound(schema, "minimum", "exclusiveMinimum", max, path)
    high, below = _bound(schema, "maximum", "exclusiveMaximum", min, path)
    if low is None and high is None:
        return kind
    if kind == "integer":
        first = None if low is None else low.__floor__() + 1 if above else low.__ceil__()
        last = None if high is None else high.__ceil__() - 1 if below else high.__floor__()
        made = numbers.integers(first, last)
    else:
        made = numbers.numbers(low, high, above, below)
    if made is None:
        raise bad(path, "has bounds with no whole number between them; make them wider")
    return made


def _bound(schema: Schema, key: str, exclusive: str, tighter: Any, path: str) -> tuple[Fraction | None, bool]:
    """A bound, and whether it is left out itself."""
    plain, apart = schema.get(key), schema.get(exclusive)
    if isinstance(apart, bool):  # as it was written before 2019
        plain, apart = (None, plain) if apart else (plain, None)
    found = []
    for value, open_ in ((plain, False), (apart, True)):
        if value is not None:
            if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e30:
                raise bad(path, f"has {value!r} as a bound")
            found.append((Fraction(value), open_))
    if not found:
        return None, False
    return tighter(found, key=lambda f: (f[0], f[1] if tighter is max else not f[1]))


def _count(schema: Schema, key: str, path: str) -> int | None:
    value = schema.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value != int(value):
        raise bad(path, f"has {value!r} as {key}")
    if key.startswith("min") and value > MAX_REPEAT:
        raise bad(path, f"has {key} above {MAX_REPEAT}, which is the most")
    return int(value)


def _times(least: int, most: int | None) -> str:
    if most is None:
        return f"{{{least},}}" if least else "*"
    return f"{{{least},{min(most, MAX_REPEAT)}}}"


def _either(ways: Sequence[str]) -> str:
    return " | ".join(dict.fromkeys(ways))


def _grouped(expression: str) -> str:
    return expression if re.fullmatch(r"[A-Za-z0-9-]+", expression) else f"({expression})"


def _names(body: str) -> Iterable[str]:
    """The rules that an expression uses."""
    bare = re.sub(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]', " ", body)
    return re.findall(r"[A-Za-z][A-Za-z0-9-]*", bare)
