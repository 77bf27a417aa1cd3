"""The same records as a file of each format."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.batch.tensors import FLOATS, INTEGERS
from pipeline.formats.tfrecord.example import example_class
from pipeline.formats.tfrecord.format import framed

Rows = Sequence[Mapping[str, Any]]
Fields = Mapping[str, str]
"""Key -> dtype."""


EXTENSIONS = {
    "jsonl": "jsonl",
    "csv": "csv",
    "parquet": "parquet",
    "avro": "avro",
    "tfrecord": "tfrecord",
}


def as_bytes(format: str, rows: Rows, fields: Fields | None = None) -> bytes:
    """The content of a file.

    Args:
      format: of the file.
      rows: dicts with the same keys: text ids, numbers, booleans, text, bytes, (nested) lists.
      fields: key -> dtype; by default float32 for what holds a float, int64 for integers.
    """
    return _WRITERS[format](rows, fields or {})


def write(
    folder: Path, format: str, rows: Rows, fields: Fields | None = None, name: str = "a"
) -> Path:
    """The path of a new file."""
    path = folder / f"{name}.{EXTENSIONS[format]}"
    path.write_bytes(as_bytes(format, rows, fields))
    return path


def leaf(value: Any) -> Any:
    while isinstance(value, list):
        value = value[0] if value else 0.0
    return value


def _json(rows: Rows, fields: Fields) -> bytes:
    return b"".join(json.dumps(row, default=_base64).encode() + b"\n" for row in rows)


def _csv(rows: Rows, fields: Fields) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow(map(_cell, row.values()))
    return text.getvalue().encode()


def _parquet(rows: Rows, fields: Fields) -> bytes:
    columns = {
        key: pa.array([row[key] for row in rows], _arrow_type(rows[0][key], fields.get(key)))
        for key in rows[0]
    }
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, row_group_size=7)
    return sink.getvalue()


def _avro(rows: Rows, fields: Fields) -> bytes:
    schema = {
        "type": "record",
        "name": "Row",
        "fields": [
            {"name": key, "type": _avro_type(value, fields.get(key))}
            for key, value in rows[0].items()
        ],
    }
    sink = io.BytesIO()
    fastavro.writer(sink, schema, rows, codec="deflate", sync_interval=200)
    return sink.getvalue()


def _tfrecord(rows: Rows, fields: Fields) -> bytes:
    return b"".join(framed(example(row)) for row in rows)


def example(row: Mapping[str, Any]) -> bytes:
    """A serialised tf.Example."""
    made = example_class()()
    for key, value in row.items():
        values = value if isinstance(value, list) else [value]
        while values and isinstance(values[0], list):
            values = [inner for outer in values for inner in outer]
        feature = made.features.feature[key]
        if isinstance(leaf(values), str | bytes):
            feature.bytes_list.value.extend(v.encode() if isinstance(v, str) else v for v in values)
        elif isinstance(leaf(values), float):
            feature.float_list.value.extend(values)
        else:
            feature.int64_list.value.extend(map(int, values))
    data: bytes = made.SerializeToString()
    return data


_WRITERS: dict[str, Callable[[Rows, Fields], bytes]] = {
    "jsonl": _json,
    "csv": _csv,
    "parquet": _parquet,
    "avro": _avro,
    "tfrecord": _tfrecord,
}


def gzipped(path: Path) -> Path:
    """The path of a compressed copy."""
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    return packed


def _base64(value: Any) -> str:
    return base64.b64encode(value).decode()


def _cell(value: Any) -> Any:
    if isinstance(value, bytes):
        return _base64(value)
    if isinstance(value, list | bool):
        return json.dumps(value, default=_base64)
    return value


def _arrow_type(value: Any, dtype: str | None) -> pa.DataType:
    if isinstance(value, list):
        return pa.list_(_arrow_type(value[0] if value else 0.0, dtype))
    if dtype in (*INTEGERS, *FLOATS):
        return getattr(pa, dtype)()
    kinds = {bool: pa.bool_(), int: pa.int64(), float: pa.float32(), bytes: pa.binary()}
    return kinds.get(type(value), pa.string())


def _avro_type(value: Any, dtype: str | None) -> Any:
    if isinstance(value, list):
        return {"type": "array", "items": _avro_type(value[0] if value else 0.0, dtype)}
    kinds = {bool: "boolean", int: "long", bytes: "bytes", str: "string"}
    return kinds.get(type(value), "double" if dtype == "float64" else "float")
