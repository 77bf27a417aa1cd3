"""Types of an Avro schema, as plain data, and which fields they can fill.

Source: https://avro.apache.org/docs/1.12.0/specification/#schema-declaration
"""

from __future__ import annotations

from typing import Any

from pipeline.batch.tensors import FLOATS, INTEGERS
from pipeline.spec.record import FieldSpec

_PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
_NAMED = ("enum", "fixed", "record", "map")


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
    kinds = _leaves(schema, 0)
    depths = (len(spec.shape), 1 if len(spec.shape) > 1 else len(spec.shape))
    if spec.dtype in FLOATS:
        wanted: tuple[str, ...] = ("int", "long", "float", "double")
    elif spec.dtype in INTEGERS:
        wanted = ("int", "long")
    elif spec.dtype == "bool":
        wanted = ("boolean",)
    else:
        wanted = ("string", "bytes", "enum", "fixed")
    # Any other name is that of a type which the schema defines elsewhere.
    known = (*_PRIMITIVES, *_NAMED)
    return any(depth in depths and (kind in wanted or kind not in known) for kind, depth in kinds)


def _leaves(schema: Any, depth: int) -> list[tuple[str, int]]:
    """The types of values inside all arrays, in all branches, and how deep they lie."""
    if isinstance(schema, list):
        return [leaf for branch in schema for leaf in _leaves(branch, depth)]
    if not isinstance(schema, dict):
        return [(schema, depth)]
    if schema["type"] == "array":
        return _leaves(schema["items"], depth + 1)
    # Of logical types fastavro makes objects: dates, decimals...
    return [] if "logicalType" in schema else _leaves(schema["type"], depth)
