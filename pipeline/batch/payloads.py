"""Records as they arrived, for dead letters.

A record of a Parquet or Avro file has no bytes of its own. Its payload is the JSON of the row,
made on demand for the few rows that fail.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import orjson
import pyarrow as pa


class Payloads(Protocol):
    """The payloads of consecutive records; a tuple of bytes is one."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> bytes: ...

    def __iter__(self) -> Iterator[bytes]: ...


class JsonRows:
    """Rows that are Python objects, such as those of Avro files.

    Attributes:
      rows: one mapping for each record.
    """

    __slots__ = ("rows",)

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self.rows = tuple(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int, /) -> bytes:
        return as_json(self.rows[row])

    def __iter__(self) -> Iterator[bytes]:
        return map(as_json, self.rows)

    def take(self, rows: Sequence[int]) -> JsonRows:
        """The payloads of some rows."""
        return JsonRows(self.rows[row] for row in rows)


class ArrowRows:
    """Rows in columns.

    Attributes:
      table: a record batch with the columns that were read.
    """

    __slots__ = ("table",)

    def __init__(self, table: pa.RecordBatch) -> None:
        self.table = table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __getitem__(self, row: int, /) -> bytes:
        return as_json(self.row(row))

    def __iter__(self) -> Iterator[bytes]:
        return map(self.__getitem__, range(len(self)))

    def row(self, row: int) -> dict[str, Any]:
        """One row as Python objects."""
        values: dict[str, Any] = self.table.slice(row, 1).to_pylist()[0]
        return values

    def take(self, rows: Sequence[int]) -> ArrowRows:
        """The payloads of some rows."""
        return ArrowRows(self.table.take(pa.array(rows, pa.int64())))

    def __reduce__(self) -> tuple[Any, ...]:
        # Arrow's own pickle of a slice holds the whole table that it was cut from.
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.table.schema) as writer:
            writer.write_batch(self.table)
        return _arrow_rows, (sink.getvalue(),)


def take(payloads: Payloads, rows: Sequence[int]) -> Payloads:
    """The payloads of some rows, of the same kind."""
    if isinstance(payloads, JsonRows | ArrowRows):
        return payloads.take(rows)
    return tuple(payloads[row] for row in rows)


def estimated_bytes(payloads: Payloads) -> int:
    """An estimate of the bytes of payloads; does not make those that exist on demand only."""
    if isinstance(payloads, ArrowRows):
        return int(payloads.table.nbytes)
    if isinstance(payloads, JsonRows):
        return len(payloads) * len(payloads[0]) if len(payloads) else 0
    return sum(map(len, payloads))


def as_json(value: Any) -> bytes:
    """JSON text of plain data; bytes become base64, dates and other values text."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS)


def _arrow_rows(stream: pa.Buffer) -> ArrowRows:
    return ArrowRows(pa.ipc.open_stream(stream).read_next_batch())


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)
