"""TFRecord files as blocks of records.

A record is its length, a checksum of the length, its bytes and a checksum of them; checksums are
CRC-32C, masked. A record with a wrong checksum is left out. Where the length itself cannot be
trusted, nobody knows where the next record begins: the rest of the file is lost.

Source: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import google_crc32c

from pipeline.batch.block import Block
from pipeline.formats.format import Format, Reading
from pipeline.formats.lines import CHUNK_BYTES, MAX_BLOCK_BYTES, DamagedFileError, long_record
from pipeline.formats.opened_file import OpenedFile
from pipeline.formats.tfrecord.example import TfRecordDecoder

_LENGTH = struct.Struct("<Q")
_CHECKSUM = struct.Struct("<I")
_HEAD = struct.Struct("<QI")


def _blocks(opened: OpenedFile, reading: Reading) -> Iterator[Block]:
    """The records of a file, of one that is not compressed those that start before its end."""
    path = opened.path
    held: list[bytes] = []
    held_bytes = count = 0

    def block(error: str | None = None) -> Block:
        nonlocal held_bytes
        made = Block(tuple(held), path, error, format="tfrecord")
        held.clear()
        held_bytes = 0
        return made

    stream = _Stream(opened.content())
    try:
        while opened.compression or stream.position < opened.end:
            record = _next(stream, path, count, reading.max_record_bytes)
            if record is None:
                break
            count += 1
            if isinstance(record, str):
                yield block(record)
                continue
            held.append(record)
            held_bytes += len(record)
            if len(held) == reading.block_rows or held_bytes >= MAX_BLOCK_BYTES:
                yield block()
    except _LostError as lost:
        yield block(f"{lost}; the rest of the file cannot be read")
    except DamagedFileError as damage:
        yield block(damage.told(path, f"{count} whole records"))
    if held:
        yield block()


def framed(record: bytes) -> bytes:
    """A record as it stands in a file."""
    length = _LENGTH.pack(len(record))
    return length + _CHECKSUM.pack(_masked(length)) + record + _CHECKSUM.pack(_masked(record))


class _LostError(Exception):
    """Nobody knows where the next record begins."""


class _Stream:
    """Bytes taken from chunks; counts them."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.position = 0
        self._chunks = chunks
        self._chunk = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        """The next `count` bytes; fewer at the end."""
        pieces: list[bytes] = []
        missing = count
        while missing:
            piece = self._chunk[self._at : self._at + missing]
            self._at += len(piece)
            missing -= len(piece)
            pieces.append(piece)
            if missing:
                self._chunk, self._at = next(self._chunks, b""), 0
                if not self._chunk:
                    break
        self.position += count - missing
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def skip(self, count: int) -> bool:
        """Passes over the next `count` bytes; false if there are fewer."""
        while count:
            taken = len(self.take(min(count, CHUNK_BYTES)))
            if not taken:
                return False
            count -= taken
        return True


def _next(stream: _Stream, path: str, number: int, most: int) -> bytes | str | None:
    """The next record; why it cannot be used, or None at the end.

    Args:
      stream: at its first byte.
      path: the file's.
      number: the record's, from 0.
      most: bytes of the longest record that is read.

    Raises:
      _LostError: its length cannot be trusted, or the file ends inside of it.
    """
    which = f"record {number} at byte {stream.position}"
    where = f"{path}, {which}"
    head = stream.take(_HEAD.size)
    if not head:
        return None
    if len(head) == _HEAD.size:
        length, checksum = _HEAD.unpack(head)
        if checksum != _masked(head[: _LENGTH.size]):
            raise _LostError(f"{where}: the checksum of its length is wrong")
        if length > most:
            if stream.skip(length + _CHECKSUM.size):
                return long_record(path, which, length, most)
            raise _LostError(f"{where}: the file ends inside of it")
        record, tail = stream.take(length), stream.take(_CHECKSUM.size)
        if len(tail) == _CHECKSUM.size:
            if _CHECKSUM.unpack(tail)[0] == _masked(record):
                return record
            return f"{where}: its checksum is wrong"
    raise _LostError(f"{where}: the file ends inside of it")


def _masked(data: bytes) -> int:
    checksum = int(google_crc32c.value(data))
    return (((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & 0xFFFFFFFF


TFRECORD = Format(
    "tfrecord",
    TfRecordDecoder,
    _blocks,
    # TFX and TF-DF write data_tfrecord-00000-of-00001.gz and toy.tfe-tfrecord.
    extensions=(".tfrecord", ".tfrecords", ".tfrec", "_tfrecord", "-tfrecord"),
    records_are="tf.Example",
)
