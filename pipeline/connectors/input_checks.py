"""Input files, looked into before a job starts, for what the record declares.

Of each format the first file that matches is opened, and of that only what says how its records
look: the header of CSV, the schema of Parquet and Avro. What other files hold is seen when they are
read; their records become dead letters then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipeline.connectors import lines, paths
from pipeline.connectors.avro_blocks import read_header
from pipeline.connectors.csv_blocks import parse_header
from pipeline.connectors.file_ranges import FileRange, WatchedFile, content, open_file
from pipeline.connectors.parquet_blocks import read_index
from pipeline.connectors.storage_errors import READER_ROLE, explain
from pipeline.core import arrow_columns, avro_schema, csv_cells
from pipeline.core.csv_rows import whole_rows
from pipeline.core.decode_raw import RAW_FORMATS, no_payload
from pipeline.core.formats import Format, format_of
from pipeline.core.record_spec import FieldSpec, RecordSpec
from pipeline.core.tensors import describe


def problems(pattern: str, chosen: str, record: RecordSpec) -> Iterator[str]:
    """Where the first files cannot be what the record declares.

    Args:
      pattern: of the input files.
      chosen: their format, or "auto".
      record: the declared id and fields.

    Raises:
      PathError: nothing matches, or the storage refuses.
    """
    seen: set[Format] = set()
    for file in paths.match_input(pattern):
        part = FileRange(file.path, 0, file.size_in_bytes, format_of(file.path, chosen))
        if part.end and part.format not in seen:
            seen.add(part.format)
            yield from (f"{part.path}: {problem}" for problem in _checked(part, record))


def _checked(part: FileRange, record: RecordSpec) -> Iterator[str]:
    if record.source == "raw":
        if part.format not in RAW_FORMATS:
            yield no_payload(part.format)
        return
    if part.format in ("parquet", "avro") and part.compressed:
        yield f"is compressed; {part.format} files compress their data themselves"
        return
    try:
        yield from _CHECKS[part.format](part, record)
    except ValueError as error:
        yield str(error)
    except Exception as error:
        yield f"cannot be read: {explain(part.path, error, READER_ROLE)}"


def _no_check(part: FileRange, record: RecordSpec) -> Iterator[str]:
    yield from ()


def _csv(part: FileRange, record: RecordSpec) -> Iterator[str]:
    with open_file(part.path) as file:
        try:
            text = lines.without_bom(content(file, part))
            rows = next(filter(None, whole_rows(lines.split_lines(text))), [b""])
        except lines.DamagedFileError as damage:
            raise ValueError(f"cannot be read: {damage}") from damage
    header = parse_header(rows[0])
    keys: dict[str, FieldSpec | None] = dict(record.fields)
    if record.id:
        keys.setdefault(record.id, None)
    for name, spec in keys.items():
        if not csv_cells.places(name, spec, header):
            hint = ""
            if spec is not None and len(spec.shape) == 1 and spec.shape[0]:
                hint = f", nor columns '{name}_0' to '{name}_{spec.shape[0] - 1}'"
            yield f"the header has no column '{name}'{hint}; it names {_some(header)}"
        elif name in header and header.count(name) > 1:
            yield f"the header names column '{name}' {header.count(name)} times"


def _parquet(part: FileRange, record: RecordSpec) -> Iterator[str]:
    with open_file(part.path) as file:
        schema = read_index(WatchedFile(file)).schema_arrow
    found = {name: schema.field(name).type for name in schema.names}
    yield from _misfits(found, record, arrow_columns.fits)


def _avro(part: FileRange, record: RecordSpec) -> Iterator[str]:
    with open_file(part.path) as file:
        schema = read_header(WatchedFile(file)).schema
    if avro_schema.name_of(schema) != "record":
        raise ValueError(f"holds values of type {avro_schema.name_of(schema)}, expected records")
    found = {field["name"]: field["type"] for field in schema["fields"]}
    yield from _misfits(found, record, avro_schema.fits, avro_schema.name_of)


def _misfits(
    found: Mapping[str, Any],
    record: RecordSpec,
    fits: Callable[[Any, FieldSpec], bool],
    name_of: Callable[[Any], str] = str,
) -> Iterator[str]:
    if record.id and record.id not in found:
        yield f"has no column '{record.id}', which the record names as its id; {_has(found)}"
    for name, spec in record.fields.items():
        if name not in found:
            yield f"has no column '{name}'; {_has(found)}"
        elif not fits(found[name], spec):
            yield (
                f"column '{name}' is {name_of(found[name])}, "
                f"expected {describe(spec.dtype, spec.shape)}"
            )


def _has(found: Mapping[str, Any]) -> str:
    return f"it has {_some(tuple(found))}"


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")


_CHECKS: dict[Format, Callable[[FileRange, RecordSpec], Iterator[str]]] = {
    "jsonl": _no_check,
    "csv": _csv,
    "parquet": _parquet,
    "avro": _avro,
    "tfrecord": _no_check,
}
