"""Tables: columns with BigQuery's types, their derivation from the ensemble, and what fits where.

A prediction is a row of ``id``, one column for each output, ``pass_through`` and ``event_time``
where there are such, ``release_id``, ``generation`` and ``models``. Outputs with one axis become
REPEATED columns; those with more become JSON text, since BigQuery has no arrays of arrays. Types:
https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.batch.tensors import FLOATS, INTEGERS, Shape
from pipeline.errors import SpecError
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.record import RecordSpec

# The REST API answers with the names of legacy SQL.
_ALIASES = {
    "INTEGER": "INT64",
    "FLOAT": "FLOAT64",
    "BOOLEAN": "BOOL",
    "STRUCT": "RECORD",
    "DECIMAL": "NUMERIC",
    "BIGDECIMAL": "BIGNUMERIC",
}
_TYPES = {
    **dict.fromkeys(INTEGERS, "INT64"),
    "uint64": "NUMERIC",  # the upper half of its range is beyond INT64
    **dict.fromkeys(FLOATS, "FLOAT64"),
    "bool": "BOOL",
    "string": "STRING",
    "bytes": "BYTES",
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,299}")
_RESERVED_PREFIXES = ("_table_", "_file_", "_partition", "_row_timestamp", "__root__")


@dataclass(frozen=True)
class TableColumn:
    """One column of a table.

    Attributes:
      name: as in the table.
      type: a type of standard SQL; RECORD for a struct.
      repeated: whether it holds a list.
      required: whether it refuses NULL.
      optional: whether rows to be written may lack it.
      fields: the columns of a RECORD.
    """

    name: str
    type: str
    repeated: bool = False
    required: bool = False
    optional: bool = False
    fields: tuple[TableColumn, ...] = ()

    def __str__(self) -> str:
        return f"REPEATED {self.type}" if self.repeated else self.type


def column_of_api(field: Mapping[str, Any]) -> TableColumn:
    """A column as the REST API describes it (TableFieldSchema)."""
    kind, mode = str(field["type"]).upper(), field.get("mode", "NULLABLE")
    return TableColumn(
        name=field["name"],
        type=_ALIASES.get(kind, kind),
        repeated=mode == "REPEATED",
        required=mode == "REQUIRED",
        fields=tuple(column_of_api(inner) for inner in field.get("fields", ())),
    )


def column_to_api(column: TableColumn) -> dict[str, Any]:
    """The reverse of `column_of_api`."""
    mode = "REPEATED" if column.repeated else "REQUIRED" if column.required else "NULLABLE"
    field: dict[str, Any] = {"name": column.name, "type": column.type, "mode": mode}
    if column.fields:
        field["fields"] = [column_to_api(inner) for inner in column.fields]
    return field


def _pairs(name: str, key: str, value: str) -> TableColumn:
    """A map of text to text."""
    inner = (TableColumn(key, "STRING"), TableColumn(value, "STRING"))
    return TableColumn(name, "RECORD", repeated=True, fields=inner)


_RELEASE = (
    TableColumn("release_id", "STRING"),
    TableColumn("generation", "INT64"),
    _pairs("models", "name", "version"),
)

DEAD_LETTER_COLUMNS: tuple[TableColumn, ...] = (
    TableColumn("payload", "STRING"),
    TableColumn("payload_encoding", "STRING"),
    TableColumn("id", "STRING"),
    TableColumn("stage", "STRING"),
    TableColumn("model", "STRING"),
    TableColumn("error_type", "STRING"),
    TableColumn("error_message", "STRING"),
    *_RELEASE,
    TableColumn("time", "TIMESTAMP"),
    TableColumn("event_time", "TIMESTAMP"),
    _pairs("attributes", "key", "value"),
)
"""The same for every ensemble; see `formats.line_encoder.dead_letter`."""


def prediction_columns(
    spec: EnsembleSpec,
    types: Mapping[str, tuple[str, Shape]],
    *,
    event_times: bool,
    optional: Collection[str] = (),
) -> tuple[TableColumn, ...]:
    """The columns of a table of predictions.

    Args:
      spec: the ensemble.
      types: column -> (dtype, shape of a row), as far as known.
      event_times: whether records have one.
      optional: the columns that rows may lack.

    Raises:
      SpecError: outputs cannot be columns of a table: all of them.
    """
    if problems := list(_output_problems(spec, types, event_times)):
        raise SpecError(problems)
    columns = [TableColumn("id", _id_type(spec.record))]
    for name in spec.output_columns():
        dtype, shape = types[name]
        kind = "STRING" if len(shape) > 1 else _TYPES[dtype]
        columns.append(TableColumn(name, kind, repeated=len(shape) == 1, optional=name in optional))
    if spec.pass_through:
        columns.append(TableColumn("pass_through", "STRING"))
    if event_times:
        columns.append(TableColumn("event_time", "TIMESTAMP"))
    return (*columns, *_RELEASE)


def _output_problems(
    spec: EnsembleSpec, types: Mapping[str, tuple[str, Shape]], event_times: bool
) -> Iterator[str]:
    others = {"id", "pass_through" if spec.pass_through else "", *(c.name for c in _RELEASE)}
    others |= {"event_time"} if event_times else set()
    seen: dict[str, str] = {}
    for name in spec.output_columns():
        folded = name.lower()  # names of columns differ by more than case
        if not _NAME.fullmatch(name) or folded.startswith(_RESERVED_PREFIXES):
            yield (
                f"output column '{name}' cannot be a column of a table, expected letters, digits "
                "and underscores"
            )
        elif folded in others:
            yield f"output column '{name}' has the name of another column of the table; rename it"
        elif folded in seen:
            yield f"output columns '{seen[folded]}' and '{name}' differ in case only; rename one"
        elif name not in types:
            yield (
                f"the type of output column '{name}' is not known before it is computed: its model "
                "has `warm_up: false` and declares no outputs"
            )
        seen.setdefault(folded, name)


def misfits(wanted: Sequence[TableColumn], found: Sequence[TableColumn]) -> Iterator[str]:
    """Why rows of the columns `wanted` cannot be added to a table that has the columns `found`."""
    have = {column.name.lower(): column for column in found}
    for column in wanted:
        there = have.pop(column.name.lower(), None)
        if there is None:
            yield f"column '{column.name}' is missing, expected {column}"
        elif not _takes(there, column):
            yield f"column '{column.name}' is {there}, expected {column}"
        elif there.required and column.optional:
            yield f"column '{column.name}' is REQUIRED, but rows may lack it (`missing: keep`)"
        else:
            inner = misfits(column.fields, there.fields)
            yield from (f"in '{column.name}': {problem}" for problem in inner)
    for column in have.values():
        if column.required:
            yield f"column '{column.name}' is REQUIRED, but nothing is written to it"


def _takes(there: TableColumn, column: TableColumn) -> bool:
    wider = {"INT64": ("NUMERIC", "BIGNUMERIC", "FLOAT64"), "NUMERIC": ("BIGNUMERIC",)}
    return there.repeated == column.repeated and (
        there.type == column.type or there.type in wider.get(column.type, ())
    )


def _id_type(record: RecordSpec) -> str:
    """INT64 where ids are known to be integers; they are never converted."""
    spec = None if record.id is None else record.by_key.get(record.id)
    signed = spec is not None and not spec.shape and spec.dtype in INTEGERS
    return "INT64" if signed and spec is not None and spec.dtype != "uint64" else "STRING"
