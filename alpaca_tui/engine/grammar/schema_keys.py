"""What the keys of a JSON Schema mean together: types, and schemas that hold at once."""

from __future__ import annotations

import json
from typing import Any

from alpaca_tui.engine.grammar import strings
from alpaca_tui.errors import UserError

Schema = dict[str, Any]
OF_TYPE = {  # the keys that say something of each type
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems"},
    "string": {"minLength", "maxLength", "pattern"},
    "integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "boolean": set[str](),
    "null": set[str](),
}
NOTES = {  # forbid nothing
    "$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default", "examples",
    "format", "deprecated", "readOnly", "writeOnly", "contentEncoding", "contentMediaType", "nullable",
    "unevaluatedProperties", "unevaluatedItems",
}  # fmt: skip
LEAST = {"minimum", "exclusiveMinimum", "minLength", "minItems"}
MOST = {"maximum", "exclusiveMaximum", "maxLength", "maxItems"}
KNOWN = NOTES.union(*OF_TYPE.values(), {"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"})


def types(schema: Schema, path: str) -> list[str]:
    """The types that are named, or else those that the other keys are about."""
    kinds = schema.get("type")
    if kinds is None and not {"enum", "const"} & set(schema):
        about = [t for t in ("object", "array", "string", "number") if OF_TYPE[t] & set(schema)]
        if about:
            return about
        if schema.get("format") in strings.FORMATS:
            return ["string"]
    if kinds is None:
        return list(OF_TYPE)
    kinds = [kinds] if isinstance(kinds, str) else as_list(kinds, path)
    wrong = [t for t in kinds if not isinstance(t, str) or t not in OF_TYPE]
    if wrong:
        raise bad(path, f"has the type {wrong[0]!r}, which is none of {', '.join(OF_TYPE)}")
    return [t for t in kinds if not (t == "integer" and "number" in kinds)]


def type_of(value: object) -> set[str]:
    if isinstance(value, bool):
        return {"boolean"}
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return {"integer", "number"}
    names = ((float, "number"), (str, "string"), (list, "array"), (dict, "object"))
    return {next((name for kind, name in names if isinstance(value, kind)), "null")}


def merged(a: Schema, b: Schema, path: str) -> Schema | None:
    """A schema of what both allow; None where that is nothing."""
    out = dict(a)
    properties = {**_also(a, b, path), **_also(b, a, path)}
    if properties:
        out["properties"] = properties
    for key, value in b.items():
        if key not in out or key in NOTES:
            out[key] = value
        elif key == "type":
            ours, theirs = types({"type": out[key]}, path), types({"type": value}, path)
            both = [t for t in ours if t in theirs or (t == "integer" and "number" in theirs)]
            both += [t for t in theirs if t == "integer" and "number" in ours]
            if not both:
                return None
            out[key] = both
        elif key == "properties":
            continue  # above, together with additionalProperties
        elif key == "required":
            out[key] = list(dict.fromkeys([*as_list(out[key], path), *as_list(value, path)]))
        elif key == "enum":
            out[key] = [v for v in as_list(out[key], path) if any(same(v, w) for w in as_list(value, path))]
        elif key in LEAST | MOST and type(value) in (int, float) and type(out[key]) in (int, float):
            out[key] = max(out[key], value) if key in LEAST else min(out[key], value)
        elif not same(out[key], value):
            if key == "const":
                return None
            raise bad(path, f"has two different {key!r} at once, which no grammar can express")
    return out


def _also(a: Schema, b: Schema, path: str) -> Schema:
    """The properties of `a` as they are where `b` holds, too."""
    ours, theirs = as_schema(a.get("properties", {}), path), as_schema(b.get("properties", {}), path)
    others = b.get("additionalProperties", True)

    def both(key: str, mine: Any) -> Any:
        other = theirs.get(key, others)
        if other is True or other == {} or mine is False:
            return mine
        return other if mine is True or mine == {} or other is False else {"allOf": [mine, other]}

    return {key: both(key, each) for key, each in ours.items()}


def same(a: object, b: object) -> bool:
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def as_schema(value: Any, path: str) -> Schema:
    if value is True:
        return {}
    if not isinstance(value, dict):
        raise bad(path, "should have an object there")
    return value


def as_list(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise bad(path, "should have a list there")
    return value


def bad(path: str, what: str) -> UserError:
    return UserError(f"The JSON schema at {path} {what}.")
