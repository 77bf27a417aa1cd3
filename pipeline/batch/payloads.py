"""Records as they arrived, for dead letters.

A line of a file is a stretch of its text, cut out on demand. A record of a Parquet or Avro file has
no bytes of its own: its payload is the JSON of the row, made for the few rows that fail. It shows
what can be shown: whatever is in a row, making its payload raises nothing.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Protocol

import numpy as np
import orjson
import pyarrow as pa

from pipeline.batch import arrow_values
from pipeline.batch.exact_number import ExactNumber
from pipeline.errors import RecordError

_LINE_END = ord("\n")


class Payloads(Protocol):
    """The payloads of consecutive records; a tuple of bytes is one."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> bytes: ...

    def __iter__(self) -> Iterator[bytes]: ...


class Lines:
    r"""Consecutive lines, or rows of several lines, of a text; none is copied before it is wanted.

    Attributes:
      text: all of them, a ``\n`` between two.
      ends: int64, ascending: where each ends in `text`.
    """

    __slots__ = ("ends", "text")

    def __init__(self, text: bytes, ends: np.ndarray[Any, Any]) -> None:
        self.text = text
        self.ends = ends

    @staticmethod
    def split(text: bytes) -> Lines:
        """All lines of a text, whose last one has no line end."""
        ends = np.flatnonzero(np.frombuffer(text, np.uint8) == _LINE_END)
        return Lines(text, np.append(ends, len(text)))

    @staticmethod
    def of(payloads: Payloads) -> Lines:
        """Payloads as lines, whatever they are: any of them may have line ends inside."""
        if isinstance(payloads, Lines):
            return payloads
        listed = list(payloads)
        lengths = np.fromiter(map(len, listed), np.int64, len(listed))
        return Lines(b"\n".join(listed), np.cumsum(lengths + 1) - 1)

    @property
    def begins(self) -> np.ndarray[Any, Any]:
        """Where each begins in `text`."""
        begins = np.empty_like(self.ends)
        begins[:1], begins[1:] = 0, self.ends[:-1] + 1
        return begins

    @property
    def line_ends(self) -> int:
        """How many there are in `text`, those inside of rows among them."""
        # Where there are many, `bytes.count` takes ten times as long.
        return int(np.count_nonzero(np.frombuffer(self.text, np.uint8) == _LINE_END))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, row: int, /) -> bytes:
        row = range(len(self))[row]
        return self.text[int(self.ends[row - 1]) + 1 if row else 0 : int(self.ends[row])]

    def __iter__(self) -> Iterator[bytes]:
        if len(self) and self.line_ends == len(self) - 1:
            return iter(self.text.split(b"\n"))
        return iter([self.text[i + 1 : j] for i, j in pairwise([-1, *self.ends.tolist()])])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lines | tuple) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def part(self, start: int, stop: int) -> Lines:
        """The lines from `start` to `stop`."""
        if not start and stop >= len(self):
            return self
        ends = self.ends[start:stop]
        if not len(ends):
            return Lines(b"", ends)
        first = int(self.ends[start - 1]) + 1 if start else 0
        return Lines(self.text[first : int(ends[-1])], ends - first)

    def take(self, rows: Sequence[int]) -> Lines:
        """The payloads of some rows."""
        if isinstance(rows, range) and rows.step == 1:
            return self.part(rows.start, rows.stop)
        return Lines.of(tuple(self[row] for row in rows))


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be made a Python object.

    Attributes:
      reason: why.
      data: its bytes, as far as they may be shown.
    """

    reason: str
    data: bytes


class JsonRows:
    """Rows that are Python objects, such as those of Avro files.

    Attributes:
      rows: for each record a mapping, or why there is none.
    """

    __slots__ = ("rows",)

    def __init__(self, rows: Iterable[Mapping[str, Any] | BadRow]) -> None:
        self.rows = tuple(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int, /) -> bytes:
        return shown(self.rows[row])

    def __iter__(self) -> Iterator[bytes]:
        return map(shown, self.rows)

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
        values: dict[str, Any] = {}
        for number, (name, column) in enumerate(self._row(row)):
            key = f"{name} (column {number})" if name in values else name
            values[key] = arrow_values.shown_value(column)
        return shown(values)

    def __iter__(self) -> Iterator[bytes]:
        return map(self.__getitem__, range(len(self)))

    def row(self, row: int, unread: Collection[str] = ()) -> dict[str, Any]:
        """One row as Python objects.

        Args:
          row: which.
          unread: columns that are left out.

        Raises:
          RecordError: Python has no object for one of its values.
        """
        columns = ((name, column) for name, column in self._row(row) if name not in unread)
        return {name: plain_value(name, column) for name, column in columns}

    def _row(self, row: int) -> Iterator[tuple[str, pa.Array]]:
        table = self.table.slice(row, 1)
        return zip(table.schema.names, table.columns, strict=True)

    def take(self, rows: Sequence[int]) -> ArrowRows:
        """The payloads of some rows."""
        return ArrowRows(arrow_values.take(self.table, list(rows)))

    def __reduce__(self) -> tuple[Any, ...]:
        # Arrow's own pickle of a slice holds the whole table that it was cut from.
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.table.schema) as writer:
            writer.write_batch(self.table)
        return _arrow_rows, (sink.getvalue(),)


class Several:
    """Payloads of several kinds or tables, one after the other; none is made before it is wanted.

    Attributes:
      parts: where they are.
      places: for each of them its part, and its row there.
    """

    __slots__ = ("parts", "places")

    def __init__(self, parts: Sequence[Payloads], places: Sequence[tuple[int, int]]) -> None:
        self.parts = tuple(parts)
        self.places = tuple(places)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, row: int, /) -> bytes:
        part, inside = self.places[row]
        return self.parts[part][inside]

    def __iter__(self) -> Iterator[bytes]:
        return (self.parts[part][row] for part, row in self.places)

    def take(self, rows: Sequence[int]) -> Several:
        """The payloads of some rows."""
        return Several(self.parts, [self.places[row] for row in rows])


def concatenate(parts: Sequence[Payloads]) -> Payloads:
    """The payloads of all parts, one after the other."""
    parts = [part for part in parts if len(part)]
    if len(parts) == 1:
        return parts[0]
    texts = [part for part in parts if isinstance(part, Lines)]
    if len(texts) < len(parts) or not texts:
        return Several(
            parts, [(i, row) for i, part in enumerate(parts) for row in range(len(part))]
        )
    before = accumulate((len(part.text) + 1 for part in texts), initial=0)
    ends = np.concatenate([part.ends + start for part, start in zip(texts, before, strict=False)])
    return Lines(b"\n".join(part.text for part in texts), ends)


def plain_value(name: str, array: pa.Array) -> Any:
    """The one value of an array as a Python object.

    Raises:
      RecordError: Python has none for it.
    """
    try:
        (value,) = arrow_values.plain_values(array)
    except Exception as error:  # whatever Arrow has for it
        raise RecordError(
            "unreadable_value", f"column '{name}' ({array.type}): {arrow_values.reason(error)}"
        ) from error
    return value


def take(payloads: Payloads, rows: Sequence[int]) -> Payloads:
    """The payloads of some rows, of the same kind."""
    if isinstance(payloads, Lines | JsonRows | ArrowRows | Several):
        return payloads.take(rows)
    return tuple(payloads[row] for row in rows)


def estimated_bytes(payloads: Payloads) -> int:
    """An estimate of the bytes of payloads; does not make those that exist on demand only."""
    if isinstance(payloads, Lines):
        return len(payloads.text)
    if isinstance(payloads, ArrowRows):
        return int(payloads.table.nbytes)
    if isinstance(payloads, JsonRows):
        return len(payloads) * len(payloads[0]) if len(payloads) else 0
    if isinstance(payloads, Several):
        return sum(map(estimated_bytes, payloads.parts))
    return sum(map(len, payloads))


def as_json(value: Any) -> bytes:
    """JSON text of plain data; bytes become base64, dates, infinities and other values text."""
    try:
        text = orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    except orjson.JSONEncodeError:
        text = b""
    if text and not (b"null" in text and _has_infinity(value)):
        return text
    # There are integers that orjson refuses, or infinities, of which it makes null.
    speakable = _speakable(value)
    return orjson.dumps(speakable, default=_plain, option=orjson.OPT_NON_STR_KEYS)


def shown(row: Mapping[str, Any] | BadRow) -> bytes:
    """JSON text of a row; of values that JSON cannot hold, what Python calls them."""
    if isinstance(row, BadRow):
        return row.data
    try:
        return as_json(row)
    except (TypeError, ValueError, RecursionError):
        if not isinstance(row, Mapping):  # of a file that holds no records
            return as_json(_shown_value(row))
        return as_json({_printable(key): _shown_value(value) for key, value in row.items()})


def _shown_value(value: Any) -> Any:
    try:
        as_json(value)
    except (TypeError, ValueError, RecursionError):
        try:
            return _printable(value)
        except (ValueError, RecursionError) as error:
            return f"<{type(value).__name__}: {arrow_values.reason(error)}>"
    return value


def _printable(value: Any) -> str:
    return str(value).encode(errors="backslashreplace").decode()


def _arrow_rows(stream: pa.Buffer) -> ArrowRows:
    return ArrowRows(pa.ipc.open_stream(stream).read_next_batch())


def _has_infinity(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_infinity, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_infinity, value))
    return isinstance(value, float) and math.isinf(value)


def _speakable(value: Any) -> Any:
    """The value with numbers of which orjson makes nothing as what it writes."""
    if isinstance(value, dict):
        return {key: _speakable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return list(map(_speakable, value))
    if type(value) is int and not -(2**63) <= value < 2**64:
        return orjson.Fragment(str(value).encode())
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, ExactNumber):
        return orjson.Fragment(str(value).encode())
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)
