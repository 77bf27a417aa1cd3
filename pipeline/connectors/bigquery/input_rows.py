"""Rows of tables as records: which columns a record needs, and a row's way into JSON."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import orjson

from pipeline.batch.tensors import FLOATS, INTEGERS, describe
from pipeline.connectors.bigquery.schema import TableColumn
from pipeline.formats.fields import nested
from pipeline.spec.record import RecordSpec

_READ_AS = {
    **dict.fromkeys(INTEGERS, ("INT64", "NUMERIC", "BIGNUMERIC")),
    **dict.fromkeys(FLOATS, ("FLOAT64", "INT64", "NUMERIC", "BIGNUMERIC")),
    "bool": ("BOOL",),
    "string": ("STRING", "DATE", "DATETIME", "TIME", "TIMESTAMP"),
    "bytes": ("BYTES", "STRING"),
}
"""Dtype of a field -> types of columns that it can be read from."""
_JSON_TEXT = ("JSON", "STRING")


def input_problems(record: RecordSpec, found: Sequence[TableColumn]) -> Iterator[str]:
    """Why a table's rows cannot be records."""
    have = {column.name: column for column in found}
    listed = ", ".join([*list(have)[:12], *(["..."] if len(have) > 12 else [])])
    for name in dict.fromkeys([*([record.id] if record.id else []), *record.by_key]):
        if name not in have:
            yield f"column '{name}' is missing; the columns are {listed}"
    for name, spec in record.by_key.items():
        column, axes = have.get(name), len(spec.shape)
        if column is None:
            continue
        fits = column.type in _READ_AS[spec.dtype] and column.repeated == (axes > 0)
        as_text = axes > 0 and column.type in _JSON_TEXT and not column.repeated
        if not fits and not as_text:
            expected = " or ".join(_READ_AS[spec.dtype])
            expected = f"REPEATED {expected}, or JSON" if axes else expected
            yield (
                f"column '{name}' is {column}, but the field is {describe(spec.dtype, spec.shape)}"
                f", which needs {expected}"
            )
    if record.id in have and record.id not in record.by_key:
        column = have[record.id]
        if column.repeated or column.type not in ("STRING", "INT64"):
            yield f"column '{record.id}' is {column}, but an id needs STRING or INT64"


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

    def __init__(self, record: RecordSpec, pass_through: Sequence[str]) -> None:
        wanted = [*([record.id] if record.id else []), *record.by_key, *pass_through]
        self._wanted = tuple(dict.fromkeys(wanted))
        self._kept = {key for key, spec in record.by_key.items() if spec.keeps_missing}
        self._with_axes = {name: spec.shape for name, spec in record.by_key.items() if spec.shape}

    def encode(self, row: Mapping[str, Any]) -> bytes:
        """The record in `row`: of its columns only those that the ensemble reads."""
        record = {name: row[name] for name in self._wanted if name in row}
        for name, shape in self._with_axes.items():
            value = record.get(name)
            if value == [] and name in self._kept:
                record[name] = None
            elif isinstance(value, str):
                record[name] = _parsed(value)
            elif isinstance(value, list) and len(shape) > 1:
                record[name] = nested(value, shape)
        payload = orjson.dumps(record, default=_plain)
        if b"null" in payload:  # a NULL, or a number that JSON lacks
            spoken = {
                key: _speakable(value, nan=None if key in self._kept else "NaN")
                for key, value in record.items()
            }
            payload = orjson.dumps(spoken, default=_plain)
        return payload


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text  # the decoder says what is wrong with it


def _plain(value: Any) -> Any:
    """What orjson cannot express itself."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal):
        whole = value == value.to_integral_value() and -(1 << 63) <= value < 1 << 64
        return int(value) if whole else float(value)
    return str(value)


def _speakable(value: Any, nan: str | None) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return nan if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list):
        return [_speakable(part, nan) for part in value]
    if isinstance(value, dict):
        return {key: _speakable(part, nan) for key, part in value.items()}
    return value
