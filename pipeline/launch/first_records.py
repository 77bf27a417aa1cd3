"""The first records of an input, whatever its format.

As plain data, before anything is declared of them; or decoded, as the ensemble file declares them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from pipeline.batch.batch import Batch
from pipeline.batch.block import Block
from pipeline.connectors.files.ranges import FileRange
from pipeline.connectors.files.read import read_range
from pipeline.connectors.files.whole_files import FileGroup, read_group
from pipeline.connectors.storage import paths
from pipeline.connectors.storage.errors import READER_ROLE, explain
from pipeline.errors import PathError, RecordError
from pipeline.formats.format import Reading
from pipeline.formats.image import IMAGE
from pipeline.formats.registry import decoders, format_named, format_of
from pipeline.spec.record import FieldSpec, RecordSpec

_FILES = 8

_SOUNDS = (".wav", ".flac")
"""Extensions of what `op: decode_audio` reads."""
# A decoder asked for a field that is not there gives all that the record has.
_NO_SUCH_FIELD = RecordSpec(fields={"_": FieldSpec(dtype="int64")})


@dataclass(frozen=True)
class FirstRecords:
    """What an input begins with.

    Attributes:
      path: the file that was looked into.
      records: as plain data; none where the input is pictures or sounds.
      are_files_of: "image" or "audio" where each file is a record; else empty.
      flat: whether tensors of several axes may be one list.
      format: name of the file's format.
    """

    path: str
    records: tuple[dict[str, Any], ...]
    are_files_of: str = ""
    flat: bool = False
    format: str = "jsonl"


def first_records(location: str, count: int) -> FirstRecords:
    """The first records of the first file that holds any.

    Args:
      location: a path, pattern or folder, local or ``gs://``.
      count: how many at most.

    Raises:
      PathError: nothing is there, it cannot be read, or holds no record that can be.
    """
    problem = ""
    for file in _files(location):
        if file.path.lower().endswith(IMAGE.extensions):
            return FirstRecords(file.path, (), are_files_of="image")
        if file.path.lower().endswith(_SOUNDS):
            return FirstRecords(file.path, (), are_files_of="audio")
        part = FileRange(file.path, 0, file.size_in_bytes, format_of(file.path).name)
        try:
            records, problem = _read(part, count)
        except Exception as error:
            raise PathError(
                f"{part.path} cannot be read: {explain(part.path, error, READER_ROLE)}"
            ) from error
        if records:
            flat = format_named(part.format).decoder.flat_lists
            return FirstRecords(part.path, tuple(records), flat=flat, format=part.format)
    raise PathError(problem or f"'{location}' holds no record")


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
        batches = _decoded(files[:_FILES], chosen, record, count)
    for batch in batches:
        if len(batch):
            return batch.take(np.arange(min(count, len(batch))))
    return None


def _whole(files: Sequence[Any], record: RecordSpec) -> Iterator[Batch]:
    group = FileGroup(tuple((file.path, file.size_in_bytes) for file in files))
    for block in read_group(group):
        yield decoders(record)[block.format].decode(block)


def _decoded(files: Sequence[Any], chosen: str, record: RecordSpec, count: int) -> Iterator[Batch]:
    """The first records of each file."""
    keys = record.outer_keys()
    for file in files:
        part = FileRange(file.path, 0, file.size_in_bytes, format_of(file.path, chosen).name)
        if part.end:
            for block in islice(read_range(part, Reading(count, keys=keys, record=record)), 1):
                yield decoders(record)[block.format].decode(block)


def _files(location: str) -> list[Any]:
    try:
        return paths.match_input(location)
    except PathError as error:
        if "is a folder" not in str(error):
            raise
        return paths.match_input(f"{location.rstrip('/')}/*")


def _read(part: FileRange, count: int) -> tuple[list[dict[str, Any]], str]:
    """Some records, and what is wrong with the first that cannot be read."""
    problem = ""
    records: list[dict[str, Any]] = []
    if part.end == 0:
        return records, problem
    for block in read_range(part, Reading(count)):
        for record in _records(block):
            if isinstance(record, str):
                problem = problem or f"{part.path}: {record}"
            else:
                records.append(record)
            if len(records) == count:
                return records, problem
        problem = problem or (block.error or "")
    return records, problem


def _records(block: Block) -> Iterator[dict[str, Any] | str]:
    decoder = decoders(_NO_SUCH_FIELD)[block.format]
    for row in range(len(block.payloads)):
        try:
            yield decoder.undeclared(block, row)
        except RecordError as error:
            yield str(error)
