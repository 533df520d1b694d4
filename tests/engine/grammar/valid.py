"""A plain checker of JSON Schema, for the keys that `engine.grammar.schema` knows."""

from __future__ import annotations

import json
import math
import re
from typing import Any

TYPES = {
    "object": dict, "array": list, "string": str, "number": (int, float), "integer": (int, float),
    "boolean": bool, "null": type(None),
}  # fmt: skip


def is_type(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, TYPES[kind]) and (kind != "integer" or value == int(value))


def equal(a: Any, b: Any) -> bool:
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def valid(value: Any, schema: Any, root: Any) -> bool:
    """Is `value` valid?"""
    if isinstance(schema, bool):
        return schema
    if "$ref" in schema:
        target = root
        for part in schema["$ref"].split("/")[1:]:
            target = target[int(part)] if isinstance(target, list) else target[part]
        if not valid(value, target, root):
            return False
    kinds = schema.get("type", list(TYPES))
    if not any(is_type(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        return False
    if "enum" in schema and not any(equal(value, each) for each in schema["enum"]):
        return False
    if "const" in schema and not equal(value, schema["const"]):
        return False
    for key, how in (("anyOf", any), ("oneOf", lambda each: sum(each) == 1), ("allOf", all)):
        if key in schema and not how(valid(value, each, root) for each in schema[key]):
            return False
    if isinstance(value, str):
        return _string(value, schema)
    if isinstance(value, dict):
        return _object(value, schema, root)
    if isinstance(value, list):
        return _array(value, schema, root)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(value, schema)
    return True


def _string(value: str, schema: Any) -> bool:
    length = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
    return length and ("pattern" not in schema or bool(re.search(schema["pattern"], value)))


def _number(value: float, schema: Any) -> bool:
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    above, below = schema.get("exclusiveMinimum", -math.inf), schema.get("exclusiveMaximum", math.inf)
    return low <= value <= high and above < value < below


def _object(value: dict[str, Any], schema: Any, root: Any) -> bool:
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    return all(key in value for key in schema.get("required", [])) and all(
        valid(each, properties.get(key, others), root) for key, each in value.items()
    )


def _array(value: list[Any], schema: Any, root: Any) -> bool:
    first, items = schema.get("prefixItems", []), schema.get("items", True)
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        return False
    return all(valid(each, first[i] if i < len(first) else items, root) for i, each in enumerate(value))
