"""Values as bytes, for places where they outlive the program that wrote them.

A runner keeps elements, restrictions and state while a job is updated, and hands them to the next
build. So nothing there is a pickle, which only the build that made it can surely read. A value is
a JSON object with the names of its fields, behind the name and version of its form::

    {"form": "candidate/1", "candidate_id": "...", "source": "watch gs://b/clf/*", ...}

A dataclass has a form when it names one in `wire_form`; the values inside need none.
It is UTF-8. Half of a surrogate pair, which a model may leave in its text and UTF-8 cannot hold, is
written as three bytes, as if it were a character.

Reader and writer may differ: a missing field has its default; an unknown one is kept in the field
`unknown`, if the class has it, and written again. A change that
older builds would misunderstand takes the next version number, which they refuse.

Arrays and payloads are not JSON but follow it unchanged, each as a part: one copy when writing,
none when reading. Layout of a value with parts, little endian: a zero byte; three unused
bytes; the number of parts (uint32); the length of each (uint64); the parts, each from a multiple
of 16 bytes on, the first of them the JSON.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import re
import struct
import types
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import orjson
import pyarrow as pa

from pipeline.batch.columns import Array, BatchColumn, Column, Masked, Ragged, as_column
from pipeline.batch.payloads import ArrowRows, Payloads
from pipeline.batch.sparse import Sparse
from pipeline.errors import WireError

_T = TypeVar("_T")
_HEAD = struct.Struct("<4xI")
_ALIGNMENT = 16
_UNKNOWN = "unknown"
_HALF_PAIR = re.compile("[\ud800-\udfff]")

_Part = bytes | memoryview


def dumps(value: Any) -> bytes:
    """The bytes of a value that has a form."""
    parts: list[_Part] = [b""]
    kind: Any = type(value)
    parts[0] = _dumped({"form": _form(kind), **_as_json(kind).write(value, parts)})
    return bytes(parts[0]) if len(parts) == 1 else _joined(parts)


def loads(data: bytes, kind: type[_T]) -> _T:
    """The value of class `kind` in bytes made by `dumps`; arrays are read-only views of `data`.

    Raises:
      WireError: they are truncated, hold another form, or an unknown version of the form.
    """
    parts = [memoryview(data)] if data[:1] == b"{" else _parts(data)
    try:
        plain = _loaded(parts[0])
    except ValueError as error:
        raise WireError(f"found {bytes(data[:40])!r}, expected {_form(kind)}: {error}") from None
    found = plain.pop("form", None) if isinstance(plain, dict) else None
    if found != _form(kind):
        raise WireError(
            f"found a value of the form {found!r}, expected '{_form(kind)}': another version of "
            "this program wrote it; finish what it began with that version, or start a new job"
        )
    hint: Any = kind
    try:
        value: _T = _as_json(hint).read(plain, parts)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise WireError(f"found no '{_form(kind)}' behind that name: {error!r}") from error
    return value


def _dumped(plain: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(plain)
    except TypeError:
        text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
        if not _HALF_PAIR.search(text):
            raise  # for another reason
        return text.encode(errors="surrogatepass")


def _loaded(data: memoryview) -> Any:
    try:
        return orjson.loads(data)
    except ValueError:
        return json.loads(str(data, "utf-8", "surrogatepass"))


def _form(kind: type) -> str:
    form: str = kind.wire_form  # type: ignore[attr-defined]  # the contract of `dumps`
    return form


def _joined(parts: list[_Part]) -> bytes:
    sizes = [len(part) for part in parts]
    index = _HEAD.pack(len(parts)) + struct.pack(f"<{len(parts)}Q", *sizes)
    chunks: list[_Part] = [index, bytes(-len(index) % _ALIGNMENT)]
    for part, size in zip(parts, sizes, strict=True):
        chunks += [part, bytes(-size % _ALIGNMENT)]
    return b"".join(chunks)


def _parts(data: bytes) -> list[memoryview]:
    try:
        (count,) = _HEAD.unpack_from(data)
        sizes = struct.unpack_from(f"<{count}Q", data, _HEAD.size)
    except struct.error as error:
        raise WireError(f"found {data[:40]!r}, expected a value with its form: {error}") from None
    view = memoryview(data)
    start, parts = _aligned(_HEAD.size + 8 * count), []
    for size in sizes:
        parts.append(view[start : start + size])
        start = _aligned(start + size)
    if not parts or len(view) < start:
        raise WireError(f"found {len(view)} bytes, expected {start}: they are cut off")
    return parts


def _aligned(position: int) -> int:
    return position + -position % _ALIGNMENT


# --- types


@dataclasses.dataclass(frozen=True)
class _Json:
    """How values of one type become JSON and parts, and are read again."""

    write: Callable[[Any, list[_Part]], Any]
    read: Callable[[Any, list[memoryview]], Any]


def _same(value: Any, parts: object) -> Any:
    return value


_AS_IS = _Json(_same, _same)
_FLOAT = _Json(lambda v, _: v if math.isfinite(v) else str(v), lambda p, _: float(p))
_BYTES = _Json(lambda v, _: base64.b64encode(v).decode(), lambda p, _: base64.b64decode(p))
_TIME = _Json(lambda v, _: v.isoformat(), lambda p, _: datetime.fromisoformat(p))


@lru_cache(maxsize=512)
def _as_json(hint: Any) -> _Json:
    """How values of a type are written.

    Raises:
      TypeError: nothing says how.
    """
    known = _KNOWN.get(hint)
    if known is not None:
        return known
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return _AS_IS
    if origin in (Union, types.UnionType):
        return _union([_as_json(one) for one in arguments if one is not type(None)], hint)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return _sequence(tuple, _as_json(arguments[0]))
        return _fixed([_as_json(one) for one in arguments])
    if origin is frozenset:
        return _sequence(frozenset, _as_json(arguments[0]))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        key, item = arguments
        return (
            _object(_as_json(item)) if key is str else _pairs(_fixed([*map(_as_json, arguments)]))
        )
    if dataclasses.is_dataclass(hint):
        return _record(hint)
    raise TypeError(f"values of the type {hint} have no form")


def _union(kinds: list[_Json], hint: Any) -> _Json:
    """A union of plain types, or of one type and None; a float beside others must be finite."""
    if kinds == [_AS_IS] or (len(kinds) > 1 and all(k in (_AS_IS, _FLOAT) for k in kinds)):
        return _AS_IS
    if len(kinds) > 1:
        raise TypeError(f"values of the type {hint} have no form")
    kind = kinds[0]
    return _Json(
        lambda v, parts: None if v is None else kind.write(v, parts),
        lambda p, parts: None if p is None else kind.read(p, parts),
    )


def _sequence(of: Callable[[Any], Any], item: _Json) -> _Json:
    if item is _AS_IS:
        return _Json(lambda v, _: list(v), lambda p, _: of(p))
    return _Json(
        lambda v, parts: [item.write(one, parts) for one in v],
        lambda p, parts: of([item.read(one, parts) for one in p]),
    )


def _fixed(items: list[_Json]) -> _Json:
    return _Json(
        lambda v, parts: [i.write(one, parts) for i, one in zip(items, v, strict=True)],
        lambda p, parts: tuple(i.read(one, parts) for i, one in zip(items, p, strict=True)),
    )


def _object(item: _Json) -> _Json:
    return _Json(
        lambda v, parts: {key: item.write(one, parts) for key, one in v.items()},
        lambda p, parts: {key: item.read(one, parts) for key, one in p.items()},
    )


def _pairs(pair: _Json) -> _Json:
    """A mapping whose keys are not text."""
    return _Json(
        lambda v, parts: [pair.write(one, parts) for one in v.items()],
        lambda p, parts: dict(pair.read(one, parts) for one in p),
    )


def _record(kind: Any) -> _Json:
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind) if field.init]
    fields = {name: _as_json(hints[name]) for name in names if name != _UNKNOWN}
    keeps_unknown = _UNKNOWN in names

    def write(value: Any, parts: list[_Part]) -> dict[str, Any]:
        plain = {name: field.write(getattr(value, name), parts) for name, field in fields.items()}
        return {**value.unknown, **plain} if keeps_unknown else plain

    def read(plain: Mapping[str, Any], parts: list[memoryview]) -> Any:
        known = {n: field.read(plain[n], parts) for n, field in fields.items() if n in plain}
        if keeps_unknown:
            known[_UNKNOWN] = {name: item for name, item in plain.items() if name not in fields}
        return kind(**known)

    return _Json(write, read)


# --- arrays and payloads, which are outside the JSON


def _write_batch_column(column: BatchColumn, parts: list[_Part]) -> dict[str, Any]:
    if not isinstance(column, Masked):
        return _write_column(column, parts)
    values = _write_column(column.values, parts)
    return {"masked": values, "present": _write_column(column.present, parts)}


def _read_batch_column(plain: Mapping[str, Any], parts: list[memoryview]) -> BatchColumn:
    if "masked" not in plain:
        return _read_column(plain, parts)
    return Masked(_read_column(plain["masked"], parts), _read_array(plain["present"], parts))


def _write_column(column: Column, parts: list[_Part]) -> dict[str, Any]:
    if isinstance(column, Ragged):
        return _write_ragged(column, parts)
    if isinstance(column, Sparse):
        arrays = (column.values, column.places, column.ends)
        return {"width": column.width, "sparse": [_write_column(one, parts) for one in arrays]}
    if column.dtype.kind == "O":  # text, and bytes, whose text is in a list to tell them
        flat = column.reshape(-1).tolist()
        texts = [t if isinstance(t, str) else [_BYTES.write(t, parts)] for t in flat]
        return {"shape": list(column.shape), "texts": texts}
    parts.append(np.ascontiguousarray(column).reshape(-1).view(np.uint8).data)
    return {"shape": list(column.shape), "dtype": column.dtype.str, "part": len(parts) - 1}


def _read_column(plain: Mapping[str, Any], parts: list[memoryview]) -> Column:
    if "rows" in plain:
        return Ragged(_read_array(row, parts) for row in plain["rows"])
    if "values" in plain:
        return _read_ragged(plain, parts)
    if "sparse" in plain:
        values, places, ends = (_read_array(one, parts) for one in plain["sparse"])
        return as_column(Sparse(values, places, ends, plain["width"]))
    return _read_array(plain, parts)


def _write_ragged(column: Ragged, parts: list[_Part]) -> dict[str, Any]:
    """The values of all rows as one array, and the shapes of the rows as another."""
    if len({(row.dtype, row.ndim) for row in column.rows}) != 1:
        return {"rows": [_write_column(row, parts) for row in column.rows]}
    shapes = np.array([row.shape for row in column.rows], np.int64)
    values = np.concatenate([row.reshape(-1) for row in column.rows])
    return {"values": _write_column(values, parts), "shapes": _write_column(shapes, parts)}


def _read_ragged(plain: Mapping[str, Any], parts: list[memoryview]) -> Ragged:
    values, shapes = (_read_array(plain[name], parts) for name in ("values", "shapes"))
    ends = np.cumsum(shapes.prod(axis=1))
    rows = (values[b:e] for b, e in pairwise([0, *ends.tolist()]))
    if shapes.shape[1] == 1:
        return Ragged(rows)
    return Ragged(row.reshape(shape) for row, shape in zip(rows, shapes.tolist(), strict=True))


def _read_array(plain: Mapping[str, Any], parts: list[memoryview]) -> Array:
    if "part" in plain:
        return np.frombuffer(parts[plain["part"]], plain["dtype"]).reshape(plain["shape"])
    flat = np.empty(len(plain["texts"]), dtype=object)
    flat[:] = [_BYTES.read(t[0], parts) if isinstance(t, list) else t for t in plain["texts"]]
    return flat.reshape(plain["shape"])


def _write_payloads(payloads: Payloads, parts: list[_Part]) -> dict[str, Any]:
    if isinstance(payloads, ArrowRows):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, payloads.table.schema) as writer:
            writer.write_batch(payloads.table)
        parts.append(memoryview(sink.getvalue()))
        return {"arrow": len(parts) - 1}
    texts = tuple(payloads)
    parts.append(b"".join(texts))
    return {"lengths": [len(text) for text in texts], "part": len(parts) - 1}


def _read_payloads(plain: Mapping[str, Any], parts: list[memoryview]) -> Payloads:
    if "arrow" in plain:
        part = pa.py_buffer(parts[plain["arrow"]])
        return ArrowRows(pa.ipc.open_stream(part).read_next_batch())
    joined = bytes(parts[plain["part"]])
    ends = np.cumsum([0, *plain["lengths"]]).tolist()
    return tuple(joined[begin:end] for begin, end in pairwise(ends))


_COLUMN = _Json(_write_column, _read_column)
_BATCH_COLUMN = _Json(_write_batch_column, _read_batch_column)
_PAYLOADS = _Json(_write_payloads, _read_payloads)
_KNOWN: dict[Any, _Json] = {
    **dict.fromkeys((str, int, bool, Any), _AS_IS),
    float: _FLOAT,
    bytes: _BYTES,
    datetime: _TIME,
    Array: _COLUMN,
    Column: _COLUMN,
    BatchColumn: _BATCH_COLUMN,
    Payloads: _PAYLOADS,
    tuple[bytes, ...]: _PAYLOADS,  # one for each row, so many: no base64
}
