"""The index at the end of a Parquet file, read without Arrow.

Arrow's C++ ends the process when Python asks it for a column of a damaged index: the exception has
no way out of it. What it reads of the data raises as it should. So all that is asked of the index
is read here: which bytes a row group takes, and how large its values become in memory, which a
file of few bytes may leave open to make gigabytes of them.

Source: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

from pipeline.formats.opened_file import WatchedFile
from pipeline.formats.parquet.thrift import BINARY, I32, I64, LIST, STRUCT, Reader

_MAGIC = b"PAR1"
_TAIL_BYTES = 8

# As Parquet numbers its physical types.
_BYTE_ARRAY: Final = 6
_FIXED_BYTE_ARRAY: Final = 7
_VALUE_BYTES = {0: 1, 1: 4, 2: 8, 3: 12, 4: 4, 5: 8, _BYTE_ARRAY: 4}


@dataclass(frozen=True)
class Chunk:
    """The values of one leaf column in one row group.

    Attributes:
      column: the name of the column, without those of its inner parts.
      start: the first byte of its pages.
      stored_bytes: of its pages, compressed.
      codec: how they are compressed, as Parquet numbers it.
      values: how many, nulls and empty lists among them.
      is_text: whether they are texts or bytes of any length.
      width: bytes of a value; of a text, those that say how long it is.
      value_bytes: of its values in memory, as the index says. Texts that pages say in fewer bytes
        are more.
      even: whether no row can have much more of them than another.
    """

    column: str
    start: int
    stored_bytes: int
    codec: int
    values: int
    is_text: bool
    width: int
    value_bytes: int
    even: bool

    @property
    def end(self) -> int:
        """The byte behind its pages."""
        return self.start + self.stored_bytes


@dataclass(frozen=True)
class RowGroup:
    """Consecutive rows.

    Attributes:
      rows: how many.
      chunks: one for each leaf column.
      middle: the byte in the middle of its data; one of the file's, whatever the index says.
    """

    rows: int
    chunks: tuple[Chunk, ...]
    middle: int


def row_groups(file: WatchedFile) -> tuple[RowGroup, ...]:
    """The row groups of a file.

    Args:
      file: anywhere; left anywhere.

    Raises:
      ValueError: it is no Parquet file, or its index is damaged.
    """
    size = file.seek(0, 2)
    if size < _TAIL_BYTES + len(_MAGIC):
        raise ValueError("found fewer bytes than the smallest has")
    file.seek(size - _TAIL_BYTES)
    tail = file.read(_TAIL_BYTES)
    if tail[4:] == b"PARE":
        raise ValueError("its index is encrypted")
    if tail[4:] != _MAGIC:
        raise ValueError("it does not end like one; it may be cut")
    length = int.from_bytes(tail[:4], "little")
    if length > size - _TAIL_BYTES - len(_MAGIC):
        raise ValueError("its index would be larger than the file")
    file.seek(size - _TAIL_BYTES - length)
    try:
        return _parsed(file.read(length), size)
    except (IndexError, KeyError, UnicodeDecodeError, OverflowError) as error:
        raise ValueError(f"its index is damaged ({error!r})") from error


# Each range of a file is read by itself, and all of them look at the index.
@lru_cache(maxsize=4)
def _parsed(index: bytes, file_bytes: int) -> tuple[RowGroup, ...]:
    reader = Reader(index)
    rows = 0
    widths: list[int] = []
    groups: list[RowGroup] = []
    for number, kind in reader.fields():
        if number == 2 and kind == LIST:
            widths = [width for _ in reader.items(STRUCT) if (width := _leaf_bytes(reader))]
        elif number == 3 and kind == I64:
            rows = reader.integer()
        elif number == 4 and kind == LIST:
            groups += [_row_group(reader, widths, file_bytes) for _ in reader.items(STRUCT)]
        else:
            reader.skip(kind)
    found = sum(group.rows for group in groups)
    if rows not in (0, found):  # early versions of parquet-rs write 0
        raise ValueError(f"its index is damaged: it says {rows} rows and describes {found}")
    _check_places((c for group in groups if group.rows for c in group.chunks), file_bytes)
    return tuple(groups)


def _check_places(chunks: Iterable[Chunk], file_bytes: int) -> None:
    """Each chunk has a place of its own: one that many share would be read as often.

    Raises:
      ValueError: one has none.
    """
    found = sorted((chunk for chunk in chunks if chunk.stored_bytes), key=lambda c: c.start)
    for before, after in pairwise(found):
        if before.end > after.start:
            raise ValueError(
                f"its index is damaged: columns '{before.column}' and '{after.column}' overlap"
            )
    if found and found[-1].end > file_bytes:
        raise ValueError(
            f"its index is damaged: column '{found[-1].column}' would end at byte "
            f"{found[-1].end:,} of {file_bytes:,}"
        )


def _leaf_bytes(reader: Reader) -> int:
    """The bytes of one value of a schema element, the least if they differ; 0 if it is no leaf."""
    kind, length = -1, 0
    for number, wire in reader.fields():
        if number == 1 and wire == I32:
            kind = reader.integer(I32)
        elif number == 2 and wire == I32:
            length = reader.integer(I32)
        else:
            reader.skip(wire)
    if kind < 0:
        return 0
    return max(length, 1) if kind == _FIXED_BYTE_ARRAY else _VALUE_BYTES[kind]


def _row_group(reader: Reader, widths: list[int], file_bytes: int) -> RowGroup:
    rows = 0
    columns: list[_Column] = []
    for number, kind in reader.fields():
        if number == 1 and kind == LIST:
            columns = [_column(reader) for _ in reader.items(STRUCT)]
        elif number == 3 and kind == I64:
            rows = reader.integer()
        else:
            reader.skip(kind)
    if len(columns) != len(widths) or rows < 0:
        raise ValueError(
            f"its index is damaged: {rows} rows of {len(columns)} columns, expected {len(widths)}"
        )
    chunks = tuple(c.chunk(rows, width) for c, width in zip(columns, widths, strict=True))
    begin = min((chunk.start for chunk in chunks), default=0)
    end = max((chunk.end for chunk in chunks), default=0)
    return RowGroup(rows, chunks, min((begin + end) // 2, file_bytes - 1))


@dataclass
class _Column:
    """What the index says of a chunk."""

    path: str = ""
    kind: int = -1
    codec: int = -1
    values: int = -1
    unpacked: int = -1
    stored: int = -1
    data: int = -1
    dictionary: int = 0

    def chunk(self, rows: int, width: int) -> Chunk:
        """The chunk, checked."""
        if (
            min(self.kind, self.values, self.unpacked, self.stored, self.data) < 0
            or self.dictionary < 0
        ):
            raise ValueError("its index is damaged: it does not say where a column is")
        made = self.values * width
        fixed = self.kind != _BYTE_ARRAY and self.values == rows
        return Chunk(
            self.path,
            # As Arrow has it: some writers name a place behind the data.
            min(self.dictionary, self.data) if self.dictionary else self.data,
            self.stored,
            self.codec,
            self.values,
            self.kind == _BYTE_ARRAY,
            width,
            max(made, self.unpacked),
            even=fixed and self.unpacked <= 2 * made + (1 << 20),
        )


_NUMBERS = {
    (1, I32): "kind",
    (4, I32): "codec",
    (5, I64): "values",
    (6, I64): "unpacked",
    (7, I64): "stored",
    (9, I64): "data",
    (11, I64): "dictionary",
}


def _column(reader: Reader) -> _Column:
    column = _Column()
    for number, kind in reader.fields():
        if number != 3 or kind != STRUCT:
            reader.skip(kind)
            continue
        for inner, wire in reader.fields():
            if name := _NUMBERS.get((inner, wire)):
                setattr(column, name, reader.integer(wire))
            elif inner == 3 and wire == LIST:
                names = [reader.text() for _ in reader.items(BINARY)]
                column.path = names[0]
            else:
                reader.skip(wire)
    return column
