"""Types of an Avro schema, as plain data, and which fields they can fill.

Source: https://avro.apache.org/docs/1.12.0/specification/#schema-declaration
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from fastavro.read import LOGICAL_READERS

from pipeline.batch.tensors import FLOATS, INTEGERS
from pipeline.formats.avro import logical_types
from pipeline.formats.misfits import TypeSystem
from pipeline.spec.record import FieldSpec

logical_types.register()

_PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
_DECIMALS = ("decimal", "big-decimal")
_NAMED = ("enum", "fixed", "record", "map")


def types_of(schema: Any) -> TypeSystem:
    """The types of a schema, which may refer to each other by name."""
    named = {each["name"]: each for each in _mappings(schema) if "name" in each}
    return TypeSystem(fits, id_fits, partial(_inside, named), name_of)


def _mappings(schema: Any) -> Iterator[Mapping[str, Any]]:
    """All types in a schema that are more than a name."""
    if isinstance(schema, list):
        for part in schema:
            yield from _mappings(part)
    elif isinstance(schema, dict):
        if schema.get("type") in _NAMED:
            yield schema
        for key in ("type", "items", "values", "fields"):
            yield from _mappings(schema.get(key))


def _inside(named: Mapping[str, Any], schema: Any) -> Mapping[str, Any] | None:
    """The types of the fields of a record, in whichever branch it is; None if none is one."""
    found: dict[str, Any] = {}
    for branch in schema if isinstance(schema, list) else [schema]:
        kind = named.get(branch, branch) if isinstance(branch, str) else branch
        while isinstance(kind, dict) and isinstance(kind["type"], dict):
            kind = kind["type"]
        if isinstance(kind, dict) and kind["type"] == "record":
            found = {field["name"]: field["type"] for field in kind["fields"]} | found
    return found or None


def name_of(schema: Any) -> str:
    """What people call a type: ``array<float>``, ``null or string``, ``long (date)``."""
    if isinstance(schema, list):
        return " or ".join(map(name_of, schema))
    if not isinstance(schema, dict):
        return str(schema)
    kind = schema["type"]
    if kind == "array":
        return f"array<{name_of(schema['items'])}>"
    name = name_of(kind)
    return f"{name} ({schema['logicalType']})" if "logicalType" in schema else name


def fits(schema: Any, spec: FieldSpec) -> bool:
    """Whether a value of this type can be one of the field."""
    if name_of(schema) == "null":
        return spec.keeps_missing
    kinds = _leaves(schema, 0, _DECIMALS if spec.dtype in FLOATS else ("uuid",))
    depths = (len(spec.shape), 1 if len(spec.shape) > 1 else len(spec.shape))
    if spec.dtype in FLOATS:
        wanted: tuple[str, ...] = ("int", "long", "float", "double", *_DECIMALS)
    elif spec.dtype in INTEGERS:
        wanted = ("int", "long")
    elif spec.dtype == "bool":
        wanted = ("boolean",)
    else:
        wanted = ("string", "bytes", "enum", "fixed", "uuid")
    # Any other name is that of a type which the schema defines elsewhere.
    known = (*_PRIMITIVES, *_NAMED, "uuid")
    return any(depth in depths and (kind in wanted or kind not in known) for kind, depth in kinds)


def id_fits(schema: Any) -> bool:
    """Whether a value of this type can be an id."""
    wanted = ("int", "long", "string", "bytes", "enum", "fixed", "uuid", *_DECIMALS)
    kinds = _leaves(schema, 0, ("uuid", *_DECIMALS))
    known = (*_PRIMITIVES, *_NAMED)
    return any(depth == 0 and (kind in wanted or kind not in known) for kind, depth in kinds)


def _leaves(schema: Any, depth: int, logical: Sequence[str]) -> list[tuple[str, int]]:
    """The types of values inside all arrays, in all branches, and how deep they lie.

    Of some logical types Python has objects: dates, decimals... Those in `logical` are named so,
    the others left out. A logical type that it does not know is the type below, as Avro says.
    """
    if isinstance(schema, list):
        return [leaf for branch in schema for leaf in _leaves(branch, depth, logical)]
    if not isinstance(schema, dict):
        return [(schema, depth)]
    if schema["type"] == "array":
        return _leaves(schema["items"], depth + 1, logical)
    kind = str(schema.get("logicalType"))
    if f"{schema['type']}-{kind}" in LOGICAL_READERS:
        return [(kind, depth)] if kind in logical else []
    return _leaves(schema["type"], depth, logical)
