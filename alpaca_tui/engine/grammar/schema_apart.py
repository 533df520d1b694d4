"""`oneOf`: can a value be of two of its schemas at once? If not, it is anyOf, which a grammar can say.

Only what is certain counts: types, values that are listed, bounds, and properties that an object must have.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

from alpaca_tui.engine.grammar.schema_keys import NOTES, OF_TYPE, Schema, type_of, types

Resolve = Callable[[Any], Any]  # what a $ref refers to
MAX_DEPTH = 12
BOUNDS = (("minimum", "maximum"), ("minLength", "maxLength"), ("minItems", "maxItems"))


def overlapping(choices: list[Any], resolve: Resolve, alone: bool) -> tuple[int, int] | None:
    """Two of the choices that a value may both match, as far as can be seen; None where there are none.

    `alone`: nothing else is said of the value, so that objects have no properties but those of one choice.
    """
    for (i, a), (j, b) in combinations(enumerate(choices), 2):
        if not (_misses(a, b, resolve, alone, 0) and _misses(b, a, resolve, alone, 0)):
            return i, j
    return None


def _misses(a: Any, b: Any, resolve: Resolve, alone: bool, depth: int) -> bool:
    """Is nothing that is made for `a` valid by `b`?"""
    if a is False or b is False:
        return True
    if depth > MAX_DEPTH or not isinstance(a, dict) or not isinstance(b, dict):
        return False

    def against(one: Any, other: Any, alone: bool) -> bool:
        return _misses(one, other, resolve, alone, depth + 1)

    by_itself = alone and len(set(a) - NOTES) == 1
    parts = [a["$ref"]] if "$ref" in a else []
    if any(against(resolve(ref), b, by_itself) for ref in parts):
        return True
    for key in ("anyOf", "oneOf"):
        if a.get(key) and all(against(one, b, by_itself) for one in a[key]):
            return True
        if b.get(key) and all(against(a, one, alone) for one in b[key]):
            return True
    if any(against(one, b, by_itself) for one in a.get("allOf", ())):
        return True
    if any(against(a, one, alone) for one in b.get("allOf", ())):
        return True
    if "$ref" in b and against(a, resolve(b["$ref"]), alone):
        return True
    alone = alone and not {"$ref", "anyOf", "oneOf", "allOf"} & set(a)
    return _differ(a, b, alone) or (_kinds(a, alone) == {"object"} and _objects_differ(a, b, alone, against))


def _differ(a: Schema, b: Schema, alone: bool) -> bool:
    """By types, listed values or bounds?"""
    ours, theirs = _kinds(a, alone), _kinds(b, False)
    if not ours & theirs:
        return True
    mine, yours = _values(a), _values(b)
    if mine is not None:
        return all(not type_of(v) & theirs or (yours is not None and v not in yours) for v in mine)
    if yours is not None:
        return all(not type_of(v) & ours for v in yours)
    for low, high in BOUNDS:
        only = ours <= next({t, "integer"} for t in ("number", "string", "array") if low in OF_TYPE[t])
        if only and (_less(a.get(high), b.get(low)) or _less(b.get(high), a.get(low))):
            return True
    return False


def _objects_differ(a: Schema, b: Schema, alone: bool, against: Callable[[Any, Any, bool], bool]) -> bool:
    """By what an object must have, or may not?"""
    ours, theirs = _properties(a), _properties(b)
    needed, wanted = set(a.get("required", ())), set(b.get("required", ()))
    if alone and not a.get("additionalProperties") and wanted - set(ours) - needed:
        return True
    if b.get("additionalProperties") is False and needed - set(theirs):
        return True
    both = needed & set(ours) & set(theirs)
    return any(against(ours[key], theirs[key], alone) for key in both)


def _kinds(schema: Schema, made: bool) -> set[str]:
    """The types of what is valid, or of what is `made` for the schema."""
    named = types(schema, "#") if made or "type" in schema else list(OF_TYPE)
    return {*named, "integer"} if "number" in named else set(named)


def _values(schema: Schema) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _properties(schema: Schema) -> Schema:
    found = schema.get("properties", {})
    return found if isinstance(found, dict) else {}


def _less(a: Any, b: Any) -> bool:
    return type(a) in (int, float) and type(b) in (int, float) and a < b
