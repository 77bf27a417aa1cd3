"""Rows of tables as records: which columns a record needs, and a row's way into JSON."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import orjson

from pipeline.batch.exact_number import ExactNumber, exact_number
from pipeline.batch.names import some
from pipeline.batch.tensors import FLOATS, INTEGERS, describe
from pipeline.connectors.bigquery.schema import TableColumn
from pipeline.formats.fields import nested
from pipeline.formats.misfits import are, named_columns
from pipeline.spec.record import FieldSpec, RecordSpec
from pipeline.spec.record.keys import ColumnsKey, PathKey, RecordKey

_READ_AS = {
    **dict.fromkeys(INTEGERS, ("INT64", "NUMERIC", "BIGNUMERIC")),
    **dict.fromkeys(FLOATS, ("FLOAT64", "INT64", "NUMERIC", "BIGNUMERIC")),
    "bool": ("BOOL",),
    "string": ("STRING", "DATE", "DATETIME", "TIME", "TIMESTAMP"),
    "bytes": ("BYTES", "STRING"),
}
"""Dtype of a field -> types of columns that it can be read from."""
_JSON_TEXT = ("JSON", "STRING")


def input_problems(
    record: RecordSpec, found: Sequence[TableColumn], pass_through: Sequence[RecordKey] = ()
) -> Iterator[str]:
    """Why a table's rows cannot be records.

    Args:
      record: the declared id and fields.
      found: the table's columns.
      pass_through: what predictions repeat, null where there is no such column.
    """
    columns = {column.name: column for column in found}
    for key, spec in record.by_key.items():
        if isinstance(key, ColumnsKey):
            yield from _problems_of_columns(columns, key.names, spec.single)
            continue
        try:
            yield from _misfit(_column_at(columns, key), f"column '{key}' is", spec)
        except ValueError as error:
            yield str(error)
    if record.id is not None and record.id not in record.by_key:
        try:
            column = _column_at(columns, record.id)
        except ValueError as error:
            yield str(error)
        else:
            if column.repeated or column.type not in ("STRING", "INT64"):
                yield f"column '{record.id}' is {column}, but an id needs STRING or INT64"
    for repeated in pass_through:
        try:
            _column_at(columns, repeated)
        except _NoStructError as error:
            yield str(error)
        except ValueError:
            pass  # null in each prediction


def _problems_of_columns(
    have: Mapping[str, TableColumn], names: Sequence[str], spec: FieldSpec
) -> Iterator[str]:
    """Those of the columns of one field, of one kind together, as there may be many."""
    if lacks := [name for name in names if name not in have]:
        yield f"{named_columns(lacks)} {are(lacks)} missing; the columns are {some(have)}"
    alike: dict[TableColumn, list[str]] = {}
    for name in names:
        if name in have:
            kind = TableColumn("", have[name].type, have[name].repeated)
            alike.setdefault(kind, []).append(name)
    for column, columns in alike.items():
        yield from _misfit(column, f"{named_columns(columns)} {are(columns)}", spec)


class _NoStructError(ValueError):
    """Something on a path is no STRUCT."""


def _column_at(found: Mapping[str, TableColumn], key: RecordKey) -> TableColumn:
    """A column, or one inside of a STRUCT.

    Raises:
      ValueError: there is none.
    """
    first, *inner = key.path if isinstance(key, PathKey) else (key,)
    column = _named(found, first, key, "the columns are")
    where = first
    for part in inner:
        if column.type != "RECORD" or column.repeated:
            raise _NoStructError(
                f"column '{where}' is {column}, expected a STRUCT with '{part}'; "
                "--input_query can make a column of what is inside"
            )
        column = _named({each.name: each for each in column.fields}, part, key, f"'{where}' has")
        where = f"{where}.{part}"
    return column


def _named(have: Mapping[str, TableColumn], name: str, key: RecordKey, before: str) -> TableColumn:
    if name not in have:
        raise ValueError(f"column '{key}' is missing; {before} {some(have)}")
    return have[name]


def _misfit(column: TableColumn, what: str, spec: FieldSpec) -> Iterator[str]:
    axes = len(spec.shape)
    fits = column.type in _READ_AS[spec.dtype] and column.repeated == (axes > 0)
    as_text = axes > 0 and column.type in _JSON_TEXT and not column.repeated
    if not fits and not as_text:
        expected = " or ".join(_READ_AS[spec.dtype])
        expected = f"REPEATED {expected}, or JSON" if axes else expected
        yield (
            f"{what} {column}, but the field is {describe(spec.dtype, spec.shape)}"
            f", which needs {expected}"
        )


class RowEncoder:
    """Turns rows, as an export holds them, into records as JSON objects.

    BYTES become base64, NUMERIC numbers, dates and times ISO 8601 text, NULL null. NaN and
    infinity become the texts "NaN", "Infinity" and "-Infinity", so that the decoder refuses the row
    and names the value; JSON has no such number. NaN in a field that may lack values becomes null.
    For a field with axes, text is taken for JSON, and a list is cut along the axes; an empty one is
    null if it may be, since BigQuery keeps no NULL in the place of a list.

    Args:
      record: the declared fields.
      pass_through: columns that predictions repeat.
    """

    def __init__(self, record: RecordSpec, pass_through: Sequence[RecordKey]) -> None:
        self._wanted = record.outer_keys(pass_through)
        self._places: list[tuple[tuple[str, ...], FieldSpec]] = []
        for key, spec in record.by_key.items():
            if isinstance(key, ColumnsKey):
                self._places += [((name,), spec.single) for name in key.names]
            else:
                path = key.path if isinstance(key, PathKey) else (key,)
                self._places.append((path, spec))

    def encode(self, row: Mapping[str, Any]) -> bytes:
        """The record in `row`: of its columns only those that the ensemble reads."""
        record = {name: row[name] for name in self._wanted if name in row}
        for path, spec in self._places:
            if spec.shape:
                _change(record, path, partial(_with_axes, spec=spec))
        payload = orjson.dumps(record, default=_plain)
        if b"null" in payload:  # a NULL, or a number that JSON lacks
            for path, spec in self._places:
                if spec.keeps_missing:
                    _change(record, path, partial(_speakable, nan=None))
            payload = orjson.dumps(_speakable(record, nan="NaN"), default=_plain)
        return payload


def _change(record: dict[str, Any], path: Sequence[str], change: Callable[[Any], Any]) -> None:
    """Changes the value at a path, if there is one; no object that the row itself holds."""
    *outer, last = path
    for part in outer:
        inside = record.get(part)
        if not isinstance(inside, Mapping):
            return
        record[part] = copy = dict(inside)
        record = copy
    if last in record:
        record[last] = change(record[last])


def _with_axes(value: Any, spec: FieldSpec) -> Any:
    """The value of a field with axes as JSON has it."""
    if value == [] and spec.keeps_missing:
        return None
    if isinstance(value, str):
        return _parsed(value)
    return nested(value, spec.shape) if isinstance(value, list) and len(spec.shape) > 1 else value


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text  # the decoder says what is wrong with it


def _plain(value: Any) -> Any:
    """What orjson cannot express itself."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, ExactNumber):
        return orjson.Fragment(str(value))
    if isinstance(value, Decimal):
        if value.is_finite() and value == value.to_integral_value():
            return orjson.Fragment(f"{value:.0f}")
        return exact_number(str(value))
    return str(value)


def _speakable(value: Any, nan: str | None) -> Any:
    """The value without numbers that JSON lacks."""
    if isinstance(value, float) and not math.isfinite(value):
        return nan if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list):
        return [_speakable(part, nan) for part in value]
    if isinstance(value, dict):
        return {key: _speakable(part, nan) for key, part in value.items()}
    return value
