"""A check of JSON against the published schema: the part of JSON Schema that it uses."""

import json
from pathlib import Path

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "evaluation.schema.json").read_text())
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def assert_valid(value, schema=SCHEMA, place="evaluation"):
    """That a value is as a schema says, and has no field that it does not know."""
    if "$ref" in schema:
        return assert_valid(value, SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")], place)
    if "anyOf" in schema:
        errors = []
        for one in schema["anyOf"]:
            try:
                return assert_valid(value, one, place)
            except AssertionError as error:
                errors.append(str(error))
        raise AssertionError("; or ".join(errors))
    if "enum" in schema:
        assert value in schema["enum"], f"{place} is {value!r}, expected one of {schema['enum']}"
        return None
    names = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    fits = any(
        isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool))
        for name in names
    )
    assert fits, f"{place} is {value!r}, expected {' or '.join(names)}"
    if isinstance(value, dict):
        known, rest = schema.get("properties", {}), schema.get("additionalProperties")
        assert set(schema.get("required", ())) <= set(value), f"{place} lacks a field: {sorted(value)}"
        for name, part in value.items():
            assert name in known or rest is not None, f"{place} has a field {name!r} that is not described"
            assert_valid(part, known.get(name, rest), f"{place}.{name}")
    if isinstance(value, list):
        items = schema.get("prefixItems") or [schema["items"]] * len(value)
        for i, (part, item) in enumerate(zip(value, items, strict=True)):
            assert_valid(part, item, f"{place}[{i}]")
    return None
