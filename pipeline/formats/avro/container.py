"""Avro object container files as blocks of records.

A container is a header and then blocks of records, each followed by the 16 bytes of a marker that
the header names. Markers make it possible to begin in the middle of a file, and to go on behind a
block that is damaged. Only this framing is read here, and what is compressed is unpacked, so far as
memory allows; the records are for `avro.records`.

Source: https://avro.apache.org/docs/1.12.0/specification/#object-container-files
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any, cast

import fastavro

from pipeline.batch.arrow_values import reason
from pipeline.batch.block import Block
from pipeline.batch.payloads import JsonRows
from pipeline.formats.avro import codecs
from pipeline.formats.avro.extent import number
from pipeline.formats.avro.records import DamagedError, RecordReader, Row
from pipeline.formats.format import Reading
from pipeline.formats.opened_file import OpenedFile, WatchedFile

_MAGIC = b"Obj\x01"
_MARKER_BYTES = 16
_SEARCH_BYTES = 1 << 20
# A block begins with two numbers of 64 bits, as varints of at most 10 bytes.
_HEAD_BYTES = 20


@dataclass(frozen=True)
class AvroHeader:
    """The header of a container.

    Attributes:
      data: its bytes.
      schema: of the records, as plain data.
      codec: how blocks are compressed.
      file_bytes: size of the whole file.
    """

    data: bytes
    schema: Any
    codec: str
    file_bytes: int

    @property
    def marker(self) -> bytes:
        """What stands behind every block."""
        return self.data[-_MARKER_BYTES:]


def blocks(opened: OpenedFile, reading: Reading) -> Iterator[Block]:
    """The records of the container's blocks that start in a range."""
    path = opened.path
    file = WatchedFile(opened.file)
    try:
        header = read_header(file)
        reader = RecordReader(header.schema, header.marker, reading, path)
    except ValueError as error:
        if opened.start == 0:
            yield Block((), path, f"{path}: {error}", format="avro")
        return
    held: list[Row] = []
    position = _next_block(file, header, opened.start)
    while position is not None and position < opened.end:
        begin = position
        try:
            count, data = _block(file, header, begin, reading.max_chunk_bytes)
            position = file.tell()
            rows = reading.rows_of(len(data) / max(count, 1))
            records = reader.records(count, data)
            while some := list(islice(records, rows)):
                held += some
                while len(held) >= rows:
                    yield Block(JsonRows(held[:rows]), path, format="avro")
                    held = held[rows:]
        except DamagedError as damage:
            position = _next_block(file, header, begin + 1)
            end = header.file_bytes if position is None else position
            message = f"{path}, bytes {begin} to {end}: {damage}"
            yield Block(JsonRows(held), path, message, format="avro", lost=damage.records)
            held = []
    if held:
        yield Block(JsonRows(held), path, format="avro")


def read_header(file: WatchedFile) -> AvroHeader:
    """The header of a container.

    Raises:
      ValueError: it is none, or names a compression for which a package is missing.
    """
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("is not an Avro file: it does not begin like one")
    file.seek(0)
    try:
        reader = fastavro.reader(cast(IO[bytes], file))
        end = file.tell()
        # Compressing nothing tells at once whether the compression can be undone.
        fastavro.writer(io.BytesIO(), "null", [], codec=reader.codec)
    except Exception as error:  # whatever its bytes lead fastavro to
        file.raise_failure()
        words = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"its Avro header cannot be read: {words}") from error
    codec = reader.codec
    if not codecs.is_known(codec):
        raise ValueError(f"its blocks are compressed as '{codec}', which nobody here can undo")
    file.seek(0)
    data = file.read(end)
    return AvroHeader(data, reader.writer_schema, codec, file.seek(0, io.SEEK_END))


def _block(file: WatchedFile, header: AvroHeader, begin: int, most: int) -> tuple[int, bytes]:
    """How many records the block at byte `begin` has, and their bytes; leaves the file behind it.

    Raises:
      DamagedError: it is cut, something else than records, or unpacks to more than `most` bytes.
    """
    file.seek(begin)
    head = file.read(_HEAD_BYTES)
    try:
        count, at = number(head, 0)
        size, at = number(head, at)
    except (IndexError, ValueError):
        raise DamagedError("found no block of records") from None
    if count < 0 or not 0 <= size <= header.file_bytes - begin:
        raise DamagedError("found no block of records")
    file.seek(begin)
    block = file.read(at + size + _MARKER_BYTES)
    if not block.endswith(header.marker) or len(block) < at + size + _MARKER_BYTES:
        raise DamagedError("a block of records is cut, or its end is damaged")
    try:
        return count, codecs.unpacked(header.codec, block[at : at + size], most)
    except Exception as error:  # whatever its bytes lead a library to
        raise DamagedError(
            f"a block of {count} records is damaged: {reason(error)}", count
        ) from error


def _next_block(file: WatchedFile, header: AvroHeader, start: int) -> int | None:
    """Where the first block at or behind byte `start` begins; None if there is no more."""
    if start <= len(header.data):
        return len(header.data)
    position, tail = start - _MARKER_BYTES, b""
    file.seek(position)
    while chunk := file.read(_SEARCH_BYTES):
        found = (tail + chunk).find(header.marker)
        if found >= 0:
            return position - len(tail) + found + _MARKER_BYTES
        position += len(chunk)
        tail = (tail + chunk)[1 - _MARKER_BYTES :]
    return None
