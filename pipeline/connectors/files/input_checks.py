"""Input files, looked into before a job starts, for what the record declares.

Of each format the first file that matches is opened, and of that only what says how its records
look: its first bytes, the header of CSV, the schema of Parquet and Avro. What other files hold is
seen when they are read; their records become dead letters then. Of all Parquet files it is seen
whether the newest version of a table has them that Delta, Iceberg, Hudi or Paimon keeps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from pipeline.connectors.files import delta_tables, iceberg_tables, unread_tables
from pipeline.connectors.files.ranges import FileRange, opened
from pipeline.connectors.storage import paths
from pipeline.connectors.storage.errors import READER_ROLE, explain
from pipeline.errors import RecordError
from pipeline.formats import looks, partitions
from pipeline.formats.format import Format, Reading
from pipeline.formats.json.format import JSONL
from pipeline.formats.opened_file import OpenedFile
from pipeline.formats.parquet.format import PARQUET
from pipeline.formats.registry import format_named, format_of
from pipeline.spec.record import RecordSpec
from pipeline.spec.record.keys import PathKey, RecordKey, written_key

_START_BYTES = 1 << 16


def problems(
    pattern: str, chosen: str, record: RecordSpec, pass_through: Sequence[RecordKey] = ()
) -> Iterator[str]:
    """Where the first files cannot be what the record declares.

    Args:
      pattern: of the input files.
      chosen: their format, or "auto".
      record: the declared id and fields.
      pass_through: keys whose values predictions repeat.

    Raises:
      PathError: nothing matches, or the storage refuses.
    """
    seen: set[str] = set()
    in_tables: list[str] = []
    for file in paths.match_input(pattern):
        part = FileRange(file.path, 0, file.size_in_bytes, format_of(file.path, chosen).name)
        if part.format == PARQUET.name:
            in_tables.append(part.path)
        if part.end and part.format not in seen:
            seen.add(part.format)
            found = _checked(part, record, pass_through)
            yield from (f"{part.path}: {problem}" for problem in found)
    yield from delta_tables.problems(in_tables)
    yield from iceberg_tables.problems(in_tables)
    yield from unread_tables.problems(in_tables)


def _checked(
    part: FileRange, record: RecordSpec, pass_through: Sequence[RecordKey]
) -> Iterator[str]:
    form = format_named(part.format)
    is_raw = record.source == "raw"
    if is_raw and form.raw_problem:
        yield form.raw_problem
        return
    try:
        with opened(part) as file:
            if form.compresses_itself and file.compression:
                yield f"is compressed; {form.name} files compress their data themselves"
                return
            # Of a compressed file the first bytes may tell nothing of the text.
            head = file.head if file.compression else file.file.read(looks.HEAD_BYTES)
            problem = looks.foreign(head, form.name, record.encoding(form.name), raw=is_raw)
            if form is JSONL and not (is_raw or problem):
                file.file.seek(0)
                problem = looks.without_objects(next(file.content(), b"")[:_START_BYTES])
            if problem:
                yield problem
            if problem or is_raw:
                return
            yield from _inside(form, record, pass_through)
            file.file.seek(0)
            if form.check is not None:
                yield from form.check(file, record, pass_through)
            elif partitions.names_in(part.path, record, pass_through) and form.blocks is not None:
                yield from _by_first_record(file, form, record, pass_through)
    except ValueError as error:
        yield str(error)
    except Exception as error:
        yield f"cannot be read: {explain(part.path, error, READER_ROLE)}"


def _by_first_record(
    file: OpenedFile, form: Format, record: RecordSpec, pass_through: Sequence[RecordKey]
) -> Iterator[str]:
    """Why the path cannot give what the first record has not; nothing where that is unreadable."""
    assert form.blocks is not None
    block = next(form.blocks(file, Reading(1, record=record)), None)
    if block is not None and len(block.payloads):
        with suppress(RecordError):
            own = form.decoder(record, pass_through).undeclared(block, 0)
            yield from partitions.problems(file.path, record, own, pass_through)


def _inside(form: Format, record: RecordSpec, pass_through: Sequence[RecordKey]) -> Iterator[str]:
    """Paths into records of a format that has no objects inside of records."""
    if form.nests:
        return
    keys = [*record.by_key, *pass_through, *([] if record.id is None else [record.id])]
    for key in dict.fromkeys(keys):
        if isinstance(key, PathKey):
            yield (
                f"{form.name} has no objects in its records, and `{written_key(key)}` leads into "
                "one; expected `name`, or JSON lines, Parquet or Avro"
            )
