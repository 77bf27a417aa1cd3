"""Every type that Arrow has, and some values of each."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pyarrow as pa
from pyarrow import types

UNITS = ("s", "ms", "us", "ns")
ZONES = (None, "UTC", "Europe/Berlin", "+01:30", "Mars/Olympus")

TYPES = [
    pa.null(),
    pa.bool_(),
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64()),
    *(pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
    *(pa.float16(), pa.float32(), pa.float64()),
    *(pa.string(), pa.large_string(), pa.string_view()),
    *(pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(3)),
    *(pa.date32(), pa.date64()),
    *(pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")),
    *(pa.timestamp(unit, zone) for unit in UNITS for zone in ZONES),
    *map(pa.duration, UNITS),
    pa.month_day_nano_interval(),
    *(pa.decimal32(5, 2), pa.decimal64(10, 2), pa.decimal128(20, 2), pa.decimal256(50, 2)),
    *(pa.list_(pa.int32()), pa.large_list(pa.int32()), pa.list_(pa.int32(), 2)),
    *(pa.list_view(pa.int32()), pa.large_list_view(pa.int32())),
    *(pa.list_(pa.timestamp("ns")), pa.list_(pa.string_view()), pa.list_(pa.list_(pa.float32()))),
    pa.struct([("a", pa.int32())]),
    pa.struct([("a", pa.int32()), ("a", pa.int32())]),
    pa.struct([("t", pa.timestamp("ns", "UTC"))]),
    *(pa.map_(pa.string(), pa.int32()), pa.map_(pa.string(), pa.duration("ns"))),
    *(pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.int32(), pa.timestamp("ns"))),
    *(pa.run_end_encoded(pa.int32(), kind) for kind in (pa.string(), pa.time64("ns"))),
    *(
        union([pa.field("0", pa.int32()), pa.field("1", pa.timestamp("ns"))])
        for union in (pa.sparse_union, pa.dense_union)
    ),
    *(pa.uuid(), pa.json_(), pa.bool8(), pa.opaque(pa.int32(), "t", "v")),
    pa.fixed_shape_tensor(pa.int32(), [2]),
]

_LISTS = (
    (types.is_list, pa.ListArray),
    (types.is_large_list, pa.LargeListArray),
)
_VIEWS = (
    (types.is_list_view, pa.ListViewArray, pa.int32()),
    (types.is_large_list_view, pa.LargeListViewArray, pa.int64()),
)


def values(kind: pa.DataType, count: int = 3, *, start: int = 1) -> pa.Array:
    """An array of so many values of a type, no null but of the type null."""
    if types.is_null(kind):
        return pa.nulls(count)
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, values(kind.storage_type, count, start=start))
    nested = _nested(kind, count, start)
    return _flat(kind, count, start) if nested is None else nested


def _nested(kind: pa.DataType, count: int, start: int) -> pa.Array | None:
    def inner(child: pa.DataType, many: int = count) -> pa.Array:
        return values(child, many, start=start)

    if types.is_dictionary(kind):
        indices = pa.array([0] * count, kind.index_type)
        return pa.DictionaryArray.from_arrays(indices, inner(kind.value_type, 1))
    if types.is_run_end_encoded(kind):
        ends = pa.array([count], kind.run_end_type)
        return pa.RunEndEncodedArray.from_arrays(ends, inner(kind.value_type, 1))
    if types.is_union(kind):
        parts = [inner(kind.field(i).type) for i in range(kind.num_fields)]
        which = pa.array([i % 2 for i in range(count)], pa.int8())
        if kind.mode == "sparse":
            return pa.UnionArray.from_sparse(which, parts)
        return pa.UnionArray.from_dense(which, pa.array(range(count), pa.int32()), parts)
    if types.is_fixed_size_list(kind):
        flat = inner(kind.value_type, count * kind.list_size)
        return pa.FixedSizeListArray.from_arrays(flat, kind.list_size)
    if types.is_map(kind):
        ends = pa.array(range(count + 1), pa.int32())
        return pa.MapArray.from_arrays(ends, inner(kind.key_type), inner(kind.item_type))
    if types.is_struct(kind):
        return pa.StructArray.from_arrays([inner(part.type) for part in kind], fields=list(kind))
    for is_kind, array in _LISTS:
        if is_kind(kind):
            return array.from_arrays(range(count + 1), inner(kind.value_type))
    for is_kind, array, index in _VIEWS:
        if is_kind(kind):
            starts, sizes = pa.array(range(count), index), pa.array([1] * count, index)
            return array.from_arrays(starts, sizes, inner(kind.value_type))
    return None


def _flat(kind: pa.DataType, count: int, start: int) -> pa.Array:
    numbers: Sequence[int] = range(start, start + count)
    if types.is_decimal(kind):
        return pa.array([Decimal(f"{i}.25") for i in numbers], kind)
    if types.is_boolean(kind):
        return pa.array([True] * count)
    if types.is_fixed_size_binary(kind):
        return pa.array([b"a" * kind.byte_width] * count, kind)
    if types.is_integer(kind) or types.is_floating(kind):
        return pa.array(numbers).cast(pa.float32() if kind == pa.float16() else kind).cast(kind)
    if kind == pa.month_day_nano_interval():
        return pa.array([pa.MonthDayNano([1, 2, i]) for i in numbers], kind)
    if types.is_temporal(kind):
        if types.is_date64(kind):
            numbers = [i * 86_400_000 for i in numbers]
        return pa.array(numbers, pa.int32() if kind.bit_width == 32 else pa.int64()).view(kind)
    return pa.array([f"v{i}" for i in numbers], pa.string()).cast(kind)
