"""The first records of an input, whatever its format.

As plain data, before anything is declared of them; or decoded, as the ensemble file declares them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from pipeline.batch.batch import Batch, Reject
from pipeline.batch.block import Block
from pipeline.connectors.files import input_checks
from pipeline.connectors.files.ranges import FileRange, opened
from pipeline.connectors.files.read import read_range
from pipeline.connectors.files.whole_files import FileGroup, read_group
from pipeline.connectors.storage import paths
from pipeline.connectors.storage.errors import READER_ROLE, explain
from pipeline.errors import PathError, RecordError
from pipeline.formats import partitions
from pipeline.formats.csv import sniff
from pipeline.formats.csv.format import CSV
from pipeline.formats.format import Reading
from pipeline.formats.image import IMAGE
from pipeline.formats.lines import DamagedFileError
from pipeline.formats.record_sample import from_cell
from pipeline.formats.registry import decoders, format_named, format_of
from pipeline.spec.record import CsvSpec, FieldSpec, RecordSpec

_FILES = 8
_BLOCK_ROWS, _FEW_ROWS, _MOST_VALUES = 100, 10, 200_000
_SIGNS_OF_A_VALUE = 64
"""Characters or bytes that are as much memory as a number, roughly."""

_SOUNDS = (".wav", ".flac")
"""Extensions of what `op: decode_audio` reads."""
# A decoder asked for a field that is not there gives all that the record has.
_NO_SUCH_FIELD = RecordSpec(fields={"_": FieldSpec(dtype="int64")})


@dataclass(frozen=True)
class FirstRecords:
    """What an input begins with.

    Attributes:
      path: the file that was looked into.
      records: as plain data, with what its folders say; none where the input is pictures or sounds.
      are_files_of: "image" or "audio" where each file is a record; else empty.
      flat: whether tensors of several axes may be one list.
      format: name of the file's format.
      csv: how it is written, if it is CSV.
    """

    path: str
    records: tuple[dict[str, Any], ...]
    are_files_of: str = ""
    flat: bool = False
    format: str = "jsonl"
    csv: CsvSpec | None = None


def first_records(location: str, count: int) -> FirstRecords:
    """The first records of the first file that holds any.

    Args:
      location: a path, pattern or folder, local or ``gs://``.
      count: how many at most.

    Raises:
      PathError: nothing is there, it cannot be read, or holds no record that can be.
    """
    problem = ""
    files = _files(location)
    for file in files:
        if file.path.lower().endswith(IMAGE.extensions):
            return FirstRecords(file.path, (), are_files_of="image")
        if file.path.lower().endswith(_SOUNDS):
            return FirstRecords(file.path, (), are_files_of="audio")
        part = FileRange(file.path, 0, file.size_in_bytes, format_of(file.path).name)
        try:
            csv = _csv_of(part)
            records, problem = _read(part, count, csv)
        except ValueError as error:
            raise PathError(f"{part.path} {error}") from error
        except Exception as error:
            raise PathError(
                f"{part.path} cannot be read: {explain(part.path, error, READER_ROLE)}"
            ) from error
        if records:
            flat = format_named(part.format).decoder.flat_lists
            given = _given(part.path, [other.path for other in files])
            whole = tuple({**given, **record} for record in records)
            return FirstRecords(part.path, whole, flat=flat, format=part.format, csv=csv)
    raise PathError(problem or f"'{location}' holds no record")


def problems_of(records: FirstRecords, declared: RecordSpec) -> list[str]:
    """Why no job would start that reads the file of these records as somebody declares them.

    Args:
      records: of a file that holds several.
      declared: what is read of them.
    """
    return list(input_checks.problems(records.path, records.format, declared))


def rejects_of(records: FirstRecords, declared: RecordSpec) -> str:
    """How many of these records become dead letters as somebody declares them; empty if none does.

    Args:
      records: of a file that holds several.
      declared: what is read of them.
    """
    files = paths.match_input(records.path)
    count, rejects = 0, list[Reject]()
    for batch in _decoded(files, records.format, declared, _BLOCK_ROWS, None):
        count += len(batch) + len(batch.rejects)
        rejects += batch.rejects
        if count >= len(records.records):
            break
    if not rejects:
        return ""
    return (
        f"{len(rejects)} of the first {count} records become dead letters, such as "
        f"{rejects[0].error_type}: {rejects[0].error_message}"
    )


def first_batch(pattern: str, chosen: str, record: RecordSpec, count: int) -> Batch | None:
    """The first records, of the first file that holds any which can be decoded.

    Args:
      pattern: of the input files, local or ``gs://``.
      chosen: their format, or "auto".
      record: what is declared of them.
      count: how many at most.

    Returns:
      None where the first files have no such record.

    Raises:
      Exception: the files cannot be listed or read.
    """
    files = paths.match_input(pattern)
    if record.whole_files:
        batches = _whole(files[:count], record)
    else:
        batches = _decoded(files[:_FILES], chosen, record, count, 1)
    for batch in batches:
        if len(batch):
            return batch.take(np.arange(min(count, len(batch))))
    return None


def _whole(files: Sequence[Any], record: RecordSpec) -> Iterator[Batch]:
    group = FileGroup(tuple((file.path, file.size_in_bytes) for file in files))
    for block in read_group(group):
        yield decoders(record)[block.format].decode(block)


def _decoded(
    files: Sequence[Any], chosen: str, record: RecordSpec, count: int, blocks: int | None
) -> Iterator[Batch]:
    """The first records of each file, `count` in a block, of so many blocks or of all."""
    keys = record.outer_keys()
    for file in files:
        part = FileRange(file.path, 0, file.size_in_bytes, format_of(file.path, chosen).name)
        if part.end:
            reading = Reading(count, keys=keys, record=record)
            for block in islice(read_range(part, reading), blocks):
                yield decoders(record)[block.format].decode(block)


def _files(location: str) -> list[Any]:
    """The files at a location; of a folder those in it, or else those in the folders below."""
    try:
        return paths.match_input(location)
    except PathError:
        for inside in ("*", "**") if not set(location) & set("*?[") else ():
            with suppress(PathError):
                return paths.match_input(f"{location.rstrip('/')}/{inside}")
        raise


def _csv_of(part: FileRange) -> CsvSpec | None:
    """How a CSV file is written; None of another.

    Raises:
      ValueError: nobody can tell its cells apart.
    """
    if part.format != CSV.name or part.end == 0:
        return None
    head = bytearray()
    with opened(part) as file, suppress(DamagedFileError):
        for chunk in file.content():
            head += chunk
            if len(head) > sniff.HEAD_BYTES:
                break
    is_whole = len(head) <= sniff.HEAD_BYTES
    return sniff.sniff(bytes(head[: sniff.HEAD_BYTES]), part.path, is_whole=is_whole)


def _given(path: str, files: Sequence[str]) -> dict[str, Any]:
    """What the folders of a file say, as numbers where those of all files are such."""
    given = {}
    others = [partitions.all_values_in(file) for file in files]
    for key, text in partitions.all_values_in(path).items():
        if not isinstance(text, RecordError):
            texts = [found for values in others if isinstance(found := values.get(key), str)]
            kinds = {type(from_cell(one)) for one in texts}
            given[key] = text if str in kinds or text is None else from_cell(text)
    return given


def _read(
    part: FileRange, count: int, csv: CsvSpec | None = None
) -> tuple[list[dict[str, Any]], str]:
    """Some records, and what is wrong with the first that cannot be read."""
    problem = ""
    records: list[dict[str, Any]] = []
    values = 0
    if part.end == 0:
        return records, problem
    for block in read_range(part, Reading(min(count, _BLOCK_ROWS), csv=csv)):
        for record in _records(block, csv):
            if isinstance(record, str):
                problem = problem or f"{part.path}: {record}"
            else:
                records.append(record)
                values += _size(record)
            is_full = values > _MOST_VALUES and len(records) >= _FEW_ROWS
            if len(records) == count or is_full:
                return records, problem
        problem = problem or (block.error or "")
    return records, problem


def _size(value: Any) -> int:
    """How many numbers are as much memory as a value, roughly."""
    if isinstance(value, Mapping):
        return sum(map(_size, value.values()))
    if isinstance(value, list):
        return sum(map(_size, value))
    return 1 + len(value) // _SIGNS_OF_A_VALUE if isinstance(value, str | bytes) else 1


def _records(block: Block, csv: CsvSpec | None) -> Iterator[dict[str, Any] | str]:
    decoder = decoders(_NO_SUCH_FIELD.model_copy(update={"csv": csv}))[block.format]
    for row in range(len(block.payloads)):
        try:
            yield decoder.undeclared(block, row)
        except RecordError as error:
            yield str(error)
