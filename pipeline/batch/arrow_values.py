"""Arrow values as Python objects, the same whatever else is installed.

Arrow knows values that Python has no object for: times in nanoseconds, days beyond the year 9999,
structs with two fields of one name, text that is not UTF-8. Those in nanoseconds become text; the
others raise, each by itself, so that they cost their row.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa

_NANOSECONDS = 10**9


def plain_values(array: pa.Array) -> list[Any]:
    """Each value as a Python object; None for null.

    Raises:
      Exception: Python has no object for one of them; whatever Arrow has for that.
    """
    if _has_nanoseconds(array.type):
        return [_plain(scalar) for scalar in array]
    values: list[Any] = array.to_pylist()
    return values


def shown_value(array: pa.Array) -> Any:
    """The one value of an array as plain data; words about it where Python has no object for it."""
    try:
        return plain_values(array)[0]
    except Exception as error:  # whatever Arrow has for it
        kind = array.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return array[0].as_buffer().to_pybytes()
        return f"<{kind}: {reason(error)}>"


def take(table: pa.RecordBatch, rows: list[int]) -> pa.RecordBatch:
    """Some rows of a table, of any types: for a few, Arrow has no such function."""
    try:
        return table.take(pa.array(rows, pa.int64()))
    except pa.ArrowNotImplementedError:
        slices = [table.slice(row, 1) for row in rows] or [table.slice(0, 0)]
        return pa.concat_batches(slices)


def reason(error: Exception) -> str:
    """What an error says, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")


def _has_nanoseconds(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return _has_nanoseconds(kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _has_nanoseconds(kind.value_type)
    if kind.num_fields:
        return any(_has_nanoseconds(kind.field(i).type) for i in range(kind.num_fields))
    return pa.types.is_temporal(kind) and getattr(kind, "unit", "") == "ns"


def _plain(scalar: pa.Scalar) -> Any:
    kind = scalar.type
    if not scalar.is_valid:
        return None
    if isinstance(scalar, pa.ExtensionScalar | pa.DictionaryScalar | pa.UnionScalar):
        return _plain(scalar.value)
    if isinstance(scalar, pa.RunEndEncodedScalar):
        return _plain(pa.scalar(scalar.as_py(), kind.value_type))
    if isinstance(scalar, pa.MapScalar):
        return [(_plain(pair[0]), _plain(pair[1])) for pair in scalar.values]
    if isinstance(scalar, pa.ListScalar):
        return [_plain(item) for item in scalar.values]
    if isinstance(scalar, pa.StructScalar):
        if len(set(scalar)) < len(scalar):
            raise ValueError("a struct has two fields of one name")
        return {name: _plain(scalar[name]) for name in scalar}
    if getattr(kind, "unit", "") != "ns" or not pa.types.is_temporal(kind):
        return scalar.as_py()
    seconds, rest = divmod(scalar.value, _NANOSECONDS)
    if not rest % 1000:
        return pa.scalar(scalar.value // 1000, _in_microseconds(kind)).as_py()
    if pa.types.is_duration(kind):
        return f"{timedelta(seconds=seconds)}.{rest:09d}"
    if pa.types.is_time(kind):
        return f"{pa.scalar(seconds, pa.time32('s')).as_py().isoformat()}.{rest:09d}"
    moment = pa.scalar(seconds, pa.timestamp("s", kind.tz)).as_py().isoformat()
    return f"{moment[:19]}.{rest:09d}{moment[19:]}"


def _in_microseconds(kind: pa.DataType) -> pa.DataType:
    """The type of the same times, less exact, that Python has objects for."""
    if pa.types.is_duration(kind):
        return pa.duration("us")
    return pa.time64("us") if pa.types.is_time(kind) else pa.timestamp("us", kind.tz)
